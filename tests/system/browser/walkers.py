"""A page in every form that people look at it: enlarged, small, spaced, without style, on paper."""

from pathlib import Path

from playwright.async_api import Page, ViewportSize

from tests.system.browser.accessibility import overflow

_WALKERS = Path(__file__).with_suffix(".js").read_text("utf-8")

_WIDE = ViewportSize(width=1280, height=900)
_SMALL = ViewportSize(width=320, height=256)
"""What 1280 by 1024 pixels are when enlarged to 400 %."""
_A4 = ViewportSize(width=718, height=1047)
"""A4 at 96 dots per inch, without the margins that browsers leave."""


async def in_every_form(page: Page) -> list[str]:
    """What is wrong with an open page. It is left as it was."""
    if not await page.evaluate("() => 'walkers' in window"):
        await page.evaluate(_WALKERS)
    wrong = await _told(page, "as it is", "words", "parts", "frame", "withoutStyle")
    await page.evaluate("() => walkers.enlarge('200%')")
    wrong += await _told(page, "at 200 %", "cut")
    await page.evaluate("() => walkers.enlarge('')")
    await page.set_viewport_size(_SMALL)
    wrong += await _told(page, "at 320 by 256 pixels", "cut", "obscured")
    await page.evaluate("() => walkers.space(true)")
    wrong += await _told(page, "with text spacing", "cut")
    await page.evaluate("() => walkers.space(false)")
    await page.set_viewport_size(_A4)
    await page.emulate_media(media="print", color_scheme="dark", reduced_motion="reduce")
    wrong += await _told(page, "on paper", "printed")
    await page.emulate_media(media="screen", color_scheme="light", reduced_motion="no-preference")
    await page.set_viewport_size(_WIDE)
    return wrong


async def _told(page: Page, how: str, *walkers: str) -> list[str]:
    found = [f"scrolls sideways: {each}" for each in await overflow(page)]
    for walker in walkers:
        found += await page.evaluate(f"() => walkers.{walker}()")
    return [f"{how} {fault}" for fault in found]
