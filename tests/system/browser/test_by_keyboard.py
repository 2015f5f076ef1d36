"""Tasks of each role by the keyboard alone; and what a teacher's way from the log-in to the Save takes."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.async_api import Page

from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from docs import tables
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT
from liity.v1.work_service_pb2 import WORK_ITEM_KIND_IDENTITY_CHECK, ListWorkItemsRequest
from tests.system.browser.conftest import OpenPage
from tests.system.conftest import Api
from tests.system.registrations.test_decisions import register, without_code
from tests.system.support.public_api_facts import customership_link
from tests.system.support.registering import MailCounter, adult, link_token, pupil, reaches, save
from tests.system.web.test_own_data import born_on

TOLD = Path(tables.__file__).parent / "roles" / "registrar.md"
FARTHEST = 80
"""Tabs until something is taken to be out of reach."""
_FOCUSED = """(target) => {
  const one = document.activeElement;
  return one === target || (one.type === "radio" && one.name === target.name && target.type === "radio");
}"""


@dataclass
class Pressed:
    """What was pressed on a page."""

    keys: int = 0
    """To move, to choose and to send."""
    characters: int = 0
    """Typed into fields."""


class Keyboard:
    """Somebody without a mouse, who takes the shortest way that Tab gives."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self.pages: dict[str, Pressed] = {}
        self._here = Pressed()

    @contextmanager
    def on(self, page: str) -> Iterator[None]:
        """Counts for a page."""
        self._here = self.pages[page] = Pressed()
        yield

    async def press(self, key: str) -> None:
        """Presses a key."""
        await self._page.keyboard.press(key)
        self._here.keys += 1

    async def go_to(self, selector: str) -> None:
        """Presses Tab until the focus is there: on a radio, until it is in its group."""
        target = self._page.locator(selector)
        for _ in range(FARTHEST):
            await self.press("Tab")
            if await target.evaluate(f"(target) => ({_FOCUSED})(target)"):
                return
        raise AssertionError(f"{selector} is out of reach")

    async def skip_to_content(self) -> None:
        """Takes the first link of the page."""
        await self.press("Tab")
        await self.press("Enter")

    async def write(self, selector: str, text: str) -> None:
        """Goes to a field and types."""
        await self.go_to(selector)
        await self._page.keyboard.type(text)
        self._here.characters += len(text)
        assert await self._page.locator(selector).input_value() == text

    async def follow(self, name: str, role: str = "link") -> None:
        """Goes to a link, or a button, of that name in the content, and presses it."""
        await self.go_to(f"main >> role={role}[name='{name}']")
        await self.press("Enter")

    async def choose(self, label: str) -> None:
        """Ticks a box, or goes through radios until the one of that label is chosen."""
        target = self._page.get_by_label(label, exact=True)
        identity = await target.get_attribute("id")
        await self.go_to(f"#{identity}")
        if await target.evaluate("(one) => one === document.activeElement"):
            await self.press("Space")
        while not await target.is_checked():
            await self.press("ArrowDown")


async def test_a_teacher_registers_a_pupil_by_the_keyboard(
    open_page: OpenPage, accounts: dict[str, DemoAccount]
) -> None:
    child, account = pupil(), accounts["teacher"]
    form = child.form
    # Lengths that stay the same in each run.
    form.first_names, form.last_name = "Aino Maria", "Virtanen"
    form.related_person.full_name = "Liisa Virtanen"
    async with open_page() as page:
        teacher = Keyboard(page)
        await page.goto("/log-in")
        with teacher.on("Log in"):
            await teacher.skip_to_content()
            await teacher.write("#email", account.email)
            await teacher.write("#password", account.password)
            await teacher.press("Enter")
            await page.wait_for_url("**/home")
        with teacher.on("Home"):
            await teacher.skip_to_content()
            await teacher.go_to("main a[href='/register']")
            await teacher.press("Enter")
            await page.wait_for_url("**/register")
        with teacher.on("Check"):
            await teacher.skip_to_content()
            await teacher.write("#personal_identity_code", child.personal_identity_code)
            await teacher.press("Enter")
            await page.wait_for_selector("text=Fill in the form")
        with teacher.on("What was found"):
            await teacher.skip_to_content()
            await teacher.go_to("button:has-text('Fill in the form')")
            await teacher.press("Enter")
            await page.wait_for_selector("#first_names")
        with teacher.on("Form"):
            await fill_in(teacher, form)
            await page.wait_for_selector("h1:has-text('Check the answers')")
        with teacher.on("Check the answers"):
            await teacher.skip_to_content()
            await teacher.go_to("button:has-text('Save')")
            await teacher.press("Enter")
            await page.wait_for_url("**/saved")
    assert {name: (each.keys, each.characters) for name, each in teacher.pages.items()} == told()


