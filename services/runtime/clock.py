"""The time, and the day in Finland."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from google.type.date_pb2 import Date
from holidays import country_holidays

HELSINKI = ZoneInfo("Europe/Helsinki")

_SATURDAY = 5

_HOLIDAYS = country_holidays("FI")
"""Finland's public holidays, Midsummer Eve and Christmas Eve included; it fills in a year when asked."""


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


def is_working_day(day: date) -> bool:
    """Whether a day is neither a Saturday, nor a Sunday, nor a public holiday in Finland (R46)."""
    return day.weekday() < _SATURDAY and day not in _HOLIDAYS


def working_days_later(moment: datetime, days: int) -> datetime:
    """The same hour in Helsinki so many working days later (R46)."""
    local = moment.astimezone(HELSINKI)
    day = local.date()
    while days:
        day += timedelta(days=1)
        days -= is_working_day(day)
    return datetime.combine(day, local.time(), HELSINKI).astimezone(UTC)
