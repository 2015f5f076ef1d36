"""Every kind of page in a real browser: axe, keyboard, reflow, themes and languages."""

import pytest
from playwright.async_api import Page

from deploy.demo.forms import DemoPerson
from frontends.web.app import PAGES
from frontends.web.pages import Who
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT
from tests.support.registration_forms import paper_consent
from tests.system.browser.accessibility import faults, overflow, walk_by_keyboard
from tests.system.browser.conftest import OpenPage
from tests.system.conftest import Api
from tests.system.support.registering import MailCounter, link_token, pupil, reaches, save

ACCOUNTS = {
    Who.ANYBODY: "",
    Who.ACCOUNT: "teacher",
    Who.REGISTRAR: "teacher",
    Who.MAIN_USER: "teacher",
    Who.CUSTOMER_SERVICE: "staff",
}


@pytest.fixture(scope="module")
async def people(api: Api) -> dict[str, str]:
    """Names of a registration that waits and of a customer, with long and foreign names."""
    waiting, grown = pupil(), pupil()
    waiting.form.first_names, waiting.form.last_name = "عبد الرحمن", "Äärimmäisen-Pitkäsukunimi" * 3
    grown.form.paper_consent.CopyFrom(paper_consent())
    first, second = await save(api.teacher, waiting), await save(api.teacher, grown)
    customer = (await reaches(api.teacher, second.name, STAGE_CREDENTIALS_SENT)).customer
    return {"registration": first.name, "customer": customer}


def addresses(account: str, people: dict[str, str]) -> list[str]:
    """The address of each page that an account opens, of people who are there."""
    found = []
    for page in PAGES:
        if page.show is None or ACCOUNTS.get(page.who, "-") != account:
            continue
        path = page.path.replace("/units/{unit}/registrations/{registration}", f"/{people['registration']}")
        path = path.replace("/units/{unit}/customers/{customer}", f"/{people['customer']}")
        if "{" not in path:
            found.append(path)
    return found


@pytest.mark.parametrize("account", ["", "teacher", "staff"])
async def test_every_page_is_without_fault(open_page: OpenPage, people: dict[str, str], account: str) -> None:
    wrong: dict[str, list[str]] = {}
    async with open_page(account) as page:
        for path in addresses(account, people):
            await page.goto(path)
            found = await faults(page)
            found += [f"by keyboard {fault}" for fault in await walk_by_keyboard(page)]
            await page.set_viewport_size({"width": 320, "height": 640})
            found += [f"at 320 pixels {fault}" for fault in await overflow(page)]
            await page.set_viewport_size({"width": 1280, "height": 900})
            if found:
                wrong[path] = found
    assert wrong == {}


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
        await page.click("text=Check the answers")
        await page.wait_for_selector("#error-summary")
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
