"""Feedback on accessibility, which customer service answers; and the question how a task went."""

from frontends.web.feedback import answering, satisfaction, sending
from frontends.web.pages import Page, Who

_FEEDBACK = "/feedback/{feedback}"

PAGES: tuple[Page, ...] = (
    Page("/feedback", Who.ANYBODY, show=sending.show, send=sending.send, is_of_nobody=True),
    Page("/how-was-it", Who.ANYBODY, show=satisfaction.show_thanks),
    Page("/how-was-it/{task}", Who.ANYBODY, show=satisfaction.show, send=satisfaction.send),
    Page(f"{_FEEDBACK}/answer", Who.CUSTOMER_SERVICE, show=answering.show, send=answering.answer),
    Page(f"{_FEEDBACK}/answered", Who.CUSTOMER_SERVICE, show=answering.show_answered),
)
