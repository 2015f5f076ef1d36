"""`liity registrations` against the running stack."""

import json
import re
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson

from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from docs.tables import DOCS
from frontends.client import new_request_id
from liity.v1.registration_pb2 import Registration
from tests.system.conftest import Api, Liity
from tests.system.support.registering import adult, pupil, save


@pytest.fixture
async def waiting(api: Api) -> Registration:
    """A child whose guardian has not consented yet."""
    return await save(api.teacher, pupil())


async def test_list_shows_what_waits(liity: Liity, waiting: Registration) -> None:
    listed = liity("teacher", "registrations", "list", "--stage", "waiting_for_consent", "--json")
    table = liity("teacher", "registrations", "list", "--limit", "1")

    assert json.loads(listed.stdout)[0]["name"] == waiting.name
    assert {found["stage"] for found in json.loads(listed.stdout)} == {"STAGE_WAITING_FOR_CONSENT"}
    assert waiting.name.rpartition("/")[2] in table.stdout
    assert waiting.customer_display_name in table.stdout
    assert "GUARDIAN" in table.stdout


async def test_find_tells_the_whole_name_and_what_it_tells_opens(liity: Liity, waiting: Registration) -> None:
    found = liity("staff", "registrations", "find", waiting.reference.lower().replace("-", ""))
    assert waiting.name in found.stdout
    assert waiting.reference in liity("staff", "registrations", "show", waiting.name).stdout
    as_json = json.loads(liity("staff", "registrations", "find", waiting.reference, "--json").stdout)
    assert [one["name"] for one in as_json] == [waiting.name]
    assert liity("teacher", "registrations", "find", waiting.reference).returncode != 0


async def test_show_tells_who_can_act(liity: Liity, waiting: Registration) -> None:
    shown = liity("teacher", "registrations", "show", waiting.name.rpartition("/")[2])

    assert waiting.name in shown.stdout
    assert "WAITING_FOR_CONSENT" in shown.stdout
    assert "WITHDRAW by REGISTRAR" in shown.stdout


async def test_what_waits_is_corrected(liity: Liity, api: Api, waiting: Registration) -> None:
    """A guardian's address is corrected at a sibling, too, if told to."""
    shown = json.loads(liity("teacher", "registrations", "show", waiting.name, "--json").stdout)
    correct = ("teacher", "registrations", "edit", waiting.name, "--etag", shown["etag"], "--set")

    sibling = pupil()
    sibling.form.related_person.email = shown["form"]["relatedPerson"]["email"]
    other = await save(api.teacher, sibling)
    mistyped = ("--set", "related_person.email=huolto@elisanet.if", "--at-siblings")
    corrected = liity(*correct, "last_name=Korjattu", *mistyped, "--json")
    late = liity(*correct, "last_name=Toinen")

    edited = json.loads(corrected.stdout)
    assert edited["customerDisplayName"].endswith("Korjattu")
    assert edited["addressSuggestions"] == [
        {"field": "form.related_person.email", "suggested": "huolto@elisanet.fi"}
    ]
    assert f"Corrected also at {other.customer_display_name}" in corrected.stderr
    assert "huolto@elisanet.if" in liity("teacher", "registrations", "show", other.name).stdout
    assert "Changed since: last_name" in late.stderr
    after = liity("teacher", "registrations", "show", waiting.name).stdout
    assert "huolto@elisanet.if" in after
    assert "huolto@elisanet.fi" in after


async def test_staff_record_a_consent(liity: Liity, waiting: Registration) -> None:
    recorded = liity(
        "staff", "registrations", "consent", waiting.name, "--guardian", "Huolto Esimerkki", "--json"
    )

    assert json.loads(recorded.stdout)["consentState"] == "CONSENT_STATE_GIVEN"


async def test_what_is_withdrawn_takes_no_consent(liity: Liity, waiting: Registration) -> None:
    withdrawn = liity("teacher", "registrations", "withdraw", waiting.name, "--yes")
    refused = liity(
        "teacher",
        "registrations",
        "--language",
        "fi",
        "consent",
        waiting.name,
        "--guardian",
        "Huolto Esimerkki",
    )

    assert "WITHDRAWN" in withdrawn.stdout
    assert "erased" in withdrawn.stdout
    assert refused.returncode == 1
    assert "suostumus" in refused.stderr
    assert "(NOT_WAITING_FOR_CONSENT)" in refused.stderr


async def test_every_wrong_field_is_shown(liity: Liity, waiting: Registration) -> None:
    refused = liity(
        "teacher", "registrations", "consent", waiting.name, "--guardian", "", "--signed", "2020-01-01"
    )

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "  consent.guardian_name: " in refused.stderr
    assert "(CONSENT_TOO_OLD)" in refused.stderr


async def test_another_units_registration_is_not_found(liity: Liity, waiting: Registration) -> None:
    refused = liity("registrar", "registrations", "show", waiting.name)

    assert refused.returncode == 1
    assert "(UNIT_NOT_FOUND)" in refused.stderr


async def test_staff_must_name_the_unit(liity: Liity) -> None:
    refused = liity("staff", "registrations", "list")

    assert refused.returncode == 2
    assert "name the unit with --unit" in refused.stderr


