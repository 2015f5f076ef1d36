"""An access request: all that is kept of a person, for customer service alone, and for a few days only."""

import json
import re
import stat
from datetime import UTC, timedelta
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import pytest

from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.disclosure_service_pb2 import (
    DISCLOSURE_STATE_FAILED,
    DISCLOSURE_STATE_GATHERING,
    DISCLOSURE_STATE_READY,
    CreateDisclosureRequest,
    Disclosure,
    GetDisclosureRequest,
)
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, Registration
from liity.v1.registration_service_pb2 import WithdrawRegistrationRequest
from services.gateway.settings import GatewaySettings
from tests.system.conftest import Api, Liity
from tests.system.support.marked import marked_pupil, marks
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    adult,
    database,
    pupil,
    reaches,
    save,
    settings,
    workflow_id,
)

MARKUP = "Sukunimi </td><script>alert('&')</script>"


async def create(
    client: ApiClient, *, registration: str = "", hetu: str = "", request_id: str = ""
) -> Disclosure:
    request = CreateDisclosureRequest(request_id=request_id or new_request_id())
    if registration:
        request.registration = registration
    else:
        request.personal_identity_code = hetu
    return (await client.call(client.disclosures.CreateDisclosure, request)).disclosure


async def get(client: ApiClient, name: str) -> Disclosure:
    request = GetDisclosureRequest(name=name)
    return (await client.call(client.disclosures.GetDisclosure, request)).disclosure


async def ready(client: ApiClient, name: str) -> Disclosure:
    return await eventually(
        lambda: get(client, name), lambda found: found.state == DISCLOSURE_STATE_READY, PATIENCE
    )


async def refused(call: Any) -> tuple[str, str]:
    with pytest.raises(Refusal) as refusal:
        await call
    return refusal.value.code.name, reason_name(refusal.value.reason)


@pytest.fixture(scope="module")
async def customer(stack: Stack, api: Api) -> tuple[DemoPerson, Registration]:
    """A child with every field filled in, whose credentials are mailed."""
    person = marked_pupil(with_consent=True)
    person.form.last_name += MARKUP
    saved = await save(api.teacher, person)
    await MailCounter(stack).wait_for(person, "credentials")
    return person, await reaches(api.teacher, saved.name, STAGE_CREDENTIALS_SENT)


async def test_every_field_that_was_typed_is_told(
    api: Api, customer: tuple[DemoPerson, Registration]
) -> None:
    person, registration = customer
    begun = await create(api.staff, registration=registration.name)
    assert (begun.state, begun.json, begun.html) == (DISCLOSURE_STATE_GATHERING, b"", b"")
    disclosure = await ready(api.staff, begun.name)
    told = json.loads(disclosure.json)
    sections = {
        (service["service"], section["kind"]): section
        for service in told["services"]
        for section in service["sections"]
    }
    assert list(sections) == [
        ("identity", "personal_identity_code"),
        ("identity", "credentials"),
        ("identity", "links"),
        ("registration", "registrations"),
        ("registration", "customer"),
        ("registration", "search_keys"),
        ("registration", "consents"),
        ("registration", "disclosures"),
        ("registration", "log_of_use"),
        ("notification", "deliveries"),
    ]
    assert all(section["purpose"] and section["retention"] for section in sections.values())
    [code] = sections["identity", "personal_identity_code"]["records"]
    assert code["personal_identity_code"] == person.personal_identity_code
    [profile] = [record["profile"] for record in sections["registration", "customer"]["records"]]
    assert set(profile) == {field.name for field, _ in person.form.ListFields()}
    texts = disclosure.json.decode()
    assert not {mark for mark in marks(person) if json.dumps(mark, ensure_ascii=False)[1:-1] not in texts}
    end = person.form.expected_end_date
    assert profile["expected_end_date"] == f"{end.year}-{end.month:02}-{end.day:02}"
    assert ".0" not in re.sub(r'"[^"]*"', "", texts)
    [consent] = sections["registration", "consents"]["records"]
    assert consent["guardian_name"] == person.form.paper_consent.guardian_name
    actions = {record["action"] for record in sections["registration", "log_of_use"]["records"]}
    assert {"registration:create", "registration:read"} <= actions
    again = json.loads(
        (await ready(api.staff, (await create(api.staff, registration=registration.name)).name)).json
    )
    [log] = [
        section
        for service in again["services"]
        for section in service["sections"]
        if section["kind"] == "log_of_use"
    ]
    # An export may be gathered before its own creation stands in the log.
    assert "disclosure:create" in {record["action"] for record in log["records"]}
    [mail] = sections["notification", "deliveries"]["records"]
    assert mail["template"] == "credentials"
    lifetime = disclosure.expire_time.ToDatetime(UTC) - disclosure.create_time.ToDatetime(UTC)
    default: timedelta = GatewaySettings.model_fields["disclosure_lifetime"].default
    assert abs(lifetime - default) < timedelta(minutes=1)


