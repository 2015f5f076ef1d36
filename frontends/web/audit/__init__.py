"""The log of use and what looks suspicious in it (R36)."""

from frontends.web.audit import suspicions, uses
from frontends.web.pages import Page, Who

PAGES: tuple[Page, ...] = (
    Page("/log", Who.CUSTOMER_SERVICE, show=uses.show, send=uses.search),
    Page("/log/suspicions", Who.CUSTOMER_SERVICE, show=suspicions.show),
)
