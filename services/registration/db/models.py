"""The tables of the registration service."""

import uuid
from datetime import date, datetime
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    UniqueConstraint,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.runtime.data.database import NAMING
from services.runtime.data.rate_limits import limits_table

Json = dict[str, Any]


class Base(DeclarativeBase):
    """Base of the tables. Numbers of enums are those of the contract."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's way
        datetime: DateTime(timezone=True),
        int: SmallInteger(),
        Json: JSONB(none_as_null=True),
    }


_MAILBOX_OF = "replace(lower(split_part(split_part((form -> '{}') ->> 'email', '@', 1), '+', 1)), '.', '')"
_BY_NAME = ("unit_id", "sort_key", "customer_id")


class Unit(Base):
    """A unit."""

    __tablename__ = "units"
    __table_args__ = (
        # For reconciliation: the units that have a successor.
        Index("ix_units_successor", "unit_id", postgresql_where=text("successor_unit_id IS NOT NULL")),
    )

    unit_id: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    display_name: Mapped[str]
    kind: Mapped[int]
    created_at: Mapped[datetime]
    version: Mapped[int] = mapped_column(BigInteger, server_default=text("1"))
    """Incremented by every change."""
    changed_by_request: Mapped[uuid.UUID | None]
    """The last call that changed the unit: repeated, it changes nothing."""
    closed_at: Mapped[datetime | None]
    successor_unit_id: Mapped[str | None] = mapped_column(ForeignKey("units.unit_id"))
    """Where all that the closed unit has moves (R41); NULL if it stays."""
    moved_persons: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """How many persons have moved there."""
    move_ended_at: Mapped[datetime | None]
    """When all had moved."""


class Customer(Base):
    """A customer. `profile` is the current form; other columns are derived from it."""

    __tablename__ = "customers"
    __table_args__ = (
        UniqueConstraint("customer_id", "unit_id"),
        # For possible duplicates: same name and birth date.
        Index("ix_customers_birth_date_sort_key", "birth_date", "sort_key", "state", "customer_id"),
        # The previous release looks here for everybody whose mail goes to an address that takes none.
        Index("ix_customers_email", "email", postgresql_where=text("email <> ''")),
        # For an address that takes no mail, or that somebody orders a new password with, in any case.
        Index("ix_customers_folded_email", text("lower(email)"), postgresql_where=text("email <> ''")),
        # For others with the same guardian, however the address is written.
        Index(
            "ix_customers_mailbox",
            text("replace(lower(split_part(split_part(email, '@', 1), '+', 1)), '.', '')"),
            postgresql_where=text("email <> ''"),
        ),
        Index("ix_customers_undeliverable", "customer_id", postgresql_where=text("email_state = 3")),
        # The previous release's, of the next one.
        Index(
            "ix_customers_related_email",
            text("((profile -> 'related_person') ->> 'email')"),
            postgresql_where=text("((profile -> 'related_person') ->> 'email') <> email"),
        ),
        # For guardians and contact persons whose address takes no mail, where the customer has another.
        Index(
            "ix_customers_folded_related_email",
            text("lower((profile -> 'related_person') ->> 'email')"),
            postgresql_where=text("((profile -> 'related_person') ->> 'email') <> email"),
        ),
        Index(
            "ix_customers_related_undeliverable",
            "customer_id",
            postgresql_where=text("related_undeliverable_since IS NOT NULL"),
        ),
        # For reconciliation with the workflows: customers marked for deletion, or with a temporary need.
        Index("ix_customers_marked", "customer_id", postgresql_where=text("state = 2")),
        Index(
            "ix_customers_temporary",
            "customer_id",
            postgresql_where=text("state = 1 AND profile ->> 'temporary' = 'true'"),
        ),
        # For lists of a unit's customers by name: all, those whose address does not work, temporary ones.
        Index("ix_customers_unit", *_BY_NAME, postgresql_where=text("state = 1")),
        Index("ix_customers_unit_undeliverable", *_BY_NAME, postgresql_where=text("email_state = 3")),
        Index(
            "ix_customers_unit_temporary",
            *_BY_NAME,
            postgresql_where=text("state = 1 AND profile ->> 'temporary' = 'true'"),
        ),
    )

    customer_id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(unique=True)
    unit_id: Mapped[str] = mapped_column(ForeignKey("units.unit_id"))
    first_names: Mapped[str]
    last_name: Mapped[str]
    kind: Mapped[int]
    email: Mapped[str]
    """The address for mail to the customer: their own, else the guardian's or contact person's."""
    language: Mapped[int]
    profile: Mapped[Json]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    state: Mapped[int]
    version: Mapped[int] = mapped_column(BigInteger)
    """Incremented by every change."""
    email_state: Mapped[int]
    birth_date: Mapped[date | None]
    sort_key: Mapped[str] = mapped_column(String(collation="C"))
    ended_at: Mapped[datetime | None]
    lent: Mapped[bool]
    """Whether the customer has ever borrowed a disc or a file (R20)."""
    undeliverable_since: Mapped[datetime | None]
    """When a mail server first refused the address; valid only while `email_state` is undeliverable."""
    related_undeliverable_since: Mapped[datetime | None]
    """Since when a mail server refuses the related person's address, if it is not the customer's for mail."""


class Namesake(Base):
    """A customer who has, or had, a namesake of the same birth date. A trigger of `customers` writes it."""

    __tablename__ = "namesakes"

    customer_id: Mapped[str] = mapped_column(
        ForeignKey("customers.customer_id", ondelete="CASCADE"), primary_key=True
    )


class ProtectedPerson(Base):
    """A protected person (R37). What is withheld stands here alone, in neither customer nor form."""

    __tablename__ = "protected_persons"

    person_id: Mapped[str] = mapped_column(primary_key=True)
    withheld: Mapped[Json]
    """A form with the withheld fields alone."""
    marked_at: Mapped[datetime]


class CustomerName(Base):
    """A search key of a customer (R15)."""

    __tablename__ = "customer_names"
    __table_args__ = (
        # The names follow a transferred customer (R16).
        ForeignKeyConstraint(
            ["customer_id", "unit_id"],
            ["customers.customer_id", "customers.unit_id"],
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
        Index(None, "customer_id"),
        # For a search of all units.
        Index("ix_customer_names_key", "key"),
    )

    unit_id: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    customer_id: Mapped[str] = mapped_column(primary_key=True)


class CustomerChange(Base):
    """The fields that a change touched: simultaneous editors are told them (R14)."""

    __tablename__ = "customer_changes"

    customer_id: Mapped[str] = mapped_column(
        ForeignKey("customers.customer_id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    request_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    paths: Mapped[list[str]] = mapped_column(ARRAY(String))
    changed_at: Mapped[datetime]
    previous_email: Mapped[str | None]
    """The address for mail that the change replaced; NULL if it replaced none."""
    previous_related_email: Mapped[str | None]
    """The guardian's or contact person's address that it replaced, if mail did not go there."""


class Registration(Base):
    """A registration.

    `form` is kept only while it waits: then it becomes the customer's profile, or is erased (R30). Once every
    service has erased the person, `person_id` is cleared.
    """

    __tablename__ = "registrations"
    __table_args__ = (
        # One running registration per person in all units (R18): stages RECEIVED to CREDENTIALS_SENT, and
        # those that wait for customer service.
        Index(
            "uq_registrations_running_person",
            "person_id",
            unique=True,
            postgresql_where=text("stage IN (1, 2, 3, 4, 9, 10) AND NOT over"),
        ),
        Index("ix_registrations_person_id", "person_id", postgresql_where=text("person_id IS NOT NULL")),
        Index("ix_registrations_unit", "unit_id", "created_at", "registration_id"),
        Index("ix_registrations_unit_stage", "unit_id", "stage", "created_at", "registration_id"),
        Index("ix_registrations_customer_id", "customer_id"),
        # Registrations waiting for customer service: WAITING_FOR_REACTIVATION and WAITING_FOR_IDENTITY_CHECK.
        Index(
            "ix_registrations_work",
            "created_at",
            "registration_id",
            postgresql_where=text("stage IN (9, 10)"),
        ),
        # Notes to be erased when their time is over.
        Index(
            "ix_registrations_rejection_note",
            "updated_at",
            postgresql_where=text("rejection_note IS NOT NULL"),
        ),
        # Registrations whose guardian's address does not work: stage WAITING_FOR_CONSENT.
        Index(
            "ix_registrations_undeliverable",
            "registration_id",
            postgresql_where=text("stage = 2 AND undeliverable_since IS NOT NULL"),
        ),
        # For lists of a unit's registrations: of a registrar, by deadline, with a failed address.
        Index(
            "ix_registrations_unit_registrar",
            "unit_id",
            "registrar_account_id",
            "stage",
            "created_at",
            "registration_id",
        ),
        Index(
            "ix_registrations_unit_deadline",
            "unit_id",
            "deadline",
            "registration_id",
            postgresql_where=text("deadline IS NOT NULL"),
        ),
        Index(
            "ix_registrations_unit_undeliverable",
            "unit_id",
            "created_at",
            "registration_id",
            postgresql_where=text("stage = 2 AND undeliverable_since IS NOT NULL"),
        ),
        # For lists of customers without a welcome: ACTIVE and CREDENTIALS_SENT of online customers.
        Index(
            "ix_registrations_not_welcomed",
            "unit_id",
            "customer_id",
            postgresql_where=text("stage IN (3, 4) AND kind = 1 AND NOT over"),
        ),
        # For reconciliation with the workflows: waiting stages, ACTIVE of online customers, CREDENTIALS_SENT.
        Index(
            "ix_registrations_unfinished",
            "registration_id",
            postgresql_where=text("stage IN (2, 3, 4, 9, 10) AND NOT over AND (stage <> 3 OR kind = 1)"),
        ),
        # For the consent requests to one mailbox: those of siblings are numbered.
        Index(
            "ix_registrations_guardians_mailbox",
            text(_MAILBOX_OF.format("related_person")),
            postgresql_where=text("stage = 2"),
        ),
        Index(
            "ix_registrations_other_guardians_mailbox",
            text(_MAILBOX_OF.format("other_guardian")),
            postgresql_where=text("stage = 2"),
        ),
        # CD borrowers, whose run only sends one mail: stage ACTIVE.
        Index(
            "ix_registrations_cd_borrowers",
            "updated_at",
            postgresql_where=text("stage = 3 AND NOT over AND kind = 2"),
        ),
        # For possible duplicates: same birth date, in a waiting stage.
        Index(
            "ix_registrations_waiting_birth_date",
            "birth_date",
            postgresql_where=text("stage IN (2, 9, 10)"),
        ),
    )

    registration_id: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    person_id: Mapped[str | None]
    unit_id: Mapped[str] = mapped_column(ForeignKey("units.unit_id"))
    registrar_account_id: Mapped[str]
    registrar_display_name: Mapped[str]
    told_account_id: Mapped[str | None]
    """Who is told what becomes of it since a transfer, empty for those responsible for the unit. NULL: the
    registrar who saved it, which never changes (R3)."""
    stage: Mapped[int]
    kind: Mapped[int]
    consent_state: Mapped[int]
    form: Mapped[Json | None]
    birth_date: Mapped[date | None]
    deadline: Mapped[datetime | None]
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.customer_id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    over: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """The customership it began has ended, and the person was saved anew."""
    missing_code_reason: Mapped[int | None]
    """Why there is no personal identity code, until customer service has decided (R24)."""
    rejection_note: Mapped[str | None]
    """Why customer service rejected the registration; erased after a while."""
    decision_request_id: Mapped[uuid.UUID | None]
    """The call by which customer service decided."""
    undeliverable_since: Mapped[datetime | None]
    """When a mail server first refused the guardian's address, or a wrong recipient was reported; valid only
    while consent is awaited."""
    wrong_recipient_since: Mapped[datetime | None]
    """When somebody else reported to get the guardian's mail; valid only while consent is awaited."""
    declined_at: Mapped[datetime | None]
    """When the guardian declined, until that is taken back or ends the registration (R38)."""
    decline_ends_at: Mapped[datetime | None]
    """When the registration ends for it."""
    both_guardians_needed: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """If two guardians are asked, the consent of both is needed (R39)."""


