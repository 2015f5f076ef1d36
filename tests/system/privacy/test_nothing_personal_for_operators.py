"""What operators can see holds nothing personal: histories, search attributes, failures, logs, metrics."""

import base64
import http.client
import json
import random
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import Client

from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from frontends.client import new_request_id
from frontends.refusals import Refusal
from liity.v1.consent_service_pb2 import DeclineConsentRequest, GetConsentRequestRequest
from liity.v1.credential_service_pb2 import ChoosePasswordRequest
from liity.v1.registration_pb2 import STAGE_DECLINED, STAGE_LAPSED, STAGE_WELCOMED, Registration
from liity.v1.registration_service_pb2 import CheckPersonalIdentityCodeRequest, ListRegistrationsRequest
from services.runtime.clock import now
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.temporal.codec import EncryptionCodec
from tests.system.conftest import Api
from tests.system.support.byte_search import find
from tests.system.support.mail_servers import standing_in
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    accept,
    adult,
    link_token,
    pupil,
    reaches,
    save,
    save_request,
    settings,
    workflow_id,
)

_RANDOM = random.Random()  # noqa: S311 - nobody's secret

OURS = ("identity", "registration", "notification", "gateway", "worker")


SHORT = {"LIITY_WORKFLOWS_CONSENT_REMINDERS": '["PT1S"]', "LIITY_WORKFLOWS_CONSENT_LAPSE": "PT2S"}


class Markers:
    """Personal data and secrets that occur nowhere else."""

    def __init__(self) -> None:
        self.all: set[str] = set()

    def person(self, make_up: Callable[[], DemoPerson]) -> DemoPerson:
        """Somebody whose every personal field is a marker."""
        person = make_up()
        form = person.form
        form.last_name = self.new("Sukunimiä")
        form.address.street_address = self.new("Katuö")
        form.additional_information = self.new("Lisätieto")
        form.phone = f"040{_RANDOM.randrange(10**6, 10**7)}"
        self.add(person.personal_identity_code, person.email, person.email.partition("@")[0])
        self.add(form.first_names, form.phone, f"358{form.phone[1:]}")
        if form.HasField("related_person"):
            form.related_person.full_name = self.new("Huoltajä")
        return person

    def new(self, word: str) -> str:
        """A marker that begins with a word."""
        marker = word + "".join(_RANDOM.choices("abdefghijklmnoprstuvyäö", k=16))
        self.add(marker)
        return marker

    def add(self, *markers: str) -> None:
        """These are to be found nowhere."""
        self.all.update(markers)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda text: text.encode(), id="utf-8"),
        pytest.param(lambda text: text.encode("utf-16"), id="utf-16"),
        pytest.param(lambda text: text.upper().encode(), id="capitals"),
        *(
            pytest.param(
                lambda text, n=n: base64.b64encode(b"?" * n + text.encode() + b"??"), id=f"base64+{n}"
            )
            for n in range(3)
        ),
        pytest.param(lambda text: base64.urlsafe_b64encode(b"??" + text.encode()), id="base64url"),
        pytest.param(lambda text: text.encode().hex().encode(), id="hex"),
        pytest.param(lambda text: quote(text).encode(), id="url"),
        pytest.param(lambda text: json.dumps({"is": text}).encode(), id="json"),
        pytest.param(lambda text: json.dumps(json.dumps([text])).encode(), id="json in json"),
        pytest.param(lambda text: repr(text.encode()).encode(), id="repr"),
    ],
)
def test_the_search_finds_what_is_there(write: Callable[[str], bytes]) -> None:
    there, elsewhere = Markers().new("Töölö~"), Markers().new("Töölö~")

    assert find([there, elsewhere], {"place": b"before" + write(there) + b"after"}) == [(there, "place")]


