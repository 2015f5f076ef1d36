"""The unit's customers: search, read, edit, credentials, end (R14 to R17, R19)."""

from frontends.web.customers import one, search
from frontends.web.pages import Page, Who

_ONE = "/units/{unit}/customers/{customer}"

PAGES: tuple[Page, ...] = (
    Page("/customers", Who.REGISTRAR, show=search.show, send=search.search),
    Page(_ONE, Who.ACCOUNT, show=one.show),
    Page(f"{_ONE}/edit", Who.ACCOUNT, show=one.show_form, send=one.update),
    Page(f"{_ONE}/credentials", Who.ACCOUNT, show=one.show_credentials, send=one.send_credentials),
    Page(f"{_ONE}/end", Who.ACCOUNT, show=one.ask_to_end, send=one.end),
)
