"""Working days in Finland. Apart from `clock.py`: the table of holidays costs a start a tenth of a second."""

from datetime import date, datetime, timedelta

from holidays import country_holidays

from services.runtime.clock import helsinki_day, helsinki_moment

_SATURDAY = 5

_HOLIDAYS = country_holidays("FI")
"""Finland's public holidays, Midsummer Eve and Christmas Eve included; years are computed on demand."""


def is_working_day(day: date) -> bool:
    """Whether a day is neither a Saturday, nor a Sunday, nor a public holiday in Finland (R46)."""
    return day.weekday() < _SATURDAY and day not in _HOLIDAYS


def working_days_later(moment: datetime, days: int) -> datetime:
    """The end of the day that many working days later in Helsinki (R44, R46)."""
    day = helsinki_day(moment)
    while days:
        day += timedelta(days=1)
        days -= is_working_day(day)
    return helsinki_moment(day + timedelta(days=1))
