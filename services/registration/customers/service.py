"""CustomerService: reads, searches and changes customers."""

import uuid
from collections.abc import Iterable
from datetime import UTC
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import RowMapping, bindparam, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.registration.v1 import customer_service_pb2 as pb
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceServicer
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    EMAIL_STATE_UNCONFIRMED,
    EMAIL_STATE_UNSPECIFIED,
)
from liity.v1.reason_pb2 import (
    REASON_CUSTOMER_HAS_ENDED,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
)
from services.registration.audit.entries import use_row
from services.registration.customers import (
    birth_date,
    credential_orders,
    email_delivery,
    go_online,
    identity_code,
    listing,
    merge_undo,
    online,
    protection,
    removals,
    temporary_need,
    transfers,
)
from services.registration.customers import merges as customer_merges
from services.registration.customers.merges import MERGES
from services.registration.customers.own_data import BirthDates
from services.registration.db.mapping import mail_address, profile_row
from services.registration.db.models import customer_changes, customer_names, customers, registrations, units
from services.registration.forms.edits import apply_mask, editing_errors, on_their_own
from services.registration.forms.normalise import from_json, normalise
from services.registration.forms.withholding import withhold
from services.registration.registrations import queries
from services.registration.registrations.guardian_addresses import doubts_of_edit
from services.runtime.clock import helsinki_day, now
from services.runtime.rpc.errors import (
    already_exists,
    failed_precondition,
    invalid,
    not_found,
)
from services.runtime.text import email_addresses

_REGISTRATION = (
    select(registrations.c.registration_id)
    .where(registrations.c.customer_id == customers.c.customer_id)
    .order_by(*queries.CURRENT_FIRST)
    .limit(1)
    .correlate(customers)
    .scalar_subquery()
    .label("registration_id")
)

_GET = select(*customers.c, _REGISTRATION, MERGES).where(customers.c.customer_id == bindparam("id"))
_GET_FOR_CHANGE = (
    select(*customers.c, units.c.kind.label("unit_kind"), _REGISTRATION, MERGES)
    .join(units, units.c.unit_id == customers.c.unit_id)
    .where(customers.c.customer_id == bindparam("id"))
    .with_for_update(of=customers)
)
_CHANGES_SINCE = select(customer_changes.c.paths).where(
    customer_changes.c.customer_id == bindparam("id"), customer_changes.c.version > bindparam("seen")
)
_MADE_BEFORE = select(
    customer_changes.c.customer_id,
    customer_changes.c.previous_email,
    customer_changes.c.previous_related_email,
).where(customer_changes.c.request_id == bindparam("request"))
_FORGET_NAMES = delete(customer_names).where(customer_names.c.customer_id == bindparam("id"))


