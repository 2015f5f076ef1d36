"""The unit's customers: search, read, edit, credentials, end (R14 to R17, R19)."""

from frontends.web.customers import merge_undo, one, protected, search, staff
from frontends.web.pages import Page, Who

_ONE = "/units/{unit}/customers/{customer}"
_REGISTRATION = "/units/{unit}/registrations/{registration}"
_STAFF = Who.CUSTOMER_SERVICE

PAGES: tuple[Page, ...] = (
    Page("/customers", Who.REGISTRAR, show=search.show, send=search.search),
    Page("/units/{unit}/customers", _STAFF, show=search.show, send=search.search),
    Page("/people", _STAFF, show=search.show, send=search.search),
    # Before the customers, whose addresses are like it.
    Page("/units/{unit}/customers/by-code", _STAFF, send=staff.find_by_code),
    Page(_ONE, Who.ACCOUNT, show=one.show),
    Page(f"{_ONE}/edit", Who.ACCOUNT, show=one.show_form, send=one.update),
    Page(f"{_ONE}/credentials", Who.ACCOUNT, show=one.show_credentials, send=one.send_credentials),
    Page(f"{_ONE}/end", Who.ACCOUNT, show=one.ask_to_end, send=one.end),
    Page(f"{_ONE}/code", _STAFF, show=staff.show_code, send=staff.set_code),
    Page(f"{_ONE}/birth-date", _STAFF, show=staff.show_birth_date, send=staff.correct_birth_date),
    Page(f"{_REGISTRATION}/birth-date", _STAFF, show=staff.show_birth_date, send=staff.correct_birth_date),
    Page(f"{_ONE}/merge", _STAFF, show=staff.show_merge, send=staff.merge),
    Page(f"{_ONE}/undo-merge", _STAFF, show=merge_undo.ask, send=merge_undo.undo),
    Page(f"{_ONE}/online", _STAFF, show=staff.show_online, send=staff.convert),
    Page(f"{_ONE}/undo", _STAFF, show=staff.ask_to_undo, send=staff.undo),
    Page(f"{_ONE}/protection", _STAFF, show=protected.ask, send=protected.change),
    Page("/protected", _STAFF, show=protected.show, send=protected.read),
    Page("/protected/transfer", _STAFF, send=protected.transfer),
    Page(f"{_ONE}/done/{{what}}", _STAFF, show=staff.show_done),
)
