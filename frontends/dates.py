"""Dates and timestamps in Finnish time."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

_HELSINKI = ZoneInfo("Europe/Helsinki")


def moment(timestamp: Timestamp) -> str:
    """A timestamp in Finnish time: `2026-11-28 13:05`."""
    return f"{timestamp.ToDatetime(UTC).astimezone(_HELSINKI):%Y-%m-%d %H:%M}"


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
