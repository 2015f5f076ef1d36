"""A shared desk: what the browser, the addresses and the logs keep of those who were served there (L6)."""

import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from playwright.async_api import Browser, BrowserContext, Error, Page, Request

from deploy.demo.forms import DemoPerson
from deploy.local.seed import DemoAccount
from tests.system.browser.conftest import OPTIONS, log_in
from tests.system.conftest import Api
from tests.system.support.leaks import LeakWatch
from tests.system.support.registering import MailCounter, adult, link_token, pupil, save

CHAIN_END = 0x20000000
"""Chromium's mark of where redirects have ended: the history shows such visits alone."""

SHOWN = """
    SELECT urls.url || ' ' || urls.title FROM urls JOIN visits ON visits.url = urls.id
    WHERE visits.transition & ? <> 0
"""

STORED = "() => [document.cookie, ...Object.values({...localStorage, ...sessionStorage})]"


async def test_nothing_of_a_customer_stays_in_the_browser_an_address_or_a_log(
    chromium: Browser,
    chromium_path: str,
    tmp_path: Path,
    web: str,
    api: Api,
    mails: MailCounter,
    accounts: Mapping[str, DemoAccount],
    leak_watch: LeakWatch,
) -> None:
    customer, child, newcomer = adult(), pupil(), pupil()
    await save(api.registrar, customer)
    await save(api.teacher, child)
    token = link_token(await mails.wait_for(child, "consent_request"))
    secrets = {*secrets_of(customer), *secrets_of(child), *secrets_of(newcomer), token}
    for secret in secrets:
        # The logs are searched for them at the end of this file.
        leak_watch.traffic.add("secret", secret)
    context = await chromium.browser_type.launch_persistent_context(
        tmp_path,
        executable_path=chromium_path,
        args=list(OPTIONS),
        base_url=web,
        locale="en-GB",
        viewport={"width": 1280, "height": 900},
    )
    sent: list[Request] = []

    def note(request: Request) -> None:
        sent.append(request)

    context.on("request", note)
    try:
        page = await context.new_page()
        await log_in(page, accounts["registrar"])
        await serve(page, customer, newcomer)
        titles = await history(context, page)
        await page.click("button:has-text('Log out')")
        await page.wait_for_selector("h1:has-text('logged out')")
        with suppress(Error):
            # What was sent by a form is not there any more.
            await page.go_back()
        assert found_in([await page.content()], secrets) == []
        # A guardian at the same desk.
        await page.goto(f"/consent/{token}")
        await page.fill("#guardian_name", child.form.related_person.full_name)
        await page.click("button:has-text('Send the answer')")
        await page.wait_for_selector("#error-summary")
        titles += await history(context, page)
        stored = await page.evaluate(STORED)
    finally:
        await context.close()
    # Only the address that stands in the mail has the token, and no page has another one as its referrer.
    addresses = [request.url for request in sent if not request.url.endswith(f"/consent/{token}")]
    referrers = [request.headers.get("referer", "") for request in sent]
    assert len(addresses) > 10
    assert found_in([*addresses, *referrers, *titles, *stored], secrets) == []
    # A tab that is closed without a log-out can be opened again: the browser alone keeps what its forms sent.
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and "Sessions" not in path.parts]
    assert any(b"/customers" in path.read_bytes() for path in kept if path.name == "History")
    # What the reader of the mail has opened is kept as where a redirect began, and shown to nobody.
    of_desk = secrets - {token}
    traces = {path.name: found_in([path.read_bytes().decode("latin-1")], of_desk) for path in kept}
    assert {name: found for name, found in traces.items() if found} == {}
    with closing(sqlite3.connect(tmp_path / "Default" / "History")) as database:
        shown = database.execute(SHOWN, [CHAIN_END]).fetchall()
    assert any("/consent/open/" in text for (text,) in shown)
    assert found_in([text for (text,) in shown], secrets) == []
    # Only what is the same for everybody is kept for the next time.
    cached = [path.read_bytes() for path in kept if "Cache" in path.relative_to(tmp_path).parts[1:2]]
    assert not any(b"/customers" in content or b"/consent" in content for content in cached)


async def serve(page: Page, customer: DemoPerson, newcomer: DemoPerson) -> None:
    """Finds a customer by name and by code, looks at them and edits; fills in a form for another one."""
    await page.goto("/customers")
    await page.fill("#query", customer.form.first_names)
    await page.keyboard.press("Enter")
    await page.click(f"main a:has-text('{customer.form.first_names}')")
    await page.click("text=Edit")
    await page.fill("#phone", "no number")
    await page.click("text=Save the changes")
    await page.wait_for_selector("#error-summary")
    for person, answer in ((customer, "customer already"), (newcomer, "is not registered")):
        await page.goto("/register")
        await page.fill("#personal_identity_code", person.personal_identity_code)
        await page.keyboard.press("Enter")
        await page.wait_for_selector(f"h1:has-text('{answer}')")
    await page.click("text=Fill in the form")
    await page.fill("#first_names", newcomer.form.first_names)
    await page.fill("#related_person-email", newcomer.form.related_person.email)
    await page.check("#entitlement_declared")
    await page.click("text=Check the answers")
    await page.wait_for_selector("#error-summary")
    await page.goto("/home")


def secrets_of(person: DemoPerson) -> Iterable[str]:
    """What tells who a person is."""
    form = person.form
    return (person.personal_identity_code, form.first_names, form.email or form.related_person.email)


async def history(context: BrowserContext, page: Page) -> list[str]:
    """The addresses and titles of the tab's history."""
    session = await context.new_cdp_session(page)
    entries = (await session.send("Page.getNavigationHistory"))["entries"]
    await session.detach()
    return [each[part] for each in entries for part in ("url", "title")]


def found_in(texts: Iterable[str], secrets: Iterable[str]) -> list[str]:
    """The secrets that stand in texts, also as two bytes a letter and as in an address."""
    whole = "\n".join(texts)
    return [
        secret
        for secret in secrets
        for spelling in (
            secret,
            secret.encode().decode("latin-1"),
            secret.encode("utf-16-le").decode("latin-1"),
            quote(secret),
        )
        if spelling in whole
    ]
