"""What a browser tells of a page's accessibility: axe with nothing switched off, and what axe cannot see."""

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from playwright.async_api import Page

_AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")

AXE_VERSION = re.search(r"axe v([0-9.]+)", _AXE).group(1)  # type: ignore[union-attr]

# A colour that changes with the theme does so within a moment: what axe sees is what it becomes.
_RUN = """async () => {
  await Promise.allSettled(document.getAnimations().map((each) => each.finished));
  const rules = {};
  for (const rule of axe.getRules()) rules[rule.ruleId] = {enabled: true};
  const found = await axe.run(document, {rules, resultTypes: ["violations", "incomplete"]});
  const short = (each) => each.map((one) => [one.id, one.nodes.map((node) => node.html.slice(0, 160))]);
  return {violations: short(found.violations), incomplete: short(found.incomplete)};
}"""

JUDGED = {
    "color-contrast-enhanced": "level AAA: AA is the goal",
    "identical-links-same-purpose": "level AAA; links of one name are looked for by a test of ours",
}
"""Rules whose findings are judged, and why they may stand."""

_OVERFLOW = """() => {
  const wide = document.scrollingElement.scrollWidth - document.documentElement.clientWidth;
  if (wide <= 0) return [];
  return [...document.querySelectorAll("body *")]
    .filter((one) => one.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
    .slice(0, 5).map((one) => one.outerHTML.slice(0, 120));
}"""

_FOCUS = """() => {
  const one = document.activeElement;
  if (!one || one === document.body) return null;
  const box = one.getBoundingClientRect(), style = getComputedStyle(one);
  const x = box.left + Math.min(box.width / 2, 20), y = box.top + box.height / 2;
  const at = document.elementFromPoint(x, y);
  return {
    name: one.outerHTML.slice(0, 120),
    seen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2,
    clear: at !== null && (one.contains(at) || at.contains(one)),
    target: box.height >= 24 || one.closest("p, li, dd") !== null,
  };
}"""

_SAME_NAME = """() => {
  const targets = {};
  for (const link of document.querySelectorAll("a[href]")) {
    const name = (link.getAttribute("aria-label") || link.textContent).trim();
    (targets[name] = targets[name] || new Set()).add(link.href);
  }
  return Object.entries(targets).filter(([, found]) => found.size > 1).map(([name]) => name);
}"""


async def faults(page: Page, *judged: str) -> list[str]:
    """What axe finds on a page, but for rules that were judged; and links of one name with two targets."""
    if not await page.evaluate("() => 'axe' in window"):
        await page.evaluate(_AXE)
    found: dict[str, Sequence[Any]] = await page.evaluate(_RUN)
    told = [
        f"{kind} {rule}: {nodes}"
        for kind in ("violations", "incomplete")
        for rule, nodes in found[kind]
        if rule not in (*JUDGED, *judged)
    ]
    return told + [f"links of one name: {name}" for name in await page.evaluate(_SAME_NAME)]


async def overflow(page: Page) -> list[str]:
    """The elements that make a page scroll sideways."""
    found: list[str] = await page.evaluate(_OVERFLOW)
    return found


async def walk_by_keyboard(page: Page, most: int = 150) -> list[str]:
    """Goes through a page by Tab: each focused element must be seen, clear of others, and large enough."""
    wrong, steps = [], 0
    await page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
    while steps < most:
        await page.keyboard.press("Tab")
        focus = await page.evaluate(_FOCUS)
        if focus is None:
            break
        steps += 1
        wrong += [f"{focus['name']}: not {what}" for what in ("seen", "clear", "target") if not focus[what]]
    return wrong if steps else ["nothing can be reached by the keyboard"]
