"""HistoryService: the history of a registration and its customer, from the stored data."""

from datetime import UTC

from sqlalchemy import ARRAY, RowMapping, String, bindparam, cast, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.registration.v1 import history_service_pb2 as pb
from liity.registration.v1.history_service_pb2_grpc import HistoryServiceServicer
from liity.registration.v1.registration_service_pb2 import ConsentEvidence
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.reason_pb2 import REASON_CUSTOMER_NOT_FOUND, REASON_REGISTRATION_NOT_FOUND
from services.registration.customers import identity_code
from services.registration.db.mapping import to_message
from services.registration.db.models import (
    consents,
    customer_changes,
    customers,
    messages,
    registrations,
    use_entries,
)
from services.registration.forms.name_keys import are_alike
from services.registration.forms.normalise import from_json
from services.registration.registrations import queries
from services.runtime.clock import to_proto_date
from services.runtime.rpc.errors import not_found

TOLD = (
    "registration:activate",
    "registration:update",
    "registration:end",
    "registration:report-wrong-recipient",
    "registration:decline",
    "registration:take-back-decline",
    "registration:consent-of-one",
    "consent:dissent",
    "consent:withdraw",
    "customer:update",
    "customer:correct-birth-date",
    "customer:transfer",
    "customer:confirm-email",
    "credentials:send",
    "registration:reactivate",
    "registration:verify-identity",
    "customership:end",
    "customership:undo",
    "customership:extend",
    "customer:convert",
    *identity_code.ACTIONS.values(),
    "customer:merge",
    "customer:undo-merge",
)
"""Actions of the log of use that belong to a history: changes only, not reads."""

_OF_CUSTOMER = (
    select(registrations.c.registration_id)
    .where(registrations.c.customer_id == bindparam("customer"))
    .order_by(*queries.CURRENT_FIRST)
    .limit(1)
)
_CUSTOMERSHIP = select(
    customers.c.created_at,
    customers.c.state,
    customers.c.ended_at,
    customers.c.email_state,
    customers.c.profile,
).where(customers.c.customer_id == bindparam("customer"))
_CONSENT = select(consents).where(consents.c.registration_id == bindparam("registration"))
_USES = (
    select(use_entries)
    .where(
        use_entries.c.subject_ids.overlap(cast(bindparam("subjects"), ARRAY(String))),
        use_entries.c.action.in_(TOLD),
        use_entries.c.outcome == "OK",
    )
    .order_by(use_entries.c.used_at, use_entries.c.use_id)
)
_ADDRESS_CHANGES = select(customer_changes.c.request_id).where(
    customer_changes.c.customer_id == bindparam("customer"), customer_changes.c.previous_email.is_not(None)
)
_MESSAGES = (
    select(messages)
    .join(registrations, registrations.c.registration_id == messages.c.registration_id)
    .where(
        messages.c.registration_id == bindparam("registration"),
        # Another unit's wish for the person's transfer is customer service's to read (R37).
        messages.c.unit_id == registrations.c.unit_id,
    )
    .order_by(messages.c.created_at)
)


class HistoryServicer(HistoryServiceServicer):
    """Reads histories, each from one snapshot."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._one_picture = engine.execution_options(isolation_level="REPEATABLE READ")

    @override
    async def GetHistory(self, request: pb.GetHistoryRequest, _context: object) -> pb.GetHistoryResponse:
        """The history of a registration, or of a customer's current registration."""
        async with self._one_picture.begin() as connection:
            registration = await _registration(connection, request)
            history = pb.GetHistoryResponse(registration=to_message(registration))
            form = await _add_customership(connection, registration, history)
            await _add_consent(connection, registration, history)
            history.consent_by_other_name = form is not None and _is_other_name(history.consent, form)
            await _add_changes(connection, registration, history)
            by_registration = {"registration": registration["registration_id"]}
            for message in (await connection.execute(_MESSAGES, by_registration)).mappings():
                history.messages.append(_to_message(message))
        return history


async def _registration(connection: AsyncConnection, request: pb.GetHistoryRequest) -> RowMapping:
    by_customer = request.HasField("customer_id")
    registration_id = request.registration_id
    if by_customer:
        registration_id = await connection.scalar(_OF_CUSTOMER, {"customer": request.customer_id}) or ""
    row = (await connection.execute(queries.GET, {"id": registration_id})).mappings().first()
    if row is None or row["unit_id"] != request.unit_id:
        raise not_found(REASON_CUSTOMER_NOT_FOUND if by_customer else REASON_REGISTRATION_NOT_FOUND)
    return row


async def _add_customership(
    connection: AsyncConnection, registration: RowMapping, history: pb.GetHistoryResponse
) -> CustomerForm | None:
    """Adds the customership; gives the customer's form, if there is one."""
    by_customer = {"customer": registration["customer_id"]}
    row = (await connection.execute(_CUSTOMERSHIP, by_customer)).mappings().first()
    if row is None:
        return None
    form = from_json(row["profile"])
    is_watched = form.temporary and form.HasField("expected_end_date")
    history.customership.CopyFrom(
        pb.Customership(
            create_time=row["created_at"],
            state=row["state"],
            email_state=row["email_state"],
            end_time=row["ended_at"],
            expected_end_date=form.expected_end_date if is_watched else None,
        )
    )
    return form


def _is_other_name(consent: ConsentEvidence, form: CustomerForm) -> bool:
    """Whether somebody has consented whose name is neither guardian's on the form."""
    guardians = [one.full_name for one in (form.related_person, form.other_guardian) if one.full_name]
    return bool(consent.guardian_name and guardians) and not any(
        are_alike((consent.guardian_name, ""), (name, "")) for name in guardians
    )


async def _add_consent(
    connection: AsyncConnection, registration: RowMapping, history: pb.GetHistoryResponse
) -> None:
    by_registration = {"registration": registration["registration_id"]}
    row = (await connection.execute(_CONSENT, by_registration)).mappings().first()
    if row is None:
        return
    history.consent.CopyFrom(
        ConsentEvidence(
            method=row["method"],
            guardian_name=row["guardian_name"],
            sign_date=to_proto_date(row["sign_date"]),
            recorded_by=row["recorded_by"],
        )
    )
    history.consent_record_time.FromDatetime(row["recorded_at"].astimezone(UTC))


async def _add_changes(
    connection: AsyncConnection, registration: RowMapping, history: pb.GetHistoryResponse
) -> None:
    subjects = [registration["registration_id"], *filter(None, (registration["customer_id"],))]
    by_customer = {"customer": registration["customer_id"]}
    addresses = {
        str(request_id) for request_id in (await connection.scalars(_ADDRESS_CHANGES, by_customer)).all()
    }
    for row in (await connection.execute(_USES, {"subjects": subjects})).mappings():
        history.changes.append(
            pb.RecordedChange(
                action=row["action"],
                time=row["used_at"],
                actor_kind=row["actor_kind"],
                account_id=row["account_id"],
                actor_role=row["actor_role"],
                address_changed=row["call_id"].lower() in addresses,
            )
        )


def _to_message(row: RowMapping) -> pb.MessageOfHistory:
    return pb.MessageOfHistory(
        reference=row["reference"],
        sender_display_name=row["sender_display_name"],
        create_time=row["created_at"],
        state=row["state"],
        deadline=row["deadline"],
        close_time=row["closed_at"],
    )