class CustomerServicer(CustomerServiceServicer):
    """Reads, searches and changes customers."""

    def __init__(self, engine: AsyncEngine, birth_dates: BirthDates) -> None:
        self._engine = engine
        self._birth_dates = birth_dates
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    @override
    async def GetCustomer(self, request: pb.GetCustomerRequest, _context: object) -> pb.GetCustomerResponse:
        """Reads a customer."""
        async with self._autocommit.connect() as connection:
            row = (await connection.execute(_GET, {"id": request.customer_id})).mappings().first()
        if row is None:
            raise not_found(REASON_CUSTOMER_NOT_FOUND)
        return pb.GetCustomerResponse(customer=_to_message(row))

    @override
    async def CheckBirthDate(
        self, request: pb.CheckBirthDateRequest, _context: object
    ) -> pb.CheckBirthDateResponse:
        """Refuses a date that is not the customer's."""
        await self._birth_dates.require(request.customer_id, request.birth_date)
        return pb.CheckBirthDateResponse()

    @override
    async def UpdateCustomer(
        self, request: pb.UpdateCustomerRequest, _context: object
    ) -> pb.UpdateCustomerResponse:
        """Changes fields of a customer (R14). The later of two simultaneous edits is told what changed."""
        async with self._engine.begin() as connection:
            by_id = {"id": request.customer_id}
            row = (await connection.execute(_GET_FOR_CHANGE, by_id)).mappings().first()
            if row is None or row["unit_id"] != request.unit_id:
                raise not_found(REASON_CUSTOMER_NOT_FOUND)
            by_request = {"request": uuid.UUID(request.request_id)}
            made = (await connection.execute(_MADE_BEFORE, by_request)).first()
            if made is not None:
                if made.customer_id != request.customer_id:
                    raise already_exists(REASON_REQUEST_ID_REUSED)
                return pb.UpdateCustomerResponse(
                    customer=_to_message(row),
                    email=row["email"],
                    previous_email=made.previous_email,
                    previous_related_email=made.previous_related_email,
                    repeated=True,
                )
            if row["state"] != CUSTOMER_STATE_ACTIVE:
                raise failed_precondition(REASON_CUSTOMER_HAS_ENDED)
            if request.etag != _etag(row):
                changed = await _changed_since(connection, request)
                return pb.UpdateCustomerResponse(customer=_to_message(row), changed_meanwhile=changed)
            return await _change(connection, request, row)

    @override
    async def SearchCustomers(
        self, request: pb.SearchCustomersRequest, _context: object
    ) -> pb.SearchCustomersResponse:
        """Lists a unit's customers, all or by the beginnings of their names' parts (R15)."""
        async with self._autocommit.connect() as connection:
            return await listing.page(connection, request)

    @override
    async def TransferCustomer(
        self, request: pb.TransferCustomerRequest, _context: object
    ) -> pb.TransferCustomerResponse:
        """Transfers a person to another unit (R16)."""
        async with self._engine.begin() as connection:
            return await transfers.transfer(connection, request)

    @override
    async def CheckTransfer(
        self, request: pb.CheckTransferRequest, _context: object
    ) -> pb.CheckTransferResponse:
        """Refuses what TransferCustomer would refuse (R16)."""
        async with self._autocommit.connect() as connection:
            await transfers.check(connection, request)
        return pb.CheckTransferResponse()

    @override
    async def OrderCredentials(
        self, request: pb.OrderCredentialsRequest, _context: object
    ) -> pb.OrderCredentialsResponse:
        """Checks and records an order to send credentials anew (R17)."""
        async with self._engine.begin() as connection:
            row = (await connection.execute(_GET, {"id": request.customer_id})).mappings().first()
            if row is None or row["unit_id"] != request.unit_id:
                raise not_found(REASON_CUSTOMER_NOT_FOUND)
            await credential_orders.order(connection, request, row)
        return pb.OrderCredentialsResponse(
            person_id=row["person_id"], registration_id=row["registration_id"] or ""
        )

    @override
    async def FindOnlineCustomers(
        self, request: pb.FindOnlineCustomersRequest, _context: object
    ) -> pb.FindOnlineCustomersResponse:
        """Finds whom an order of a new password is about (R42)."""
        async with self._autocommit.connect() as connection:
            return await online.find(connection, request)

    @override
    async def MarkEmailUndeliverable(
        self, request: pb.MarkEmailUndeliverableRequest, _context: object
    ) -> pb.MarkEmailUndeliverableResponse:
        """Marks an address undeliverable, for everybody whose mail goes there."""
        async with self._engine.begin() as connection:
            await email_delivery.mark_undeliverable(connection, email_addresses.normal(request.email))
        return pb.MarkEmailUndeliverableResponse()

    @override
    async def MarkEmailDelivered(
        self, request: pb.MarkEmailDeliveredRequest, _context: object
    ) -> pb.MarkEmailDeliveredResponse:
        """Marks the address deliverable again."""
        async with self._engine.begin() as connection:
            await email_delivery.mark_delivered(connection, email_addresses.normal(request.email))
        return pb.MarkEmailDeliveredResponse()

    @override
    async def ConfirmEmail(
        self, request: pb.ConfirmEmailRequest, _context: object
    ) -> pb.ConfirmEmailResponse:
        """Confirms the address set by a change: its link was opened (R14)."""
        async with self._engine.begin() as connection:
            await email_delivery.confirm(connection, request.change_request_id)
        return pb.ConfirmEmailResponse()

    @override
    async def CheckEmailConfirmation(
        self, request: pb.CheckEmailConfirmationRequest, _context: object
    ) -> pb.CheckEmailConfirmationResponse:
        """Tells whether a changed address is still to be confirmed (R14)."""
        async with self._autocommit.connect() as connection:
            awaited = await email_delivery.is_awaited(connection, request.change_request_id)
        return pb.CheckEmailConfirmationResponse(is_awaited=awaited)

    @override
    async def EndCustomership(
        self, request: pb.EndCustomershipRequest, _context: object
    ) -> pb.EndCustomershipResponse:
        """Marks a customer for deletion (R19)."""
        async with self._engine.begin() as connection:
            row = await removals.end(connection, request)
        return pb.EndCustomershipResponse(customer=_to_message(row))

    @override
    async def CheckConsentWithdrawal(
        self, request: pb.CheckConsentWithdrawalRequest, _context: object
    ) -> pb.CheckConsentWithdrawalResponse:
        """Refuses a withdrawal that would end nothing (R38)."""
        async with self._autocommit.connect() as connection:
            await removals.check_withdrawal(connection, request)
        return pb.CheckConsentWithdrawalResponse()

    @override
    async def UndoRemoval(self, request: pb.UndoRemovalRequest, _context: object) -> pb.UndoRemovalResponse:
        """Undoes a removal (R19)."""
        async with self._engine.begin() as connection:
            row, resumed = await removals.undo(connection, request)
        return pb.UndoRemovalResponse(customer=_to_message(row), resumed_registration_id=resumed)

    @override
    async def ExtendNeed(self, request: pb.ExtendNeedRequest, _context: object) -> pb.ExtendNeedResponse:
        """Sets a new expected end of a temporary need (R21)."""
        async with self._engine.begin() as connection:
            day = await temporary_need.extend(connection, request)
        return pb.ExtendNeedResponse(expected_end_date=day)

    @override
    async def ReportLoan(self, request: pb.ReportLoanRequest, _context: object) -> pb.ReportLoanResponse:
        """Records that a customer has borrowed something (R20)."""
        async with self._engine.begin() as connection:
            await removals.report_loan(connection, request.customer_id)
        return pb.ReportLoanResponse()

    @override
    async def RecordCodeChange(
        self, request: pb.RecordCodeChangeRequest, _context: object
    ) -> pb.RecordCodeChangeResponse:
        """Records that the person has got a personal identity code (R24, R34)."""
        async with self._engine.begin() as connection:
            # Identity has changed the code already: the customer's state does not matter.
            row = (await connection.execute(_GET_FOR_CHANGE, {"id": request.customer_id})).mappings().first()
            if row is None:
                raise not_found(REASON_CUSTOMER_NOT_FOUND)
            if await _is_made(connection, request.request_id, request.customer_id):
                return pb.RecordCodeChangeResponse(customer=_to_message(row))
            changed = await identity_code.record(connection, request, row)
        return pb.RecordCodeChangeResponse(customer=_to_message({**row, **changed}))

    @override
    async def CorrectBirthDate(
        self, request: pb.CorrectBirthDateRequest, _context: object
    ) -> pb.CorrectBirthDateResponse:
        """Corrects the date of birth of somebody without a code (R24)."""
        async with self._engine.begin() as connection:
            await birth_date.correct(connection, request)
        return pb.CorrectBirthDateResponse()

    @override
    async def CheckMerge(self, request: pb.CheckMergeRequest, _context: object) -> pb.CheckMergeResponse:
        """Checks that two customers may be merged."""
        async with self._engine.begin() as connection:
            return await customer_merges.check(connection, request.merge)

    @override
    async def MergeCustomers(
        self, request: pb.MergeCustomersRequest, _context: object
    ) -> pb.MergeCustomersResponse:
        """Merges two customers (R24, R34)."""
        async with self._engine.begin() as connection:
            return await customer_merges.merge(connection, request)

    @override
    async def UndoMerge(self, request: pb.UndoMergeRequest, _context: object) -> pb.UndoMergeResponse:
        """Takes a merge back (R43)."""
        async with self._engine.begin() as connection:
            return await merge_undo.undo(connection, request)

    @override
    async def ConvertToOnline(
        self, request: pb.ConvertToOnlineRequest, _context: object
    ) -> pb.ConvertToOnlineResponse:
        """Converts a CD borrower to an online customer (R23)."""
        async with self._engine.begin() as connection:
            registration_id = await go_online.lock_registration(connection, request.customer_id)
            row = await _row_of_unit(connection, request.customer_id, request.unit_id)
            if await _is_made(connection, request.request_id, request.customer_id):
                registration = await go_online.converted_before(connection, request.customer_id)
            else:
                registration = await go_online.convert(connection, request, row, registration_id)
        return pb.ConvertToOnlineResponse(registration=registration)

    @override
    async def MarkProtected(
        self, request: pb.MarkProtectedRequest, _context: object
    ) -> pb.MarkProtectedResponse:
        """Marks a person as protected (R37)."""
        async with self._engine.begin() as connection:
            await protection.mark(connection, request)
        return pb.MarkProtectedResponse()

    @override
    async def RemoveProtection(
        self, request: pb.RemoveProtectionRequest, _context: object
    ) -> pb.RemoveProtectionResponse:
        """Takes the mark back (R37)."""
        async with self._engine.begin() as connection:
            await protection.remove(connection, request)
        return pb.RemoveProtectionResponse()

    @override
    async def GetProtectedDetails(
        self, request: pb.GetProtectedDetailsRequest, _context: object
    ) -> pb.GetProtectedDetailsResponse:
        """Reads what is withheld of a protected person, for a reason (R37)."""
        async with self._engine.begin() as connection:
            return pb.GetProtectedDetailsResponse(details=await protection.details(connection, request))