class Guardian(Base):
    """One of two guardians who are asked for consent (R39): answer and address. A single guardian has no row.

    Deleted when the registration ends; kept with the customership.
    """

    __tablename__ = "guardians"
    __table_args__ = (
        # Dissents for the work list: who declines while another's consent stands.
        Index(
            "ix_guardians_dissents",
            "answered_at",
            postgresql_where=text("answer = 2 AND acknowledged_at IS NULL"),
        ),
    )

    registration_id: Mapped[str] = mapped_column(
        ForeignKey("registrations.registration_id", ondelete="CASCADE"), primary_key=True
    )
    guardian: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    """1: the form's `related_person`; 2: its `other_guardian`."""
    undeliverable_since: Mapped[datetime | None]
    wrong_recipient_since: Mapped[datetime | None]
    answer: Mapped[int | None] = mapped_column(SmallInteger)
    answered_at: Mapped[datetime | None]
    link_email: Mapped[str | None]
    """The address that the link of the answer went to; NULL if it did not come by link."""
    evidence: Mapped[Json | None]
    """Who consented, how, when and in which wording (R31), as the contract's `ConsentEvidence`."""
    withdrawn_at: Mapped[datetime | None]
    """When this guardian withdrew the consent (R38)."""
    acknowledged_at: Mapped[datetime | None]
    """When customer service took note that this guardian does not agree."""


