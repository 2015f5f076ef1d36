"""Turns a mail's Markdown into HTML and into plain text.

The Markdown used: `# subject`, `## heading`, `- item`, `1. item`, `**important**`, `[text](address)`, and
`---` before the footer. A line break is kept. A link on a line of its own is a button; the text of any other
is its address, as plain text shows nothing else of it.
"""

import re
import textwrap

from markdown_it import MarkdownIt
from markdown_it.token import Token
from typing_extensions import override

_WIDTH = 72
"""Columns of the plain text (RFC 3676 4.2)."""

# Inline, as many mail programs drop style sheets.
_BUTTON = (
    "display: inline-block; margin-top: 0.375rem; padding: 0.75rem 1.5rem; border: 2px solid #00377a;"
    " border-radius: 4px; background-color: #00377a; color: #ffffff; font-weight: bold;"
    " text-decoration: underline;"
)
_HEADING = "color: #1a1a1a; line-height: 1.3; font-weight: bold;"
_STYLES = {
    "h1": f"margin: 0 0 1.5rem; font-size: 1.625rem; {_HEADING}",
    "h2": f"margin: 1.75rem 0 0.5rem; font-size: 1.25rem; {_HEADING}",
    "hr": "margin: 2.5rem 0 2rem; border: 0; border-top: 2px solid #1a1a1a;",
    "a": "color: #00377a; text-decoration: underline; word-break: break-all;",
}
_BUTTON_LINE = re.compile(r"^\[(.+)\]\((.+)\)$", re.MULTILINE)


class _Markdown(MarkdownIt):
    """CommonMark without HTML; addresses stay as they are written."""

    def __init__(self) -> None:
        super().__init__("commonmark", {"html": False, "breaks": True, "xhtmlOut": False})

    @override
    def normalizeLink(self, url: str) -> str:
        return url


_MARKDOWN = _Markdown()


def to_html(source: str, address_hint: str) -> str:
    """HTML with inline styles. Below each button stand `address_hint` and the button's address."""
    tokens = _MARKDOWN.parse(_BUTTON_LINE.sub(rf"\g<0>\n\n{address_hint}\n[\2](\2)", source))
    for token in tokens:
        _add_style(token)
        children = token.children or []
        for child in children:
            _add_style(child)
        if [child.type for child in children] == ["link_open", "text", "link_close"]:
            children[0].attrSet("style", _BUTTON)
    html: str = _MARKDOWN.renderer.render(tokens, _MARKDOWN.options, {})
    return html


def to_text(source: str) -> str:
    """The source without its marks and its subject: the address of a button stands on a line of its own."""
    text = re.sub(r"\A# .*\n", "", source)
    text = re.sub(r"^## (.*[^?])$", r"\1:", text, flags=re.MULTILINE)
    text = re.sub(r"^## ", "", text, flags=re.MULTILINE)
    text = _BUTTON_LINE.sub(r"\1:\n\2", text)
    text = re.sub(r"\[(.+?)\]\(.+?\)", r"\1", text).replace("**", "")
    text = re.sub(r"^---$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def wrap(text: str) -> str:
    """The text in lines of at most 72 columns, but for words that are longer; items of lists are indented."""
    return "\n".join(_wrap_line(line) if len(line) > _WIDTH else line for line in text.split("\n"))


def _wrap_line(line: str) -> str:
    indent = re.match(r" *(- |\d+\. )?", line)
    return textwrap.fill(
        line,
        _WIDTH,
        subsequent_indent=" " * len(indent[0] if indent else ""),
        expand_tabs=False,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _add_style(token: Token) -> None:
    if token.nesting >= 0 and token.tag in _STYLES:
        token.attrSet("style", _STYLES[token.tag])
