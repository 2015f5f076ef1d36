"""A main user's unit: its registrars and open invitations (R1, R2, R9)."""

from frontends.web.pages import Page, Who
from frontends.web.units import invite, registrars

PAGES: tuple[Page, ...] = (
    Page("/registrars", Who.MAIN_USER, show=registrars.show),
    Page("/registrars/invite", Who.MAIN_USER, show=invite.show, send=invite.send),
    Page(
        "/units/{unit}/registrars/{registrar}/remove",
        Who.MAIN_USER,
        show=registrars.ask_to_remove,
        send=registrars.remove,
    ),
)
