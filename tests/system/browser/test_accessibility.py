"""Every kind of page in a real browser: axe, keyboard, reflow, themes and languages."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Browser, Page

from deploy.demo.forms import DemoPerson
from deploy.local.stack import Stack
from frontends.web.app import PAGES
from frontends.web.information.assessment import FILE, Assessment, last
from frontends.web.pages import Who
from liity.v1.class_list_service_pb2 import CLASS_LIST_STATE_CANCELLED
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT
from services.runtime.clock import helsinki_day, now
from tests.system.browser.accessibility import AXE_VERSION, faults, overflow, walk_by_keyboard
from tests.system.browser.conftest import OpenPage
from tests.system.browser.people import People, create_people
from tests.system.browser.trees import RECORD, frame, held, hold, tree
from tests.system.browser.walkers import in_every_form
from tests.system.conftest import Api
from tests.system.support import class_lists
from tests.system.support.public_api_facts import customership_link
from tests.system.support.registering import MailCounter, link_token, pupil, reaches, save
from tests.system.web.test_every_page import LINKS

ACCOUNTS = {
    Who.ANYBODY: "",
    Who.ACCOUNT: "teacher",
    Who.REGISTRAR: "teacher",
    Who.MAIN_USER: "teacher",
    Who.CUSTOMER_SERVICE: "staff",
}

NOT_OPENED = {
    "/class-lists/template/{format}": "a file",
    "/units/{unit}/classLists/{class_list}/result": "a file",
    "/language/{language}": "leads back to the page",
    **dict.fromkeys(
        (f"{name}{{rest:path}}" for name in LINKS), "leads to the page of the link, which is tested itself"
    ),
}
"""Kinds of pages that are not opened here, each with the reason. The accessibility statement counts them."""

OF_THE_WHOLE_SYSTEM = {
    "/home",
    "/work",
    "/work/dismissed",
    "/log",
    "/log/suspicions",
    "/protected",
    "/book-tips",
}
"""Pages of customer service that show what other tests have done, too: their trees are not held."""

PICTURES = Path(__file__).parents[3] / ".pictures"
"""Pictures of every page, by width, that `make accessibility` takes; not kept in the repository."""

CANCEL = "/units/{unit}/classLists/{class_list}/cancel"
"""Asks only while a list is under way: it has a test of its own."""


@dataclass
class Opened:
    """The pages that the tests of this file have opened, by their patterns, and their trees."""

    trees: dict[str, dict[str, str]] = field(default_factory=dict)
    """By group, once no page of it has a fault."""

    @property
    def patterns(self) -> set[str]:
        """Of every page."""
        return {pattern for group in self.trees.values() for pattern in group}

    def keep(self, group: str, trees: Mapping[str, str], around: str = "") -> None:
        """Keeps a group's trees, and sees that they and what stands around them are as held."""
        self.trees[group] = dict(trees)
        left_out = OF_THE_WHOLE_SYSTEM if group == "staff" else set()
        own = {pattern: tree for pattern, tree in trees.items() if pattern not in left_out}
        if around:
            own["around the content"] = around
        assert hold(group, own) == held(group), "make accessibility"


@pytest.fixture(scope="module")
def tested() -> Opened:
    return Opened()


@pytest.fixture(scope="module")
async def people(stack: Stack, api: Api) -> AsyncIterator[People]:
    async with create_people(stack, api) as people:
        yield people


def addresses(account: str, places: Mapping[str, str]) -> dict[str, str]:
    """The address of each page that an account opens, of people who are there, by its pattern."""
    found = {}
    for page in PAGES:
        if page.show is None or ACCOUNTS[page.who] != account or page.path in {*NOT_OPENED, CANCEL}:
            continue
        path = page.path
        for place, value in places.items():
            path = path.replace(place, value)
        if path.endswith("/merge"):
            path += f"?with={places['/units/{unit}/customers/{customer}'][1:]}"
        if "{handle}" not in path:
            found[page.path] = path
    return found


async def look_at(page: Page, pattern: str, path: str) -> list[str]:
    """What is wrong with a page."""
    response = await page.goto(path)
    assert response is not None
    found = [] if response.status == 200 else [f"status {response.status}"]
    found += [] if urlsplit(page.url).path == urlsplit(path).path else [f"leads to {page.url}"]
    found += [] if response.headers["cache-control"] == "no-store" else ["may be kept"]
    found += await faults(page)
    found += [f"by keyboard {fault}" for fault in await walk_by_keyboard(page)]
    found += await in_every_form(page)
    if os.environ.get(RECORD):
        await keep_picture(page, pattern, 1280)
        await page.set_viewport_size({"width": 320, "height": 640})
        await keep_picture(page, pattern, 320)
        await page.set_viewport_size({"width": 1280, "height": 900})
    return found


