"""The accessibility tree of each kind of page as text: what a screen reader is told, and in which order."""

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from babel.messages.pofile import read_po
from playwright.async_api import Page

from frontends import web

RECORD = "LIITY_RECORD_ACCESSIBILITY"
"""The variable with which the files are written anew."""

_FOLDER = Path(__file__).parent / "trees"
_CATALOGUE = Path(web.__file__).parent / "catalogues" / "fi.po"
_DATA = "…"
"""Stands for whatever is no text of the pages: names, days, figures, and the gateway's texts."""
_NODE = re.compile(r'(?P<role>\S+)(?: "(?P<name>(?:[^"\\]|\\.)*)")?(?P<states>(?: \[[^\]]*\])*)')
_PLACEHOLDER = re.compile(r"%\(\w+\)s|%%")
_FEWEST_LETTERS = 4
"""Letters that a text with places for data needs, to be recognised."""


class _Node(NamedTuple):
    """A part of a page, as a screen reader tells it."""

    role: str
    name: str = ""
    states: str = ""
    children: tuple["_Node", ...] = ()

    def lines(self, depth: int = 0) -> Iterator[str]:
        """The part and what is in it, a line each."""
        name = f' "{self.name}"' if self.name else ""
        yield f"{'  ' * depth}{self.role}{name}{self.states}"
        for child in self.children:
            yield from child.lines(depth + 1)


async def tree(page: Page) -> str:
    """The tree of a page's content in English. Of rows and items that are alike, the first stands for all."""
    return _written(await page.locator("main").aria_snapshot())


async def frame(page: Page) -> str:
    """The tree of what stands around the content."""
    written = _written(await page.locator("body").aria_snapshot())
    return re.sub(r"^main\n(?:  .*\n)+", "main\n", written, flags=re.MULTILINE)


def _written(snapshot: str) -> str:
    return "\n".join(line for node in _nodes(yaml.safe_load(snapshot)) for line in node.lines())


def hold(group: str, trees: Mapping[str, str]) -> str:
    """What the file of a group of pages would be, with these trees by address; writes it if told to."""
    text = "\n\n".join(f"{pattern}\n{tree}" for pattern, tree in sorted(trees.items())) + "\n"
    if os.environ.get(RECORD):
        (_FOLDER / f"{group}.txt").write_text(text, "utf-8")
    return text


def held(group: str) -> str:
    """The file of a group."""
    return (_FOLDER / f"{group}.txt").read_text("utf-8")


def _nodes(told: list[Any]) -> Iterator[_Node]:
    """Parts of a page, of those alike that follow each other the first."""
    before = None
    for each in told:
        key, inside = next(iter(each.items())) if isinstance(each, dict) else (each, None)
        if key.startswith("/"):
            continue
        node = _node(key, inside)
        if node != before:
            yield node
        before = node


def _node(key: str, inside: object) -> _Node:
    read = _NODE.fullmatch(key)
    if read is None:
        raise ValueError(f"Not a line of a tree: {key}")
    role = read["role"]
    if role in {"row", "cell", "listitem"}:
        # Named by what is in it, which follows.
        read = {"name": None, "states": read["states"]}  # type: ignore[assignment]
    name = _text((read["name"] or "").replace('\\"', '"'))
    if isinstance(inside, list):
        return _Node(role, name, read["states"], _alike(tuple(_nodes(inside))))
    holds_value = role in {"textbox", "combobox", "searchbox", "spinbutton"}
    return _Node(role, name or ("" if inside is None or holds_value else _text(str(inside))), read["states"])


def _alike(children: tuple[_Node, ...]) -> tuple[_Node, ...]:
    """Of a table's rows of data the first alone, as which data comes first depends on the others."""
    rows = [child for child in children if child.role == "row"]
    of_data = [row for row in rows if all(cell.role != "columnheader" for cell in row.children)]
    if not of_data:
        return children
    first = _masked(of_data[0])
    return (*(child for child in children if child not in of_data), first)


def _masked(node: _Node) -> _Node:
    return node._replace(name=_DATA if node.name else "", children=tuple(map(_masked, node.children)))


def _text(name: str) -> str:
    """A text of the pages as the catalogue has it; else a mark for data."""
    name = " ".join(name.split())
    texts, patterns = _texts()
    if not name or name in texts:
        return name
    return next((text for pattern, text in patterns if pattern.fullmatch(name)), _DATA)


@cache
def _texts() -> tuple[frozenset[str], tuple[tuple[re.Pattern[str], str], ...]]:
    """The texts of the pages, and those with places for data, the longest first."""
    with _CATALOGUE.open("rb") as file:
        found = [message.id for message in read_po(file) if message.id]
    forms = {" ".join(form.split()) for text in found for form in ([text] if isinstance(text, str) else text)}
    with_data = {text for text in forms if _PLACEHOLDER.search(text)}
    patterns = [
        (re.compile(".*".join(map(re.escape, _PLACEHOLDER.split(text)))), text)
        for text in sorted(with_data, key=lambda text: (-len(_PLACEHOLDER.sub("", text)), text))
        if sum(map(str.isalpha, _PLACEHOLDER.sub("", text))) >= _FEWEST_LETTERS
    ]
    return frozenset(forms - with_data), tuple(patterns)
