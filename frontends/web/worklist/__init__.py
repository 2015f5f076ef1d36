"""Customer service's work list: what waits, the decisions on it, and the messages of units."""

from frontends.web.pages import Page, Who
from frontends.web.worklist import decisions, finding, items, messages

_ITEM = "/work/{item}"
_REGISTRATION = "/units/{unit}/registrations/{registration}"
_MESSAGE = "/units/{unit}/messages/{message}"
_STAFF = Who.CUSTOMER_SERVICE

PAGES: tuple[Page, ...] = (
    Page("/work", _STAFF, show=items.show_list),
    # Before the items, whose addresses are like it.
    Page("/work/dismissed", _STAFF, show=items.show_dismissed),
    Page("/work/find", _STAFF, show=finding.show, send=finding.find),
    Page(_ITEM, _STAFF, show=items.show),
    Page(f"{_ITEM}/claim", _STAFF, send=items.claim),
    Page(f"{_ITEM}/release", _STAFF, send=items.release),
    Page(f"{_ITEM}/dismiss", _STAFF, show=items.ask_to_dismiss, send=items.dismiss),
    Page(f"{_ITEM}/dissent", _STAFF, show=items.ask_to_acknowledge, send=items.acknowledge),
    Page(f"{_REGISTRATION}/verify", _STAFF, show=decisions.ask_to_verify, send=decisions.verify),
    Page(f"{_REGISTRATION}/reactivate", _STAFF, show=decisions.ask_to_reactivate, send=decisions.reactivate),
    Page(f"{_REGISTRATION}/link", _STAFF, show=decisions.show_link, send=decisions.link),
    Page(f"{_REGISTRATION}/reject", _STAFF, show=decisions.show_reject, send=decisions.reject),
    Page(f"{_REGISTRATION}/decided", _STAFF, show=decisions.show_decided),
    Page(f"{_MESSAGE}/answer", _STAFF, show=messages.show, send=messages.answer),
    Page(f"{_MESSAGE}/answered", _STAFF, show=messages.show_answered),
)
