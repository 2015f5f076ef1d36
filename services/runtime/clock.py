"""The current time, days in Finland, working days."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from google.type.date_pb2 import Date
from holidays import country_holidays

HELSINKI = ZoneInfo("Europe/Helsinki")

_SATURDAY = 5

_HOLIDAYS = country_holidays("FI")
"""Finland's public holidays, Midsummer Eve and Christmas Eve included; years are computed on demand."""


def now() -> datetime:
    """The current moment, in UTC."""
    return datetime.now(UTC)


def helsinki_day(moment: datetime) -> date:
    """The calendar day in Helsinki at a moment: ages and deadlines are counted in it."""
    return moment.astimezone(HELSINKI).date()


def helsinki_moment(day: date, hour: int = 0) -> datetime:
    """The moment at which a day reaches an hour in Helsinki, in UTC."""
    return datetime.combine(day, time(hour), HELSINKI).astimezone(UTC)


def to_proto_date(day: date) -> Date:
    """Converts a day to `google.type.Date`."""
    return Date(year=day.year, month=day.month, day=day.day)


def from_proto_date(day: Date) -> date:
    """Converts a `google.type.Date` to a day. ValueError if there is no such date."""
    return date(day.year, day.month, day.day)


def is_working_day(day: date) -> bool:
    """Whether a day is neither a Saturday, nor a Sunday, nor a public holiday in Finland (R46)."""
    return day.weekday() < _SATURDAY and day not in _HOLIDAYS


def working_days_later(moment: datetime, days: int) -> datetime:
    """The moment that many working days later, at the same time of day in Helsinki (R46)."""
    local = moment.astimezone(HELSINKI)
    day = local.date()
    while days:
        day += timedelta(days=1)
        days -= is_working_day(day)
    return datetime.combine(day, local.time(), HELSINKI).astimezone(UTC)