async def keep_picture(page: Page, pattern: str, width: int) -> None:
    """Keeps a picture of the page among the files of the run, to be looked at."""
    name = pattern.strip("/").replace("/", "_") or "front"
    path = PICTURES / str(width) / f"{name}.jpg"
    await page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
    await page.screenshot(path=path, full_page=True, type="jpeg", quality=60, animations="disabled")


@pytest.mark.parametrize("account", ["", "teacher", "staff"])
async def test_every_page_is_without_fault(
    open_page: OpenPage, people: People, account: str, tested: Opened
) -> None:
    wrong: dict[str, list[str]] = {}
    trees = {}
    async with open_page(people.teacher.account if account == "teacher" else account) as page:
        for pattern, path in addresses(account, people.addresses).items():
            if found := await look_at(page, pattern, path):
                wrong[pattern] = found
            trees[pattern] = await tree(page)
        around = await frame(page)
    assert wrong == {}
    tested.keep(account or "anybody", trees, around)


async def test_every_page_of_a_link_is_without_fault(
    open_page: OpenPage, stack: Stack, people: People, tested: Opened
) -> None:
    facts = people.facts
    own = await customership_link(stack, facts.active.name)
    wrong: dict[str, list[str]] = {}
    trees = {}
    async with open_page() as page:
        links: tuple[tuple[str, str, Sequence[str]], ...] = (
            ("consent", facts.consent.good, ("", "decline", "plain", "paper")),
            ("consent", facts.consent.used, ("withdraw",)),
            ("customership", own, ("", "end", "extended", "own")),
            ("password", facts.password.good, ("",)),
            ("account-password", facts.account_password.good, ("",)),
            ("invitation", facts.invitation.good, ("",)),
            ("email", facts.email.good, ("",)),
        )
        for name, token, steps in links:
            await page.goto(f"/{name}/{token}")
            for opened, step in [(page.url, step) for step in steps]:
                pattern = f"/{name}/open/{{handle}}" + (f"/{step}" if step else "")
                if found := await look_at(page, pattern, f"{opened}/{step}".rstrip("/")):
                    wrong[pattern] = found
                trees[pattern] = await tree(page)
    assert wrong == {}
    tested.keep("links", trees)


async def test_cancelling_a_class_list_is_without_fault(
    open_page: OpenPage, people: People, tested: Opened
) -> None:
    client = people.registrar.client
    rows = [class_lists.adult_row(number) for number in range(300)]
    name = (await class_lists.register(client, class_lists.csv_of(rows))).class_list.name
    async with open_page(people.registrar.account) as page:
        wrong = await look_at(page, CANCEL, f"/{name}/cancel")
        trees = {CANCEL: await tree(page)}
        await page.get_by_label("Yes, register no more of it").check()
        await page.click("main button:has-text('Continue')")
        await page.wait_for_url(f"**/{name}")
    assert wrong == []
    assert (await class_lists.done(client, name)).state == CLASS_LIST_STATE_CANCELLED
    tested.keep("class-list", trees)


async def test_the_statement_tells_what_was_tested(chromium: Browser, tested: Opened) -> None:
    """`make accessibility` writes the results of this file's tests for the accessibility statement."""
    if tested.trees.keys() != {"anybody", "teacher", "staff", "links", "class-list"}:
        pytest.skip("only a part of the pages was opened, or one has faults")
    assert tested.patterns | NOT_OPENED.keys() == {page.path for page in PAGES if page.show is not None}
    today = Assessment(
        reviewed=helsinki_day(now()),
        axe=AXE_VERSION,
        chromium=chromium.version.partition(".")[0],
        tested=sorted(tested.patterns),
        untested=dict(sorted(NOT_OPENED.items())),
    )
    if os.environ.get(RECORD):
        FILE.write_text(today.written(), "utf-8")
    told = last() if not os.environ.get(RECORD) else today
    assert (told.tested, told.untested) == (today.tested, today.untested), "make accessibility"


@pytest.mark.parametrize("language", ["fi", "sv", "en"])
@pytest.mark.parametrize("look", ["light", "dark", "forced", "largest and loose"])
async def test_every_part_is_without_fault_in_every_look(
    open_page: OpenPage, language: str, look: str
) -> None:
    options = {
        "light": {"color_scheme": "light"},
        "dark": {"color_scheme": "dark"},
        "forced": {"forced_colors": "active"},
        "largest and loose": {"viewport": {"width": 320, "height": 640}},
    }[look]
    async with open_page("", locale=language, **options) as page:
        await page.goto(f"/language/{language}?to=/parts")
        if look == "largest and loose":
            await page.evaluate("() => document.documentElement.classList.add('largest', 'loose', 'serif')")
            assert await overflow(page) == []
        # With forced colours, the reader's own count.
        assert await faults(page, *(["color-contrast"] if look == "forced" else [])) == []


