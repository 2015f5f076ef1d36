"""What changes by itself on a page that is open, in a real browser (PAGES.md A11)."""

import pytest
from playwright.async_api import expect

from tests.system.browser.accessibility import faults
from tests.system.browser.conftest import OpenPage
from tests.system.conftest import Api
from tests.system.support import class_lists

ROWS = 25


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
async def test_a_class_lists_progress_is_told_while_the_page_is_open(
    open_page: OpenPage, api: Api, scripts: bool
) -> None:
    rows = [class_lists.pupil_row(number) for number in range(ROWS)]
    listed = await class_lists.register(api.teacher, class_lists.csv_of(rows))
    name = listed.class_list.name
    async with open_page("teacher", java_script_enabled=scripts) as page:
        await page.clock.install()
        await page.goto(f"/{name}")
        told = page.get_by_role("status")
        await expect(told).to_contain_text(f"of {ROWS} rows are decided")
        link = page.get_by_role("link", name="Update")
        await link.focus()
        await class_lists.done(api.teacher, name)
        if not scripts:
            await link.click()
        else:
            status = await told.element_handle()
            await page.clock.run_for(16_000)
            await expect(told).to_have_text("Every row is decided.")
            assert status is not None
            assert await status.evaluate("each => each.isConnected"), "a screen reader waits at this element"
            await expect(link).to_be_focused()
            assert await faults(page) == []
        await expect(told).to_have_text("Every row is decided.")
        await expect(page.get_by_role("progressbar")).to_have_count(0)
        await expect(page.locator("#counts")).to_contain_text(f"All rows{ROWS}")
