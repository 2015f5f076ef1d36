"""Working days leave out Saturdays, Sundays and Finland's public holidays (R46)."""

from datetime import date, datetime, timedelta

import pytest

from services.runtime.clock import deadline_after, last_good_day
from services.runtime.working_days import is_working_day, working_days_later


@pytest.mark.parametrize(
    ("sent", "days", "answered"),
    [
        ("2026-12-21", 5, "2026-12-30"),  # Christmas Eve, Christmas Day, the second day, a Sunday
        ("2026-12-30", 5, "2027-01-08"),  # New Year's Day and Epiphany
        ("2027-03-24", 5, "2027-04-02"),  # Good Friday and Easter Monday
        ("2027-04-29", 2, "2027-05-03"),  # May Day is a Saturday
        ("2027-05-05", 1, "2027-05-07"),  # Ascension Day
        ("2026-06-18", 1, "2026-06-22"),  # Midsummer Eve
        ("2027-02-05", 5, "2027-02-12"),  # a weekend alone
    ],
)
def test_a_deadline_in_working_days_leaves_out_public_holidays(sent: str, days: int, answered: str) -> None:
    moment = datetime.fromisoformat(f"{sent}T09:30+00:00")
    later = working_days_later(moment, days)
    # To the end of the day (R44).
    assert last_good_day(later) == date.fromisoformat(answered)


@pytest.mark.parametrize(
    ("begun", "duration", "end", "last"),
    [
        # By day, late in the evening and just after midnight: in Helsinki, also over a change of the clocks.
        ("2026-10-20T05:00+00:00", timedelta(days=30), "2026-11-19T22:00+00:00", "2026-11-19"),
        ("2026-11-20T21:30+00:00", timedelta(days=30), "2026-12-20T22:00+00:00", "2026-12-20"),
        ("2026-11-20T22:30+00:00", timedelta(days=30), "2026-12-21T22:00+00:00", "2026-12-21"),
        ("2027-03-27T10:00+00:00", timedelta(days=1), "2027-03-28T21:00+00:00", "2027-03-28"),
        # Less than a day counts to the second, and the hour is told.
        ("2026-11-20T21:30+00:00", timedelta(hours=1), "2026-11-20T22:30+00:00", None),
    ],
)
def test_a_deadline_of_days_is_good_to_the_end_of_its_day(
    begun: str, duration: timedelta, end: str, last: str | None
) -> None:
    deadline = deadline_after(datetime.fromisoformat(begun), duration)
    assert deadline == datetime.fromisoformat(end)
    assert last_good_day(deadline) == (last and date.fromisoformat(last))


def test_independence_day_is_no_working_day() -> None:
    assert not is_working_day(date(2027, 12, 6))
    assert is_working_day(date(2027, 12, 7))
