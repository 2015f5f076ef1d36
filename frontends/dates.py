"""Dates and timestamps in Finnish time."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

_HELSINKI = ZoneInfo("Europe/Helsinki")


def moment(timestamp: Timestamp) -> str:
    """A timestamp in Finnish time: `2026-11-28 13:05`."""
    return f"{timestamp.ToDatetime(UTC).astimezone(_HELSINKI):%Y-%m-%d %H:%M}"


def last_good_day(deadline: Timestamp) -> date | None:
    """The day that a deadline ends with; None if it comes within a day, so that its hour counts."""
    local = deadline.ToDatetime(UTC).astimezone(_HELSINKI)
    return local.date() - timedelta(days=1) if local.time() == time() else None


def until(deadline: Timestamp) -> str:
    """The last good day of a deadline, to its end: `2026-11-28`; with the hour, if that counts."""
    last = last_good_day(deadline)
    return moment(deadline) if last is None else last.isoformat()


def today() -> date:
    """The calendar day in Finland."""
    return datetime.now(_HELSINKI).date()


def begin_of(day: date) -> Timestamp:
    """The start of a day in Finland."""
    begin = Timestamp()
    begin.FromDatetime(datetime.combine(day, time(), _HELSINKI).astimezone(UTC))
    return begin


def to_proto_date(day: date) -> Date:
    """A day as `google.type.Date`."""
    return Date(year=day.year, month=day.month, day=day.day)


def iso_date(day: Date) -> str:
    """A `google.type.Date` as `2026-11-28`."""
    return f"{day.year:04}-{day.month:02}-{day.day:02}"