async def _row_of_unit(connection: AsyncConnection, customer_id: str, unit_id: str) -> RowMapping:
    """The unit's customer, locked for a change. NOT_FOUND (CUSTOMER_NOT_FOUND)."""
    row = (await connection.execute(_GET_FOR_CHANGE, {"id": customer_id})).mappings().first()
    if row is None or row["unit_id"] != unit_id:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    return row


async def _is_made(connection: AsyncConnection, request_id: str, customer_id: str) -> bool:
    """Whether this request has changed the customer before. ALREADY_EXISTS if it changed another one."""
    made = (await connection.execute(_MADE_BEFORE, {"request": uuid.UUID(request_id)})).first()
    if made is not None and made.customer_id != customer_id:
        raise already_exists(REASON_REQUEST_ID_REUSED)
    return made is not None


async def _change(
    connection: AsyncConnection, request: pb.UpdateCustomerRequest, row: RowMapping
) -> pb.UpdateCustomerResponse:
    before = from_json(row["profile"])
    today, mask = helsinki_day(now()), request.update_mask
    after = normalise(apply_mask(before, request.form, mask))
    after = on_their_own(after, mask, row["birth_date"], today)
    errors = editing_errors(
        before, after, mask, birth_date=row["birth_date"], unit_kind=row["unit_kind"], today=today
    )
    if not errors and not request.guardian_email_confirmed:
        errors = await doubts_of_edit(
            connection,
            row["unit_id"],
            before,
            after,
            birth_date=row["birth_date"],
            today=today,
            registrars_email=request.registrars_email,
        )
    if errors:
        raise invalid(errors)
    if after.protected_person:
        after, withheld = withhold(after)
        await protection.keep(connection, row["person_id"], withheld)
    changed = profile_row(after) | {"updated_at": now(), "version": row["version"] + 1}
    search_keys = changed.pop("search_keys")
    address, previous = mail_address(after), mail_address(before)
    moved = address != previous
    previous_related = _replaced_related_address(before, after)
    if after.related_person.email != before.related_person.email:
        # Whether it works now is not known yet.
        changed["related_undeliverable_since"] = None
    if moved:
        changed["email_state"] = EMAIL_STATE_UNCONFIRMED if address else EMAIL_STATE_UNSPECIFIED
    await connection.execute(
        update(customers).where(customers.c.customer_id == request.customer_id).values(**changed)
    )
    await connection.execute(_FORGET_NAMES, {"id": request.customer_id})
    found_by = {"customer_id": request.customer_id, "unit_id": row["unit_id"], "search_keys": search_keys}
    await connection.execute(queries.INSERT_NAMES, found_by)
    await connection.execute(
        insert(customer_changes).values(
            customer_id=request.customer_id,
            version=changed["version"],
            request_id=uuid.UUID(request.request_id),
            paths=list(request.update_mask.paths),
            changed_at=changed["updated_at"],
            previous_email=previous if moved else None,
            previous_related_email=previous_related or None,
        )
    )
    use = use_row("customer:update", [request.customer_id, row["person_id"]])
    await connection.execute(queries.INSERT_USE, use)
    return pb.UpdateCustomerResponse(
        customer=_to_message({**row, **changed}),
        email=address,
        previous_email=previous if moved else None,
        previous_related_email=previous_related,
    )


