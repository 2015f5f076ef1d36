"""Every mail in every language: complete, escaped, and without what must not stand in it."""

import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markupsafe import escape

from liity.notification.v1.notification_service_pb2 import (
    ClassListDone,
    ConsentQuestion,
    Credentials,
    CustomershipBegun,
    CustomershipEndedNotice,
    CustomershipGoesOn,
    EmailConfirmation,
    MessageDeadline,
    PasswordOrder,
    SendMessageRequest,
    Welcome,
    WorkCount,
)
from liity.v1.customer_form_pb2 import LANGUAGE_EN, LANGUAGE_FI, LANGUAGE_SV, Language
from services.notification.mail.rendering import Rendered, render, template_of
from services.runtime.settings import RuntimeSettings
from services.runtime.text.references import of_registration
from services.runtime.text.unnamed_unit import UNNAMED_UNIT
from tests.support.mail_contents import CONTENTS, DAY, MOMENT, NAME, REGISTRATION_ID, TIPS, TOKEN, UNIT

HINT = re.compile(
    "Voit myös avata tai kopioida osoitteen:"
    "|Du kan också öppna eller kopiera adressen:"
    "|You can also open or copy the address:"
)
REQUESTS = [
    pytest.param(
        SendMessageRequest(language=language, **content),
        id="-".join(
            (*content, Language.Name(language), *(getattr(c, "template", "") for c in content.values()))
        ),
    )
    for content in CONTENTS
    for language in DAY
]
OPENING = {
    "address_undeliverable",
    "change_address_reminder",
    "class_list_done",
    "consent_given",
    "consent_lapses_soon",
    "consent_outgrown",
    "consent_wrong_recipient",
    "credentials_unused",
    "email_unconfirmed",
    "guardian_wrong_recipient",
    "identity_check_done",
    "message_answered",
    "message_lapsed",
    "message_received",
    "need_unanswered",
    "reactivation_done",
    "removal_undone",
}
"""Mails whose link opens the registration, class list or message that they tell of."""

