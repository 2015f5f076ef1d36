"""Messages of registrars to customer service, and its answers (R12, R25)."""

from frontends.web.messages import listing, one, writing
from frontends.web.pages import Page, Who

_ONE = "/units/{unit}/messages/{message}"

PAGES: tuple[Page, ...] = (
    Page("/messages", Who.REGISTRAR, show=listing.show),
    Page("/messages/new", Who.REGISTRAR, show=writing.show, send=writing.send),
    Page(_ONE, Who.ACCOUNT, show=one.show),
    Page(f"{_ONE}/sent", Who.ACCOUNT, show=one.show_sent),
)
