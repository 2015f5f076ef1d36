"""The IDs of a person in the log of use: an entry names the registration, customer or person seen."""

from sqlalchemy import String, bindparam, select, union
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registration.db.models import customers, merges, registrations

_ASKED = bindparam("id", type_=String)

# A merged customer is the same person (R24).
_MERGED = merges.join(customers, customers.c.customer_id == merges.c.customer_id)

_PERSONS = union(
    select(_ASKED.label("person_id")),
    select(registrations.c.person_id).where(registrations.c.registration_id == _ASKED),
    select(customers.c.person_id).where(customers.c.customer_id == _ASKED),
    select(customers.c.person_id)
    .select_from(_MERGED)
    .where((merges.c.merged_customer_id == _ASKED) | (merges.c.merged_person_id == _ASKED)),
).subquery("persons")

_SUBJECTS = union(
    select(_PERSONS.c.person_id),
    select(registrations.c.registration_id).join(_PERSONS, _PERSONS.c.person_id == registrations.c.person_id),
    select(customers.c.customer_id).join(_PERSONS, _PERSONS.c.person_id == customers.c.person_id),
    *(
        select(column).select_from(_MERGED.join(_PERSONS, _PERSONS.c.person_id == customers.c.person_id))
        for column in (merges.c.merged_customer_id, merges.c.merged_person_id)
    ),
)


async def subjects_of(connection: AsyncConnection, subject_id: str) -> list[str]:
    """All IDs of a person, their registrations and their customership, given one of them.

    Only the given one once the person is erased: nothing links the IDs any more.
    """
    found = await connection.scalars(_SUBJECTS, {"id": subject_id})
    return sorted(subject for subject in found if subject)
