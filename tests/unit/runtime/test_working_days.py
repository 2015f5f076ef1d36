"""Working days leave out Saturdays, Sundays and Finland's public holidays (R46)."""

from datetime import UTC, date, datetime

import pytest

from services.runtime.clock import is_working_day, working_days_later


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
    assert later.date() == date.fromisoformat(answered)


def test_the_hour_in_helsinki_stays_over_a_change_of_the_clocks() -> None:
    # Summer time begins on 28 March 2027.
    moment = datetime(2027, 3, 25, 9, 30, tzinfo=UTC)
    assert working_days_later(moment, 2) == datetime(2027, 3, 31, 8, 30, tzinfo=UTC)


def test_independence_day_is_no_working_day() -> None:
    assert not is_working_day(date(2027, 12, 6))
    assert is_working_day(date(2027, 12, 7))
