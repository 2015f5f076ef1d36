"""Exports the personal data of this service, with purposes, for access requests."""

from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, String, cast, func, literal, select
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.registration_service_pb2 import ConsentEvidence
from liity.v1.actor_pb2 import ActorKind
from liity.v1.auth_service_pb2 import Role
from liity.v1.class_list_service_pb2 import ClassListOutcome
from liity.v1.customer_form_pb2 import CustomerKind, Language
from liity.v1.customer_service_pb2 import CustomerState, EmailState, EndReason
from liity.v1.message_service_pb2 import MessageContext, MessageState
from liity.v1.personal_data_pb2 import PersonalDataSection
from liity.v1.registration_pb2 import ConsentState, GuardianAnswer, MissingCodeReason, Stage
from services.registration.audit.subjects import subjects_of
from services.registration.db.models import (
    class_list_members,
    class_list_rows,
    consents,
    customer_changes,
    customer_names,
    customers,
    disclosures,
    dismissed_duplicates,
    guardians,
    merges,
    messages,
    protected_persons,
    registrations,
    removals,
    transfers,
    units,
    use_entries,
)
from services.registration.forms.normalise import in_words
from services.runtime.clock import HELSINKI
from services.runtime.data.privacy import Kind, with_records

_ANOTHERS = "tells of a registrar, not of the person"
_NAMES_A_CALL = "names a call"

REGISTRATIONS = Kind(
    name="registrations",
    table=registrations,
    purpose="To register the person as a customer: what was filled in while it waits, and how it went on.",
    retention="The form until the customership begins or the registration ends; why customer service has "
    "declined, for 90 days. After the erasure it remains as a number: unit, kind, stage and day.",
    left_out={
        "request_id": _NAMES_A_CALL,
        "registrar_account_id": _ANOTHERS,
        "registrar_display_name": _ANOTHERS,
        "told_account_id": _ANOTHERS,
        "decision_request_id": _NAMES_A_CALL,
    },
    enums={
        "stage": Stage,
        "kind": CustomerKind,
        "consent_state": ConsentState,
        "missing_code_reason": MissingCodeReason,
    },
)
TRANSFERS = Kind(
    name="transfers",
    table=transfers,
    purpose="To answer a repeated transfer as the first one, and to tell the unit before.",
    retention="As long as the registration leads to the person.",
    left_out={"request_id": _NAMES_A_CALL, "previous_registrar_account_id": _ANOTHERS},
)
CUSTOMERS = Kind(
    name="customer",
    table=customers,
    purpose="To lend books to the person, and to write to them.",
    retention="As long as the customership, and the time the law lets the library keep it after that.",
    left_out={"version": "counts the changes", "sort_key": "made of the name, to put lists in order"},
    enums={
        "kind": CustomerKind,
        "language": Language,
        "state": CustomerState,
        "email_state": EmailState,
    },
)
PROTECTED = Kind(
    name="protected_person",
    table=protected_persons,
    purpose="To keep the address, telephone numbers and free text of a protected person from everybody but "
    "customer service.",
    retention="As long as the person is protected, at most as long as the person's other data.",
    left_out={},
)
NAMES = Kind(
    name="search_keys",
    table=customer_names,
    purpose="To find the customer by name within the unit.",
    retention="As long as the customership, and the time the law lets the library keep it after that.",
    left_out={},
)
CHANGES = Kind(
    name="changes",
    table=customer_changes,
    purpose="To tell two who edit the data at the same moment what the other has changed.",
    retention="As long as the customership, and the time the law lets the library keep it after that.",
    left_out={"request_id": _NAMES_A_CALL},
)
REMOVALS = Kind(
    name="removals",
    table=removals,
    purpose="To tell when and why the customership ended, and whether that was undone.",
    retention="As long as the customership, and the time the law lets the library keep it after that.",
    left_out={"request_id": _NAMES_A_CALL, "undo_request_id": _NAMES_A_CALL},
    enums={"ended_by": ActorKind, "reason": EndReason, "interrupted_stage": Stage},
)
CONSENTS = Kind(
    name="consents",
    table=consents,
    purpose="Evidence of who consented to the customership, how, when, and in which wording.",
    retention="As long as the customership.",
    left_out={"recorded_by": _ANOTHERS},
    enums={"method": ConsentEvidence.Method, "wording_language": Language},
)
GUARDIANS = Kind(
    name="guardians",
    table=guardians,
    purpose="To ask two guardians for consent, and to know what each has answered.",
    retention="As long as the customership; without one until the registration ends.",
    left_out={},
    enums={"answer": GuardianAnswer},
)
MESSAGES = Kind(
    name="messages",
    table=messages,
    purpose="To ask customer service about the person, and to answer.",
    retention="A year after the message is answered, at most as long as the person's other data.",
    left_out={
        "request_id": _NAMES_A_CALL,
        "close_request_id": _NAMES_A_CALL,
        "sender_account_id": _ANOTHERS,
        "sender_display_name": _ANOTHERS,
    },
    enums={"context": MessageContext, "state": MessageState},
)

