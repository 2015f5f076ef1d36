"""The book tips of the welcome mail (R28)."""

from frontends.web.book_tips import tips
from frontends.web.pages import Page, Who

PAGES: tuple[Page, ...] = (
    Page("/book-tips", Who.CUSTOMER_SERVICE, show=tips.show_languages),
    Page("/book-tips/{language}", Who.CUSTOMER_SERVICE, show=tips.show),
    Page("/book-tips/{language}/edit", Who.CUSTOMER_SERVICE, show=tips.show_form, send=tips.edit),
)
