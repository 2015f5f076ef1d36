"""How long the data of an ended customership is kept, and when it is erased: one day a year for all (R20)."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.runtime.clock import helsinki_day, helsinki_moment


@dataclass(frozen=True)
class Retention:
    """How long it is kept."""

    month: int
    day: int
    """The yearly day, in Helsinki."""
    years: int
    years_if_lent: int
    override: timedelta | None = None
    """So long after the end instead, to the second: for demonstrations."""

    def erase_time(self, ended: datetime, *, lent: bool) -> datetime:
        """When the data is erased: as the first yearly day begins on which the full years are over."""
        if self.override is not None:
            return ended + self.override
        kept_until = _years_later(helsinki_day(ended), self.years_if_lent if lent else self.years)
        erasure = date(kept_until.year, self.month, self.day)
        if erasure < kept_until:
            erasure = erasure.replace(year=erasure.year + 1)
        return helsinki_moment(erasure)


def _years_later(day: date, years: int) -> date:
    """The same day so many years later; of a leap day, the one after."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)