async def test_a_wrong_password_is_told_and_whom_to_ask(
    liity: Liity, stack: Stack, accounts: dict[str, DemoAccount]
) -> None:
    tls = ("--gateway-ca", str(stack.ca)) if stack.ca else ()
    gateway = ("--gateway", f"{HOST}:{stack.ports.gateway}", *tls)
    account = ("--as", "", "--email", accounts["teacher"].email, "--password", "not the password")
    refused = liity("teacher", "registrations", *gateway, *account, "list")

    assert refused.returncode == 1
    reason, contact = refused.stderr.splitlines()
    assert "(WRONG_CREDENTIALS)" in reason
    assert contact.startswith("  Customer service: customer-service@liity.example, ")


@pytest.fixture
def form(tmp_path: Path) -> Path:
    """A file to save."""
    return tmp_path / "form.json"


async def test_a_form_is_printed_filled_in_and_saved_once(liity: Liity, form: Path) -> None:
    person = adult()
    typed = f"{person.personal_identity_code}\n"
    form.write_text(liity("registrar", "registrations", "form").stdout, "utf-8")
    filled = json.loads(form.read_text("utf-8")) | {
        "first_names": person.form.first_names,
        "email": person.email,
    }
    form.write_text(json.dumps(filled), "utf-8")

    # Nothing is ticked in advance, and all that is wrong is told at once.
    unticked = liity("registrar", "registrations", "save", str(form), typed="010594Y9033\n")
    assert unticked.returncode == 1
    assert "  form.entitlement_declared: " in unticked.stderr
    assert "  form.terms_accepted: " in unticked.stderr
    assert "  personal_identity_code: " in unticked.stderr
    assert "(HETU_CHECK_CHARACTER)" in unticked.stderr

    form.write_text(json.dumps(filled | {"entitlement_declared": True, "terms_accepted": True}), "utf-8")
    command = ("registrations", "save", str(form), "--request-id", new_request_id())
    saved = liity("registrar", *command, typed=typed)
    assert "Waits for" in saved.stdout, saved.stderr
    assert "To do next" in saved.stdout
    assert person.personal_identity_code not in saved.stdout + saved.stderr
    again = json.loads(liity("registrar", *command, "--json", typed=typed).stdout)
    assert again["name"] in saved.stdout
    assert again["gettingStarted"][0]["step"] == "NEXT_STEP_CHECK_DATA"
    shown = liity("registrar", "registrations", "show", again["name"])
    assert again["gettingStarted"][0]["text"][:30] in shown.stdout
    other = liity("registrar", *command[:-2], typed=typed)
    assert "(ALREADY_REGISTERED_IN_THIS_UNIT)" in other.stderr


async def test_the_forms_of_the_pages_can_be_saved(liity: Liity) -> None:
    adults, pupils = (str(DOCS / "examples" / name) for name in ("adult.json", "pupil.json"))
    saved = liity("registrar", "registrations", "save", adults, typed=f"{adult().personal_identity_code}\n")
    assert "CREDENTIALS_SENT" in saved.stdout or "ACTIVE" in saved.stdout, saved.stderr
    waiting = liity("teacher", "registrations", "save", pupils, typed=f"{pupil().personal_identity_code}\n")
    assert "WAITING_FOR_CONSENT" in waiting.stdout, waiting.stderr
    assert "GUARDIAN" in waiting.stdout


async def test_a_person_without_a_code_is_saved(liity: Liity, form: Path) -> None:
    form.write_text(MessageToJson(adult().form), "utf-8")
    command = ("registrations", "save", str(form))

    without = ("--no-code", "--birth-date", "1994-05-01", "--reason", "not-yet-given")
    saved = liity("registrar", *command, *without)
    assert "WAITING_FOR_IDENTITY_CHECK" in saved.stdout, saved.stderr
    assert "NOT_YET_GIVEN" in saved.stdout
    assert "CUSTOMER_SERVICE" in saved.stdout

    nothing = liity("registrar", *command, "--no-code")
    assert nothing.returncode == 1
    assert "  missing_personal_identity_code.birth_date: " in nothing.stderr
    assert "  missing_personal_identity_code.reason: " in nothing.stderr
    assert liity("registrar", *command, "--no-code", "--reason", "whim").returncode == 2
    assert liity("registrar", *command, "--birth-date", "1994-05-01").returncode == 2


async def test_what_is_no_form_is_not_sent(liity: Liity, form: Path) -> None:
    for text in ("{", '{"shoe_size": 44}', "44", '{"language": "LANGUAGE_ET"}'):
        form.write_text(text, "utf-8")
        refused = liity("registrar", "registrations", "save", str(form))
        assert refused.returncode == 2, text
        assert "Invalid value" in refused.stderr


async def test_who_loses_the_answer_is_told_how_to_repeat_it(liity: Liity, form: Path) -> None:
    form.write_text(MessageToJson(adult().form), "utf-8")
    nowhere = ("--gateway", f"{HOST}:1")
    lost = liity("registrar", "registrations", *nowhere, "save", str(form), typed="010594Y9032\n")
    assert lost.returncode == 1
    (request_id,) = re.findall(r"--request-id ([0-9a-f-]{36}) it is the same call", lost.stderr)
    given = ("save", str(form), "--request-id", request_id)
    repeated = liity("registrar", "registrations", *nowhere, *given, typed="010594Y9032\n")
    assert request_id in repeated.stderr
