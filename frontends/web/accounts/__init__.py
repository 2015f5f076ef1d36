"""Pages of an account: log in and out, a lost password, the unit, the home page."""

from frontends.web.accounts import home, log_in
from frontends.web.pages import Page, Who

PAGES: tuple[Page, ...] = (
    Page("/", Who.ANYBODY, show=home.front),
    Page("/home", Who.ACCOUNT, show=home.show),
    Page("/unit", Who.ACCOUNT, show=home.show_units, send=home.choose_unit),
    Page("/log-in", Who.ANYBODY, show=log_in.show, send=log_in.log_in),
    Page("/log-out", Who.ANYBODY, send=log_in.log_out),
    Page("/lost-password", Who.ANYBODY, show=log_in.show_lost, send=log_in.order),
    Page("/new-link", Who.ANYBODY, show=log_in.show_new_link, send=log_in.order_link),
)