async def test_text_spacing_of_the_readers_cuts_nothing(open_page: OpenPage) -> None:
    """WCAG 1.4.12."""
    async with open_page(viewport={"width": 320, "height": 640}, bypass_csp=True) as page:
        await page.goto("/parts")
        await page.add_style_tag(
            content="* { line-height: 1.5 !important; letter-spacing: .12em !important;"
            " word-spacing: .16em !important; } p { margin-bottom: 2em !important; }"
        )
        assert await overflow(page) == []


async def test_after_an_error_the_focus_is_on_the_summary(open_page: OpenPage) -> None:
    async with open_page("teacher") as page:
        await page.goto("/register")
        await page.click("text=Check")
        await page.wait_for_selector("#error-summary")
        assert (await page.title()).startswith("Error:")
        assert await page.evaluate("() => document.activeElement.id") == "error-summary"
        assert await faults(page) == []
        await page.click("#error-summary a")
        assert await page.evaluate("() => document.activeElement.id") == "personal_identity_code"
        field = page.locator("#personal_identity_code")
        assert await field.get_attribute("aria-invalid") == "true"
        described = (await field.get_attribute("aria-describedby") or "").split()
        assert "personal_identity_code-error" in described


async def test_the_whole_form_with_every_error_is_without_fault(open_page: OpenPage) -> None:
    async with open_page("teacher") as page:
        await page.goto("/register")
        await page.click("text=Register without a code")
        await page.check("#entitlement_declared")
        await page.click("text=Check the answers")
        await page.wait_for_selector("#error-summary")
        assert await faults(page) == []
        assert await walk_by_keyboard(page) == []


async def test_who_is_not_entitled_is_told_without_fault(open_page: OpenPage) -> None:
    async with open_page("teacher") as page:
        await page.goto("/register")
        await page.click("text=Register without a code")
        await page.click("text=Check the answers")
        await page.wait_for_selector("h1:has-text('the right to use the library')")
        assert await faults(page) == []
        await page.get_by_label("Yes, or the only reason is weak").check()
        await page.click("main button:has-text('Continue')")
        await page.wait_for_selector("h1:has-text('cannot become a customer')")
        assert await faults(page) == []
        assert await walk_by_keyboard(page) == []


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
async def test_a_guardian_consents_by_the_keyboard(
    open_page: OpenPage, api: Api, mails: MailCounter, scripts: bool
) -> None:
    child = pupil()
    registration = await save(api.teacher, child)
    token = link_token(await mails.wait_for(child, "consent_request"))
    async with open_page(java_script_enabled=scripts, viewport={"width": 320, "height": 640}) as page:
        await page.goto(f"/consent/{token}")
        if scripts:
            assert await faults(page) == []
            assert await overflow(page) == []
        await page.focus("#choice")
        await page.keyboard.press("Space")
        await page.focus("#guardian_name")
        await page.keyboard.type("Outi Huoltaja")
        await page.keyboard.press("Enter")
        await page.wait_for_selector("h1:has-text('Thank you')")
        if scripts:
            assert await faults(page) == []
    await reaches(api.teacher, registration.name, STAGE_CREDENTIALS_SENT)


async def test_a_teacher_registers_a_pupil(open_page: OpenPage, api: Api) -> None:
    child = pupil()
    async with open_page("teacher") as page:
        await page.goto("/register")
        await page.fill("#personal_identity_code", child.personal_identity_code)
        await page.keyboard.press("Enter")
        await page.click("text=Fill in the form")
        await fill_in(page, child)
        await page.click("text=Check the answers")
        await page.wait_for_selector("h1:has-text('Check the answers')")
        assert await faults(page) == []
        await page.click("button:has-text('Save')")
        await page.wait_for_url("**/saved")
        assert await faults(page) == []
        assert child.personal_identity_code not in await page.content()


async def fill_in(page: Page, child: DemoPerson) -> None:
    """Fills in the form of a pupil."""
    form = child.form
    await page.fill("#first_names", form.first_names)
    await page.fill("#last_name", form.last_name)
    await page.get_by_label("Finnish", exact=True).check()
    await page.fill("#address-street_address", form.address.street_address)
    await page.fill("#address-postcode", form.address.postcode)
    await page.fill("#address-post_office", form.address.post_office)
    await page.fill("#address-municipality", form.address.municipality)
    await page.check("#entitlement_declared")
    await page.get_by_label("Pupil-specific support", exact=True).check()
    await page.get_by_label("A guardian", exact=True).check()
    await page.fill("#related_person-full_name", form.related_person.full_name)
    await page.fill("#related_person-email", form.related_person.email)
    await page.get_by_label("Online: borrows over the internet", exact=True).check()
    await page.get_by_label("The guardian's or contact person's e-mail address", exact=True).check()
    await page.check("#terms_accepted")