class Page(HTMLParser):
    """What a browser reads on a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


async def test_the_page_can_be_read_by_a_person(api: Api, customer: tuple[DemoPerson, Registration]) -> None:
    person, registration = customer
    begun = await create(api.staff, registration=registration.name)
    page = Page((await ready(api.staff, begun.name)).html.decode())
    assert not {mark for mark in marks(person) if mark not in page.text}
    assert person.personal_identity_code in page.text
    tags = [tag for tag, _ in page.tags]
    assert ("html", {"lang": "fi"}) in page.tags
    assert tags.count("h1") == tags.count("main") == 1
    assert tags.count("table") == tags.count("caption") > 0
    assert all(attributes.get("scope") == "row" for tag, attributes in page.tags if tag == "th")
    headings = [int(tag[1]) for tag in tags if tag in {"h1", "h2", "h3"}]
    assert all(later <= earlier + 1 for earlier, later in pairwise(headings))
    # It does nothing and asks for nothing, whatever somebody is called.
    assert not {"script", "img", "link", "iframe", "form", "object"} & set(tags)
    assert all(
        (attributes.get("href") or "#").startswith("#") and "src" not in attributes
        for _, attributes in page.tags
    )
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identifiers) == len(set(identifiers))
    assert "CUSTOMER_KIND" not in page.text


async def test_a_person_is_found_by_code_as_well(
    stack: Stack, api: Api, customer: tuple[DemoPerson, Registration]
) -> None:
    person, registration = customer
    begun = await create(api.staff, hetu=person.personal_identity_code)
    await ready(api.staff, begun.name)
    person_id = (await workflow_id(stack, registration)).rpartition("/")[2]
    async with database(stack, "registration") as connection:
        used = await connection.fetch(
            "SELECT action FROM use_entries WHERE subject_ids @> ARRAY[$1::varchar] AND actor_role = 3",
            person_id,
        )
        stored = await connection.fetchval(
            "SELECT ciphertext FROM disclosures WHERE disclosure_id = $1", begun.name.rpartition("/")[2]
        )
    assert {"disclosure:create", "disclosure:read"} <= {row["action"] for row in used}
    assert not any(mark.encode() in stored for mark in marks(person))


async def test_a_repetition_gives_the_same(api: Api, customer: tuple[DemoPerson, Registration]) -> None:
    person, registration = customer
    request_id = new_request_id()
    first = await create(api.staff, registration=registration.name, request_id=request_id)
    finished = await ready(api.staff, first.name)
    again = await create(api.staff, hetu=person.personal_identity_code, request_id=request_id.upper())
    assert (again.name, again.create_time, again.expire_time) == (
        first.name,
        first.create_time,
        first.expire_time,
    )
    assert (await get(api.staff, first.name)).json == finished.json
    other = await save(api.registrar, adult())
    assert await refused(create(api.staff, registration=other.name, request_id=request_id)) == (
        "ALREADY_EXISTS",
        "REQUEST_ID_REUSED",
    )


async def test_nobody_but_customer_service_is_told(
    api: Api, customer: tuple[DemoPerson, Registration]
) -> None:
    _, registration = customer
    begun = await create(api.staff, registration=registration.name)
    for client, code in (
        (api.teacher, "PERMISSION_DENIED"),
        (api.registrar, "PERMISSION_DENIED"),
        (api.operator, "PERMISSION_DENIED"),
        (api.anybody, "UNAUTHENTICATED"),
    ):
        assert (await refused(create(client, registration=registration.name)))[0] == code
        assert (await refused(get(client, begun.name)))[0] == code


async def test_of_nobody_there_is_nothing_to_tell(api: Api) -> None:
    unknown = create(api.staff, hetu=adult().personal_identity_code)
    assert await refused(unknown) == ("NOT_FOUND", "PERSON_NOT_FOUND")
    missing = create(api.staff, registration=f"{api.teacher.unit}/registrations/none")
    assert await refused(missing) == ("NOT_FOUND", "REGISTRATION_NOT_FOUND")
    waiting = await save(api.teacher, pupil())
    elsewhere = waiting.name.replace(api.teacher.unit, api.registrar.unit)
    assert await refused(create(api.staff, registration=elsewhere)) == (
        "NOT_FOUND",
        "REGISTRATION_NOT_FOUND",
    )
    withdraw = WithdrawRegistrationRequest(name=waiting.name, request_id=new_request_id())
    await api.teacher.call(api.teacher.registrations.WithdrawRegistration, withdraw)
    erased = create(api.staff, registration=waiting.name)
    assert await refused(erased) == ("NOT_FOUND", "PERSON_NOT_FOUND")
    nowhere = get(api.staff, "disclosures/none")
    assert await refused(nowhere) == ("NOT_FOUND", "DISCLOSURE_NOT_FOUND")


async def test_it_is_gone_after_its_time(
    stack: Stack, api: Api, customer: tuple[DemoPerson, Registration]
) -> None:
    async with settings(stack, {"LIITY_DISCLOSURE_LIFETIME": "PT5S"}, "gateway"):
        begun = await create(api.staff, registration=customer[1].name)
        await ready(api.staff, begun.name)

        async def outcome() -> str:
            try:
                await get(api.staff, begun.name)
            except Refusal as refusal:
                if refusal.code is grpc.StatusCode.NOT_FOUND:
                    return reason_name(refusal.reason)
            return ""

        assert await eventually(outcome, bool, PATIENCE) == "DISCLOSURE_NOT_FOUND"

    async def rows() -> int:
        async with database(stack, "registration") as connection:
            found = await connection.fetch(
                "SELECT 1 FROM disclosures WHERE disclosure_id = $1", begun.name.rpartition("/")[2]
            )
        return len(found)

    await eventually(rows, lambda number: number == 0, PATIENCE)


async def test_a_service_that_is_away_delays_it(
    stack: Stack, api: Api, customer: tuple[DemoPerson, Registration]
) -> None:
    await stack.kill_component("notification")
    begun = await create(api.staff, registration=customer[1].name)
    assert (await get(api.staff, begun.name)).state == DISCLOSURE_STATE_GATHERING
    await stack.start_component("notification")
    assert b"deliveries" in (await ready(api.staff, begun.name)).json


# The command


async def test_staff_save_it_to_files_of_their_own(
    liity: Liity, customer: tuple[DemoPerson, Registration], tmp_path: Path
) -> None:
    person, registration = customer
    created = liity(
        "staff", "disclosures", "create", "--hetu-stdin", typed=f"{person.personal_identity_code}\n"
    )
    assert created.returncode == 0, created.stderr
    name = created.stdout.strip()
    for_machine, for_person = tmp_path / "export.json", tmp_path / "export.html"
    saved = liity("staff", "disclosures", "save", name, "--json", str(for_machine), "--html", str(for_person))
    assert saved.returncode == 0, saved.stderr
    for path in (for_machine, for_person):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(for_machine.read_text("utf-8"))["services"]
    assert person.form.first_names in for_person.read_text("utf-8")
    by_registration = liity("staff", "disclosures", "create", "--registration", registration.name)
    assert by_registration.stdout.startswith("disclosures/")


async def test_the_command_says_that_nothing_will_come(
    stack: Stack, api: Api, liity: Liity, customer: tuple[DemoPerson, Registration], tmp_path: Path
) -> None:
    begun = await create(api.staff, registration=customer[1].name)
    await ready(api.staff, begun.name)
    # As the run stores it if a service refuses for good: see tests/workflows/privacy.
    async with database(stack, "registration") as connection:
        await connection.execute(
            "UPDATE disclosures SET failed = true, ciphertext = NULL WHERE disclosure_id = $1",
            begun.name.rpartition("/")[2],
        )
    failed = await get(api.staff, begun.name)
    assert (failed.state, failed.json, failed.html) == (DISCLOSURE_STATE_FAILED, b"", b"")
    file = tmp_path / "export.json"
    saved = liity("staff", "disclosures", "save", begun.name, "--json", str(file))
    assert saved.returncode == 1
    assert "a service has refused its part" in saved.stderr
    assert "Start another one" in saved.stderr
    assert not file.exists()


async def test_the_command_says_what_is_wrong(
    liity: Liity, customer: tuple[DemoPerson, Registration]
) -> None:
    for arguments in (("create",), ("create", "--hetu-stdin", "--registration", customer[1].name)):
        wrong = liity("staff", "disclosures", *arguments)
        assert wrong.returncode == 2
        assert "--registration" in wrong.stderr
    nowhere = liity("staff", "disclosures", "save", "disclosures/none")
    assert nowhere.returncode == 2
    refusal = liity("teacher", "disclosures", "create", "--registration", customer[1].name)
    assert refusal.returncode == 1
    assert "(PERMISSION_DENIED)" in refusal.stderr
