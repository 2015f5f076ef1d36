"""The current time, and days in Finland."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from google.type.date_pb2 import Date

HELSINKI = ZoneInfo("Europe/Helsinki")


def now() -> datetime:
    """The current moment, in UTC."""
    return datetime.now(UTC)


def helsinki_day(moment: datetime) -> date:
    """The calendar day in Helsinki at a moment: ages and deadlines are counted in it."""
    return moment.astimezone(HELSINKI).date()


def helsinki_moment(day: date, hour: int = 0) -> datetime:
    """The moment at which a day reaches an hour in Helsinki, in UTC."""
    return datetime.combine(day, time(hour), HELSINKI).astimezone(UTC)


def deadline_after(begun: datetime, duration: timedelta) -> datetime:
    """When a time of whole days ends: with the day in Helsinki on which it runs out (R44).

    Less than a day, for demonstrations and links of an hour, counts to the second.
    """
    end = begun + duration
    return end if duration < timedelta(days=1) else helsinki_moment(helsinki_day(end) + timedelta(days=1))


def last_good_day(deadline: datetime) -> date | None:
    """The day that a deadline ends with; None if the deadline comes within a day, so that its hour counts."""
    local = deadline.astimezone(HELSINKI)
    return local.date() - timedelta(days=1) if local.time() == time() else None


def to_proto_date(day: date) -> Date:
    """Converts a day to `google.type.Date`."""
    return Date(year=day.year, month=day.month, day=day.day)


def from_proto_date(day: Date) -> date:
    """Converts a `google.type.Date` to a day. ValueError if there is no such date."""
    return date(day.year, day.month, day.day)