class Transfer(Base):
    """A transfer to another unit (R16); the registration leads to the person."""

    __tablename__ = "transfers"

    request_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    registration_id: Mapped[str] = mapped_column(
        ForeignKey("registrations.registration_id", ondelete="CASCADE"), index=True
    )
    unit_id: Mapped[str] = mapped_column(ForeignKey("units.unit_id"))
    previous_unit_id: Mapped[str] = mapped_column(ForeignKey("units.unit_id"))
    previous_registrar_account_id: Mapped[str]
    moved_at: Mapped[datetime]


class Removal(Base):
    """An ended customership, and whether the removal was undone (R19)."""

    __tablename__ = "removals"

    request_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(
        ForeignKey("customers.customer_id", ondelete="CASCADE"), index=True
    )
    ended_at: Mapped[datetime]
    ended_by: Mapped[int]
    reason: Mapped[int]
    undo_request_id: Mapped[uuid.UUID | None] = mapped_column(unique=True)
    undone_at: Mapped[datetime | None]
    interrupted_registration_id: Mapped[str | None] = mapped_column(
        ForeignKey("registrations.registration_id")
    )
    """The registration that was still running; NULL if none was."""
    interrupted_stage: Mapped[int | None]
    interrupted_deadline: Mapped[datetime | None]


