"""Every form, sent with what nobody types: each answer is a page that says so, and nothing of it runs."""

import re
from collections.abc import Mapping

import pytest

from frontends.web.app import PAGES
from frontends.web.pages import Page, Who
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT
from tests.conftest import Amount
from tests.support.http_client import http_client
from tests.support.registration_forms import paper_consent
from tests.support.web_visitor import HtmlForm, Visitor
from tests.system.conftest import Api
from tests.system.support.registering import pupil, reaches, save

SCRIPT = "<script>alert(1)</script>"
TYPED = (
    "",
    " \u200b\u3164 ",
    "nul\0in the middle \u202e of\u2066 it",
    SCRIPT + "\"><img src=x onerror=alert(1)>{{ 7 * 7 }}%s%n'; DROP TABLE customers; --",
    "31.2.2027",
    "9" * 30,
    "https://elsewhere.example/../../etc/passwd",
    "\U0001f600e\u0301" * 300,
)
"""Typed into the fields of a form, in turns: each field gets another text in each round."""

SHARED = ("/log-in", "/log-out", "/lost-password", "/book-tips")
"""What they change or count is shared with other tests."""


HIDDEN = {"form_token", "request_id", "etag", "original", "link", "known"}
NAMES = ("choice", "sure", "text", "link", "known", "request_id", "etag", "original", "birth_date", "role")
"""Fields of forms that only another page leads to."""


@pytest.fixture(scope="module")
async def names(api: Api) -> Mapping[str, str]:
    """A registration that waits, and a customer."""
    waiting, grown = pupil(), pupil()
    grown.form.paper_consent.CopyFrom(paper_consent())
    first, second = await save(api.teacher, waiting), await save(api.teacher, grown)
    customer = (await reaches(api.teacher, second.name, STAGE_CREDENTIALS_SENT)).customer
    return {"registrations/{registration}": first.name, "customers/{customer}": customer}


@pytest.fixture
async def visitors(stranger: Visitor, teacher: Visitor, staff: Visitor) -> Mapping[Who, Visitor]:
    """Who may enter, by the page's rule."""
    return {
        Who.ANYBODY: stranger,
        Who.ACCOUNT: teacher,
        Who.REGISTRAR: teacher,
        Who.MAIN_USER: teacher,
        Who.CUSTOMER_SERVICE: staff,
    }


def address(page: Page, names: Mapping[str, str]) -> str:
    path = page.path
    for ending, name in names.items():
        path = path.replace(f"units/{{unit}}/{ending}", name)
    return re.sub(r"\{\w+\}", "0123456789abcdef", path)


def filled(form: HtmlForm, turn: int) -> dict[str, str]:
    """The form with a text in every field that is not hidden from people."""
    kept = HIDDEN if form.id else {"form_token"}
    fields = sorted((form.fields.keys() | form.choices.keys()) - kept)
    return form.fields | {field: TYPED[(turn + place) % len(TYPED)] for place, field in enumerate(fields)}


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.send and not page.path.startswith(SHARED)],
    ids=lambda page: page.path,
)
async def test_whatever_is_typed_is_answered_by_a_page(
    visitors: Mapping[Who, Visitor], names: Mapping[str, str], amount: Amount, page: Page
) -> None:
    visitor, path = visitors[page.who], address(page, names)
    shown = await visitor.get(path) if page.show else None
    form = next((form for form in shown.forms if form.action == path), None) if shown else None
    if form is None:
        # What else is shown first, or by a link alone: the address is tried all the same.
        token = (await visitor.get("/reading")).form.fields["form_token"]
        form = HtmlForm(path, "post", "", {"form_token": token} | dict.fromkeys(NAMES, ""))
    # Pages with one field get other texts than their neighbours in the list.
    first = PAGES.index(page)
    for turn in range(first, first + amount(3, long=len(TYPED))):
        sent = filled(form, turn)
        seen = await visitor.post(path, sent)
        assert seen.status < 500, (sent, seen.status, seen.text[:300])
        assert "<h1" in seen.html
        assert SCRIPT not in seen.html
        assert "onerror=alert(1)>" not in seen.html
        assert not any(text.strip() and text[:40].strip() in seen.url for text in TYPED)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe=%ff%fe&form_token=%00",
        b"&" * 5000,
        b"&".join(b"a=1" for _ in range(5000)),
        b"a" * 100_000,
        b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1',
        b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n",
    ],
    ids=["no text", "separators", "many fields", "one long name", "a part without an end", "without a name"],
)
@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""])
async def test_a_body_that_is_no_form_is_refused(web: str, kind: str, body: bytes) -> None:
    headers = {"Sec-Fetch-Site": "same-origin"} | ({"Content-Type": kind} if kind else {})
    async with http_client() as http:
        for path in ("/log-in", "/consent", "/language/fi"):
            answer = await http.post(web + path, content=body, headers=headers)
            assert answer.status_code in {200, 400, 403, 405, 413, 422}, answer.text


async def test_a_forwarded_address_that_is_none_is_no_fault(web: str) -> None:
    async with Visitor(web) as visitor:
        page = await visitor.get("/log-in")
        typed = {"email": "nobody@library.example", "password": "wrong"}  # pragma: allowlist secret
        headers = {"Sec-Fetch-Site": "same-origin", "X-Forwarded-For": "1\t2"}
        assert (await visitor.post("/log-in", page.form.fields | typed, headers)).status == 422
