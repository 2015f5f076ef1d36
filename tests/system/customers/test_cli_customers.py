"""`liity customers check` and `liity messages send` against the running stack."""

import json

from tests.system.conftest import Api, Liity
from tests.system.support.registering import adult, save


async def test_the_check_asks_for_the_code_and_tells_what_may_be_done(api: Api, liity: Liity) -> None:
    person = adult()
    typed = f" {person.personal_identity_code.lower()} \n"

    unknown = liity("registrar", "customers", "check", typed=typed)
    assert "NOT_REGISTERED" in unknown.stdout, unknown.stderr
    assert "REGISTER by REGISTRAR" in unknown.stdout

    saved = await save(api.registrar, person)
    own = json.loads(liity("registrar", "customers", "check", "--json", typed=typed).stdout)
    assert own["standing"] == "STANDING_REGISTERED_IN_THIS_UNIT"
    assert own["registration"] == saved.name
    shown = liity("registrar", "customers", "check", typed=typed).stdout
    assert own["customer"] in shown
    assert "OPEN by REGISTRAR" in shown

    # Of another unit's, enough to recognise them by and no more.
    others = liity("teacher", "customers", "check", "--unit", api.teacher.unit, typed=typed).stdout
    assert "REGISTERED_IN_ANOTHER_UNIT" in others
    assert f"{person.form.first_names[0]}. {person.form.last_name[0]}." in others
    assert "TRANSFER by REGISTRAR" in others
    assert person.form.last_name not in others


async def test_what_is_wrong_with_a_code_is_told(api: Api, liity: Liity) -> None:
    refused = liity("registrar", "customers", "check", typed="010594Y9033\n")
    assert refused.returncode == 1
    assert "(HETU_CHECK_CHARACTER)" in refused.stderr
    assert "010594Y9033" not in refused.stdout + refused.stderr


async def test_customer_service_names_the_unit_it_checks_for(api: Api, liity: Liity) -> None:
    typed = f"{adult().personal_identity_code}\n"
    unnamed = liity("staff", "customers", "check", typed=typed)
    assert unnamed.returncode == 2
    assert "name the unit with --unit" in unnamed.stderr
    named = liity("staff", "customers", "check", "--unit", api.teacher.unit, typed=typed)
    assert "NOT_REGISTERED" in named.stdout, named.stderr


async def test_a_message_tells_where_it_was_written(api: Api, liity: Liity) -> None:
    def send(*options: str) -> dict[str, str]:
        sent = liity("teacher", "messages", "send", "Mitä lomakkeeseen kirjoitetaan?", "--json", *options)
        assert sent.returncode == 0, sent.stderr
        return dict(json.loads(sent.stdout))

    written = send("--context", "form")
    assert written["context"] == "MESSAGE_CONTEXT_FORM"
    assert send("--context", "identity-code-check")["context"] == "MESSAGE_CONTEXT_IDENTITY_CODE_CHECK"
    assert send()["context"] == "MESSAGE_CONTEXT_OTHER"
    assert "FORM" in liity("teacher", "messages", "show", written["name"]).stdout
    typed = liity("teacher", "messages", "send", "-", "--json", typed="Tämä ei jää historiaan.\n")
    assert json.loads(typed.stdout)["text"] == "Tämä ei jää historiaan."
    # A list that ends early says so.
    assert "There are more than these 1" in liity("teacher", "messages", "list", "--limit", "1").stderr
    assert "There are more" not in liity("teacher", "messages", "list", "--limit", "200").stderr
    nowhere = liity("teacher", "messages", "send", "Missä?", "--context", "hallway")
    assert nowhere.returncode == 2
    assert "form, identity-code-check, other" in nowhere.stderr
    about = f"{api.teacher.unit}/customers/nobody"
    both = liity("teacher", "messages", "send", "Kumpi?", "--context", "form", "--about", about)
    assert both.returncode == 2