DUPLICATES = Kind(
    name="dismissed_duplicates",
    table=dismissed_duplicates,
    purpose="To remember that a customer of the same name and birth date is another person.",
    retention="As long as both are kept.",
    left_out={
        "other_customer_id": "names another customer",
        "customer_id": "may name another customer",
        "account_id": _ANOTHERS,
    },
)

MERGES = Kind(
    name="merged_customers",
    table=merges,
    purpose="To tell what was known of the person as another customer, when the two were found to be one.",
    retention="As long as the customership, and the time the law lets the library keep it after that.",
    left_out={
        "request_id": _NAMES_A_CALL,
        "merged_by_account_id": _ANOTHERS,
        "merged_by_display_name": _ANOTHERS,
    },
)
DISCLOSURES = Kind(
    name="disclosures",
    table=disclosures,
    purpose="To answer the person's own requests for access.",
    retention="Until it expires, a few days after it was asked for.",
    left_out={"ciphertext": "a copy of all that stands here"},
)

CLASS_LIST_ROWS = Kind(
    name="class_list_rows",
    table=class_list_rows,
    purpose="To register the person together with others of a list, and to tell what became of it.",
    retention="The form until the person is registered. The row until 90 days after the list came.",
    left_out={"wrong_fields": "empty: of a row that was refused nothing leads to a person"},
    enums={"outcome": ClassListOutcome, "missing_code_reason": MissingCodeReason},
)