class Consent(Base):
    """The evidence of a consent: who, how, when, in which wording. Kept as long as the customer (R31)."""

    __tablename__ = "consents"

    registration_id: Mapped[str] = mapped_column(
        ForeignKey("registrations.registration_id"), primary_key=True
    )
    customer_id: Mapped[str] = mapped_column(
        ForeignKey("customers.customer_id", ondelete="CASCADE"), index=True
    )
    method: Mapped[int]
    guardian_name: Mapped[str]
    sign_date: Mapped[date]
    wording_version: Mapped[str]
    wording_language: Mapped[int]
    recorded_by: Mapped[str]
    recorded_at: Mapped[datetime]
    link_email: Mapped[str | None]
    """The address that the link went to; NULL if the consent did not come by link."""
    withdrawn_at: Mapped[datetime | None]
    """When the guardian withdrew it by the link (R38): the customership ended at that moment."""


class WorkClaim(Base):
    """An officer's claim of a work item; `item_id` is its kind and row IDs."""

    __tablename__ = "work_claims"

    item_id: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[uuid.UUID]
    account_id: Mapped[str]
    display_name: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class DismissedDuplicate(Base):
    """Two customers of one name and birth date who are two persons; `customer_id` is the lesser ID."""

    __tablename__ = "dismissed_duplicates"

    customer_id: Mapped[str] = mapped_column(
        ForeignKey("customers.customer_id", ondelete="CASCADE"), primary_key=True
    )
    other_customer_id: Mapped[str] = mapped_column(
        ForeignKey("customers.customer_id", ondelete="CASCADE"), primary_key=True, index=True
    )
    account_id: Mapped[str]
    dismissed_at: Mapped[datetime]


class SimilarCodes(Base):
    """Two persons whose codes differ by the century sign alone; `person_id` is the lesser ID."""

    __tablename__ = "similar_codes"

    person_id: Mapped[str] = mapped_column(primary_key=True)
    other_person_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    recorded_at: Mapped[datetime]


