"""Class lists: many customers at once from a file."""

from frontends.web.class_lists import columns, listing, one, upload
from frontends.web.pages import Page, Who

_ONE = "/units/{unit}/classLists/{class_list}"

PAGES: tuple[Page, ...] = (
    Page("/class-lists", Who.REGISTRAR, show=listing.show),
    Page("/class-lists/columns", Who.REGISTRAR, show=columns.show),
    Page("/class-lists/template/{format}", Who.REGISTRAR, show=columns.download),
    Page("/class-lists/new", Who.REGISTRAR, show=upload.show, send=upload.send, holds_file=True),
    Page(_ONE, Who.ACCOUNT, show=one.show),
    Page(f"{_ONE}/result", Who.ACCOUNT, show=one.download),
    Page(f"{_ONE}/cancel", Who.ACCOUNT, show=one.ask_to_cancel, send=one.cancel),
)
