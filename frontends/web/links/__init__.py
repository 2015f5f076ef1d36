"""Pages that mailed links open: the token is all that is asked for, and only a choice changes anything."""

from frontends.web.links import confirm_email, consent, customership, own_data, passwords
from frontends.web.links.opening import opening_pages
from frontends.web.pages import Page

PAGES: tuple[Page, ...] = (
    *consent.PAGES,
    *customership.PAGES,
    *own_data.PAGES,
    *passwords.PAGES,
    *confirm_email.PAGES,
    *opening_pages("consent", "customership", "password", "account-password", "invitation", "email"),
)
