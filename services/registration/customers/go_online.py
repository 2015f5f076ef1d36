"""Converts a CD borrower to an online customer (R23)."""

import uuid
from typing import Any

from sqlalchemy import RowMapping, bindparam, case, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.customer_service_pb2 import ConvertToOnlineRequest
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE, CustomerForm
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE, EMAIL_STATE_UNCONFIRMED
from liity.v1.reason_pb2 import REASON_CUSTOMER_HAS_ENDED, REASON_EMAIL_ON_FILE, REASON_NOT_A_CD_BORROWER
from liity.v1.registration_pb2 import STAGE_ACTIVE
from services.registration.audit.entries import use_row
from services.registration.db.mapping import mail_address, profile_row, to_message
from services.registration.db.models import customer_changes, customers, registrations
from services.registration.forms.normalise import form_errors, from_json, normalise
from services.registration.registrations import queries
from services.runtime.clock import helsinki_day, now
from services.runtime.rpc.errors import FieldViolation, failed_precondition, invalid
from services.runtime.stages import BEGUN, UNFINISHED

_FIELDS = ("kind", "email", "credentials_recipient")

# The running registration, of which a person has one at most, comes first. Registrations are locked before
# the customer, as by a transfer.
_LOCK_REGISTRATIONS = (
    select(registrations.c.registration_id)
    .where(registrations.c.customer_id == bindparam("id"), registrations.c.stage.in_(BEGUN))
    .order_by(case((registrations.c.stage.in_(UNFINISHED), 0), else_=1), registrations.c.created_at.desc())
    .with_for_update()
)
_BEGIN_ANEW = (
    update(registrations)
    .where(registrations.c.registration_id == bindparam("registration"))
    .values(kind=CUSTOMER_KIND_ONLINE, stage=STAGE_ACTIVE, deadline=None, updated_at=bindparam("now"))
    .returning(*queries.COLUMNS)
)
_CONVERTED_BEFORE = (
    select(*queries.COLUMNS)
    .where(registrations.c.customer_id == bindparam("id"), registrations.c.stage.in_(BEGUN))
    .where(registrations.c.kind == CUSTOMER_KIND_ONLINE)
    .order_by(registrations.c.updated_at.desc())
    .limit(1)
)


async def converted_before(connection: AsyncConnection, customer_id: str) -> Registration:
    """The registration of a converted customer."""
    return to_message((await connection.execute(_CONVERTED_BEFORE, {"id": customer_id})).mappings().one())


async def lock_registration(connection: AsyncConnection, customer_id: str) -> str:
    """Locks the registration that a conversion begins anew, and returns its ID; empty if there is none."""
    return await connection.scalar(_LOCK_REGISTRATIONS, {"id": customer_id}) or ""


async def convert(
    connection: AsyncConnection, request: ConvertToOnlineRequest, customer: RowMapping, registration_id: str
) -> Registration:
    """Converts a customer, in the connection's transaction; errors as the contract's."""
    if customer["state"] != CUSTOMER_STATE_ACTIVE:
        raise failed_precondition(REASON_CUSTOMER_HAS_ENDED)
    if customer["kind"] == CUSTOMER_KIND_ONLINE:
        raise failed_precondition(REASON_NOT_A_CD_BORROWER)
    form = _converted_form(request, customer)
    moment = now()
    begun = {"registration": registration_id, "now": moment}
    registration = (await connection.execute(_BEGIN_ANEW, begun)).mappings().one()
    changed: dict[str, Any] = profile_row(form) | {"updated_at": moment, "version": customer["version"] + 1}
    # The name does not change.
    del changed["search_keys"]
    address_changed = mail_address(form) != customer["email"]
    if address_changed:
        changed["email_state"] = EMAIL_STATE_UNCONFIRMED
    of_customer = customers.c.customer_id == customer["customer_id"]
    await connection.execute(update(customers).where(of_customer).values(**changed))
    await connection.execute(
        insert(customer_changes).values(
            customer_id=customer["customer_id"],
            version=changed["version"],
            request_id=uuid.UUID(request.request_id),
            paths=list(_FIELDS),
            changed_at=moment,
            # A link mailed to the earlier address must not confirm this one.
            previous_email=customer["email"] if address_changed else None,
        )
    )
    subjects = [customer["customer_id"], customer["person_id"], registration["registration_id"]]
    await connection.execute(queries.INSERT_USE, use_row("customer:convert", subjects))
    return to_message(registration)


def _converted_form(request: ConvertToOnlineRequest, customer: RowMapping) -> CustomerForm:
    """The converted form; raises errors caused by the conversion."""
    before = from_json(customer["profile"])
    if request.email and before.email:
        raise invalid([FieldViolation("email", REASON_EMAIL_ON_FILE)])
    after = CustomerForm()
    after.CopyFrom(before)
    after.kind = CUSTOMER_KIND_ONLINE
    after.email = request.email or before.email
    after.credentials_recipient = request.credentials_recipient
    after = normalise(after)
    found = form_errors(
        after,
        birth_date=customer["birth_date"],
        unit_kind=customer["unit_kind"],
        today=helsinki_day(now()),
    )
    # Errors that a rule or the age has caused since the registration do not prevent the conversion.
    errors = [
        FieldViolation(field.removeprefix("form."), reason)
        for field, reason in found
        if field.removeprefix("form.") in {*_FIELDS, "related_person.email"}
    ]
    if errors:
        raise invalid(errors)
    return after
