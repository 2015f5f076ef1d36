"""Rendering of mails from templates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from babel.dates import format_date, format_time
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context, select_autoescape
from jinja2.runtime import Context

from liity.notification.v1.notification_service_pb2 import SendMessageRequest
from liity.v1.book_tips_service_pb2 import BookTip
from liity.v1.customer_form_pb2 import Language
from services.runtime.clock import HELSINKI
from services.runtime.settings import RuntimeSettings

_TEMPLATES = Path(__file__).parent / "templates"
_LOCALES = {"fi": "fi", "sv": "sv", "en": "en_GB"}
_LINK_PAGES = {
    "consent_request": "consent",
    "consent_reminder": "consent",
    "credentials": "password",
    "password_order": "account-password",
    "email_confirmation": "email",
    "welcome": "customership",
    "customership_begun": "customership",
    "customership_goes_on": "customership",
    "need_question": "customership",
    "need_reminder": "customership",
    "registrar_invitation": "invitation",
    "invitation_reminder": "invitation",
}
_TOKEN = "link_token"  # noqa: S105 - the field's name
_OWN_TOKEN = "customership_link_token"  # noqa: S105 - the field's name


@dataclass(frozen=True)
class Rendered:
    """Subject, text and HTML of a mail, in one language."""

    subject: str
    text: str
    html: str
    language: str


def render(
    request: SendMessageRequest, settings: RuntimeSettings, book_tips: Sequence[BookTip] = ()
) -> Rendered:
    """Renders the template that the content's field names."""
    template = template_of(request)
    language = Language.Name(request.language).removeprefix("LANGUAGE_").lower()
    variables = {
        **_content(template, getattr(request, template), settings.web_url),
        "language": language,
        "book_tips": book_tips,
        "web_url": settings.web_url,
        "customer_service_email": settings.customer_service_email,
        "customer_service_url": settings.customer_service_url,
    }
    environment = _environment()
    head, _, text = environment.get_template(f"{template}.{language}.txt").render(variables).partition("\n")
    subject = head.removeprefix("Subject:").strip()
    html = environment.get_template(f"{template}.{language}.html").render(variables, subject=subject)
    return Rendered(subject, text.strip() + "\n", html, language)


def template_of(request: SendMessageRequest) -> str:
    """The name of the mail's template."""
    template = request.WhichOneof("content")
    if template is None:
        raise ValueError("The contract requires a content.")
    return template


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters["day"] = _day
    environment.filters["time"] = _time
    return environment


def _content(template: str, content: Message, web_url: str) -> Mapping[str, Any]:
    """The content's fields as template variables; a token appears only in its link's URL."""
    variables: dict[str, Any] = {}
    for field in content.DESCRIPTOR.fields:
        value = getattr(content, field.name)
        if field.name in {_TOKEN, _OWN_TOKEN}:
            page = _LINK_PAGES[template] if field.name == _TOKEN else "customership"
            # In the fragment: browsers do not send it, so no web server logs it.
            url = f"{web_url.rstrip('/')}/{page}#{quote(value, safe='')}"
            variables[field.name.replace("token", "url")] = url if value else ""
        elif isinstance(value, Timestamp):
            variables[field.name] = value.ToDatetime(UTC).astimezone(HELSINKI)
        else:
            variables[field.name] = value
    return variables


@pass_context
def _day(context: Context, moment: datetime) -> str:
    """The date of a moment, in the mail's language."""
    return format_date(moment, "long", locale=_LOCALES[context["language"]])


@pass_context
def _time(context: Context, moment: datetime) -> str:
    """The time of day of a moment in Finland, in the mail's language."""
    return format_time(moment, "short", locale=_LOCALES[context["language"]])
