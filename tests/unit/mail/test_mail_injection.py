"""Whatever a text of a mail holds, it stays text: every field of every template in every language is tried.

Twice over: the contract refuses what is no single line, and should that ever let something through, the
mail's headers, its links and the structure of its HTML are the same as with any other text, and both parts
show the text as it was typed.
"""

import re
import uuid
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message as Mail
from html.parser import HTMLParser
from typing import cast

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from liity.notification.v1.notification_service_pb2 import SendMessageRequest
from liity.v1.customer_form_pb2 import LANGUAGE_EN, LANGUAGE_FI, LANGUAGE_SV, Language
from services.notification.mail.message import build
from services.notification.mail.rendering import Rendered, render
from services.notification.settings import MailSettings
from services.runtime.rpc.interceptor import violations_of
from tests.support.mail_contents import REGISTRATION_ID

ONE_LINE = "x"
BREAKS = {
    "header": "Aino\r\nBcc: thief@posti.example",
    "body": "Aino\r\n\r\n<p>Log in at https://thief.example</p>",
    "line feed": "Aino\nSubject: x",
    "carriage return": "Aino\rSubject: x",
    "next line": "Aino\x85Bcc: thief@posti.example",
    "line separator": "Aino\u2028Bcc: thief@posti.example",
    "paragraph separator": "Aino\u2029Bcc: thief@posti.example",
    "vertical tab": "Aino\x0bBcc: thief@posti.example",
    "form feed": "Aino\x0cBcc: thief@posti.example",
    "NUL": "Aino\0",
    "right to left": "Aino \u202egro.feiht",
}
"""No single line: the contract refuses them in every text that people write."""

_PERSONAL = re.compile(r"^(https://liity\.example/[a-z-]+/)\S*")
"""A personal link: its page, and the token at its end."""

MARKUP = {
    "script": "<script>alert(1)</script>",
    "attribute": '"\' onmouseover="alert(1)" style=\'x\' x="',
    "tag end": '"></a><a href="https://thief.example">here</a>',
    "comment": "<!-- --><![CDATA[ ]]><!--",
    "entities": "&lt;b&gt;&#60;b&#62;&amp;",
    "unfinished": "<img src=x onerror=alert(1) ",
    "title end": "</title></head><body onload=alert(1)>",
    "jinja": "{{ 8191 * 131071 }}{% include 'layout.html' %}{# gone #}",
    "jinja insides": "{{ ''.__class__.__mro__ }}",
    "format": "%s%(x)s{0}{x}",
    "encoded word": "=?utf-8?b?QmNjOiB0aGllZkBwb3N0aS5leGFtcGxl?=",
    "encoded break": "=?utf-8?q?Aino=0D=0ABcc:_thief@posti.example?=",
    "link": "https://thief.example/consent/x",
    "script link": "javascript:alert(1)",
    "boundary": "--===============0123456789==--",
    "dot": ".",
    "long word": "Ä" * 200,
    "long words": "x" * 3000,
}
MARKDOWN = {
    "emphasis": "**Aino** __Aino__ *Aino* _Aino_ ***Aino***",
    "half emphasis": "**",
    "code": "`Aino` ``` ~~~",
    "Markdown link": "[here](https://thief.example)",
    "Markdown button": "[here]: https://thief.example",
    "image": "![x](https://thief.example/pixel.png)",
    "address": "<https://thief.example> <mailto:thief@posti.example>",
    "escape": "\\* \\[x\\] C:\\Aino\\",
    "named entity": "&copy; &ast;&ast;x&ast;&ast; &nbsp",
    "heading": "# Aino",
    "lower heading": "## Aino",
    "bullet": "- Aino",
    "number": "1. Aino",
    "quotation": "> Aino",
    "rule": "---",
    "fence": "```",
    "indented code": "     Aino",
    "table": "| a | b |",
    "block": "x\n\n# Aino\n\n- [here](https://thief.example)\n\n---\n\n    code",
    "mark of a value": "\ue0000\ue001 \ue000999\ue001 \ue000",
}
HOSTILE = BREAKS | MARKUP | MARKDOWN
ALL_AT_ONCE = "\r\n".join(HOSTILE.values())

_LANGUAGES = (LANGUAGE_FI, LANGUAGE_SV, LANGUAGE_EN)
_CONTENTS: list[FieldDescriptor] = list(SendMessageRequest.DESCRIPTOR.oneofs_by_name["content"].fields)
_TOKENS = frozenset({"link_token", "customership_link_token"})
_NOT_SHOWN = _TOKENS | {"template", "work_item_id"}


def _texts(content: FieldDescriptor) -> Iterator[FieldDescriptor]:
    fields = cast(Descriptor, content.message_type).fields
    return (
        field
        for field in fields
        if field.type == FieldDescriptor.TYPE_STRING and field.name != "registration_id"
    )


TEXTS = [(content.name, field.name) for content in _CONTENTS for field in _texts(content)]
"""Every text of every mail, but the ID that a mail tells as a reference: it has but digits."""


def _request(content: str, language: Language.ValueType, **texts: str) -> SendMessageRequest:
    request = SendMessageRequest(request_id=str(uuid.uuid4()), subject_id="a", language=language)
    filled: Message = getattr(request, content)
    filled.SetInParent()
    for field in filled.DESCRIPTOR.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            value = REGISTRATION_ID if field.name == "registration_id" else texts.get(field.name, ONE_LINE)
            if field.is_repeated:
                getattr(filled, field.name).append(value)
            else:
                setattr(filled, field.name, value)
        elif field.type == FieldDescriptor.TYPE_MESSAGE and not field.is_repeated:
            getattr(filled, field.name).SetInParent()
    return request


