"""Rendering of mails from templates."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from babel.dates import format_date, format_time
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from liity.notification.v1.notification_service_pb2 import SendMessageRequest
from liity.v1.book_tips_service_pb2 import BookTip
from liity.v1.customer_form_pb2 import Language
from services.notification.mail.markdown import to_html, to_text, wrap
from services.runtime.clock import HELSINKI, last_good_day
from services.runtime.settings import RuntimeSettings
from services.runtime.text import references
from services.runtime.text.unnamed_unit import UNNAMED_UNIT

_TEMPLATES = Path(__file__).parent / "templates"
_LOCALES = {"fi": "fi", "sv": "sv", "en": "en_GB"}
_ADDRESS_HINTS = {
    "fi": "Voit myös avata tai kopioida osoitteen:",
    "sv": "Du kan också öppna eller kopiera adressen:",
    "en": "You can also open or copy the address:",
}
_SENDERS = {
    "fi": "Saavutettavuuskirjasto",
    "sv": "Tillgänglighetsbiblioteket",
    "en": "The Accessibility Library",
}
"""The name that readers know the sender by, as in the mails' footers."""
_DAY_AND_HOUR = {
    "fi": "{day} klo {time} (Suomen aikaa)",
    "sv": "{day} kl. {time} (finsk tid)",
    "en": "{day} at {time} (Finnish time)",
}
_UNNAMED_UNITS = {
    "fi": "Yksikkö (nimeä ei kerrota viestissä)",
    "sv": "En enhet (namnet nämns inte i meddelandet)",
    "en": "A unit (not named in the message)",
}
"""In place of the name of a protected person's unit (R37)."""
_LINK_PAGES = {
    "consent_request": "consent",
    "consent_reminder": "consent",
    "consent_receipt_given": "consent",
    "consent_receipt_declined": "consent",
    "consent_receipt_taken_back": "consent",
    "credentials": "password",
    "credentials_reminder": "password",
    "password_order": "account-password",
    "email_confirmation": "email",
    "email_confirmation_reminder": "email",
    "welcome": "customership",
    "customership_begun": "customership",
    "customership_goes_on": "customership",
    "need_question": "customership",
    "need_reminder": "customership",
    "registrar_invitation": "invitation",
    "invitation_reminder": "invitation",
}
_TO_CUSTOMER_SERVICE = frozenset(
    {
        "reactivation_asked",
        "identity_check_asked",
        "decision_reminder",
        "decision_missed",
        "message_waits",
        "message_reminder",
        "feedback_waits",
        "feedback_reminder",
        "feedback_overdue",
        "work_digest",
        "registration_lost",
    }
)
"""Mails that only customer service gets: they offer nobody its help."""
_STAFF_FOOTER = "footer_customer_service"
_MARK = re.compile("\ue000(\\d+)\ue001")
"""Characters of a private use area, which no text in a template holds."""
_TOKEN = "link_token"  # noqa: S105 - the field's name
_OWN_TOKEN = "customership_link_token"  # noqa: S105 - the field's name


@dataclass(frozen=True)
class Rendered:
    """Sender's name, subject, text and HTML of a mail, in one language."""

    sender: str
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
    content = dict(_content(template, getattr(request, template), settings.web_url))
    if content.get("unit_display_name") == UNNAMED_UNIT:
        content["unit_display_name"] = _UNNAMED_UNITS[language]
    variables = {
        **content,
        "language": language,
        "book_tips": book_tips,
        "web_url": settings.web_url,
        # The address of a resource's page is its name.
        "page_url": f"{settings.web_url.rstrip('/')}/{request.resource}",
        "work_url": f"{settings.web_url.rstrip('/')}/work",
        "new_link_url": f"{settings.web_url.rstrip('/')}/new-link",
        "library_url": settings.library_url or settings.web_url,
        "privacy_url": f"{settings.web_url.rstrip('/')}/privacy",
        "customer_service_email": settings.customer_service_email,
        "customer_service_url": settings.customer_service_url,
    }
    values: list[str] = []
    source = "\n\n".join(
        _environment().get_template(f"{name}.{language}.md").render(variables, values=values)
        for name in (template, _STAFF_FOOTER if template in _TO_CUSTOMER_SERVICE else "footer")
    )
    page = _page(source, language)
    return Rendered(
        page.sender,
        _fill_in(page.subject, values),
        wrap(_fill_in(page.text, values)),
        _fill_in(page.html, [escape(value) for value in values]),
        language,
    )


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
        autoescape=False,  # noqa: S701 - no value stands in what these templates make, see _mark
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=_mark,
    )
    environment.filters["day"] = _day
    environment.filters["until"] = _until
    environment.filters["reference"] = references.of_registration
    return environment


@pass_context
def _mark(context: Context, value: object) -> str:
    """Puts a value aside and a mark in its place: no value is ever read as Markdown."""
    values: list[str] = context["values"]
    values.append(str(value))
    return f"\ue000{len(values) - 1}\ue001"


def _fill_in(page: str, values: Sequence[str]) -> str:
    return _MARK.sub(lambda mark: values[int(mark[1])], page)


@lru_cache(maxsize=512)
def _page(source: str, language: str) -> Rendered:
    """A mail with marks for its values: the same for all mails of a template that take the same branches."""
    subject = source.partition("\n")[0].removeprefix("# ")
    layout = Environment(loader=FileSystemLoader(_TEMPLATES), autoescape=True).get_template("layout.html")
    content = Markup(to_html(source, _ADDRESS_HINTS[language]))  # noqa: S704 - no value stands in it yet
    html = layout.render(language=language, subject=subject, content=content)
    return Rendered(_SENDERS[language], subject, to_text(source), html, language)


def _content(template: str, content: Message, web_url: str) -> Mapping[str, Any]:
    """The content's fields as template variables; a token appears only in its link's URL."""
    variables: dict[str, Any] = {}
    for field in content.DESCRIPTOR.fields:
        value = getattr(content, field.name)
        if field.name in {_TOKEN, _OWN_TOKEN}:
            page = _LINK_PAGES[template] if field.name == _TOKEN else "customership"
            # In the path: mail gateways drop fragments, and no page reads one without a script. The pages
            # move it into a cookie at once, and log no path.
            url = f"{web_url.rstrip('/')}/{page}/{quote(value, safe='')}"
            variables[field.name.replace("token", "url")] = url if value else ""
        elif field.name == "work_item_id":
            # Of a mail from a release before, the whole list.
            item = f"/{quote(value, safe='')}" if value else ""
            variables["work_item_url"] = f"{web_url.rstrip('/')}/work{item}"
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
def _until(context: Context, deadline: datetime) -> str:
    """The last good day of a deadline (R44); with the hour, if it does not come with a day's end."""
    locale = _LOCALES[context["language"]]
    day = last_good_day(deadline)
    if day is not None:
        return format_date(day, "long", locale=locale)
    date, time = format_date(deadline, "long", locale=locale), format_time(deadline, "short", locale=locale)
    return _DAY_AND_HOUR[context["language"]].format(day=date, time=time)
