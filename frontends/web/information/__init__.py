"""Pages in the footer: help, the accessibility statement, privacy, and the reader's own settings."""

from frontends.web.information import reading, static
from frontends.web.pages import Page, Who

PAGES: tuple[Page, ...] = (
    Page("/help", Who.ANYBODY, show=static.page("help")),
    Page("/accessibility", Who.ANYBODY, show=static.accessibility),
    Page("/privacy", Who.ANYBODY, show=static.page("privacy")),
    Page("/parts", Who.ANYBODY, show=static.parts),
    Page("/reading", Who.ANYBODY, show=reading.show, send=reading.change),
    Page("/language/{language}", Who.ANYBODY, show=reading.choose_language),
)