LINK_PAGES = {
    "consent_request": "consent",
    "consent_reminder": "consent",
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


class Reader(HTMLParser):
    """What a mail program makes of HTML: its text, its tags, its links. Its tags must be paired."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[str] = []
        self.links: list[str] = []
        self.languages: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        attributes = dict(attrs)
        self.links += [link] if (link := attributes.get("href")) else []
        self.languages += [language] if (language := attributes.get("lang")) else []
        if tag not in {"br", "meta", "hr", "img"}:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def settings() -> RuntimeSettings:
    return RuntimeSettings(keys_dir=Path("unused"), web_url="https://liity.example/")


def words(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_mail_is_complete(request_: SendMessageRequest, settings: RuntimeSettings) -> None:
    rendered = render(request_, settings)
    template = template_of(request_)
    assert_says_all(rendered, request_, template)
    for part in (rendered.subject, rendered.text, rendered.html):
        assert not re.search(r"\{[{%#]|[%#}]\}|link_token|Undefined|None|Subject:", part)
    assert rendered.text.endswith("\n")
    assert not rendered.text.startswith("\n")
    assert max(len(line) for line in rendered.text.splitlines() if "://" not in line) <= 72


@pytest.mark.parametrize("request_", REQUESTS)
def test_both_parts_say_the_same(request_: SendMessageRequest, settings: RuntimeSettings) -> None:
    """Word for word, but that HTML has its subject as title and heading, and a hint below each button."""
    rendered = render(request_, settings, TIPS)
    html = Reader(rendered.html)
    text = re.sub(r"^(?:- |\d\. )", "", rendered.text, flags=re.MULTILINE)
    expected = [rendered.subject, rendered.subject, text]
    assert words(HINT.sub("", html.text)).replace(":", "") == words("\n".join(expected)).replace(":", "")
    assert set(rendered.text.split()) >= {link.removeprefix("mailto:") for link in html.links}


def test_text_has_no_marks(settings: RuntimeSettings) -> None:
    for content in CONTENTS:
        for language in DAY:
            request = SendMessageRequest(language=language, **content)
            text = render(request, settings, TIPS[:1]).text.replace(TOKEN, "")
            assert set(text).isdisjoint("#*[]_\\`\ue000\ue001")


def test_the_librarys_own_service_may_have_another_address() -> None:
    own = RuntimeSettings(
        keys_dir=Path("unused"), web_url="https://liity.example/", library_url="https://kirjasto.example/"
    )
    for language in DAY:
        welcome = SendMessageRequest(language=language, welcome=Welcome(first_names="Aino"))
        html = Reader(render(welcome, own).html)
        assert "https://kirjasto.example/" in html.links
        assert "https://liity.example/" not in html.links
        begun = SendMessageRequest(
            language=language, **next(each for each in CONTENTS if "consent_given" in each)
        )
        assert "https://kirjasto.example/" not in Reader(render(begun, own).html).links


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_mail_to_a_registrar_opens_what_it_is_about(
    request_: SendMessageRequest, settings: RuntimeSettings
) -> None:
    """Without a resource, as a worker of a release before sends it, the start page."""
    name = "units/u1/registrations/r1"
    about = SendMessageRequest()
    about.CopyFrom(request_)
    about.resource = name
    start, page = (f"{settings.web_url}{path}" for path in ("", name))
    without, opened = (Reader(render(each, settings, TIPS).html).links for each in (request_, about))
    if template_of(request_) in OPENING:
        assert start in without
        assert sorted(opened) == sorted(page if link == start else link for link in without)
    else:
        assert opened == without


def test_book_tips_are_a_list_in_both_parts(settings: RuntimeSettings) -> None:
    request = SendMessageRequest(language=LANGUAGE_EN, welcome=Welcome(first_names="Aino"))
    rendered = render(request, settings, TIPS)
    assert (
        """Book tips:
- Aleksis Kivi: Seitsemän veljestä
  A story of seven brothers who flee into the woods, grow up there and
  come back.
  Read by: Lasse Pöysti
  https://library.example/books/1
- *The* [sea](https://library.example)

"""
        in rendered.text
    )
    html = Reader(rendered.html)
    assert html.tags.count("ul") == 1
    assert html.tags.count("ol") == 1
    assert html.tags.count("li") == 3 + len(TIPS)
    assert "https://library.example/books/1" in html.links
    assert "https://library.example" not in html.links


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_button_is_followed_by_its_address(request_: SendMessageRequest, settings: RuntimeSettings) -> None:
    rendered = render(request_, settings)
    buttons = re.findall(
        r'<p><a href="([^"]*)" style="display: inline-block;[^>]*>[^<]+</a></p>', rendered.html
    )
    hinted = re.findall(r':<br>\n<a href="([^"]*)" style="color[^>]*>([^<]+)</a></p>', rendered.html)
    assert hinted[: len(buttons)] == [(address, address) for address in buttons]
    for address in buttons:
        assert f":\n{address}\n" in rendered.text
    if template_of(request_) in LINK_PAGES:
        assert buttons


def assert_says_all(rendered: Rendered, request: SendMessageRequest, template: str) -> None:
    """Every field of the content stands in both parts, but the token, which stands in the link alone."""
    html = Reader(rendered.html)
    content = getattr(request, template)
    tokens = [field.name for field, _ in content.ListFields() if field.name.endswith("link_token")]
    for field, value in content.ListFields():
        if isinstance(value, WorkCount):
            for count in (value.due_soon, value.overdue):
                assert str(count) in rendered.text
                assert str(count) in html.text
        elif field.name in tokens:
            page = LINK_PAGES[template] if field.name == "link_token" else "customership"
            url = f"https://liity.example/{page}/{TOKEN}"
            assert rendered.text.count(url) == 1
            assert rendered.text.count(TOKEN) == len(tokens)
            assert url in html.links
            assert rendered.html.count(TOKEN) == len(tokens) * rendered.html.count(url)
        elif field.name != "template" and not isinstance(value, bool):
            told = (
                [of_registration(value)]
                if field.name == "registration_id"
                else [str(value)]
                if isinstance(value, str | int)
                else value
                if field.is_repeated
                else [DAY[request.language]]
            )
            assert all(said in words(rendered.text) and said in words(html.text) for said in told)
    if template not in LINK_PAGES:
        assert TOKEN not in "".join(html.links)


@pytest.mark.parametrize("request_", REQUESTS)
def test_nothing_of_a_name_becomes_html(request_: SendMessageRequest, settings: RuntimeSettings) -> None:
    html = Reader(render(request_, settings).html)
    assert set(html.tags).isdisjoint({"script", "img", "form", "iframe", "link"})


@pytest.mark.parametrize("request_", REQUESTS)
def test_the_subject_names_nobody(request_: SendMessageRequest, settings: RuntimeSettings) -> None:
    rendered = render(request_, settings)
    assert 10 <= len(rendered.subject) <= 78
    reference = of_registration(REGISTRATION_ID)
    assert not {"Åke", "Metsälän", "k123456", reference, TOKEN} & set(rendered.subject.split())


@pytest.mark.parametrize("request_", REQUESTS)
def test_a_screen_reader_is_told_the_language_and_the_title(
    request_: SendMessageRequest, settings: RuntimeSettings
) -> None:
    rendered = render(request_, settings)
    html = Reader(rendered.html)
    assert html.languages
    assert set(html.languages) == {rendered.language}
    assert f"<title>{escape(rendered.subject)}</title>" in rendered.html
    assert html.tags.count("h1") == 1


def test_the_three_languages_differ(settings: RuntimeSettings) -> None:
    for content in CONTENTS:
        mails = [render(SendMessageRequest(language=language, **content), settings) for language in DAY]
        for part in ("subject", "text", "html", "language"):
            assert len({getattr(mail, part) for mail in mails}) == 3


@pytest.mark.parametrize(
    ("language", "hour"),
    [(LANGUAGE_FI, "klo 1.30"), (LANGUAGE_SV, "kl. 01:30"), (LANGUAGE_EN, "at 01:30")],
)
def test_a_link_of_an_hour_tells_the_time(
    settings: RuntimeSettings, language: Language.ValueType, hour: str
) -> None:
    content = PasswordOrder(link_token=TOKEN, expire_time=MOMENT)
    rendered = render(SendMessageRequest(language=language, password_order=content), settings)
    for text in (rendered.text, Reader(rendered.html).text):
        assert f"{DAY[language]} {hour}" in words(text)


def test_credentials_say_in_their_first_line_whose_they_are(settings: RuntimeSettings) -> None:
    for language, first in (
        (LANGUAGE_FI, f"Hei! Tässä ovat asiakkaan {NAME} tunnukset."),
        (LANGUAGE_SV, f"Hej! Här är inloggningsuppgifterna för kunden {NAME}."),
        (LANGUAGE_EN, f"Hello! These are the credentials of the customer {NAME}."),
    ):
        content = Credentials(
            first_names=NAME, user_name="x", link_token=TOKEN, expire_time=MOMENT, for_another=True
        )
        rendered = render(SendMessageRequest(language=language, credentials=content), settings)
        assert words(first) in words(rendered.text)[: len(words(first)) + 5]


@pytest.mark.parametrize(
    ("language", "by"), [(LANGUAGE_FI, "viimeistään"), (LANGUAGE_SV, "senast den"), (LANGUAGE_EN, "by")]
)
def test_a_deadline_at_midnight_names_the_day_before(
    settings: RuntimeSettings, language: Language.ValueType, by: str
) -> None:
    # 7 December begins in Helsinki: the 6th is good to its end (R44).
    deadline = datetime(2026, 12, 6, 22, tzinfo=UTC)
    content = ConsentQuestion(first_names=NAME, unit_display_name=UNIT, link_token=TOKEN, deadline=deadline)
    rendered = render(SendMessageRequest(language=language, consent_request=content), settings)
    day = {LANGUAGE_FI: "6. joulukuuta 2026", LANGUAGE_SV: "6 december 2026", LANGUAGE_EN: "6 December 2026"}
    assert words(rendered.text).count(f"{by} {day[language]}") == 2


OF_NEED = re.compile("tilapäi|jatka asiakkuutta|tillfällig|förläng|temporary|extend")


@pytest.mark.parametrize("language", DAY, ids=Language.Name)
@pytest.mark.parametrize(
    "content",
    [
        {"welcome": Welcome(first_names=NAME, link_token=TOKEN)},
        {"customership_begun": CustomershipBegun(first_names=NAME, link_token=TOKEN)},
        {"customership_goes_on": CustomershipGoesOn(first_names=NAME, link_token=TOKEN)},
        {
            "email_confirmation": EmailConfirmation(
                first_names=NAME, link_token=TOKEN, expire_time=MOMENT, customership_link_token=TOKEN
            )
        },
    ],
    ids=lambda content: next(iter(content)),
)
def test_only_the_temporary_are_told_of_a_temporary_need(
    settings: RuntimeSettings, language: Language.ValueType, content: dict[str, Any]
) -> None:
    request = SendMessageRequest(language=language, **content)
    assert not OF_NEED.search(words(render(request, settings).text))
    getattr(request, template_of(request)).temporary = True
    assert len(OF_NEED.findall(words(render(request, settings).text))) == 2


@pytest.mark.parametrize(
    ("language", "behalf"),
    [
        (LANGUAGE_FI, "Saitko viestin asiakkaan puolesta? Viesti koskee asiakasta"),
        (LANGUAGE_SV, "Fick du meddelandet för kundens räkning? Det gäller kunden"),
        (LANGUAGE_EN, "Did you get this message on a customer's behalf? It is about the customer"),
    ],
    ids=["fi", "sv", "en"],
)
def test_who_confirms_an_address_for_another_is_told_whose_it_is(
    settings: RuntimeSettings, language: Language.ValueType, behalf: str
) -> None:
    for content in CONTENTS:
        if {"email_confirmation", "email_confirmation_reminder"} & set(content):
            rendered = render(SendMessageRequest(language=language, **content), settings)
            assert f"{behalf} {NAME}." in words(rendered.text)


@pytest.mark.parametrize(
    ("language", "customer", "service"),
    [
        (LANGUAGE_FI, "asiakkaan omalla linkillä", "asiakaspalvelumme."),
        (LANGUAGE_SV, "kundens egen länk", "Vår kundtjänst avslutade den."),
        (LANGUAGE_EN, "the customer's own link", "Our customer service ended it."),
    ],
    ids=["fi", "sv", "en"],
)
def test_a_registrar_is_told_who_has_ended_the_customership(
    settings: RuntimeSettings, language: Language.ValueType, customer: str, service: str
) -> None:
    for by, told in (("by_own_link", customer), ("by_customer_service", service), (None, None)):
        notice = CustomershipEndedNotice(first_names=NAME, unit_display_name=UNIT, erase_time=MOMENT)
        if by is not None:
            setattr(notice, by, True)
        request = SendMessageRequest(language=language, customership_ended_notice=notice)
        text = words(render(request, settings).text)
        assert [said for said in (customer, service) if said in text] == ([told] if told else [])


@pytest.mark.parametrize("language", DAY, ids=Language.Name)
def test_the_welcome_leads_to_the_customers_own_order_of_a_link(
    settings: RuntimeSettings, language: Language.ValueType
) -> None:
    request = SendMessageRequest(language=language, welcome=Welcome(first_names=NAME))
    rendered = render(request, settings)
    assert "https://liity.example/new-link\n" in rendered.text
    assert "https://liity.example/new-link" in Reader(rendered.html).links


TO_CUSTOMER_SERVICE = {
    *("reactivation_asked", "identity_check_asked", "decision_reminder", "decision_missed"),
    *("message_waits", "message_reminder", "feedback_waits", "feedback_reminder", "feedback_overdue"),
    *("work_digest", "registration_lost"),
}


@pytest.mark.parametrize("request_", REQUESTS)
def test_customer_service_is_not_offered_its_own_help(
    request_: SendMessageRequest, settings: RuntimeSettings
) -> None:
    text = words(render(request_, settings).text)
    offered = re.search("Kysyttävää|Har du frågor|Any questions", text) is not None
    automatic = re.search("automaattinen viesti|automatiskt meddelande|automatic message", text) is not None
    assert offered is not automatic
    assert automatic is (template_of(request_) in TO_CUSTOMER_SERVICE)


@pytest.mark.parametrize("language", DAY, ids=Language.Name)
def test_mail_to_customer_service_leads_to_the_item_itself(
    settings: RuntimeSettings, language: Language.ValueType
) -> None:
    notice = MessageDeadline(reference="L-7K3M-92QF", deadline=MOMENT, work_item_id="5-m4n8")
    request = SendMessageRequest(language=language, message_waits=notice)
    assert "https://liity.example/work/5-m4n8" in Reader(render(request, settings).html).links
    # Of a release before.
    request.message_waits.work_item_id = ""
    assert "https://liity.example/work" in Reader(render(request, settings).html).links


def test_a_welcome_of_the_release_before_has_no_link_to_end_it(settings: RuntimeSettings) -> None:
    for language in DAY:
        request = SendMessageRequest(language=language, welcome=Welcome(first_names=NAME))
        rendered = render(request, settings)
        assert "/customership" not in rendered.text + rendered.html


def test_a_token_cannot_leave_its_link(settings: RuntimeSettings) -> None:
    request = SendMessageRequest(
        language=LANGUAGE_EN,
        credentials=Credentials(
            first_names="Aino", user_name="k1", link_token='x" onclick="y\n#z', expire_time=MOMENT
        ),
    )
    url = "https://liity.example/password/x%22%20onclick%3D%22y%0A%23z"
    rendered = render(request, settings)
    assert url in rendered.text
    assert url in Reader(rendered.html).links


@pytest.mark.parametrize(
    ("language", "subject", "rows"),
    [
        (LANGUAGE_FI, "Luettelon rekisteröinti peruutettiin", "Peruutettuja rivejä ei rekisteröity"),
        (LANGUAGE_SV, "Registreringen av listan avbröts", "De avbrutna raderna registrerades inte"),
        (
            LANGUAGE_EN,
            "The registration of your list was cancelled",
            "The cancelled rows were not registered",
        ),
    ],
)
def test_a_cancelled_list_is_not_called_done(
    settings: RuntimeSettings, language: Language.ValueType, subject: str, rows: str
) -> None:
    def told(**counts: int) -> Rendered:
        done = ClassListDone(
            unit_display_name=UNIT,
            class_list_id="k7m2q9",
            create_time=MOMENT,
            expire_time=MOMENT,
            total=9,
            **counts,
        )
        return render(SendMessageRequest(language=language, class_list_done=done), settings)

    cancelled = told(registered=6, cancelled=3)
    assert cancelled.subject == subject
    assert rows in words(cancelled.text)
    assert not re.search("Korjaa rivit|Rätta de rader|Correct the rows", words(cancelled.text))
    refused = told(registered=7, refused=2)
    assert refused.subject != subject
    assert re.search("Korjaa rivit|Rätta de rader|Correct the rows", words(refused.text))


def test_the_unit_of_a_protected_person_is_not_named(settings: RuntimeSettings) -> None:
    """A dash stands for it (R37)."""
    asked = ConsentQuestion(
        first_names="Eetu", unit_display_name=UNNAMED_UNIT, link_token=TOKEN, deadline=MOMENT
    )
    words = {
        LANGUAGE_FI: "Yksikkö (nimeä ei",
        LANGUAGE_SV: "En enhet (namnet",
        LANGUAGE_EN: "A unit (not named",
    }
    for language, phrase in words.items():
        mail = render(
            SendMessageRequest(consent_request=asked, language=language, recipient_email="a@b.example"),
            settings,
        )
        assert phrase in " ".join(mail.text.split())
        assert phrase in " ".join(mail.html.split())
