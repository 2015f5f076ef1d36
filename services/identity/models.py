"""The tables of identity."""

from datetime import date, datetime

from sqlalchemy import (
    ARRAY,
    BigInteger,
    DateTime,
    ForeignKey,
    Index,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.runtime.data.database import NAMING
from services.runtime.data.rate_limits import limits_table


class Base(DeclarativeBase):
    """Base of identity's tables."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads it so
        str: Text,
        bytes: LargeBinary,
        datetime: DateTime(timezone=True),
    }


class Person(Base):
    """A person. The personal identity code is stored encrypted and found by a blind index.

    For a person without a code (R24) the columns of the code are NULL: only the ID identifies them.
    """

    __tablename__ = "persons"
    __table_args__ = (
        Index("ix_persons_provisional", "ensured_at", postgresql_where=text("retained_at IS NULL")),
        Index("ix_persons_merged_into", "merged_into", postgresql_where=text("merged_into IS NOT NULL")),
    )

    person_id: Mapped[str] = mapped_column(primary_key=True)
    hetu_ciphertext: Mapped[bytes | None]
    hetu_key_id: Mapped[int | None] = mapped_column(BigInteger)
    hetu_index: Mapped[bytes | None] = mapped_column(unique=True)
    index_key_id: Mapped[int | None] = mapped_column(BigInteger)
    ensured_at: Mapped[datetime]
    retained_at: Mapped[datetime | None]
    hold_until: Mapped[datetime | None]
    """Until then a class list needs the person: the row stays, even if not retained."""
    without_code_request_id: Mapped[str | None] = mapped_column(unique=True)
    """The request ID of the Save that created a person without a code."""
    merged_into: Mapped[str | None] = mapped_column(ForeignKey("persons.person_id", ondelete="CASCADE"))
    """After a merge: the person whom this row's code now identifies."""


class CodeChange(Base):
    """A prepared change of a person's code (R24, R34). Kept after the commit, to recognise repeated calls."""

    __tablename__ = "code_changes"
    __table_args__ = (
        Index(None, "person_id"),
        Index(None, "committed_at"),
        Index("ix_code_changes_prepared", "prepared_at", postgresql_where=text("committed_at IS NULL")),
    )

    request_id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey(Person.person_id, ondelete="CASCADE"))
    hetu_ciphertext: Mapped[bytes | None]
    change: Mapped[int] = mapped_column(SmallInteger)
    nobody: Mapped[str]
    """The person who has the code now, if their Save came to nothing; empty if there is none."""
    prepared_at: Mapped[datetime]
    committed_at: Mapped[datetime | None]


class MergeUndo(Base):
    """What undoes a merge of two persons (R43), until it is final. The codes are in `persons`, not here."""

    __tablename__ = "merge_undos"
    __table_args__ = (Index(None, "person_id"), Index(None, "expires_at"))

    merged_person_id: Mapped[str] = mapped_column(primary_key=True)
    person_id: Mapped[str] = mapped_column(ForeignKey(Person.person_id, ondelete="CASCADE"))
    codes: Mapped[int] = mapped_column(SmallInteger)
    """What the merge did to the codes."""
    merged_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    retained_at: Mapped[datetime | None]
    without_code_request_id: Mapped[str | None]
    user_name: Mapped[str | None]
    password_hash: Mapped[str | None]
    password_chosen_at: Mapped[datetime | None]
    credential_created_at: Mapped[datetime | None]
    detached_link_ids: Mapped[list[str]] = mapped_column(ARRAY(String))
    """The merged person's links."""
    voided_link_ids: Mapped[list[str]] = mapped_column(ARRAY(String))
    """Links that the merge has voided."""
    dropped_person_ids: Mapped[list[str]] = mapped_column(ARRAY(String))
    """Rows of codes that led to the merged person."""


class Credential(Base):
    """A customer's user name, and the hash of the password once it is chosen."""

    __tablename__ = "credentials"

    person_id: Mapped[str] = mapped_column(ForeignKey(Person.person_id, ondelete="CASCADE"), primary_key=True)
    user_name: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str | None]
    password_chosen_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


SWEPT_LINKS = text("(consent_state IS DISTINCT FROM 2 OR subject = '')")
"""Links that are deleted some time after they expire; the others withdraw a consent (R38)."""

UNUSED_PASSWORD_LINKS = text("(purpose = 2 AND used_at IS NULL AND voided_at IS NULL AND notices < 2)")
"""Customers' links to choose a password that are not used, and of whose end nobody was told."""

OPEN_INVITATIONS = text("(purpose = 10 AND used_at IS NULL AND voided_at IS NULL)")
"""Links of invitations that are neither accepted nor withdrawn."""


