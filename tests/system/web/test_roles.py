"""Every address and every role, from the one table of pages: who enters, and that nobody else does."""

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import pytest
from starlette.routing import Route
from tink import aead, new_keyset_handle

from deploy.local.stack import Stack
from frontends.web.app import PAGES, create_app
from frontends.web.config import WebConfig
from frontends.web.pages import Page, Who
from frontends.web.sealing import Seal
from tests.support.web_visitor import HtmlForm, Seen, Visitor
from tests.system.conftest import Api
from tests.system.support.accounts import TestAccount, new_account
from tests.system.support.public_api_facts import Facts

NOT_FOR_THE_ACCOUNT = "This page is not for your account – Liity"
FROM_ELSEWHERE = (
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    {"Origin": "null"},
    {"Origin": "https://thief.example"},
)
"""What a browser says of a form that another page has sent."""

BAIT = {
    "act": "save",
    "choice": "accept",
    "sure": "yes",
    "mine": "yes",
    "text": "Bait",
    "answer": "Bait",
    "reason": "Bait",
    "display_name": "Bait",
    "guardian_name": "Bait",
    "first_names": "Bait",
    "email": "bait@posti.example",
    "birth_date": "1.2.1990",
    "role": "ROLE_MAIN_USER",
}
"""Typed by those who may not: enough for many a page to act."""


@dataclass(frozen=True)
class Role:
    """Somebody at a browser, and whose pages are theirs."""

    visitor: Visitor
    enters: frozenset[Who]


@pytest.fixture
async def nobodys(stack: Stack, web: str) -> AsyncIterator[Visitor]:
    """Somebody whose account belongs to no unit."""
    account: TestAccount = await new_account(stack)
    async with Visitor(web) as visitor:
        await visitor.log_in(account.email, account.password)
        yield visitor


@pytest.fixture
def roles(
    stranger: Visitor, nobodys: Visitor, registrar: Visitor, teacher: Visitor, staff: Visitor
) -> Mapping[str, Role]:
    """The registrar is of another unit than the facts below."""
    everybodys = {Who.ANYBODY, Who.ACCOUNT}
    return {
        "stranger": Role(stranger, frozenset({Who.ANYBODY})),
        "nobodys": Role(nobodys, frozenset(everybodys)),
        "registrar": Role(registrar, frozenset(everybodys | {Who.REGISTRAR})),
        "main user": Role(teacher, frozenset(everybodys | {Who.REGISTRAR, Who.MAIN_USER})),
        "staff": Role(staff, frozenset(everybodys | {Who.CUSTOMER_SERVICE})),
    }


def address(page: Page, facts: Facts | None) -> str:
    """The page's address, of things that are there, if given some."""
    path = page.path
    if facts is not None:
        for place, name in (
            ("/units/{unit}/registrations/{registration}", facts.waiting.name),
            ("/units/{unit}/customers/{customer}", facts.customer.name),
            ("/units/{unit}/messages/{message}", facts.message.name),
            ("/units/{unit}", facts.school),
            ("/work/{item}", f"work/{facts.work_item.rpartition('/')[2]}"),
        ):
            path = path.replace(place, f"/{name}")
    path = path.replace("{rest:path}", "/notthere")
    return re.sub(r"\{\w+\}", "notthere", path)


async def token_of(visitor: Visitor) -> str:
    return (await visitor.get("/reading")).form.fields["form_token"]


async def test_every_address_is_in_the_table() -> None:
    config = WebConfig("https://liity.example", "127.0.0.1:1", None, "", "")
    app, api = create_app(config, Seal(new_keyset_handle(aead.aead_key_templates.AES256_GCM)))
    await api.close()
    routes = {route.path: route.methods for route in app.routes if isinstance(route, Route)}
    assert len(routes) == len(app.routes)
    others = {path for path in routes if not path.startswith("/static/")} - {page.path for page in PAGES}
    assert others == {"/healthz"}
    sent = {page.path for page in PAGES if page.send}
    assert {path for path, methods in routes.items() if methods != {"GET", "HEAD"}} == sent
    assert {frozenset(routes[path] or ()) for path in sent} == {frozenset({"GET", "HEAD", "POST"})}


@pytest.mark.parametrize("name", ["stranger", "nobodys", "registrar", "main user", "staff"])
async def test_who_may_not_enter_is_told_so_and_does_nothing(
    roles: Mapping[str, Role], facts: Facts, nothing_stored: None, name: str
) -> None:
    role = roles[name]
    typed = BAIT | {"form_token": await token_of(role.visitor)}
    wrong = []
    for page in PAGES:
        path = address(page, facts)
        answers = [await role.visitor.get(path)]
        if page.send and page.who not in role.enters:
            answers.append(await role.visitor.post(path, typed))
        elif page.send and page.path != "/log-out":
            # Whoever may enter has typed nothing that could be done.
            empty = {"form_token": typed["form_token"]}
            answers.append(await role.visitor.post(address(page, None), empty))
        wrong += [
            (page.path, seen.status, seen.title)
            for seen in answers
            if not is_right(seen, page, role, is_stranger=name == "stranger")
        ]
    assert wrong == []


