"""Ages at their edges: birthdays, leap days, midnight in Helsinki."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.registration.rules import (
    consent_needed,
    day_of_age,
    full_years,
)
from services.runtime.clock import helsinki_day
from tests.support.registration_forms import child_form

TODAY = date(2026, 3, 15)
ADULT = date(1990, 1, 1)
YOUTH = date(2010, 1, 1)
CHILD = date(2017, 1, 1)


@pytest.mark.parametrize(
    ("birth_date", "day", "age"),
    [
        (date(2011, 6, 10), date(2026, 6, 9), 14),
        (date(2011, 6, 10), date(2026, 6, 10), 15),
        (date(2011, 6, 10), date(2026, 6, 11), 15),
        (date(2008, 6, 10), date(2026, 6, 9), 17),
        (date(2008, 6, 10), date(2026, 6, 10), 18),
        (date(2008, 6, 10), date(2026, 6, 11), 18),
        (date(2011, 1, 1), date(2025, 12, 31), 14),
        (date(2011, 1, 1), date(2026, 1, 1), 15),
        (date(2012, 2, 29), date(2027, 2, 28), 14),
        (date(2012, 2, 29), date(2027, 3, 1), 15),
        (date(2012, 2, 29), date(2028, 2, 28), 15),
        (date(2012, 2, 29), date(2028, 2, 29), 16),
        (date(2012, 2, 29), date(2030, 2, 28), 17),
        (date(2012, 2, 29), date(2030, 3, 1), 18),
        (date(2026, 3, 15), date(2026, 3, 15), 0),
        (date(1897, 5, 1), date(2026, 5, 1), 129),
    ],
)
def test_age_in_full_years(birth_date: date, day: date, age: int) -> None:
    assert full_years(birth_date, day) == age


@pytest.mark.parametrize(
    ("birth_date", "years", "day"),
    [
        (date(2011, 6, 10), 15, date(2026, 6, 10)),
        (date(2012, 2, 29), 15, date(2027, 3, 1)),
        (date(2012, 2, 29), 16, date(2028, 2, 29)),
        (date(2012, 2, 29), 18, date(2030, 3, 1)),
        (date(2012, 2, 28), 15, date(2027, 2, 28)),
        (date(2011, 12, 31), 15, date(2026, 12, 31)),
    ],
)
def test_day_of_an_age(birth_date: date, years: int, day: date) -> None:
    assert day_of_age(birth_date, years) == day


@given(st.dates(date(1850, 1, 1), date(2100, 1, 1)), st.integers(0, 120))
def test_a_person_reaches_an_age_on_its_day_and_not_before(birth_date: date, years: int) -> None:
    day = day_of_age(birth_date, years)
    assert full_years(birth_date, day) == years
    assert full_years(birth_date, day - timedelta(days=1)) == years - 1


@given(st.dates(date(1850, 1, 1), date(2100, 1, 1)), st.dates(date(2100, 1, 1), date(2200, 1, 1)))
def test_nobody_grows_younger(birth_date: date, day: date) -> None:
    growth = full_years(birth_date, day + timedelta(days=1)) - full_years(birth_date, day)
    assert growth in {0, 1}


@pytest.mark.parametrize(
    ("moment", "needed"),
    [
        # Helsinki is two hours ahead of UTC in winter, three in summer.
        (datetime(2026, 1, 9, 21, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 1, 9, 22, 0, tzinfo=UTC), False),
        (datetime(2026, 1, 10, 0, 0, tzinfo=UTC), False),
    ],
)
def test_fifteen_begins_at_midnight_in_helsinki_in_winter(moment: datetime, needed: bool) -> None:
    assert consent_needed(date(2011, 1, 10), helsinki_day(moment), child_form()) is needed


@pytest.mark.parametrize(
    ("moment", "needed"),
    [
        (datetime(2026, 6, 9, 20, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 6, 9, 21, 0, tzinfo=UTC), False),
    ],
)
def test_fifteen_begins_at_midnight_in_helsinki_in_summer(moment: datetime, needed: bool) -> None:
    assert consent_needed(date(2011, 6, 10), helsinki_day(moment), child_form()) is needed


def test_consent_on_paper_is_not_waited_for() -> None:
    form = child_form()
    assert consent_needed(CHILD, TODAY, form)
    form.paper_consent.guardian_name = "Kerttu Huoltaja"
    assert not consent_needed(CHILD, TODAY, form)
