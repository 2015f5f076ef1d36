"""Feedback on accessibility: anybody sends it, customer service answers."""

from frontends.web.feedback import answering, sending
from frontends.web.pages import Page, Who

_FEEDBACK = "/feedback/{feedback}"

PAGES: tuple[Page, ...] = (
    Page("/feedback", Who.ANYBODY, show=sending.show, send=sending.send, is_of_nobody=True),
    Page(f"{_FEEDBACK}/answer", Who.CUSTOMER_SERVICE, show=answering.show, send=answering.answer),
    Page(f"{_FEEDBACK}/answered", Who.CUSTOMER_SERVICE, show=answering.show_answered),
)
