"""Tables of the notification service: one row per mail, without its text or address; book tips."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.runtime.data.database import NAMING
from services.runtime.data.rate_limits import limits_table


class Base(DeclarativeBase):
    """Base of the tables."""

    metadata = MetaData(naming_convention=NAMING)


class Message(Base):
    """A mail that is to be sent once."""

    __tablename__ = "messages"
    __table_args__ = (
        CheckConstraint("state BETWEEN 1 AND 4", "state"),
        Index(None, "subject_id", "create_time"),
        # For figures of mail that was refused, or waits: states UNDELIVERABLE and PENDING.
        Index("ix_messages_refused", "update_time", postgresql_where=text("state = 3")),
        Index("ix_messages_pending", "create_time", postgresql_where=text("state = 1")),
        # Mail that has come back, and of which the registrars are still to be told.
        Index(
            "ix_messages_returned",
            "returned_time",
            postgresql_where=text("returned_time IS NOT NULL AND settle_time IS NULL"),
        ),
        # Mail that came back because of us, and is to be sent again.
        Index("ix_messages_again", "again_time", postgresql_where=text("again_time IS NOT NULL")),
        # For the sweep of what mail is sent again by.
        Index("ix_messages_origin", "create_time", postgresql_where=text("origin IS NOT NULL")),
    )

    request_id: Mapped[UUID] = mapped_column(primary_key=True)
    subject_id: Mapped[str] = mapped_column(String(32))
    template: Mapped[str] = mapped_column(String(64))
    state: Mapped[int] = mapped_column(SmallInteger)
    """A `DeliveryState`."""
    attempts: Mapped[int]
    last_error: Mapped[str] = mapped_column(String(200))
    lease_until: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    """Until then, one call has claimed the mail for sending."""
    refuses_us: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the last refusal spoke of us and not of the address."""
    recipient_digest: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    """A hash of the mail's ID and its address: tells whether an address is the one that a bounce is about."""
    recipient_key: Mapped[bytes | None] = mapped_column(LargeBinary(32))
    """A hash of the subject and its address: tells whether two mails about one subject went to the same."""
    return_secret: Mapped[str | None] = mapped_column(String(13))
    """What the envelope sender of this mail holds besides its ID, so that nobody else can write a bounce."""
    returned_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When a report said that the mail did not arrive after all."""
    settle_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When the address was marked and the registrar told of it."""
    origin: Mapped[bytes | None] = mapped_column(LargeBinary)
    """The step of a run that sends the mail, sealed by the worker; kept for some days."""
    returns: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """How often the mail came back because of us."""
    again_time: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """When such a mail is sent again."""
    create_time: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())


class EditedBookTips(Base):
    """Book tips in one language, edited by customer service."""

    __tablename__ = "book_tips"

    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    """Grows by one with every change; the etag."""
    tips: Mapped[list[dict[str, str]]] = mapped_column(JSONB)
    update_time: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class BookTipsEdit(Base):
    """A call that has edited book tips, kept to recognise its repetitions."""

    __tablename__ = "book_tips_edits"

    request_id: Mapped[UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    edit_time: Mapped[datetime] = mapped_column(DateTime(timezone=True), index=True)


limits = limits_table(Base.metadata)
