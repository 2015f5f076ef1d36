"""Guardians' addresses that are asked about before a consent request is mailed there (R40)."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.reason_pb2 import (
    REASON_GUARDIAN_EMAIL_IS_REGISTRARS,
    REASON_GUARDIAN_EMAIL_OF_MANY,
    Reason,
)
from services.registration.registrations import queries
from services.registration.rules import FAMILIES_OF_ONE_ADDRESS, consent_needed
from services.runtime.rpc.errors import FieldViolation
from services.runtime.text.email_addresses import mailbox

FIELD = "form.related_person.email"

Families = Mapping[str, Collection[str]]
"""Last names of children, folded, by their guardian's address."""


async def families(
    connection: AsyncConnection, unit_id: str, addresses: Collection[str]
) -> defaultdict[str, set[str]]:
    """The last names of a unit's children, by the guardian's address."""
    found = defaultdict[str, set[str]](set)
    if addresses:
        asked = {"unit": unit_id, "addresses": sorted(addresses)}
        for row in await connection.execute(queries.FAMILIES, asked):
            found[row.address].add((row.last_name or "").casefold())
    return found


def doubt(form: CustomerForm, known: Families, *, is_registrars: bool) -> Reason.ValueType | None:
    """What must be confirmed of the guardian's address of a form; None if nothing."""
    if is_registrars:
        return REASON_GUARDIAN_EMAIL_IS_REGISTRARS
    names = {*known.get(form.related_person.email, ()), form.last_name.casefold()}
    return REASON_GUARDIAN_EMAIL_OF_MANY if len(names) >= FAMILIES_OF_ONE_ADDRESS else None


async def doubts_of_edit(
    connection: AsyncConnection,
    unit_id: str,
    before: CustomerForm,
    after: CustomerForm,
    *,
    birth_date: date | None,
    today: date,
    is_registrars: bool,
) -> list[FieldViolation]:
    """What must be confirmed of a guardian's address that an edit has changed."""
    address = after.related_person.email
    if (
        not address
        or mailbox(address) == mailbox(before.related_person.email)
        or birth_date is None
        or not consent_needed(birth_date, today, after)
    ):
        return []
    known = await families(connection, unit_id, [address])
    reason = doubt(after, known, is_registrars=is_registrars)
    return [FieldViolation(FIELD, reason)] if reason is not None else []
