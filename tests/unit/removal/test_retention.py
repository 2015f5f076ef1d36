"""When the data of an ended customership is erased: one day a year, after the full years (R20)."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.runtime.clock import helsinki_day, helsinki_moment
from tests.unit.runtime.test_deadlines import in_helsinki, settings
from workflows.removal.retention import Retention

USUAL = settings().retention()
AT_MIDNIGHT = settings(retention_spread="PT0S").retention()


@pytest.mark.parametrize(
    ("ended", "lent", "erased"),
    [
        (in_helsinki(2026, 11, 24, 12), False, date(2029, 1, 31)),
        (in_helsinki(2026, 11, 24, 12), True, date(2032, 1, 31)),
        # On the yearly day itself, and a day late.
        (in_helsinki(2027, 1, 31, 12), False, date(2029, 1, 31)),
        (in_helsinki(2027, 2, 1, 0), False, date(2030, 1, 31)),
        (in_helsinki(2027, 2, 1, 0), True, date(2033, 1, 31)),
        # The day is the one in Helsinki, not in UTC.
        (datetime(2027, 1, 31, 21, 59, 59, tzinfo=UTC), False, date(2029, 1, 31)),
        (datetime(2027, 1, 31, 22, 0, tzinfo=UTC), False, date(2030, 1, 31)),
        # Leap days.
        (in_helsinki(2028, 2, 29, 12), False, date(2031, 1, 31)),
        (in_helsinki(2028, 2, 29, 12), True, date(2034, 1, 31)),
    ],
)
def test_it_is_erased_on_the_first_yearly_day_after_the_years(
    ended: datetime, lent: bool, erased: date
) -> None:
    assert AT_MIDNIGHT.erase_time(ended, lent=lent) == helsinki_moment(erased)


@pytest.mark.parametrize(
    ("ended", "erased"),
    [
        # Of a leap day two years are over on the first of March.
        (in_helsinki(2028, 2, 29, 12), date(2030, 3, 1)),
        (in_helsinki(2028, 3, 2, 12), date(2031, 3, 1)),
        (in_helsinki(2028, 3, 1, 12), date(2030, 3, 1)),
    ],
)
def test_the_yearly_day_is_a_setting(ended: datetime, erased: date) -> None:
    retention = settings(retention_day="03-01", retention_spread="PT0S").retention()
    assert retention.erase_time(ended, lent=False) == helsinki_moment(erased)


@given(
    st.integers(0, 200 * 365).map(lambda day: in_helsinki(1990, 1, 1, 5) + timedelta(days=day)), st.booleans()
)
def test_nothing_is_kept_less_than_its_years_nor_a_year_longer(ended: datetime, lent: bool) -> None:
    erased = helsinki_day(USUAL.erase_time(ended, lent=lent))
    years = 5 if lent else 2
    assert (erased.month, erased.day) == (1, 31)
    first = helsinki_day(ended)
    assert erased.year - first.year in {years, years + 1}
    assert (erased.month, erased.day) >= (first.month, first.day) or erased.year - first.year == years + 1


def test_the_erasures_of_the_yearly_day_are_spread_over_it_each_at_its_own_moment() -> None:
    ended, customers = in_helsinki(2026, 11, 24, 12), [f"{number:032x}" for number in range(2400)]
    midnight = helsinki_moment(date(2029, 1, 31))
    assert USUAL.erase_time(ended, lent=False) == midnight, "the day that people are told"
    due = [midnight + USUAL.spread_of(customer) for customer in customers]
    in_hour = Counter((moment - midnight) // timedelta(hours=1) for moment in due)
    assert set(in_hour) == set(range(12))
    assert max(in_hour.values()) < 300
    assert [midnight + USUAL.spread_of(customer) for customer in customers] == due


@pytest.mark.parametrize("spread", ["PT23H", "P1D"])
def test_no_erasure_is_spread_beyond_its_day(spread: str) -> None:
    with pytest.raises(ValidationError):
        settings(retention_spread=spread)


def test_a_demonstration_erases_so_long_after_the_end() -> None:
    ended = in_helsinki(2027, 2, 1, 12)
    soon = Retention(1, 31, 2, 5, timedelta(seconds=3), timedelta(hours=12))
    assert soon.erase_time(ended, lent=True) == ended + timedelta(seconds=3)
    assert soon.spread_of("c1") == timedelta(0)


@pytest.mark.parametrize("day", ["02-29", "02-30", "13-01", "00-10", "1-31", "31.1.", ""])
def test_the_yearly_day_is_one_that_every_year_has(day: str) -> None:
    with pytest.raises(ValidationError):
        settings(retention_day=day)
