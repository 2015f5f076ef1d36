"""A real browser on the pages of the stack."""

import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from playwright.async_api import Browser, Page, async_playwright

from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from tests.system.support.accounts import TestAccount

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_SHELL = "chromium-headless-shell"
"""The same engine without a window, profile or history: it opens pages in two thirds of the time."""

OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

OpenPage = Callable[..., AbstractAsyncContextManager[Page]]


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The whole browser. Without one the tests fail, unless `LIITY_TEST_WITHOUT_BROWSER` is set."""
    path = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if path is None:
        if os.environ.get("LIITY_TEST_WITHOUT_BROWSER"):
            pytest.skip("without a browser, as LIITY_TEST_WITHOUT_BROWSER says")
        pytest.fail(
            "No Chromium: apt-get install chromium, or set LIITY_TEST_WITHOUT_BROWSER=1", pytrace=False
        )
    return path


@pytest.fixture(scope="session")
async def chromium(chromium_path: str) -> AsyncIterator[Browser]:
    """A browser for all tests: each opens a profile of its own in it."""
    async with async_playwright() as playwright:
        path = shutil.which(_SHELL) or chromium_path
        browser = await playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
def web(stack: Stack) -> str:
    """The address of the pages."""
    return f"http://{HOST}:{stack.ports.web}"


@pytest.fixture
async def open_page(
    chromium: Browser, web: str, accounts: dict[str, DemoAccount]
) -> Callable[..., AbstractAsyncContextManager[Page]]:
    """A page in a browser profile of its own, logged in if an account is given, or a demo account named."""

    @asynccontextmanager
    async def opened(account: str | TestAccount = "", **options: object) -> AsyncIterator[Page]:
        given: dict[str, object] = {"locale": "en-GB", "viewport": {"width": 1280, "height": 900}} | options
        context = await chromium.new_context(base_url=web, **given)  # type: ignore[arg-type]
        page = await context.new_page()
        try:
            if account:
                await log_in(page, accounts[account] if isinstance(account, str) else account)
            yield page
        finally:
            await context.close()

    return opened


async def log_in(page: Page, account: DemoAccount | TestAccount) -> None:
    """Logs in by the log-in page."""
    await page.goto("/log-in")
    await page.fill("#email", account.email)
    await page.fill("#password", account.password)
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/home")
