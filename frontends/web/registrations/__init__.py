"""A registrar's way through a registration: check, form, Save, and what comes after (R10 to R14)."""

from frontends.web.pages import Page, Who
from frontends.web.registrations import check, listing, one, register

PAGES: tuple[Page, ...] = (
    Page("/register", Who.REGISTRAR, show=check.show, send=check.check),
    Page("/register/form", Who.REGISTRAR, send=register.form),
    Page("/register/save", Who.REGISTRAR, send=register.save),
    Page("/registrations", Who.REGISTRAR, show=listing.show),
    Page("/units/{unit}/registrations/{registration}", Who.ACCOUNT, show=one.show),
    Page("/units/{unit}/registrations/{registration}/saved", Who.ACCOUNT, show=one.show_saved),
    Page(
        "/units/{unit}/registrations/{registration}/consent",
        Who.ACCOUNT,
        show=one.show_consent,
        send=one.record_consent,
    ),
    Page("/units/{unit}/registrations/{registration}/consent-form", Who.ACCOUNT, show=one.show_consent_form),
    Page("/units/{unit}/registrations/{registration}/remind", Who.ACCOUNT, send=one.remind),
    Page(
        "/units/{unit}/registrations/{registration}/withdraw",
        Who.ACCOUNT,
        show=one.ask_to_withdraw,
        send=one.withdraw,
    ),
    Page(
        "/units/{unit}/registrations/{registration}/edit",
        Who.ACCOUNT,
        show=one.show_form,
        send=one.update,
    ),
)
