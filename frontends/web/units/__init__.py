"""Units and their registrars: of main users, of their own unit; of customer service, of all (R1, R2, R9)."""

from frontends.web.pages import Page, Who
from frontends.web.units import closing, invite, registrars, staff

_STAFF = Who.CUSTOMER_SERVICE
_ONE = "/units/{unit}"
_REGISTRAR = "/units/{unit}/registrars/{registrar}"

PAGES: tuple[Page, ...] = (
    Page("/registrars", Who.MAIN_USER, show=registrars.show),
    Page("/registrars/invite", Who.MAIN_USER, show=invite.show, send=invite.send),
    Page(
        "/registrars/{registrar}/remove",
        Who.MAIN_USER,
        show=registrars.ask_to_remove,
        send=registrars.remove,
    ),
    Page("/units", _STAFF, show=staff.show_list, send=staff.search),
    # Before the units, whose addresses are like it.
    Page("/units/new", _STAFF, show=staff.show_new, send=staff.create),
    Page(_ONE, _STAFF, show=staff.show),
    Page(f"{_ONE}/rename", _STAFF, show=staff.show_rename, send=staff.rename),
    Page(f"{_ONE}/close", _STAFF, show=closing.show, send=closing.close),
    Page(f"{_ONE}/invite", _STAFF, show=staff.show_invite, send=staff.invite),
    Page(f"{_REGISTRAR}/role", _STAFF, show=staff.show_role, send=staff.set_role),
    Page(f"{_REGISTRAR}/remove", _STAFF, show=staff.ask_to_remove, send=staff.remove),
)