class Link(Base):
    """A link in mail: gives access to `subject` for one purpose, once, until it expires."""

    __tablename__ = "links"
    __table_args__ = (
        UniqueConstraint("purpose", "request_id"),
        Index(None, "subject"),
        Index(None, "expires_at"),
        # For the sweep, which keeps the links of consents that stand: CONSENT_REQUEST_STATE_ACCEPTED.
        Index("ix_links_swept", "expires_at", postgresql_where=SWEPT_LINKS),
        # For the daily search of links to choose a password that nobody uses.
        Index("ix_links_unused_passwords", "link_id", postgresql_where=UNUSED_PASSWORD_LINKS),
        # For reconciliation.
        Index("ix_links_open_invitations", "expires_at", postgresql_where=OPEN_INVITATIONS),
    )

    link_id: Mapped[str] = mapped_column(primary_key=True)
    purpose: Mapped[int] = mapped_column(SmallInteger)
    subject: Mapped[str]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]
    used_request_id: Mapped[str | None]
    voided_at: Mapped[datetime | None]
    request_id: Mapped[str]
    created_at: Mapped[datetime]
    to_registrar: Mapped[bool] = mapped_column(server_default=false())
    """Whether the link was made to be mailed to a registrar: then a transfer voids it."""
    notices: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    """Of an unused link to choose a password: 1 once the customer was reminded, 2 once its end was told."""
    consent_state: Mapped[int | None] = mapped_column(SmallInteger)
    """What became of a consent request: stays when `subject` is erased, as it names nobody."""
    consent_state_at: Mapped[datetime | None]
    """When that came about, if it was before the link was used or voided."""
    guardian: Mapped[int] = mapped_column(SmallInteger, server_default=text("1"))
    """To which of two guardians a consent's link was mailed (R39): 1 or 2."""


LOCK_OUT_KEY = text(r"sha256(decode(replace('log-in:account:' || email, '\', '\\'), 'escape'))")
"""The key under which an account's lock-outs are recorded."""


class Account(Base):
    """The account of a registrar or of staff. `email` is case-folded."""

    __tablename__ = "accounts"
    __table_args__ = (Index("ix_accounts_lock_out_key", LOCK_OUT_KEY, unique=True),)

    account_id: Mapped[str] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    display_name: Mapped[str]
    password_hash: Mapped[str]
    language: Mapped[int] = mapped_column(SmallInteger)
    roles: Mapped[list[int]] = mapped_column(ARRAY(SmallInteger))
    created_at: Mapped[datetime]
    request_id: Mapped[str] = mapped_column(unique=True)
    password_chosen_at: Mapped[datetime] = mapped_column(server_default=text("now()"))
    password_reminded_at: Mapped[datetime | None]


class Membership(Base):
    """An account's role in a unit."""

    __tablename__ = "memberships"
    __table_args__ = (Index(None, "unit_id"),)

    account_id: Mapped[str] = mapped_column(
        ForeignKey(Account.account_id, ondelete="CASCADE"), primary_key=True
    )
    unit_id: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[int] = mapped_column(SmallInteger)


class Invitation(Base):
    """An invitation to be a registrar of a unit. Its state is that of its link, and it is deleted with it."""

    __tablename__ = "invitations"
    __table_args__ = (Index(None, "unit_id", "email"),)

    invitation_id: Mapped[str] = mapped_column(primary_key=True)
    link_id: Mapped[str] = mapped_column(ForeignKey(Link.link_id, ondelete="CASCADE"), unique=True)
    unit_id: Mapped[str]
    email: Mapped[str]
    role: Mapped[int] = mapped_column(SmallInteger)
    language: Mapped[int] = mapped_column(SmallInteger)
    inviter_account_id: Mapped[str]


class RegistrarRemoval(Base):
    """The removal of a registrar from a unit, kept to recognise repeated calls."""

    __tablename__ = "registrar_removals"

    request_id: Mapped[str] = mapped_column(primary_key=True)
    unit_id: Mapped[str]
    account_id: Mapped[str]
    removed_at: Mapped[datetime] = mapped_column(index=True)


class RoleChange(Base):
    """A change of a registrar's role, kept to recognise repeated calls."""

    __tablename__ = "role_changes"

    request_id: Mapped[str] = mapped_column(primary_key=True)
    unit_id: Mapped[str]
    account_id: Mapped[str]
    role: Mapped[int] = mapped_column(SmallInteger)
    changed_at: Mapped[datetime] = mapped_column(index=True)


class Session(Base):
    """A log-in session. Revoking it deletes the row."""

    __tablename__ = "sessions"

    session_id: Mapped[str] = mapped_column(primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey(Account.account_id, ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)


class RefreshToken(Base):
    """A refresh token of a session. Once used, it names its successor."""

    __tablename__ = "refresh_tokens"

    token_id: Mapped[str] = mapped_column(primary_key=True)
    session_id: Mapped[str] = mapped_column(ForeignKey(Session.session_id, ondelete="CASCADE"), index=True)
    successor_id: Mapped[str | None]
    rotated_request_id: Mapped[str | None]
    rotated_at: Mapped[datetime | None]


class KnownPlace(Base):
    """A network from which an account has logged in, as a keyed hash: no address can be read from it."""

    __tablename__ = "known_places"
    __table_args__ = (Index(None, "place"), Index(None, "seen_at"))

    account_id: Mapped[str] = mapped_column(
        ForeignKey(Account.account_id, ondelete="CASCADE"), primary_key=True
    )
    place: Mapped[bytes] = mapped_column(primary_key=True)
    seen_at: Mapped[datetime]


class LockOuts(Base):
    """Number of lock-outs of an e-mail address (stored as a hash) on one day in Helsinki."""

    __tablename__ = "lock_outs"
    __table_args__ = (Index(None, "day"),)

    key: Mapped[bytes] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    number: Mapped[int]
    first_at: Mapped[datetime]
    last_at: Mapped[datetime]


class KnownKey(Base):
    """A key this database has been used with: identity does not start without it."""

    __tablename__ = "known_keys"

    purpose: Mapped[str] = mapped_column(primary_key=True)
    key_id: Mapped[str] = mapped_column(primary_key=True)
    check_value: Mapped[bytes | None]
    known_since: Mapped[datetime]


limits = limits_table(Base.metadata)
