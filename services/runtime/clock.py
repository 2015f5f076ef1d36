"""The time, and the day in Finland."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from google.type.date_pb2 import Date

HELSINKI = ZoneInfo("Europe/Helsinki")

_SATURDAY = 5


def now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)


def helsinki_day(moment: datetime) -> date:
    """The calendar day in Helsinki at a moment: ages and deadlines count in it."""
    return moment.astimezone(HELSINKI).date()


def helsinki_moment(day: date, hour: int = 0) -> datetime:
    """The moment a day reaches an hour in Helsinki, in UTC."""
    return datetime.combine(day, time(hour), HELSINKI).astimezone(UTC)


def to_proto_date(day: date) -> Date:
    """A day as `google.type.Date`."""
    return Date(year=day.year, month=day.month, day=day.day)


def from_proto_date(day: Date) -> date:
    """A `google.type.Date` as a day. ValueError if the calendar has none such."""
    return date(day.year, day.month, day.day)


def working_days_later(moment: datetime, days: int) -> datetime:
    """The same hour in Helsinki so many working days later: Saturdays and Sundays do not count."""
    local = moment.astimezone(HELSINKI)
    day = local.date()
    while days:
        day += timedelta(days=1)
        if day.weekday() < _SATURDAY:
            days -= 1
    return datetime.combine(day, local.time(), HELSINKI).astimezone(UTC)