def _replaced_related_address(before: CustomerForm, after: CustomerForm) -> str:
    """The related person's replaced address; empty if mail went there, as then it is `previous_email`."""
    address = before.related_person.email
    was_for_mail = address == mail_address(before) != mail_address(after)
    return "" if address == after.related_person.email or was_for_mail else address


async def _changed_since(connection: AsyncConnection, request: pb.UpdateCustomerRequest) -> FieldMask:
    """The fields changed since the caller read the customer; all of them if the etag is unknown."""
    if not request.etag.isascii() or not request.etag.isdecimal() or len(request.etag) > len(str(2**63)):
        return FieldMask(paths=[field.name for field in CustomerForm.DESCRIPTOR.fields])
    parameters = {"id": request.customer_id, "seen": min(int(request.etag), 2**63 - 1)}
    found: Iterable[list[str]] = (await connection.scalars(_CHANGES_SINCE, parameters)).all()
    return FieldMask(paths=sorted({path for paths in found for path in paths}))


def _etag(row: RowMapping | dict[str, Any]) -> str:
    return str(row["version"])


def _to_message(row: RowMapping | dict[str, Any]) -> pb.Customer:
    customer = pb.Customer(
        customer_id=row["customer_id"],
        person_id=row["person_id"],
        unit_id=row["unit_id"],
        etag=_etag(row),
        state=row["state"],
        form=from_json(row["profile"]),
        email_state=row["email_state"],
        create_time=row["created_at"],
        update_time=row["updated_at"],
        registration_id=row["registration_id"] or "",
        lent=row["lent"],
    )
    customer.merged_customers.extend(
        customer_merges.merged_customer(merged, customer.form) for merged in row["merges"] or ()
    )
    if row["ended_at"] is not None:
        customer.end_time.FromDatetime(row["ended_at"].astimezone(UTC))
    return customer
