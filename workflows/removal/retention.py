"""How long the data of an ended customership is kept, and the yearly day of its erasure (R20)."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from services.runtime.clock import helsinki_day, helsinki_moment
from workflows.support.spread import own_share


@dataclass(frozen=True)
class Retention:
    """Length of retention and day of erasure."""

    month: int
    day: int
    """The yearly day, in Helsinki."""
    years: int
    years_if_lent: int
    override: timedelta | None = None
    """Time from the end to the erasure, to the second, instead of the above: for demonstrations."""
    spread: timedelta = timedelta(0)
    """The erasures of the yearly day are spread over this time from its beginning."""

    def erase_time(self, ended: datetime, *, lent: bool) -> datetime:
        """Until when the data is kept: to the first yearly day on or after the end of the full years."""
        if self.override is not None:
            return ended + self.override
        kept_until = _years_later(helsinki_day(ended), self.years_if_lent if lent else self.years)
        erasure = date(kept_until.year, self.month, self.day)
        if erasure < kept_until:
            erasure = erasure.replace(year=erasure.year + 1)
        return helsinki_moment(erasure)

    def spread_of(self, customer_id: str) -> timedelta:
        """How much later than that the customer's data is erased: people are told the day alone (R44)."""
        return timedelta(0) if self.override is not None else own_share(self.spread, customer_id)


def _years_later(day: date, years: int) -> date:
    """The same day that many years later; for 29 February, 1 March if there is no such day."""
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 3, 1)