def told() -> dict[str, tuple[int, int]]:
    """The table of the page for registrars."""
    rows = re.findall(r"^\| ([A-Z][\w ]+) \| (\d+) \| (\d+) \|$", TOLD.read_text("utf-8"), re.MULTILINE)
    return {name: (int(keys), int(characters)) for name, keys, characters in rows}


async def fill_in(teacher: Keyboard, form: CustomerForm) -> None:
    """Fills in what a school needs of a pupil with a guardian, and goes on."""
    await teacher.skip_to_content()
    await teacher.write("#first_names", form.first_names)
    await teacher.write("#last_name", form.last_name)
    await teacher.choose("Finnish")
    await teacher.write("#address-street_address", form.address.street_address)
    await teacher.write("#address-postcode", form.address.postcode)
    await teacher.write("#address-post_office", form.address.post_office)
    await teacher.write("#address-municipality", form.address.municipality)
    await teacher.go_to("#entitlement_declared")
    await teacher.press("Space")
    await teacher.choose("Pupil-specific support")
    await teacher.choose("A guardian")
    await teacher.write("#related_person-full_name", form.related_person.full_name)
    await teacher.write("#related_person-email", form.related_person.email)
    await teacher.choose("Online: borrows over the internet")
    await teacher.choose("The guardian's or contact person's e-mail address")
    await teacher.go_to("#terms_accepted")
    await teacher.press("Space")
    await teacher.press("Enter")


async def test_customer_service_confirms_an_identity_by_the_keyboard(open_page: OpenPage, api: Api) -> None:
    person = adult()
    person.form.last_name = f"Näppäin{uuid.uuid4().hex[:6]}"
    saved = await register(api.registrar, without_code(api.registrar, person))
    kinds = ListWorkItemsRequest(kinds=[WORK_ITEM_KIND_IDENTITY_CHECK], page_size=200)
    items = (await api.staff.call(api.staff.work.ListWorkItems, kinds)).work_items
    (item,) = [each for each in items if each.subjects[0].name == saved.name]
    async with open_page("staff") as page:
        officer = Keyboard(page)
        await page.goto(f"/work/{item.name.removeprefix('workItems/')}")
        await officer.follow("Take this", "button")
        await page.wait_for_selector("text=Keep it for longer")
        await officer.follow("Confirm the identity")
        await page.wait_for_url("**/verify")
        await officer.choose("Yes, confirm it")
        await officer.press("Enter")
        await page.wait_for_url("**/decided")
    await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT)


async def test_a_main_user_invites_a_registrar_by_the_keyboard(open_page: OpenPage) -> None:
    email = f"{uuid.uuid4().hex}@koulu.example"
    async with open_page("teacher") as page:
        main_user = Keyboard(page)
        await main_user.go_to("nav >> role=link[name='Registrars']")
        await main_user.press("Enter")
        await page.wait_for_url("**/registrars")
        await main_user.follow("Invite a registrar")
        await page.wait_for_url("**/invite")
        await main_user.write("#email", email)
        await main_user.choose("Finnish")
        await main_user.press("Enter")
        await page.wait_for_url("**/registrars?done=invited")
        await main_user.go_to(f"main >> a:has-text('{email}')")
        await main_user.press("Enter")
        await page.wait_for_url("**/remove")
        await main_user.choose("Yes, take it back")
        await main_user.press("Enter")
        await page.wait_for_url("**/registrars?done=taken-back")
        assert email not in await page.content()


async def test_a_customer_chooses_a_password_and_corrects_an_address_by_the_keyboard(
    open_page: OpenPage, stack: Stack, api: Api, mails: MailCounter
) -> None:
    person = adult()
    saved = await save(api.registrar, person)
    token = link_token(await mails.wait_for(person, "credentials"))
    async with open_page() as page:
        customer = Keyboard(page)
        await page.goto(f"/password/{token}")
        await customer.write("#password", "kolme sanaa riittää hyvin")
        await customer.press("Enter")
        await page.wait_for_selector("h1:has-text('password')")
        begun = await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT)
        own = await customership_link(stack, begun.name)
        await page.goto(f"/customership/{own}")
        await customer.follow("See and correct your contact information, and who has looked at your data")
        await page.wait_for_url("**/own")
        await customer.write("#birth_date", f"{born_on(person):%d.%m.%Y}")
        await customer.press("Enter")
        await customer.go_to("#phone")
        await page.keyboard.press("Control+A")
        await page.keyboard.type("040 7654321")
        await customer.press("Enter")
        await page.wait_for_selector("h1:has-text('Your contact information is saved')")