CLASS_LIST_MEMBERS = Kind(
    name="class_list_members",
    table=class_list_members,
    purpose="To tell the unit, when its next list comes, who stood in the one before.",
    retention="15 months from the day the list came.",
    left_out={},
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

KINDS = (
    REGISTRATIONS,
    TRANSFERS,
    CUSTOMERS,
    PROTECTED,
    NAMES,
    CHANGES,
    REMOVALS,
    CONSENTS,
    GUARDIANS,
    MESSAGES,
    DUPLICATES,
    MERGES,
    DISCLOSURES,
    CLASS_LIST_ROWS,
    CLASS_LIST_MEMBERS,
    USES,
)

NOT_OF_PERSONS = {
    "units": "of libraries, schools and other organisations",
    "class_lists": "tells when a list came and who uploaded it; its rows are told",
    "feedback": "from anybody, without an account; and leads to no person of the register",
    "work_claims": "names what an officer of customer service works on, for a few hours",
    "namesakes": "IDs of customers among whom one who was registered twice is looked for",
    "similar_codes": "IDs of persons whose personal identity codes differ by the century sign alone",
    "undone_merges": "IDs of the calls that merged two customers and that undid it",
    "use_chain": "hashes, which prove the log of use",
    "use_waiting": "entries of the log of use, by their IDs alone, which have no hash yet",
    "use_turn": "tells who writes the hashes",
    "limits": "counts by a hash of an account or a unit",
}
"""Tables without personal data of customers, each with the reason."""


def _unit_name(unit_id: ColumnElement[str]) -> ColumnElement[str]:
    return select(units.c.display_name).where(units.c.unit_id == unit_id).scalar_subquery().label("unit")


async def export(connection: AsyncConnection, person_id: str) -> list[PersonalDataSection]:
    """All data of a person: one section for each of `KINDS`."""
    of_customer = customers.c.person_id == person_id
    kept: tuple[tuple[Kind, Select[Any]], ...] = (
        (
            REGISTRATIONS,
            select(*REGISTRATIONS.columns, _unit_name(registrations.c.unit_id))
            .where(registrations.c.person_id == person_id)
            .order_by(registrations.c.created_at),
        ),
        (
            TRANSFERS,
            select(*TRANSFERS.columns, _unit_name(transfers.c.unit_id))
            .join(registrations)
            .where(registrations.c.person_id == person_id)
            .order_by(transfers.c.moved_at),
        ),
        (CUSTOMERS, select(*CUSTOMERS.columns, _unit_name(customers.c.unit_id)).where(of_customer)),
        (
            PROTECTED,
            select(*PROTECTED.columns)
            .where(
                protected_persons.c.person_id.in_(
                    select(literal(person_id)).union_all(
                        select(merges.c.merged_person_id).join(customers).where(of_customer)
                    )
                )
            )
            .order_by(protected_persons.c.marked_at),
        ),
        (
            NAMES,
            select(*NAMES.columns).join(customers).where(of_customer).order_by(customer_names.c.key),
        ),
        (
            CHANGES,
            select(*CHANGES.columns).join(customers).where(of_customer).order_by(customer_changes.c.version),
        ),
        (
            REMOVALS,
            select(*REMOVALS.columns).join(customers).where(of_customer).order_by(removals.c.ended_at),
        ),
        (CONSENTS, select(*CONSENTS.columns).join(customers).where(of_customer)),
        (
            GUARDIANS,
            select(*GUARDIANS.columns)
            .join(registrations)
            .where(registrations.c.person_id == person_id)
            .order_by(guardians.c.registration_id, guardians.c.guardian),
        ),
        (
            MESSAGES,
            select(*MESSAGES.columns)
            .join(registrations)
            .where(registrations.c.person_id == person_id)
            .order_by(messages.c.created_at),
        ),
        (
            DUPLICATES,
            select(*DUPLICATES.columns)
            .join(
                customers,
                customers.c.customer_id.in_(
                    (dismissed_duplicates.c.customer_id, dismissed_duplicates.c.other_customer_id)
                ),
            )
            .where(of_customer)
            .order_by(dismissed_duplicates.c.dismissed_at),
        ),
        (
            MERGES,
            select(*MERGES.columns, _unit_name(merges.c.merged_unit_id))
            .join(customers)
            .where(of_customer)
            .order_by(merges.c.merged_at),
        ),
        (
            DISCLOSURES,
            select(*DISCLOSURES.columns)
            .where(disclosures.c.person_id == person_id)
            .order_by(disclosures.c.created_at),
        ),
        (
            CLASS_LIST_ROWS,
            select(*CLASS_LIST_ROWS.columns)
            .where(class_list_rows.c.person_id == person_id)
            .order_by(class_list_rows.c.class_list_id, class_list_rows.c.row_number),
        ),
        (
            CLASS_LIST_MEMBERS,
            select(*CLASS_LIST_MEMBERS.columns)
            .where(class_list_members.c.person_id == person_id)
            .order_by(class_list_members.c.listed_at, class_list_members.c.class_list_id),
        ),
    )
    uses = _uses(await subjects_of(connection, person_id))
    return with_records(
        [
            kind.section(_told(row) for row in (await connection.execute(rows)).mappings())
            for kind, rows in (*kept, (USES, uses))
        ]
    )


def _told(row: RowMapping) -> dict[Any, Any]:
    return {name: in_words(value) if isinstance(value, dict) else value for name, value in row.items()}


def _uses(subject_ids: list[str]) -> Select[Any]:
    """The log's entries about some subjects; equal entries of a day are grouped.

    Without this, a list that a registrar opens many times a day would fill pages.
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