async def test_nothing_personal_is_left_where_operators_look(
    stack: Stack, api: Api, accounts: dict[str, DemoAccount], mails: MailCounter
) -> None:
    markers, since = Markers(), now()
    async with settings(stack, {"LIITY_WORKFLOWS_WELCOME_DELAY": "PT1S"}, "worker"):
        person, saved = await _adult(api, mails, markers)
        await _accepted(api, mails, markers)
        await _declined(api, mails, markers)
        failures = await _unreachable(stack, api, mails, markers)
        await _bad_input(api, markers)
        async with settings(stack, {"LIITY_WORKFLOWS_CONSENT_REMINDERS": '["PT1S"]'}, "worker"):
            await _reminded(api, mails, markers)
        async with settings(stack, SHORT, "worker"):
            await _lapsed(api, mails, markers)
    for account in accounts.values():
        markers.add(account.email, account.display_name, account.password)

    places = {
        **failures,
        **await _visible_in_temporal(stack, since),
        **_files(stack.folder / "temporal"),
        **_files(stack.logs),
        "metrics": _metrics(stack),
    }
    decrypted = await _decrypted_save(stack, await workflow_id(stack, saved))

    assert find(markers.all, places) == []
    # And where something must be, it is.
    assert find([person.form.first_names], {"decrypted": decrypted})
    assert find([person.email], _files(stack.folder / "mail"))
    run = await workflow_id(stack, saved)
    assert {"temporal.db", "temporal.db-wal"} & {name for _, name in find([run], places)}
    assert b"WELCOMED" in b"".join(content for name, content in places.items() if name.startswith("run "))
    for name in OURS:
        assert b'"level": "debug"' in places[f"{name}.log"]


async def test_personal_identity_codes_are_in_no_database_as_they_are(stack: Stack, api: Api) -> None:
    person = adult()
    await save(api.registrar, person)
    code = person.personal_identity_code

    databases = b"".join(
        path.read_bytes()
        for folder in ("base", "pg_wal")
        for path in (stack.folder / "postgres" / "data" / folder).rglob("*")
        if path.is_file()
    )

    assert person.form.first_names.encode() in databases
    assert not any(spelling.encode() in databases for spelling in (code, code.lower(), code[:6] + code[7:]))


async def _adult(api: Api, mails: MailCounter, markers: Markers) -> tuple[DemoPerson, Registration]:
    """Registered, with a password chosen, and welcomed."""
    person = markers.person(adult)
    saved = await save(api.registrar, person)
    token = link_token(await mails.wait_for(person, "credentials"))
    choice = ChoosePasswordRequest(token=token, request_id=new_request_id(), password=markers.new("Sala"))
    chosen = await api.anybody.call(api.anybody.credentials.ChoosePassword, choice)
    markers.add(token, chosen.user_name)
    await reaches(api.registrar, saved.name, STAGE_WELCOMED)
    return person, saved


async def _accepted(api: Api, mails: MailCounter, markers: Markers) -> None:
    """A child whose guardian accepts."""
    person = markers.person(pupil)
    saved = await save(api.teacher, person)
    token = link_token(await mails.wait_for(person, "consent_request"))
    markers.add(token)
    await accept(api.anybody, token, person)
    await reaches(api.teacher, saved.name, STAGE_WELCOMED)
    await mails.wait_for(person, "consent_given")


async def _declined(api: Api, mails: MailCounter, markers: Markers) -> None:
    """A child whose guardian declines."""
    person = markers.person(pupil)
    saved = await save(api.teacher, person)
    token = link_token(await mails.wait_for(person, "consent_request"))
    markers.add(token)
    decline = DeclineConsentRequest(token=token, request_id=new_request_id())
    await api.anybody.call(api.anybody.consents.DeclineConsent, decline)
    await reaches(api.teacher, saved.name, STAGE_DECLINED)
    await mails.wait_for(person, "consent_declined", saved)


async def _reminded(api: Api, mails: MailCounter, markers: Markers) -> None:
    """A child whose guardian has not answered yet."""
    person = markers.person(pupil)
    await save(api.teacher, person)
    await mails.wait_for(person, "consent_reminder")


async def _lapsed(api: Api, mails: MailCounter, markers: Markers) -> None:
    """A child whose guardian never answers."""
    person = markers.person(pupil)
    saved = await save(api.teacher, person)
    await reaches(api.teacher, saved.name, STAGE_LAPSED)
    await mails.wait_for(person, "consent_lapsed", saved)


