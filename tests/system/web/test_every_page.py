"""What holds for every page: who enters, what a form must bring, and what every answer has."""

import re
from pathlib import Path

import pytest

import frontends.web
from frontends.web.app import PAGES
from frontends.web.pages import Page, Who
from tests.support.web_visitor import Visitor

SHOWN = [page for page in PAGES if page.show is not None]
SENT = [page for page in PAGES if page.send is not None]

OPEN = {
    "/",
    "/log-in",
    "/log-out",
    "/lost-password",
    "/new-link",
    "/accessibility",
    "/privacy",
    "/parts",
    "/reading",
    "/feedback",
    "/help",
    "/how-was-it",
    "/how-was-it/{task}",
    "/language/{language}",
}
LINKS = ("/consent", "/customership", "/password", "/account-password", "/invitation", "/email")


def address(page: Page) -> str:
    """An address of the page, of things that are not there."""
    if page.path.endswith("{rest:path}"):
        return page.path.replace("{rest:path}", "/notoken")
    path = page.path.replace("{task}", "registration")
    return re.sub(r"\{(\w+)\}", lambda part: f"no{part[1][:20].replace('_', '')}", path)


def test_what_is_open_to_anybody_is_known() -> None:
    open_pages = {page.path for page in PAGES if page.who is Who.ANYBODY}
    of_links = {path for path in open_pages if path.startswith(LINKS)}
    assert open_pages - of_links == OPEN


def test_what_needs_no_token_opens_links_or_acts_for_nobody() -> None:
    assert {page.path for page in SENT if page.changes_nothing} == set(LINKS)
    assert {page.path for page in SENT if page.is_of_nobody} == {"/feedback"}


def test_no_address_is_there_twice() -> None:
    paths = [page.path for page in PAGES]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.path)
async def test_who_enters(stranger: Visitor, page: Page) -> None:
    seen = await stranger.get(address(page))
    if page.who is Who.ANYBODY:
        assert seen.status in {200, 410}, seen.text
    else:
        assert seen.status == 401
        assert "password" in seen.form.fields


async def test_each_role_enters_its_own_pages(registrar: Visitor, teacher: Visitor, staff: Visitor) -> None:
    """The teacher is a main user, the registrar is not."""
    for page in SHOWN:
        for visitor, own in (
            (registrar, {Who.REGISTRAR}),
            (teacher, {Who.REGISTRAR, Who.MAIN_USER}),
            (staff, {Who.CUSTOMER_SERVICE}),
        ):
            if page.who in {Who.ANYBODY, Who.ACCOUNT} or "{" in page.path:
                continue
            seen = await visitor.get(address(page))
            expected = {200} if page.who in own else {403}
            assert seen.status in expected, (page.path, seen.status)


@pytest.mark.parametrize("page", SENT, ids=lambda page: page.path)
async def test_a_form_from_elsewhere_does_nothing(stranger: Visitor, page: Page) -> None:
    path = address(page)
    for headers in (
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://thief.example"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://thief.example"},
        {"Origin": "null"},
    ):
        seen = await stranger.post(path, {"choice": "accept"}, headers)
        assert seen.status == 403, headers
        assert not any(form.action == path for form in seen.forms)


@pytest.mark.parametrize(
    "page",
    [page for page in SENT if not (page.changes_nothing or page.is_of_nobody)],
    ids=lambda page: page.path,
)
async def test_a_form_without_our_token_is_asked_for_once_more(stranger: Visitor, page: Page) -> None:
    path = address(page)
    for headers in ({}, {"Sec-Fetch-Site": "same-origin"}):
        seen = await stranger.post(
            path, {"what": "was typed", "form_token": "wrong", "password": "x"}, headers
        )
        assert seen.status == 403
        again = seen.form_to(path)
        assert again.fields["what"] == "was typed"
        assert "password" not in again.fields


async def test_every_answer_has_the_headers(stranger: Visitor) -> None:
    for path in ("/", "/nowhere", "/home", "/consent/some-token", "/healthz"):
        seen = await stranger.get(path)
        assert "default-src 'none'" in seen.headers["Content-Security-Policy"]
        assert "unsafe" not in seen.headers["Content-Security-Policy"]
        assert seen.headers["X-Content-Type-Options"] == "nosniff"
        assert seen.headers["Cache-Control"] == "no-store"
        assert "<script>" not in seen.html
        assert "style=" not in seen.html


async def test_an_address_that_is_not_there_is_told(stranger: Visitor) -> None:
    seen = await stranger.get("/nowhere")
    assert (seen.status, seen.title) == (404, "There is no such page – Liity")


async def test_a_body_too_large_is_refused(stranger: Visitor) -> None:
    seen = await stranger.post("/log-in", {"email": "x" * 1_000_000})
    assert seen.status == 413


async def test_the_language_is_changed_only_to_a_page_of_ours(stranger: Visitor) -> None:
    for elsewhere in ("https://thief.example/", "//thief.example", "/\\thief.example", "javascript:alert(1)"):
        seen = await stranger.get(f"/language/sv?to={elsewhere}")
        assert seen.url.startswith(stranger.base)
    assert 'lang="sv"' in (await stranger.get("/help")).html


SHOWN_ELSEWHERE = {
    *("large", "largest", "loose", "serif", "light", "dark"),  # the reader's settings, on the whole page
    *("who", "main-nav"),  # the header of those who are logged in
    *("site-header", "site-footer", "stage-late", "columns", "by", "mail", "told", "inline", "reference"),
}
"""Classes of the style sheet that are tried with the pages that have them."""


async def test_the_page_of_parts_shows_every_part_that_pages_have(stranger: Visitor) -> None:
    templates = Path(frontends.web.__file__).parent / "templates"
    macros = re.split(r"{% macro (\w+)", (templates / "parts.html").read_text("utf-8"))
    bodies = zip(macros[1::2], macros[2::2], strict=True)
    calls = {name: set(re.findall(r"\b(\w+)\(", body)) for name, body in bodies}
    shown = set(re.findall(r"parts\.(\w+)\(", (templates / "information/parts.html").read_text("utf-8")))
    for _ in calls:
        shown |= {called for name in shown & calls.keys() for called in calls[name]}
    assert calls.keys() <= shown
    page = await stranger.get("/parts")
    style = (templates.parent / "static/style.css").read_text("utf-8")
    classes = set(re.findall(r"\.([a-z][a-z-]+)(?=[^{}]*\{)", style)) - SHOWN_ELSEWHERE
    used = set(" ".join(re.findall(r'class="([^"]*)"', page.html)).split())
    assert classes <= used


async def test_pages_are_sound(stranger: Visitor, teacher: Visitor, staff: Visitor) -> None:
    """IDs are unique, headings skip no level, and no two pages share a title."""
    titles: dict[str, str] = {}
    for page in SHOWN:
        if "{" in page.path or page.path in LINKS:
            continue
        visitor = {Who.ANYBODY: stranger, Who.CUSTOMER_SERVICE: staff}.get(page.who, teacher)
        seen = await visitor.get(page.path)
        if seen.path != page.path:
            continue
        assert len(seen.ids) == len(set(seen.ids)), page.path
        assert seen.headings.count(1) == 1, page.path
        ranked = sorted(set(seen.headings))
        assert ranked == list(range(1, len(ranked) + 1)), (page.path, seen.headings)
        assert titles.setdefault(seen.title, page.path) == page.path
        assert len(seen.html) < 50_000, page.path
