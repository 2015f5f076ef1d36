"""Guardians' addresses: who of a unit shares one, and what is asked before mail goes there (R40)."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date

from sqlalchemy import (
    ARRAY,
    RowMapping,
    String,
    any_,
    bindparam,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.registration_service_pb2 import SameGuardian
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE
from liity.v1.reason_pb2 import (
    REASON_GUARDIAN_EMAIL_IS_REGISTRARS,
    REASON_GUARDIAN_EMAIL_OF_MANY,
)
from liity.v1.registration_pb2 import STAGE_WAITING_FOR_CONSENT
from services.registration.db.addresses import address_of, mailbox_key
from services.registration.db.models import customers, registrations
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
"""Last names of children, folded, by a guardian's mailbox."""

_MOST_LISTED = 20


_ASKED = bindparam("addresses", type_=ARRAY(String))
_ONE_OF_THOSE_ASKED = any_(func.array(select(mailbox_key(func.unnest(_ASKED))).scalar_subquery()))

_FIRST, _OTHER = (
    address_of(registrations.c.form, guardian) for guardian in ("related_person", "other_guardian")
)
_WAITING = (
    select(
        registrations.c.registration_id,
        registrations.c.form["first_names"].astext.label("first_names"),
        registrations.c.form["last_name"].astext.label("last_name"),
        _FIRST.label("email"),
        _OTHER.label("other_email"),
    )
    .where(
        # A literal: the planner needs it to use the partial indexes.
        registrations.c.stage == literal(int(STAGE_WAITING_FOR_CONSENT), literal_execute=True),
        or_(*(mailbox_key(address) == _ONE_OF_THOSE_ASKED for address in (_FIRST, _OTHER))),
    )
    .order_by(registrations.c.created_at, registrations.c.registration_id)
)
"""Registrations that wait for a consent of who has perhaps one of some addresses."""

_WAITING_IN_UNIT = _WAITING.where(registrations.c.unit_id == bindparam("unit"))

_CUSTOMERS = select(
    customers.c.customer_id,
    customers.c.first_names,
    customers.c.last_name,
    customers.c.email,
    address_of(customers.c.profile, "related_person").label("related_email"),
).where(
    mailbox_key(customers.c.email) == _ONE_OF_THOSE_ASKED,
    # The query's condition is the partial index's.
    customers.c.email != "",
    customers.c.unit_id == bindparam("unit"),
    customers.c.state == CUSTOMER_STATE_ACTIVE,
)
"""Customers of a unit whose mail perhaps goes to one of some addresses."""


async def families(
    connection: AsyncConnection, unit_id: str, forms: Iterable[CustomerForm]
) -> defaultdict[str, set[str]]:
    """The last names of a unit's children, by the mailbox of a guardian of one of some forms."""
    addresses = {guardian.email for form in forms for guardian in guardians_of(form).values()} - {""}
    asked = {mailbox(address) for address in addresses}
    found = defaultdict[str, set[str]](set)
    if not asked:
        return found
    of_unit = {"unit": unit_id, "addresses": sorted(addresses)}
    for statement in (_CUSTOMERS, _WAITING_IN_UNIT):
        for row in (await connection.execute(statement, of_unit)).mappings():
            for address in asked & _mailboxes(row["email"], row.get("other_email")):
                found[address].add((row["last_name"] or "").casefold())
    return found


async def same_guardian(connection: AsyncConnection, unit_id: str, address: str) -> Sequence[SameGuardian]:
    """Those of a unit to whose guardian mail goes at an address, by name."""
    asked, wanted = {"unit": unit_id, "addresses": [address]}, mailbox(address)
    others = [
        SameGuardian(customer_id=row["customer_id"], display_name=_display_name(row))
        for row in (await connection.execute(_CUSTOMERS, asked)).mappings()
        if _mailboxes(row["email"]) == _mailboxes(row["related_email"]) == {wanted}
    ]
    others += (
        SameGuardian(registration_id=row["registration_id"], display_name=_display_name(row))
        for row in (await connection.execute(_WAITING_IN_UNIT, asked)).mappings()
        if wanted in _mailboxes(row["email"])
    )
    return sorted(others, key=lambda other: other.display_name)[:_MOST_LISTED]


async def place_among_requests(
    connection: AsyncConnection, registration_id: str, address: str
) -> tuple[int, int]:
    """Which of the consent requests to a mailbox a registration's is, from 1, and how many they are.

    Siblings may be of two units. Zeros if it is none of them.
    """
    asked, wanted = {"addresses": [address]}, mailbox(address)
    waiting = [
        row["registration_id"]
        for row in (await connection.execute(_WAITING, asked)).mappings()
        if wanted in _mailboxes(row["email"], row["other_email"])
    ]
    return (waiting.index(registration_id) + 1, len(waiting)) if registration_id in waiting else (0, 0)


def _mailboxes(*addresses: str | None) -> set[str]:
    return {mailbox(address) for address in addresses if address}


def _display_name(row: RowMapping) -> str:
    return f"{row['first_names'] or ''} {row['last_name'] or ''}".strip()


def doubts(form: CustomerForm, known: Families, registrars_email: str) -> list[FieldViolation]:
    """What must be confirmed of the guardians' addresses of a form. `registrars_email` may be empty."""
    found = []
    for number, guardian in guardians_of(form).items():
        if not guardian.email:
            continue
        names = {*known.get(mailbox(guardian.email), ()), form.last_name.casefold()}
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
