"""The worst scanner of mail there is: it opens every link, runs the scripts, and presses every button."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page

from deploy.local.stack import Stack
from frontends.web.app import PAGES
from liity.notification.v1.notification_service_pb2 import SendMessageRequest
from liity.v1.customer_form_pb2 import LANGUAGE_EN
from services.notification.mail.rendering import render
from services.runtime.settings import RuntimeSettings
from tests.support.mail_contents import CONTENTS, TIPS, TOKEN
from tests.support.web_visitor import Visitor
from tests.system.browser.conftest import OpenPage
from tests.system.conftest import Api
from tests.system.support.accounts import new_account
from tests.system.support.public_api import Stores, changes
from tests.system.support.public_api_facts import Facts, customership_link
from tests.system.units.test_units import invite, token_mailed_to

SITE = "https://liity.example"
OPEN = {"", "/privacy", "/new-link", "/work", "/work/ITEM"}
"""What mails lead to besides the pages of a token; customer service logs in for its work."""

_BUTTONS = "button, input[type=submit], input[type=image]"
_LINKS = "() => [...document.querySelectorAll('a[href]')].map((one) => one.href)"


def kinds_of_links() -> set[str]:
    """The addresses of ours that stand in any mail, without their tokens."""
    settings = RuntimeSettings(
        keys_dir=Path("unused"), web_url=f"{SITE}/", customer_service_url="https://elsewhere.example/"
    )
    found: set[str] = set()
    for content in CONTENTS:
        mail = render(SendMessageRequest(language=LANGUAGE_EN, **content), settings, TIPS)
        for text in (mail.text, mail.html):
            found |= set(re.findall(rf"{re.escape(SITE)}([^\s\"'<>)]*)", text))
    known = {TOKEN: "TOKEN", r"(?<=/work/)[\w-]+": "ITEM"}
    for pattern, name in known.items():
        found = {re.sub(rf"{pattern}$", name, path).rstrip("/") for path in found}
    return found


def steps_of(address: str) -> list[str]:
    """The further pages of an opened link, which no link leads to: a robot may guess them."""
    opened = re.match(r"(.*/([a-z-]+)/open/[\w-]+)$", address)
    if opened is None:
        return []
    start = f"/{opened[2]}/open/{{handle}}/"
    return [
        f"{opened[1]}/{page.path.removeprefix(start)}"
        for page in PAGES
        if page.show and page.path.startswith(start)
    ]


@dataclass
class Robot:
    """Follows every link of our pages, and presses every button of theirs as it stands there."""

    page: Page
    base: str
    pressed: int = 0
    seen: set[str] = field(default_factory=set)

    async def scan(self, *paths: str) -> None:
        """Opens addresses, and all that they lead to."""
        waiting = [f"{self.base}{path}" for path in paths]
        while waiting:
            address = waiting.pop()
            await self.page.goto(address)
            here = self.page.url
            if here not in self.seen and here.startswith(self.base):
                self.seen |= {here, address}
                waiting += [*await self._led_to(), *steps_of(here), *await self._act(here)]

    async def _act(self, here: str) -> Sequence[str]:
        """Presses each button, and sends each form without one. Where that leads."""
        is_of_link = "/open/" in here
        # Of the pages for everybody, the footer's and the like, the language needs no second try.
        buttons = self.page.locator(_BUTTONS if is_of_link else f"main :is({_BUTTONS})")
        forms = self.page.locator("form")
        acts = [(buttons, number, "(one) => one.click()") for number in range(await buttons.count())]
        if is_of_link:
            acts += [(forms, number, "(one) => one.submit()") for number in range(await forms.count())]
        led_to: list[str] = []
        for targets, number, act in acts:
            if self.page.url != here or led_to:
                await self.page.goto(here)
            target = targets.nth(number)
            self.pressed += 1
            if await target.get_attribute("type") == "button":
                await target.evaluate(act)
                continue
            async with self.page.expect_navigation():
                await target.evaluate(act)
            led_to += await self._led_to()
        return led_to

    async def _led_to(self) -> Sequence[str]:
        found: list[str] = await self.page.evaluate(_LINKS)
        ours = [link.partition("#")[0] for link in (*found, self.page.url) if link.startswith(self.base)]
        # The way back to a page in another language is each page's own.
        return [link for link in ours if link not in self.seen and "/language/" not in link]


@pytest.fixture
async def mailed(stack: Stack, api: Api, facts: Facts) -> dict[str, list[str]]:
    """Links of every kind, by the kind: such that could do something first, then old ones."""
    account = await new_account(stack)
    await invite(api.staff, facts.library, account.email)
    joining = await token_mailed_to(stack, account.email)
    return {
        "/consent": [facts.consent.good, facts.consent.used, facts.consent.expired, facts.consent.void],
        "/password": [facts.password.good, facts.password.used],
        "/account-password": [facts.account_password.good, facts.account_password.expired],
        "/email": [facts.email.good, facts.email.used],
        "/customership": [await customership_link(stack, facts.active.name), facts.customership.expired],
        "/invitation": [facts.invitation.good, joining, facts.invitation.void],
    }


async def test_no_mail_has_a_link_that_the_robot_does_not_know(mailed: dict[str, list[str]]) -> None:
    assert kinds_of_links() == OPEN | {f"{kind}/TOKEN" for kind in mailed}


async def test_nothing_happens_without_a_choice(
    open_page: OpenPage, web: str, stack: Stack, stores: Stores, mailed: dict[str, list[str]]
) -> None:
    """HEAD, GET, then a browser with scripts that presses everything: state and mail stay as they were."""
    links = [f"{kind}/{token}" for kind, tokens in mailed.items() for token in tokens]
    before, mails = await stores.contents(), letters(stack)
    titles = {}
    async with Visitor(web, keeps_cookies=False) as scanner:
        for link in links:
            assert (await scanner.get(link, "HEAD")).status in {200, 410}
            await scanner.get(link)
    async with Visitor(web) as reader:
        for link in links:
            titles[link] = (await reader.get(link)).title
    async with open_page() as page:
        robot = Robot(page, web)
        await robot.scan(*(path or "/" for path in OPEN), *links)
    opened = {urlsplit(address).path.rpartition("/")[2] for address in robot.seen}
    further = {"decline", "withdraw", "end", "extended", "own"}
    assert further | {"feedback", "new-link", "lost-password"} <= opened
    assert robot.pressed > 3 * len(links)
    assert changes(before, await stores.contents(changed_since=True)) == {}
    assert letters(stack) == mails
    async with Visitor(web) as reader:
        assert {link: (await reader.get(link)).title for link in links} == titles


def letters(stack: Stack) -> set[str]:
    """The mails that have been sent."""
    return {path.name for path in (stack.folder / "mail").glob("*.eml")}
