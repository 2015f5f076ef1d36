"""Queries of the work list: items are derived from waiting data, and stored nowhere."""

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, NamedTuple, TypedDict

from sqlalchemy import (
    ColumnElement,
    Interval,
    Select,
    String,
    Subquery,
    and_,
    bindparam,
    cast,
    exists,
    func,
    literal,
    null,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.types import DateTime

from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE, EMAIL_STATE_UNDELIVERABLE
from liity.v1.message_service_pb2 import MESSAGE_STATE_OPEN
from liity.v1.reason_pb2 import REASON_WORK_ITEM_NOT_FOUND
from liity.v1.registration_pb2 import (
    GUARDIAN_ANSWER_DECLINES,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    Stage,
)
from liity.v1.work_service_pb2 import (
    CLAIM_FILTER_MINE,
    CLAIM_FILTER_UNCLAIMED,
    WORK_ITEM_KIND_DISSENT,
    WORK_ITEM_KIND_FEEDBACK,
    WORK_ITEM_KIND_IDENTITY_CHECK,
    WORK_ITEM_KIND_MESSAGE,
    WORK_ITEM_KIND_POSSIBLE_DUPLICATE,
    WORK_ITEM_KIND_REACTIVATION,
    WORK_ITEM_KIND_UNDELIVERABLE_MAIL,
    ClaimFilter,
    WorkItemKind,
)
from services.registration.db.models import (
    customers,
    dismissed_duplicates,
    feedback,
    guardians,
    messages,
    namesakes,
    registrations,
    similar_codes,
    work_claims,
)
from services.registration.db.paging import Position
from services.runtime.rpc.errors import not_found

ID_PATTERN = "([1-5]|15|55)(-[a-z0-9]{1,32}){1,2}"
"""An item's ID: the kind's number and the IDs of the rows."""

_MOMENT = DateTime(timezone=True)

_MAIL_PATIENCE = bindparam("mail_patience", type_=Interval)
_DUPLICATE_PATIENCE = bindparam("duplicate_patience", type_=Interval)


class Patience(TypedDict):
    """How long items without a deadline of their own may wait."""

    mail_patience: timedelta
    duplicate_patience: timedelta


_SUBJECTS = ("registration_id", "customer_id", "other_customer_id", "message_id", "feedback_id")


class _Waiting(NamedTuple):
    """A query for the items of one kind, and the columns that make up an item's ID."""

    items: Select[Any]
    row_ids: tuple[ColumnElement[str], ...]


def item_id(kind: WorkItemKind.ValueType, *row_ids: str) -> str:
    """The ID of an item."""
    return "-".join((str(kind), *row_ids))


def rows_of(item_id: str) -> list[str]:
    """The row IDs in an item's ID."""
    return item_id.split("-")[1:]


def _waiting(
    kind: WorkItemKind.ValueType,
    row_ids: tuple[ColumnElement[str], ...],
    since: ColumnElement[Any],
    deadline: ColumnElement[Any],
    **subjects: ColumnElement[Any],
) -> _Waiting:
    own_id: ColumnElement[str] = literal(str(kind), String)
    for row_id in row_ids:
        own_id = own_id + "-" + row_id
    nobody = cast(null(), String)
    items = select(
        literal(int(kind)).label("kind"),
        own_id.label("item_id"),
        since.label("since"),
        deadline.label("deadline"),
        *(subjects.get(name, nobody).label(name) for name in _SUBJECTS),
    )
    return _Waiting(items, row_ids)


def _registrations(kind: WorkItemKind.ValueType, stage: Stage.ValueType) -> _Waiting:
    row_id = registrations.c.registration_id
    since, deadline = registrations.c.created_at, registrations.c.deadline
    waiting = _waiting(kind, (row_id,), since, deadline, registration_id=row_id)
    # A literal, here and below: the planner needs it to use the partial index.
    in_stage = registrations.c.stage == literal(int(stage), literal_execute=True)
    return waiting._replace(items=waiting.items.where(in_stage))


def _undeliverable() -> _Waiting:
    row_id = customers.c.customer_id
    # Rows marked by an older release have no such moment.
    since = func.coalesce(customers.c.undeliverable_since, customers.c.updated_at)
    deadline = since + _MAIL_PATIENCE
    waiting = _waiting(WORK_ITEM_KIND_UNDELIVERABLE_MAIL, (row_id,), since, deadline, customer_id=row_id)
    refused = customers.c.email_state == literal(int(EMAIL_STATE_UNDELIVERABLE), literal_execute=True)
    in_force = customers.c.state == CUSTOMER_STATE_ACTIVE
    return waiting._replace(items=waiting.items.where(refused, in_force))


def _undeliverable_related() -> _Waiting:
    """Customers whose guardian's or contact person's address does not work, beside their own that does."""
    row_id, since = customers.c.customer_id, customers.c.related_undeliverable_since
    deadline = since + _MAIL_PATIENCE
    waiting = _waiting(WORK_ITEM_KIND_UNDELIVERABLE_MAIL, (row_id,), since, deadline, customer_id=row_id)
    # One item is enough where neither address works.
    own_works = customers.c.email_state != EMAIL_STATE_UNDELIVERABLE
    in_force = customers.c.state == CUSTOMER_STATE_ACTIVE
    return waiting._replace(items=waiting.items.where(since.is_not(None), own_works, in_force))


def _undeliverable_guardians() -> _Waiting:
    """Registrations whose guardian's address does not work; due at the latest when the wait ends."""
    row_id, since = registrations.c.registration_id, registrations.c.undeliverable_since
    deadline = func.least(since + _MAIL_PATIENCE, registrations.c.deadline)
    waiting = _waiting(WORK_ITEM_KIND_UNDELIVERABLE_MAIL, (row_id,), since, deadline, registration_id=row_id)
    stage = literal(int(STAGE_WAITING_FOR_CONSENT), literal_execute=True)
    return waiting._replace(items=waiting.items.where(registrations.c.stage == stage, since.is_not(None)))


_ONE, _OTHER = customers.alias("one"), customers.alias("other")


def _duplicates() -> _Waiting:
    """Pairs of customers with one name and birth date that were not dismissed as two persons."""
    since = func.greatest(_ONE.c.created_at, _OTHER.c.created_at)
    waiting = _waiting(
        WORK_ITEM_KIND_POSSIBLE_DUPLICATE,
        (_ONE.c.customer_id, _OTHER.c.customer_id),
        since,
        since + _DUPLICATE_PATIENCE,
        customer_id=_ONE.c.customer_id,
        other_customer_id=_OTHER.c.customer_id,
    )
    alike = (
        _ONE.c.birth_date == _OTHER.c.birth_date,
        _ONE.c.sort_key == _OTHER.c.sort_key,
        _ONE.c.customer_id < _OTHER.c.customer_id,
        _ONE.c.state == CUSTOMER_STATE_ACTIVE,
        _OTHER.c.state == CUSTOMER_STATE_ACTIVE,
    )
    dismissed = exists().where(
        dismissed_duplicates.c.customer_id == _ONE.c.customer_id,
        dismissed_duplicates.c.other_customer_id == _OTHER.c.customer_id,
    )
    return waiting._replace(items=waiting.items.where(*alike, ~dismissed))


def _similar_codes() -> _Waiting:
    """Pairs of customers whose codes differ by the century sign alone (R45) and that `_duplicates` lacks."""
    ids = _ONE.c.customer_id, _OTHER.c.customer_id
    lesser, greater = func.least(*ids), func.greatest(*ids)
    since = func.greatest(_ONE.c.created_at, _OTHER.c.created_at)
    waiting = _waiting(
        WORK_ITEM_KIND_POSSIBLE_DUPLICATE,
        (lesser, greater),
        since,
        since + _DUPLICATE_PATIENCE,
        customer_id=lesser,
        other_customer_id=greater,
    )
    dismissed = exists().where(
        dismissed_duplicates.c.customer_id == lesser, dismissed_duplicates.c.other_customer_id == greater
    )
    return waiting._replace(
        items=waiting.items.where(
            _ONE.c.person_id == similar_codes.c.person_id,
            _OTHER.c.person_id == similar_codes.c.other_person_id,
            _ONE.c.state == CUSTOMER_STATE_ACTIVE,
            _OTHER.c.state == CUSTOMER_STATE_ACTIVE,
            or_(
                _ONE.c.birth_date.is_distinct_from(_OTHER.c.birth_date),
                _ONE.c.sort_key != _OTHER.c.sort_key,
            ),
            ~dismissed,
        )
    )


def _all_duplicates() -> Select[Any]:
    """All pairs, from the customers that the database has marked as having, or having had, a namesake.

    No statistics of names are kept: the planner would compare all customers with all.
    """
    key = (customers.c.birth_date, customers.c.sort_key)
    shared = (
        select(*key)
        .join(namesakes, namesakes.c.customer_id == customers.c.customer_id)
        .where(customers.c.birth_date.is_not(None), customers.c.state == CUSTOMER_STATE_ACTIVE)
        .group_by(*key)
        .having(func.count() > 1)
        .cte("shared")
        .prefix_with("MATERIALIZED")
    )
    return _duplicates().items.where(
        _ONE.c.birth_date == shared.c.birth_date, _ONE.c.sort_key == shared.c.sort_key
    )


def _dissents() -> _Waiting:
    """Customerships to which one of two guardians does not agree (R39), until customer service knows it."""
    row_id, since = guardians.c.registration_id, guardians.c.answered_at
    waiting = _waiting(
        WORK_ITEM_KIND_DISSENT,
        (row_id,),
        since,
        since + _MAIL_PATIENCE,
        customer_id=registrations.c.customer_id,
    )
    return waiting._replace(
        items=waiting.items.select_from(
            guardians.join(registrations).join(
                customers, customers.c.customer_id == registrations.c.customer_id
            )
        ).where(
            guardians.c.answer == literal(int(GUARDIAN_ANSWER_DECLINES), literal_execute=True),
            guardians.c.acknowledged_at.is_(None),
            customers.c.state == CUSTOMER_STATE_ACTIVE,
        )
    )


def _messages() -> _Waiting:
    row_id = messages.c.message_id
    since, deadline = messages.c.created_at, messages.c.deadline
    waiting = _waiting(
        WORK_ITEM_KIND_MESSAGE,
        (row_id,),
        since,
        deadline,
        message_id=row_id,
        registration_id=messages.c.registration_id,
    )
    is_open = messages.c.state == literal(int(MESSAGE_STATE_OPEN), literal_execute=True)
    return waiting._replace(items=waiting.items.where(is_open))


def _feedback() -> _Waiting:
    row_id = feedback.c.feedback_id
    since, deadline = feedback.c.created_at, feedback.c.deadline
    waiting = _waiting(WORK_ITEM_KIND_FEEDBACK, (row_id,), since, deadline, feedback_id=row_id)
    return waiting._replace(items=waiting.items.where(feedback.c.answered_at.is_(None)))


_WAITING: Mapping[WorkItemKind.ValueType, tuple[_Waiting, ...]] = {
    WORK_ITEM_KIND_REACTIVATION: (
        _registrations(WORK_ITEM_KIND_REACTIVATION, STAGE_WAITING_FOR_REACTIVATION),
    ),
    WORK_ITEM_KIND_IDENTITY_CHECK: (
        _registrations(WORK_ITEM_KIND_IDENTITY_CHECK, STAGE_WAITING_FOR_IDENTITY_CHECK),
    ),
    WORK_ITEM_KIND_UNDELIVERABLE_MAIL: (
        _undeliverable(),
        _undeliverable_related(),
        _undeliverable_guardians(),
    ),
    WORK_ITEM_KIND_POSSIBLE_DUPLICATE: (_duplicates(), _similar_codes()),
    WORK_ITEM_KIND_MESSAGE: (_messages(),),
    WORK_ITEM_KIND_FEEDBACK: (_feedback(),),
    WORK_ITEM_KIND_DISSENT: (_dissents(),),
}
"""Queries for waiting items, by kind."""

_LISTED: Mapping[WorkItemKind.ValueType, tuple[Select[Any], ...]] = {
    kind: tuple(each.items for each in waiting) for kind, waiting in _WAITING.items()
} | {WORK_ITEM_KIND_POSSIBLE_DUPLICATE: (_all_duplicates(), _similar_codes().items)}


def _with_claims(waiting: Any) -> Select[Any]:  # noqa: ANN401 - any select of items
    """The items, with the claims in force at `moment`."""
    items = waiting.subquery("items")
    held = and_(
        work_claims.c.item_id == items.c.item_id,
        work_claims.c.expires_at > bindparam("moment", type_=_MOMENT),
    )
    claim = (work_claims.c.account_id, work_claims.c.display_name, work_claims.c.expires_at)
    return select(*items.c, *claim).select_from(items.outerjoin(work_claims, held))


def page(
    kinds: Iterable[WorkItemKind.ValueType],
    claims: ClaimFilter.ValueType,
    size: int,
    after: Position | None,
    *,
    overdue: bool,
) -> Select[Any]:
    """Selects items of some kinds, or all, oldest first, one more than asked for. Takes a `Patience`."""
    wanted = sorted(set(kinds) & set(_LISTED)) or sorted(_LISTED)
    statement = _with_claims(union_all(*(items for kind in wanted for items in _LISTED[kind])))
    place = (statement.selected_columns["since"], statement.selected_columns["item_id"])
    if claims == CLAIM_FILTER_UNCLAIMED:
        statement = statement.where(work_claims.c.account_id.is_(None))
    elif claims == CLAIM_FILTER_MINE:
        statement = statement.where(work_claims.c.account_id == bindparam("account", type_=String))
    if overdue:
        deadline = statement.selected_columns["deadline"]
        statement = statement.where(deadline <= bindparam("moment", type_=_MOMENT))
    if after is not None:
        statement = statement.where(tuple_(*place) > tuple_(*after))
    return statement.order_by(*place).limit(size + 1)


def one(item_id: str) -> Select[Any]:
    """Selects an item, if it waits. Takes `moment` and a `Patience`.

    NOT_FOUND (WORK_ITEM_NOT_FOUND) for an ID that no item can have.
    """
    kind, *row_ids = item_id.split("-")
    waiting = _WAITING[WorkItemKind.ValueType(int(kind))]
    if any(len(row_ids) != len(each.row_ids) for each in waiting):
        raise not_found(REASON_WORK_ITEM_NOT_FOUND)
    chosen = (
        each.items.where(*(column == row_id for column, row_id in zip(each.row_ids, row_ids, strict=True)))
        for each in waiting
    )
    return _with_claims(union_all(*chosen))


def totals() -> Select[Any]:
    """Counts, per kind, all items and those overdue at `moment`, with the oldest's. Takes a `Patience`."""
    items = _all_items()
    late = items.c.deadline <= bindparam("moment", type_=_MOMENT)
    return select(
        items.c.kind,
        func.count().label("total"),
        func.count().filter(late).label("overdue"),
        func.min(items.c.since).label("oldest"),
    ).group_by(items.c.kind)


def due() -> Select[Any]:
    """Counts, per kind, the items overdue at `moment`, and those due by `later`. Takes a `Patience`."""
    items = _all_items()
    late = items.c.deadline <= bindparam("moment", type_=_MOMENT)
    return (
        select(
            items.c.kind,
            func.count().filter(late).label("overdue"),
            func.count().filter(~late).label("due_soon"),
        )
        .where(items.c.deadline <= bindparam("later", type_=_MOMENT))
        .group_by(items.c.kind)
        .order_by(items.c.kind)
    )


def _all_items() -> Subquery:
    return union_all(*(items for listed in _LISTED.values() for items in listed)).subquery("items")
