"""The answer to a request for access, as the person reads it."""

import re
from datetime import UTC, datetime

import pytest
from google.protobuf.descriptor import Descriptor

from liity.registration.v1.registration_service_pb2 import ConsentEvidence
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.personal_data_pb2 import PersonalDataExport
from services.gateway.presentation import disclosure_document
from services.identity import privacy_export as of_identity
from services.notification import privacy_export as of_notification
from services.registration.privacy import export as of_registration
from services.runtime.data.privacy import Kind
from services.runtime.security.access import ACCESS, Accounts

KINDS: list[Kind] = [*of_registration.KINDS, *of_identity.KINDS, *of_notification.KINDS]
LANGUAGES = {"fi", "sv", "en"}


def leaves(message: Descriptor) -> set[str]:
    found: set[str] = set()
    for field in message.fields:
        part = field.message_type
        found |= leaves(part) if part and part.full_name != "google.type.Date" else {field.name}
    return found


def test_all_that_is_exported_has_words_in_every_language() -> None:
    texts = disclosure_document._texts()
    assert {kind.name for kind in KINDS} == {*texts["own"], *texts["annex"]}
    columns = {column.name for kind in KINDS for column in kind.columns} | leaves(CustomerForm.DESCRIPTOR)
    # Who recorded a consent is not kept with it.
    columns |= leaves(ConsentEvidence.DESCRIPTOR) - {"recorded_by"}
    parts_of_json = {"form", "profile", "merged_profile", "undo", "withheld", "evidence"}
    assert columns - parts_of_json <= {*texts["field"], *texts["technical"]}
    enums = [getattr(enum, "DESCRIPTOR", None) for kind in KINDS for enum in kind.enums.values()]
    enums += [field.enum_type for field in CustomerForm.DESCRIPTOR.fields if field.enum_type]
    values = {value.name for enum in enums if enum for value in enum.values if value.number}
    assert values <= {*texts["value"]}
    for group in texts.values():
        for text in group.values():
            parts = [text[part] for part in ("title", "purpose", "retention")] if "title" in text else [text]
            for part in parts:
                assert part.keys() == LANGUAGES
                assert all(part.values())


def test_every_use_that_is_logged_has_words() -> None:
    logged = {rule.action for rule in ACCESS.values() if isinstance(rule, Accounts) and rule.action}
    assert logged <= {*disclosure_document._texts()["action"]}


def export(language: str) -> PersonalDataExport:
    found = PersonalDataExport()
    found.gather_time.FromDatetime(datetime(2026, 11, 28, 21, 30, tzinfo=UTC))
    uses = found.services.add(service="registration").sections.add(kind="log_of_use", purpose="To tell.")
    uses.records.add().update(
        {"actor_kind": "ACTOR_KIND_ACCOUNT", "action": "class-list:check", "for_unit_id": "u1", "times": 2}
    )
    customer = found.services[0].sections.add(kind="customer", purpose="To lend.")
    customer.records.add().update(
        {
            "customer_id": "c1",
            "first_names": "Onni <b>",
            "language": language,
            "kind": "CUSTOMER_KIND_ONLINE",
            "lent": False,
            "ended_at": None,
            "birth_date": "2016-05-01",
            "profile": {"first_names": "Onni <b>", "related_person": {"full_name": "Outi"}},
        }
    )
    code = found.services.add(service="identity").sections.add(kind="personal_identity_code")
    code.records.add().update(
        {"hold_until": "2029-01-30T22:00:00+00:00", "ensured_at": "2026-11-28T08:00:00+00:00"}
    )
    found.services[1].sections.add(kind="of_a_newer_release", purpose="To see.").records.add().update(
        {"new_thing": "x"}
    )
    return found


@pytest.mark.parametrize(
    ("language", "own"),
    [
        (
            "LANGUAGE_FI",
            [
                "Henkilötiedot",
                "1. toukokuuta 2016",
                "30. tammikuuta 2029",
                "Huoltaja tai yhteyshenkilö: Nimi",
            ],
        ),
        (
            "LANGUAGE_SV",
            ["personuppgifter", "1 maj 2016", "30 januari 2029", "Vårdnadshavare eller kontaktperson: Namn"],
        ),
        (
            "LANGUAGE_EN",
            ["personal data", "1 May 2016", "30 January 2029", "Guardian or contact person: Name"],
        ),
        ("", ["Henkilötiedot"]),
    ],
)
def test_the_page_is_in_the_persons_language_and_begins_with_their_own_data(
    language: str, own: list[str]
) -> None:
    page = disclosure_document.as_html(export(language)).decode()
    assert f'<html lang="{language[-2:].lower() or "fi"}">' in page
    text, technical = page.split('<section aria-labelledby="annex-1">')
    for words in own:
        assert words in text
    assert "c1" not in text.split("<main>")[1]
    assert "c1" in technical
    assert "new_thing" not in page
    assert "New thing" in technical
    # The customer first, each value once, no names of the database.
    assert page.index('id="own-1"') < page.index("Onni &lt;b&gt;") < page.index('id="own-2"')
    assert page.count("Onni &lt;b&gt;") == 1
    assert re.findall(r"[A-Z]+_[A-Z_]+|class-list:check|\w+_id\b", page.split("<main>")[1]) == []


def test_the_finnish_page_has_no_english_but_of_a_newer_release() -> None:
    whole = export("LANGUAGE_FI")
    del whole.services[1].sections[1]
    page = disclosure_document.as_html(whole).decode().split("<body>")[1]
    text = re.sub(r"<[^>]+>", " ", page)
    assert re.findall(r"\b(?:The|the|of|to|and|yes|no|Until|Actor|role)\b", text) == []
