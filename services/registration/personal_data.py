"""What the registration service keeps of a person, and why: for access requests."""

from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, String, cast, func, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.registration_service_pb2 import ConsentEvidence
from liity.v1.actor_pb2 import ActorKind
from liity.v1.auth_service_pb2 import Role
from liity.v1.customer_form_pb2 import CustomerKind, Language
from liity.v1.personal_data_pb2 import PersonalDataSection
from liity.v1.registration_pb2 import ConsentState, Stage
from services.registration.forms import in_words
from services.registration.models import consents, customers, disclosures, registrations, units, use_entries
from services.runtime.clock import HELSINKI
from services.runtime.personal_data import Kind, with_records

_ANOTHERS = "tells of a registrar, not of the person"
_NAMES_A_CALL = "names a call"

REGISTRATIONS = Kind(
    name="registrations",
    table=registrations,
    purpose="To register the person as a customer: what was filled in while it waits, and how it went on.",
    retention="The form until the customership begins or the registration ends. After the erasure it remains "
    "as a number: unit, kind, stage and day.",
    left_out={
        "request_id": _NAMES_A_CALL,
        "registrar_account_id": _ANOTHERS,
        "registrar_display_name": _ANOTHERS,
    },
    enums={"stage": Stage, "kind": CustomerKind, "consent_state": ConsentState},
)
CUSTOMERS = Kind(
    name="customer",
    table=customers,
    purpose="To lend books to the person, and to write to them.",
    retention="As long as the customership, and the time the law lets the library keep it after that.",
    left_out={},
    enums={"kind": CustomerKind, "language": Language},
)
CONSENTS = Kind(
    name="consents",
    table=consents,
    purpose="Evidence of who consented to the customership, how, when, and in which wording.",
    retention="As long as the customership.",
    left_out={"recorded_by": _ANOTHERS},
    enums={"method": ConsentEvidence.Method, "wording_language": Language},
)
DISCLOSURES = Kind(
    name="disclosures",
    table=disclosures,
    purpose="To answer the person's own requests for access.",
    retention="Until it expires, a few days after it was asked for.",
    left_out={"ciphertext": "a copy of all that stands here"},
)

USES = Kind(
    name="log_of_use",
    table=use_entries,
    purpose="To be able to tell who has looked at or changed the data, and to find misuse.",
    retention="As long as the log of use is kept. After the erasure its entries lead to nobody.",
    left_out={
        "use_id": "names an entry",
        "used_at": "told as the day, with how often on it",
        "account_id": _ANOTHERS,
        "subject_ids": "names others, too, where several were looked at together",
        "call_id": _NAMES_A_CALL,
        "trace_id": _NAMES_A_CALL,
    },
    enums={"actor_kind": ActorKind, "actor_role": Role},
)

KINDS = (REGISTRATIONS, CUSTOMERS, CONSENTS, DISCLOSURES, USES)

NOT_OF_PERSONS = {
    "units": "of libraries, schools and other organisations",
    "use_chain": "hashes, which prove the log of use",
    "limits": "counts by a hash of an account or a unit",
}
"""Tables that keep nothing of those who are registered, each with the reason."""


def _unit_name(unit_id: ColumnElement[str]) -> ColumnElement[str]:
    return select(units.c.display_name).where(units.c.unit_id == unit_id).scalar_subquery().label("unit")


async def export(connection: AsyncConnection, person_id: str) -> list[PersonalDataSection]:
    """All that is kept of a person: one section for each of `KINDS`."""
    of_customer = customers.c.person_id == person_id
    kept: tuple[tuple[Kind, Select[Any]], ...] = (
        (
            REGISTRATIONS,
            select(*REGISTRATIONS.columns, _unit_name(registrations.c.unit_id))
            .where(registrations.c.person_id == person_id)
            .order_by(registrations.c.created_at),
        ),
        (CUSTOMERS, select(*CUSTOMERS.columns, _unit_name(customers.c.unit_id)).where(of_customer)),
        (CONSENTS, select(*CONSENTS.columns).join(customers).where(of_customer)),
        (
            DISCLOSURES,
            select(*DISCLOSURES.columns)
            .where(disclosures.c.person_id == person_id)
            .order_by(disclosures.c.created_at),
        ),
    )
    uses = _uses([person_id, *await registration_ids(connection, person_id)])
    return with_records(
        [
            kind.section(_told(row) for row in (await connection.execute(rows)).mappings())
            for kind, rows in (*kept, (USES, uses))
        ]
    )


def _told(row: RowMapping) -> dict[Any, Any]:
    return {name: in_words(value) if isinstance(value, dict) else value for name, value in row.items()}


def _uses(subject_ids: list[str]) -> Select[Any]:
    """The log's entries about some subjects, those of a day that are alike together.

    Else a list that a registrar opens many times a day would fill pages.
    """
    day = func.to_char(func.timezone(HELSINKI.key, use_entries.c.used_at), "YYYY-MM-DD").label("day")
    return (
        select(day, *USES.columns, _unit_name(use_entries.c.for_unit_id), func.count().label("times"))
        .where(use_entries.c.subject_ids.overlap(cast(subject_ids, ARRAY(String))))
        .group_by(day, *USES.columns)
        .order_by(day, *USES.columns)
    )


async def registration_ids(connection: AsyncConnection, person_id: str) -> list[str]:
    """The IDs of a person's registrations."""
    of_person = select(registrations.c.registration_id).where(registrations.c.person_id == person_id)
    return list((await connection.scalars(of_person.order_by(registrations.c.registration_id))).all())