class Message(Base):
    """A message to customer service (R12), and its answer."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_unit", "unit_id", "created_at", "message_id"),
        Index("ix_messages_open", "created_at", "message_id", postgresql_where=text("state = 1")),
        Index("ix_messages_registration_id", "registration_id"),
        Index("ix_messages_closed_at", "closed_at"),
    )

    message_id: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    reference: Mapped[str] = mapped_column(unique=True)
    unit_id: Mapped[str] = mapped_column(ForeignKey("units.unit_id"))
    sender_account_id: Mapped[str]
    sender_display_name: Mapped[str]
    registration_id: Mapped[str | None] = mapped_column(
        ForeignKey("registrations.registration_id", ondelete="CASCADE")
    )
    """The registration it is about; NULL if it is about none."""
    context: Mapped[int]
    state: Mapped[int]
    text: Mapped[str]
    answer: Mapped[str | None]
    close_request_id: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime]
    deadline: Mapped[datetime]
    closed_at: Mapped[datetime | None]


class Feedback(Base):
    """Feedback on accessibility from anybody, and its answer."""

    __tablename__ = "feedback"
    __table_args__ = (
        Index("ix_feedback_open", "created_at", "feedback_id", postgresql_where=text("answered_at IS NULL")),
        # By this the sweep finds what is to be erased.
        Index("ix_feedback_ended", text("coalesce(answered_at, deadline)")),
    )

    feedback_id: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    language: Mapped[int]
    sender_name: Mapped[str]
    sender_email: Mapped[str]
    text: Mapped[str]
    answer: Mapped[str | None]
    answer_request_id: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime]
    deadline: Mapped[datetime]
    answered_at: Mapped[datetime | None]


class Merge(Base):
    """A customer merged into another one, with the data it had then (R24)."""

    __tablename__ = "merges"
    __table_args__ = (
        # Merges that become final: what undoes them is erased.
        Index("ix_merges_undo_until", "undo_until", postgresql_where=text("undo IS NOT NULL")),
    )

    request_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(
        ForeignKey("customers.customer_id", ondelete="CASCADE"), index=True
    )
    """The customer who remained."""
    merged_customer_id: Mapped[str] = mapped_column(unique=True)
    merged_person_id: Mapped[str] = mapped_column(unique=True)
    merged_unit_id: Mapped[str] = mapped_column(ForeignKey("units.unit_id"))
    merged_profile: Mapped[Json]
    registration_id: Mapped[str] = mapped_column(ForeignKey("registrations.registration_id"))
    """The merged customer's latest registration, now the remaining customer's."""
    merged_by_account_id: Mapped[str]
    merged_by_display_name: Mapped[str]
    merged_at: Mapped[datetime]
    undo: Mapped[Json | None]
    """What undoes the merge (R43); NULL once it is final."""
    undo_until: Mapped[datetime | None]


class UndoneMerge(Base):
    """A merge that was taken back, kept to recognise repeated calls."""

    __tablename__ = "undone_merges"

    request_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    merge_request_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    customer_id: Mapped[str] = mapped_column(
        ForeignKey("customers.customer_id", ondelete="CASCADE"), index=True
    )
    merged_customer_id: Mapped[str]
    undone_at: Mapped[datetime]


class Disclosure(Base):
    """An export for an access request, encrypted by the worker that gathered it; NULL until then."""

    __tablename__ = "disclosures"

    disclosure_id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(index=True)
    ciphertext: Mapped[bytes | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    failed: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    """It could not be gathered: a service has refused for good."""


class ClassList(Base):
    """A class list: many customers registered together."""

    __tablename__ = "class_lists"
    __table_args__ = (
        Index("ix_class_lists_unit", "unit_id", "created_at", "class_list_id"),
        Index("ix_class_lists_running", "created_at", postgresql_where=text("ended_at IS NULL")),
        # Lists being registered: states RECEIVED and RUNNING.
        Index("ix_class_lists_unfinished", "class_list_id", postgresql_where=text("state IN (1, 2)")),
    )

    class_list_id: Mapped[str] = mapped_column(primary_key=True)
    unit_id: Mapped[str] = mapped_column(ForeignKey("units.unit_id"))
    registrar_account_id: Mapped[str]
    registrar_display_name: Mapped[str]
    state: Mapped[int]
    created_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ClassListRow(Base):
    """A row of a class list. Its form is kept until the row is decided, then only in the registration."""

    __tablename__ = "class_list_rows"
    __table_args__ = (
        Index("ix_class_list_rows_person_id", "person_id", postgresql_where=text("person_id IS NOT NULL")),
    )

    class_list_id: Mapped[str] = mapped_column(
        ForeignKey("class_lists.class_list_id", ondelete="CASCADE"), primary_key=True
    )
    row_number: Mapped[int] = mapped_column(Integer, primary_key=True)
    """The number that a spreadsheet shows."""
    person_id: Mapped[str | None]
    birth_date: Mapped[date | None]
    form: Mapped[Json | None]
    outcome: Mapped[int]
    """REMAINING, REGISTERED, REFUSED or CANCELLED; the registration has the rest."""
    wrong_fields: Mapped[list[list[Any]]] = mapped_column(JSONB)
    """Why the row was refused: pairs of a field, empty for the whole row, and a reason's number."""
    missing_code_reason: Mapped[int | None]
    """Why the person has no personal identity code (R24)."""
    registration_id: Mapped[str | None] = mapped_column(
        ForeignKey("registrations.registration_id", ondelete="SET NULL"), index=True
    )


