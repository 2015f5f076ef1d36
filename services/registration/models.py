"""The tables of the registration service."""

import uuid
from datetime import date, datetime
from typing import Any, cast

from sqlalchemy import BigInteger, DateTime, ForeignKey, Index, MetaData, SmallInteger, String, Table, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.runtime.database import NAMING
from services.runtime.limits import limits_table

Json = dict[str, Any]


class Base(DeclarativeBase):
    """What the tables share. Numbers of enums are those of the contract."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's way
        datetime: DateTime(timezone=True),
        int: SmallInteger(),
        Json: JSONB(none_as_null=True),
    }


class Unit(Base):
    """A unit."""

    __tablename__ = "units"

    unit_id: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    display_name: Mapped[str]
    kind: Mapped[int]
    created_at: Mapped[datetime]


class Customer(Base):
    """A customer. `profile` is their form as it now stands; the columns beside it are drawn from it."""

    __tablename__ = "customers"

    customer_id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(unique=True)
    unit_id: Mapped[str] = mapped_column(ForeignKey("units.unit_id"))
    first_names: Mapped[str]
    last_name: Mapped[str]
    kind: Mapped[int]
    email: Mapped[str]
    language: Mapped[int]
    profile: Mapped[Json]
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class Registration(Base):
    """A registration.

    `form` is held only while it waits: then it becomes the customer's profile, or is erased (R30). Once the
    person is erased everywhere, `person_id` goes as well.
    """

    __tablename__ = "registrations"
    __table_args__ = (
        # One running registration per person, whoever saves it (R18): stages RECEIVED to CREDENTIALS_SENT.
        Index(
            "uq_registrations_running_person",
            "person_id",
            unique=True,
            postgresql_where=text("stage IN (1, 2, 3, 4)"),
        ),
        Index("ix_registrations_person_id", "person_id", postgresql_where=text("person_id IS NOT NULL")),
        Index("ix_registrations_unit", "unit_id", "created_at", "registration_id"),
        Index("ix_registrations_unit_stage", "unit_id", "stage", "created_at", "registration_id"),
        Index("ix_registrations_customer_id", "customer_id"),
    )

    registration_id: Mapped[str] = mapped_column(primary_key=True)
    request_id: Mapped[uuid.UUID] = mapped_column(unique=True)
    person_id: Mapped[str | None]
    unit_id: Mapped[str] = mapped_column(ForeignKey("units.unit_id"))
    registrar_account_id: Mapped[str]
    registrar_display_name: Mapped[str]
    stage: Mapped[int]
    kind: Mapped[int]
    consent_state: Mapped[int]
    form: Mapped[Json | None]
    deadline: Mapped[datetime | None]
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.customer_id", ondelete="SET NULL"))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


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


class Disclosure(Base):
    """An export for an access request, encrypted by whoever gathered it; empty until then."""

    __tablename__ = "disclosures"

    disclosure_id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(index=True)
    ciphertext: Mapped[bytes | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class UseEntry(Base):
    """Somebody has looked at or changed somebody's data (R36). The database lets nobody change an entry."""

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


units = cast(Table, Unit.__table__)
customers = cast(Table, Customer.__table__)
registrations = cast(Table, Registration.__table__)
consents = cast(Table, Consent.__table__)
disclosures = cast(Table, Disclosure.__table__)
use_entries = cast(Table, UseEntry.__table__)
use_chain = cast(Table, UseLink.__table__)
limits = limits_table(Base.metadata)