async def _unreachable(stack: Stack, api: Api, mails: MailCounter, markers: Markers) -> dict[str, bytes]:
    """An adult whose mail server talks of them; what Temporal tells meanwhile about the failing step."""
    person = markers.person(adult)
    async with standing_in(stack, mails) as server:
        later, never = f"451 4.2.0 <{person.email}> is busy", f"550 5.1.1 No user {person.email}"
        server.on_rcpt = [*[later] * 12, never]
        saved = await save(api.registrar, person)
        client = await Client.connect(f"{HOST}:{stack.ports.temporal}")
        run = client.get_workflow_handle(await workflow_id(stack, saved))
        failing = await eventually(
            run.describe,
            lambda described: any(
                step.HasField("last_failure") for step in described.raw_description.pending_activities
            ),
            PATIENCE,
        )
        await mails.wait_for(person, "address_undeliverable")
        await reaches(api.registrar, saved.name, STAGE_WELCOMED)
    return {"failing step": failing.raw_description.SerializeToString()}


async def _bad_input(api: Api, markers: Markers) -> None:
    """Wrong in many ways, and each way personal."""
    person = markers.person(adult)
    service = api.registrar.registrations
    check = CheckPersonalIdentityCodeRequest(parent=api.registrar.unit)
    for code in (markers.new("Koodi")[:40], person.personal_identity_code[:-1] + "!"):
        markers.add(code)
        check.personal_identity_code = code
        await _refused(api.registrar.call(service.CheckPersonalIdentityCode, check))
    save_it = save_request(api.registrar.unit, person)
    save_it.form.email = markers.new("osoite")
    save_it.form.first_names = markers.new("Nimi") + "\u202e"
    save_it.form.address.postcode = markers.new("1")
    await _refused(api.registrar.call(service.RegisterCustomer, save_it))
    page = ListRegistrationsRequest(parent=api.registrar.unit, page_token=markers.new("sivu"))
    await _refused(api.registrar.call(service.ListRegistrations, page))
    read = GetConsentRequestRequest(token=markers.new("linkki"))
    await _refused(api.anybody.call(api.anybody.consents.GetConsentRequest, read))
    email = f"{markers.new('kirjautuja')}@posti.example"
    await _refused(api.anybody.log_in(email, markers.new("Salasana")))


async def _refused(call: Awaitable[Any]) -> None:
    with pytest.raises(Refusal):
        await call


async def _visible_in_temporal(stack: Stack, since: datetime) -> dict[str, bytes]:
    """Every run begun since, as the server keeps it: history, search attributes, memo, what it waits for."""
    client = await Client.connect(f"{HOST}:{stack.ports.temporal}")
    runs = {}
    async for listed in client.list_workflows(f'StartTime >= "{since.isoformat()}"'):
        run = client.get_workflow_handle(listed.id, run_id=listed.run_id)
        events = [event.SerializeToString() async for event in run.fetch_history_events()]
        described = (await run.describe()).raw_description.SerializeToString()
        runs[f"run {listed.run_id}"] = b"".join([listed.raw_info.SerializeToString(), described, *events])
    return runs


async def _decrypted_save(stack: Stack, run: str) -> bytes:
    """What a Save has brought to a run, as those who hold the key read it."""
    client = await Client.connect(f"{HOST}:{stack.ports.temporal}")
    codec = EncryptionCodec(load_keyset(stack.keys_dir, KeysetPurpose.PAYLOADS))
    payloads: list[Payload] = []
    async for event in client.get_workflow_handle(run).fetch_history_events():
        accepted = event.workflow_execution_update_accepted_event_attributes
        payloads += accepted.accepted_request.input.args.payloads
    return b"".join(payload.data for payload in await codec.decode(payloads))


def _files(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, by its name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def _metrics(stack: Stack) -> bytes:
    """What Temporal tells Prometheus, on a port of its own choice."""
    for connection in psutil.Process(stack.pid("temporal")).net_connections("tcp"):
        if connection.status != psutil.CONN_LISTEN:
            continue
        client = http.client.HTTPConnection(HOST, connection.laddr.port, timeout=10)
        try:
            client.request("GET", "/metrics")
            answer = client.getresponse().read()
        except (OSError, http.client.HTTPException):
            continue
        finally:
            client.close()
        if b"# TYPE" in answer:
            return answer
    raise AssertionError("Temporal tells Prometheus nothing")
