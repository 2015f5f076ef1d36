"""Rules for suspicious use in the log of use, with thresholds as settings.

They count look-ups by personal identity code, per account and day in Helsinki.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ARRAY, Date, RowMapping, String, and_, bindparam, cast, extract, func, not_, select

from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT
from liity.v1.use_log_service_pb2 import (
    SUSPICION_RULE_EMPTY_LOOK_UPS,
    SUSPICION_RULE_OUTSIDE_HOURS,
    SUSPICION_RULE_UNUSUAL_NUMBER,
    SuspicionRule,
)
from services.registration.audit.entries import LOOK_UP
from services.registration.db.models import use_entries
from services.runtime.clock import HELSINKI
from services.runtime.working_days import is_working_day

HABIT = timedelta(days=28)
"""The period from which an account's usual number is computed."""


class SuspicionRules(NamedTuple):
    """Thresholds: look-ups a day that are not yet suspicious; working hours as Helsinki hours."""

    empty_look_ups: int
    outside_hours: int
    opens: int
    closes: int
    unusual_number: int
    unusual_factor: int


class Span(NamedTuple):
    """Look-ups of one day: their number, the first and the last."""

    number: int
    first: datetime | None
    last: datetime | None


class DayOfUse(NamedTuple):
    """An account's look-ups on one day."""

    account_id: str
    day: date
    unit_id: str
    """The unit for which most of them were made."""
    all: Span
    empty: Span
    """Look-ups that found nobody."""
    outside: Span
    """Look-ups outside working hours, or on a day without any (R46)."""


class Suspicion(NamedTuple):
    """An account's day that meets a rule."""

    rule: SuspicionRule.ValueType
    use: DayOfUse
    span: Span
    threshold: int


def suspicions(days: Iterable[DayOfUse], since: date, rules: SuspicionRules) -> list[Suspicion]:
    """Findings on `since` and later, newest first. Earlier days only serve for the usual number."""
    by_account = defaultdict(list)
    for use in days:
        by_account[use.account_id].append(use)
    found = [
        suspicion
        for uses in by_account.values()
        for use in uses
        if use.day >= since
        for suspicion in _suspicions_of(use, uses, rules)
    ]
    return sorted(found, key=lambda suspicion: (suspicion.use.day, suspicion.span.number), reverse=True)


def _suspicions_of(use: DayOfUse, uses: Sequence[DayOfUse], rules: SuspicionRules) -> Iterator[Suspicion]:
    if use.empty.number > rules.empty_look_ups:
        yield Suspicion(SUSPICION_RULE_EMPTY_LOOK_UPS, use, use.empty, rules.empty_look_ups)
    if use.outside.number > rules.outside_hours:
        yield Suspicion(SUSPICION_RULE_OUTSIDE_HOURS, use, use.outside, rules.outside_hours)
    usual = max(rules.unusual_number, rules.unusual_factor * _usual_number(use, uses))
    if use.all.number > usual:
        yield Suspicion(SUSPICION_RULE_UNUSUAL_NUMBER, use, use.all, usual)


def _usual_number(use: DayOfUse, uses: Sequence[DayOfUse]) -> int:
    """The account's mean number of look-ups, over its active days in the weeks before."""
    before = [other.all.number for other in uses if use.day - HABIT <= other.day < use.day]
    return round(sum(before) / len(before)) if before else 0


_LOCAL = func.timezone(HELSINKI.key, use_entries.c.used_at)
_HOUR = extract("hour", _LOCAL)
_WORKING = and_(bindparam("opens") <= _HOUR, bindparam("closes") > _HOUR)
_EMPTY = use_entries.c.subject_ids == cast([], ARRAY(String))


def _span(name: str, *conditions: object) -> tuple[object, ...]:
    count, first, last = func.count(), func.min(use_entries.c.used_at), func.max(use_entries.c.used_at)
    if not conditions:
        return count.label(f"{name}_count"), first.label(f"{name}_first"), last.label(f"{name}_last")
    return (
        count.filter(*conditions).label(f"{name}_count"),
        first.filter(*conditions).label(f"{name}_first"),
        last.filter(*conditions).label(f"{name}_last"),
    )


_DAY = cast(_LOCAL, Date).label("day")

DAYS_OF_USE = (
    select(
        use_entries.c.account_id,
        _DAY,
        func.mode().within_group(use_entries.c.for_unit_id).label("unit_id"),
        *_span("all"),
        *_span("empty", _EMPTY),
        *_span("outside", not_(_WORKING)),
    )
    .where(
        use_entries.c.action == LOOK_UP,
        use_entries.c.actor_kind == ACTOR_KIND_ACCOUNT,
        use_entries.c.used_at >= bindparam("since"),
    )
    .group_by(use_entries.c.account_id, _DAY)
)
"""One row per account and day. Parameters: `since`, and the hours `opens` and `closes`."""


def day_of_use(row: RowMapping) -> DayOfUse:
    """A row of `DAYS_OF_USE`. A day that is no working day is outside working hours as a whole."""
    every, empty, outside = (
        Span(row[f"{name}_count"], row[f"{name}_first"], row[f"{name}_last"])
        for name in ("all", "empty", "outside")
    )
    if not is_working_day(row["day"]):
        outside = every
    return DayOfUse(row["account_id"], row["day"], row["unit_id"], every, empty, outside)