class ClassListMember(Base):
    """A person in a class list of a unit: the next list tells who is gone (R41). Outlives the list."""

    __tablename__ = "class_list_members"
    __table_args__ = (
        Index("ix_class_list_members_unit_id", "unit_id", "listed_at"),
        Index("ix_class_list_members_person_id", "person_id"),
    )

    class_list_id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(primary_key=True)
    unit_id: Mapped[str] = mapped_column(ForeignKey("units.unit_id"))
    listed_at: Mapped[datetime] = mapped_column(index=True)


class UseEntry(Base):
    """An entry of the log of use (R36). The database refuses changes to it."""

    __tablename__ = "use_entries"
    __table_args__ = (
        Index("ix_use_entries_subject_ids", "subject_ids", postgresql_using="gin"),
        Index("ix_use_entries_account_id", "account_id", "used_at"),
        Index("ix_use_entries_used_at", "used_at"),
    )

    use_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    used_at: Mapped[datetime]
    actor_kind: Mapped[int]
    account_id: Mapped[str]
    actor_role: Mapped[int]
    for_unit_id: Mapped[str]
    action: Mapped[str]
    subject_ids: Mapped[list[str]] = mapped_column(ARRAY(String))
    outcome: Mapped[str]
    call_id: Mapped[str]
    """The `request_id` of the call, if it had one."""
    trace_id: Mapped[str]


class UseLink(Base):
    """An entry's place in the chain, and the hash over it and all before it. The database writes it."""

    __tablename__ = "use_chain"

    sequence: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    use_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    hash: Mapped[bytes]


class UseWaiting(Base):
    """An entry not yet in the chain: another transaction was writing the chain when it was committed."""

    __tablename__ = "use_waiting"

    use_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)


class UseTurn(Base):
    """A single row whose lock gives the right to write the chain. The database takes the lock."""

    __tablename__ = "use_turn"
    __table_args__ = (CheckConstraint("turn", name="one"),)

    turn: Mapped[bool] = mapped_column(primary_key=True, server_default=true())


units = cast(Table, Unit.__table__)
customers = cast(Table, Customer.__table__)
registrations = cast(Table, Registration.__table__)
customer_names = cast(Table, CustomerName.__table__)
protected_persons = cast(Table, ProtectedPerson.__table__)
customer_changes = cast(Table, CustomerChange.__table__)
transfers = cast(Table, Transfer.__table__)
removals = cast(Table, Removal.__table__)
work_claims = cast(Table, WorkClaim.__table__)
dismissed_duplicates = cast(Table, DismissedDuplicate.__table__)
similar_codes = cast(Table, SimilarCodes.__table__)
messages = cast(Table, Message.__table__)
feedback = cast(Table, Feedback.__table__)
consents = cast(Table, Consent.__table__)
guardians = cast(Table, Guardian.__table__)
merges = cast(Table, Merge.__table__)
undone_merges = cast(Table, UndoneMerge.__table__)
disclosures = cast(Table, Disclosure.__table__)
class_lists = cast(Table, ClassList.__table__)
class_list_rows = cast(Table, ClassListRow.__table__)
class_list_members = cast(Table, ClassListMember.__table__)
namesakes = cast(Table, Namesake.__table__)
use_entries = cast(Table, UseEntry.__table__)
use_chain = cast(Table, UseLink.__table__)
use_waiting = cast(Table, UseWaiting.__table__)
limits = limits_table(Base.metadata)