def _settings() -> MailSettings:
    return MailSettings.model_construct(
        mail_from="liity@liity.example",
        mail_domain="liity.example",
        web_url="https://liity.example",
        customer_service_email="customer-service@liity.example",
        customer_service_url="https://liity.example/contact",
    )


class Structure(HTMLParser):
    """What a reader's browser makes of a page: tags with their attributes, and the text between."""

    def __init__(self, rendered: Rendered) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: Counter[tuple[str, str]] = Counter()
        self.links: set[str] = set()
        self.text = ""
        self.feed(rendered.html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # The token at the end of a personal link is its reader's own.
        self.tags[tag, str([(name, _PERSONAL.sub(r"\1", value or "")) for name, value in attrs])] += 1
        self.links |= {_PERSONAL.sub(r"\1", value or "") for name, value in attrs if name in {"href", "src"}}

    def handle_comment(self, data: str) -> None:
        self.tags["comment", data] += 1

    def handle_decl(self, decl: str) -> None:
        self.tags["declaration", decl] += 1

    def unknown_decl(self, data: str) -> None:
        self.tags["declaration", data] += 1

    def handle_data(self, data: str) -> None:
        self.text += data


def _rendered(request: SendMessageRequest) -> Rendered:
    return render(request, _settings())


def _raw(rendered: Rendered) -> bytes:
    return build(uuid.UUID(int=0), "aino@posti.example", rendered, _settings()).as_bytes()


def _words(text: str) -> str:
    return " ".join(text.split())


def _headers(mail: Mail) -> list[tuple[str, str]]:
    """All headers of all parts as they are written, but for the moment and the boundary."""
    return [
        (name, str(value).partition("boundary=")[0])
        for part in mail.walk()
        for name, value in part.raw_items()
        # How a part is encoded follows from what it holds.
        if name not in {"Date", "Content-Transfer-Encoding"}
    ]


@pytest.mark.parametrize("language", _LANGUAGES)
@pytest.mark.parametrize("content", [content.name for content in _CONTENTS])
def test_the_texts_of_a_mail_stay_text(content: str, language: Language.ValueType) -> None:
    fields = [field for of, field in TEXTS if of == content]
    marks = {field: f"mark-of-{field}-" for field in fields}
    marked = _rendered(_request(content, language, **marks))
    expected = Structure(marked)
    may_be_told = {mark for field, mark in marks.items() if field not in _NOT_SHOWN}
    told = {mark for mark in may_be_told if mark in marked.text}
    assert told == {mark for mark in may_be_told if mark in expected.text}
    for kind, text in HOSTILE.items():
        rendered = _rendered(_request(content, language, **dict.fromkeys(fields, text)))
        found = Structure(rendered)
        assert (kind, rendered.subject) == (kind, marked.subject)
        assert (kind, found.tags) == (kind, expected.tags)
        assert (kind, found.links) == (kind, expected.links)
        assert str(8191 * 131071) not in rendered.text + rendered.html
        for shown, before in ((rendered.text, marked.text), (found.text, expected.text)):
            times = sum(before.count(mark) for mark in told)
            assert (kind, _words(shown).count(_words(text)) >= times) == (kind, True)


@pytest.mark.parametrize("language", _LANGUAGES)
@pytest.mark.parametrize(("content", "field"), TEXTS)
def test_a_text_of_a_mail_reaches_no_header(content: str, field: str, language: Language.ValueType) -> None:
    plain = _raw(_rendered(_request(content, language)))
    raw = _raw(_rendered(_request(content, language, **{field: ALL_AT_ONCE})))
    assert _headers(message_from_bytes(raw)) == _headers(message_from_bytes(plain))
    # RFC 5322 2.1.1 and 2.3.
    assert all(len(line) <= 998 for line in raw.split(b"\r\n"))
    assert b"\n" not in raw.replace(b"\r\n", b"")


@pytest.mark.parametrize(("content", "field"), [text for text in TEXTS if text[1] not in _TOKENS])
def test_the_contract_refuses_what_is_no_single_line(content: str, field: str) -> None:
    for kind, text in BREAKS.items():
        wrong = {
            violation.field.removesuffix("[0]")
            for violation in violations_of(_request(content, LANGUAGE_FI, **{field: text}))
        }
        assert (kind, f"{content}.{field}" in wrong) == (kind, True)


def test_the_contract_refuses_what_is_no_id_of_a_registration() -> None:
    with_id = [
        content
        for content in _CONTENTS
        if "registration_id" in cast(Descriptor, content.message_type).fields_by_name
    ]
    assert with_id
    for content in with_id:
        request = _request(content.name, LANGUAGE_FI)
        for text in ("", "x", *HOSTILE.values()):
            getattr(request, content.name).registration_id = text
            assert f"{content.name}.registration_id" in {wrong.field for wrong in violations_of(request)}


def test_a_token_cannot_leave_the_end_of_its_link() -> None:
    with_token = [(content, field) for content, field in TEXTS if field in _TOKENS]
    assert {field for _, field in with_token} == _TOKENS
    for content, field in with_token:
        for text in HOSTILE.values():
            rendered = render(_request(content, LANGUAGE_FI, **{field: text}), _settings())
            links = {word for word in rendered.text.split() if _PERSONAL.match(word)}
            assert len(links) == sum(of == content for of, _ in with_token)
            for link in links:
                assert not set(link.rpartition("/")[2]) & set("#/?&<>\"' \r\n:")
