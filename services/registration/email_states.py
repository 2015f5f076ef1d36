"""Whether somebody reads the mail at a customer's address."""

import uuid

from sqlalchemy import bindparam, case, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.v1.customer_service_pb2 import EMAIL_STATE_CONFIRMED, EMAIL_STATE_UNDELIVERABLE
from liity.v1.reason_pb2 import REASON_LINK_INVALID, REASON_LINK_VOID
from services.registration import statements
from services.registration.models import customer_changes, customers
from services.registration.use_log import use_row
from services.runtime.errors import failed_precondition, not_found

MARK_UNDELIVERABLE = (
    update(customers)
    .where(customers.c.person_id == bindparam("person"), customers.c.email == bindparam("address"))
    .values(
        email_state=EMAIL_STATE_UNDELIVERABLE,
        # A second refusal of the same address is no news.
        undeliverable_since=case(
            (customers.c.email_state == EMAIL_STATE_UNDELIVERABLE, customers.c.undeliverable_since),
            else_=bindparam("moment"),
        ),
    )
)

_later = customer_changes.alias("later")
_CHANGED_AGAIN = exists().where(
    _later.c.customer_id == customers.c.customer_id,
    _later.c.version > customer_changes.c.version,
    _later.c.previous_email.is_not(None),
)
_CHANGE = (
    select(
        customers.c.customer_id,
        customers.c.person_id,
        customers.c.email,
        customers.c.email_state,
        _CHANGED_AGAIN.label("changed_again"),
    )
    .join(customer_changes, customer_changes.c.customer_id == customers.c.customer_id)
    .where(customer_changes.c.request_id == bindparam("request"))
    .with_for_update(of=customers)
)
_CONFIRM = (
    update(customers)
    .where(customers.c.customer_id == bindparam("id"))
    .values(email_state=EMAIL_STATE_CONFIRMED)
)


async def confirm(connection: AsyncConnection, change_request_id: str) -> None:
    """Confirms the address that a change has brought, in the connection's transaction."""
    change = {"request": uuid.UUID(change_request_id)}
    row = (await connection.execute(_CHANGE, change)).mappings().first()
    if row is None:
        raise not_found(REASON_LINK_INVALID)
    if row["changed_again"] or not row["email"]:
        raise failed_precondition(REASON_LINK_VOID)
    if row["email_state"] == EMAIL_STATE_CONFIRMED:
        return
    await connection.execute(_CONFIRM, {"id": row["customer_id"]})
    use = use_row("customer:confirm-email", [row["customer_id"], row["person_id"]])
    await connection.execute(statements.INSERT_USE, use)
