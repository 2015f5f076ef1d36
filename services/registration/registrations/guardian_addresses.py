"""Guardians' addresses that are asked about before a consent request is mailed there (R40)."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection

from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.reason_pb2 import (
    REASON_GUARDIAN_EMAIL_IS_REGISTRARS,
    REASON_GUARDIAN_EMAIL_OF_MANY,
)
from services.registration.registrations import queries
from services.registration.rules import (
    FAMILIES_OF_ONE_ADDRESS,
    consent_needed,
    guardians_of,
)
from services.runtime.guardians import FIRST_GUARDIAN, OTHER_GUARDIAN
from services.runtime.rpc.errors import FieldViolation
from services.runtime.text.email_addresses import mailbox

_FIELDS = {
    FIRST_GUARDIAN: "form.related_person.email",
    OTHER_GUARDIAN: "form.other_guardian.email",
}

Families = Mapping[str, Collection[str]]
"""Last names of children, folded, by a guardian's address."""


async def families(
    connection: AsyncConnection, unit_id: str, forms: Iterable[CustomerForm]
) -> defaultdict[str, set[str]]:
    """The last names of a unit's children, by the address of a guardian of one of some forms."""
    addresses = {guardian.email for form in forms for guardian in guardians_of(form).values()} - {""}
    found = defaultdict[str, set[str]](set)
    if addresses:
        asked = {"unit": unit_id, "addresses": sorted(addresses)}
        for row in await connection.execute(queries.FAMILIES, asked):
            found[row.address].add((row.last_name or "").casefold())
    return found


def doubts(form: CustomerForm, known: Families, registrars_email: str) -> list[FieldViolation]:
    """What must be confirmed of the guardians' addresses of a form. `registrars_email` may be empty."""
    found = []
    for number, guardian in guardians_of(form).items():
        if not guardian.email:
            continue
        names = {*known.get(guardian.email, ()), form.last_name.casefold()}
        if registrars_email and mailbox(guardian.email) == mailbox(registrars_email):
            found.append(FieldViolation(_FIELDS[number], REASON_GUARDIAN_EMAIL_IS_REGISTRARS))
        elif len(names) >= FAMILIES_OF_ONE_ADDRESS:
            found.append(FieldViolation(_FIELDS[number], REASON_GUARDIAN_EMAIL_OF_MANY))
    return found


async def doubts_of_edit(
    connection: AsyncConnection,
    unit_id: str,
    before: CustomerForm,
    after: CustomerForm,
    *,
    birth_date: date | None,
    today: date,
    registrars_email: str,
) -> list[FieldViolation]:
    """What must be confirmed of the guardians' addresses that an edit has changed."""
    was = {mailbox(guardian.email) for guardian in guardians_of(before).values() if guardian.email}
    changed = {
        _FIELDS[number]
        for number, guardian in guardians_of(after).items()
        if guardian.email and mailbox(guardian.email) not in was
    }
    if not changed or birth_date is None or not consent_needed(birth_date, today, after):
        return []
    known = await families(connection, unit_id, [after])
    return [doubt for doubt in doubts(after, known, registrars_email) if doubt.field in changed]
