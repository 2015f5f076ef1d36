"""Delivery state of a customer's address, or of a guardian's who is asked for consent."""

import uuid

from sqlalchemy import String, bindparam, case, exists, literal, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    EMAIL_STATE_CONFIRMED,
    EMAIL_STATE_UNCONFIRMED,
    EMAIL_STATE_UNDELIVERABLE,
)
from liity.v1.reason_pb2 import REASON_LINK_INVALID, REASON_LINK_VOID
from liity.v1.registration_pb2 import STAGE_WAITING_FOR_CONSENT
from services.registration.audit.entries import use_row
from services.registration.db.addresses import address_of, is_address
from services.registration.db.models import customer_changes, customers, registrations
from services.registration.registrations import guardians, queries
from services.runtime.clock import now
from services.runtime.rpc.errors import failed_precondition, not_found

# Of everybody with the address: siblings often share one.
_ADDRESS = bindparam("address", type_=String)
_OF_CUSTOMER = (is_address(customers.c.email, _ADDRESS), customers.c.email != "")
_OF_GUARDIAN_ASKED = (
    # A literal: the planner needs it to use the partial index.
    registrations.c.stage == literal(int(STAGE_WAITING_FOR_CONSENT), literal_execute=True),
    is_address(address_of(registrations.c.form, "related_person"), _ADDRESS),
    ~queries.ASKS_OTHER_GUARDIAN,
)

_related_email = address_of(customers.c.profile, "related_person")
_OF_RELATED = (
    is_address(_related_email, _ADDRESS),
    # The query's condition is the partial index's.
    _related_email != customers.c.email,
)

_MARK_RELATED = (
    update(customers)
    .where(*_OF_RELATED, customers.c.related_undeliverable_since.is_(None))
    .values(related_undeliverable_since=bindparam("moment"))
)
_CLEAR_RELATED = (
    update(customers)
    .where(*_OF_RELATED, customers.c.related_undeliverable_since.is_not(None))
    .values(related_undeliverable_since=None)
)

_MARK_CUSTOMER = (
    update(customers)
    .where(*_OF_CUSTOMER)
    .values(
        email_state=EMAIL_STATE_UNDELIVERABLE,
        # A second bounce of the same address does not move the moment.
        undeliverable_since=case(
            (customers.c.email_state == EMAIL_STATE_UNDELIVERABLE, customers.c.undeliverable_since),
            else_=bindparam("moment"),
        ),
    )
)

_MARK_GUARDIAN = (
    update(registrations)
    .where(*_OF_GUARDIAN_ASKED, registrations.c.undeliverable_since.is_(None))
    .values(undeliverable_since=bindparam("moment"))
)
_CLEAR_CUSTOMER = (
    update(customers)
    .where(*_OF_CUSTOMER, customers.c.email_state == EMAIL_STATE_UNDELIVERABLE)
    # That a server accepted mail does not prove that the customer reads it.
    .values(email_state=EMAIL_STATE_UNCONFIRMED)
)
_CLEAR_GUARDIAN = (
    update(registrations)
    # Mail does reach a wrong recipient.
    .where(*_OF_GUARDIAN_ASKED, registrations.c.wrong_recipient_since.is_(None))
    .values(undeliverable_since=None)
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
        customers.c.state,
        _CHANGED_AGAIN.label("changed_again"),
    )
    .join(customer_changes, customer_changes.c.customer_id == customers.c.customer_id)
    .where(customer_changes.c.request_id == bindparam("request"))
)
_CONFIRM = (
    update(customers)
    .where(customers.c.customer_id == bindparam("id"))
    .values(email_state=EMAIL_STATE_CONFIRMED)
)


async def mark_undeliverable(connection: AsyncConnection, address: str) -> None:
    """Marks an address undeliverable, for everybody whose mail goes there."""
    moment = now()
    refused = {"address": address, "moment": moment}
    await connection.execute(_MARK_GUARDIAN, refused)
    await guardians.mark_address(connection, address, moment)
    await connection.execute(_MARK_CUSTOMER, refused)
    await connection.execute(_MARK_RELATED, refused)


async def mark_delivered(connection: AsyncConnection, address: str) -> None:
    """Marks an address deliverable again."""
    taken = {"address": address}
    await connection.execute(_CLEAR_GUARDIAN, taken)
    await guardians.mark_address(connection, address, None)
    await connection.execute(_CLEAR_CUSTOMER, taken)
    await connection.execute(_CLEAR_RELATED, taken)


async def confirm(connection: AsyncConnection, change_request_id: str) -> None:
    """Confirms the address set by a change, in the connection's transaction."""
    change = {"request": uuid.UUID(change_request_id)}
    row = (await connection.execute(_CHANGE.with_for_update(of=customers), change)).mappings().first()
    if row is None:
        raise not_found(REASON_LINK_INVALID)
    if row["changed_again"] or not row["email"]:
        raise failed_precondition(REASON_LINK_VOID)
    if row["email_state"] == EMAIL_STATE_CONFIRMED:
        return
    await connection.execute(_CONFIRM, {"id": row["customer_id"]})
    use = use_row("customer:confirm-email", [row["customer_id"], row["person_id"]])
    await connection.execute(queries.INSERT_USE, use)


async def is_awaited(connection: AsyncConnection, change_request_id: str) -> bool:
    """Whether the address set by a change is still to be confirmed."""
    change = {"request": uuid.UUID(change_request_id)}
    row = (await connection.execute(_CHANGE, change)).mappings().first()
    return (
        row is not None
        and not row["changed_again"]
        and row["state"] == CUSTOMER_STATE_ACTIVE
        and row["email_state"] == EMAIL_STATE_UNCONFIRMED
    )
