"""The tables of the registration service."""

import uuid
from datetime import date, datetime
from typing import Any, cast

from sqlalchemy import DateTime, ForeignKey, Index, MetaData, SmallInteger, Table, text
from sqlalchemy.dialects.postgresql import JSONB
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

    `form` is held only while it waits: then it becomes the customer's profile, or is erased together with
    `person_id` (R30).
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


units = cast(Table, Unit.__table__)
customers = cast(Table, Customer.__table__)
registrations = cast(Table, Registration.__table__)
consents = cast(Table, Consent.__table__)
limits = limits_table(Base.metadata)