def is_right(seen: Seen, page: Page, role: Role, *, is_stranger: bool) -> bool:
    """Whether an answer is that for the role."""
    if page.who in role.enters:
        return seen.status < 500 and seen.status != 401 and seen.title != NOT_FOR_THE_ACCOUNT
    if is_stranger:
        return seen.status == 401 and "password" in seen.form.fields
    return (seen.status, seen.title) == (403, NOT_FOR_THE_ACCOUNT)


async def test_nobody_enters_what_is_of_another_unit(
    registrar: Visitor, facts: Facts, nothing_stored: None
) -> None:
    typed = BAIT | {"form_token": await token_of(registrar)}
    wrong, of_units = [], [page for page in PAGES if page.who is Who.ACCOUNT and "{unit}" in page.path]
    names = (facts.child.form.first_names, facts.customer.form.last_name, facts.message.reference)
    for page in of_units:
        path = address(page, facts)
        for seen in [
            await registrar.get(path),
            *([await registrar.post(path, typed)] if page.send else []),
        ]:
            if page.show is None and seen.path in {"/", "/home"}:
                continue
            if seen.status not in {403, 404} or any(name in seen.html for name in names):
                wrong.append((page.path, seen.status, seen.title))
    assert len(of_units) > 10
    assert wrong == []


async def test_a_form_that_another_page_sends_does_nothing_for_who_is_logged_in(
    roles: Mapping[str, Role], facts: Facts, nothing_stored: None
) -> None:
    """Also with a form token that is right: a copied one helps nobody."""
    whose = {Who.CUSTOMER_SERVICE: "staff", Who.ANYBODY: "stranger"}
    tokens = {name: await token_of(role.visitor) for name, role in roles.items()}
    wrong = []
    for page in (page for page in PAGES if page.send):
        name = whose.get(page.who, "main user")
        path = address(page, facts)
        for headers in FROM_ELSEWHERE:
            typed = BAIT | {"form_token": tokens[name]}
            seen = await roles[name].visitor.post(path, typed, headers)
            offered = any("Bait" in form.fields.values() for form in seen.forms)
            if (seen.status, seen.title, offered) != (403, "This came from another site – Liity", False):
                wrong.append((page.path, headers, seen.status, seen.title))
    assert wrong == []


async def test_a_form_without_a_right_token_does_nothing_and_keeps_what_was_typed(
    roles: Mapping[str, Role], facts: Facts, nothing_stored: None
) -> None:
    """Missing, made up, and of another browser; with and without what browsers say of a form."""
    whose = {Who.CUSTOMER_SERVICE: "staff", Who.ANYBODY: "stranger"}
    of_another = await token_of(roles["registrar"].visitor)
    secret = "Salaisuus123"  # pragma: allowlist secret
    wrong = []
    for page in (page for page in PAGES if page.send and not (page.changes_nothing or page.is_of_nobody)):
        visitor = roles[whose.get(page.who, "main user")].visitor
        path = address(page, facts)
        for token in ({}, {"form_token": "made up"}, {"form_token": of_another}):
            for headers in ({}, {"Sec-Fetch-Site": "same-origin"}):
                seen = await visitor.post(path, BAIT | token | {"password": secret}, headers)
                kept = next((form.fields for form in seen.forms if form.action == path), {})
                is_kept = {name: kept.get(name) for name in BAIT} == BAIT and secret not in seen.html
                if (seen.status, is_kept) != (403, True):
                    wrong.append((page.path, seen.status, seen.title))
    assert wrong == []


async def test_in_every_flow_a_session_that_ends_loses_nothing(
    teacher: Visitor, staff: Visitor, api: Api, accounts: Mapping[str, TestAccount], facts: Facts
) -> None:
    """Whatever was sent comes back after the log-in, at the page that it was sent to."""
    wrong = []
    for visitor, key, own in (
        (teacher, "teacher", {Who.ACCOUNT, Who.REGISTRAR, Who.MAIN_USER}),
        (staff, "staff", {Who.CUSTOMER_SERVICE}),
    ):
        account = accounts[key]
        for page in (page for page in PAGES if page.send and page.who in own):
            path = address(page, facts)
            token = await token_of(visitor)
            visitor.forget("liity-session")
            asked = await visitor.post(path, BAIT | {"form_token": token})
            back = await visitor.send(asked.form, {"email": account.email, "password": account.password})
            again = next((form for form in back.forms if form.action == path), HtmlForm("", "", ""))
            if {name: again.fields.get(name) for name in BAIT} != BAIT:
                wrong.append((page.path, asked.status, back.title))
    assert wrong == []
