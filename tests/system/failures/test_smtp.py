"""A mail server that is awkward: every mail arrives nevertheless, or the registrar is told."""

from collections.abc import AsyncIterator

import pytest
from temporalio.client import Client

from deploy.demo.polling import eventually
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from liity.v1.registration_pb2 import (
    STAGE_CREDENTIALS_SENT,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WELCOMED,
    Registration,
)
from tests.support.smtp_server import Answer, SmtpServer, drop, hang
from tests.system.conftest import Api
from tests.system.support.mail_servers import standing_in
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    adult,
    database,
    get,
    pupil,
    reaches,
    save,
    settings,
    workflow_id,
)

LATER = "451 4.3.0 Try again later"


@pytest.fixture(scope="module", autouse=True)
async def _impatient(stack: Stack) -> AsyncIterator[None]:
    async with settings(stack, {"LIITY_SMTP_TIMEOUT": "2"}, "notification"):
        yield


@pytest.fixture
async def server(stack: Stack, mails: MailCounter) -> AsyncIterator[SmtpServer]:
    async with standing_in(stack, mails) as server:
        yield server


async def test_nobody_listens_for_a_while(stack: Stack, api: Api, mails: MailCounter) -> None:
    customer, child = adult(), pupil()
    await stack.stop_component("mailbox")
    saved = [await save(api.registrar, customer), await save(api.teacher, child)]
    for registration in saved:
        await _tried_twice(stack, registration)

    await stack.start_component("mailbox")

    await reaches(api.registrar, saved[0].name, STAGE_CREDENTIALS_SENT)
    await mails.wait_for(child, "consent_request")
    assert mails.templates(customer, saved[0]) == {"credentials": 1}
    assert mails.templates(child, saved[1]) == {"consent_request": 1}


@pytest.mark.parametrize("command", ["on_mail", "on_rcpt", "on_data"])
@pytest.mark.parametrize(
    "answers",
    [
        pytest.param([LATER, LATER], id="says later"),
        pytest.param([hang], id="hangs"),
        pytest.param([drop], id="drops the connection"),
    ],
)
async def test_it_takes_mail_only_after_a_while(
    api: Api, mails: MailCounter, server: SmtpServer, command: str, answers: list[Answer]
) -> None:
    customer = adult()
    script: list[Answer] = getattr(server, command)
    script += answers

    saved = await save(api.registrar, customer)

    await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT)
    assert script == []
    assert mails.templates(customer, saved) == {"credentials": 1}


async def test_it_takes_a_mail_but_the_connection_is_lost(
    api: Api, mails: MailCounter, server: SmtpServer
) -> None:
    customer = adult()
    server.on_data += [server.read_then_drop]

    saved = await save(api.registrar, customer)

    await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT)
    first, second = mails.copies(customer, saved)
    assert first == second
    assert first.message_id


async def test_it_never_takes_mail_to_an_address(stack: Stack, api: Api, mails: MailCounter) -> None:
    customer, child = adult(), pupil()
    async with (
        settings(stack, {"LIITY_WORKFLOWS_WELCOME_DELAY": "PT2S"}, "worker"),
        standing_in(stack, mails) as server,
    ):
        server.unknown_once.add(customer.email)
        saved = await save(api.registrar, customer)
        told = await mails.wait_for(customer, "address_undeliverable")
        await reaches(api.registrar, saved.name, STAGE_WELCOMED)
        server.unknown_once.add(child.email)
        asked = await save(api.teacher, child)
        told_about_child = await mails.wait_for(child, "address_undeliverable")

    assert told.recipient == "rekisteroija@kirjasto.example"
    assert "Viesti: tunnukset" in told.text
    assert mails.templates(customer, saved) == {"address_undeliverable": 1, "welcome": 1}
    assert await _shown(stack, saved) == [("ACTIVE", False), ("ACTIVE", True), ("WELCOMED", False)]
    assert told_about_child.recipient == "opettaja@koulu.example"
    assert "Viesti: suostumuspyyntö huoltajalle" in told_about_child.text
    assert mails.templates(child, asked) == {"address_undeliverable": 1}
    assert (await get(api.teacher, asked.name)).stage == STAGE_WAITING_FOR_CONSENT


async def _tried_twice(stack: Stack, registration: Registration) -> None:
    async with database(stack, "notification") as connection:
        attempts = "SELECT max(attempts) FROM messages WHERE subject_id = $1"
        registration_id = registration.name.rpartition("/")[2]
        await eventually(
            lambda: connection.fetchval(attempts, registration_id),
            lambda number: number is not None and number > 1,
            PATIENCE,
        )


async def _shown(stack: Stack, registration: Registration) -> list[tuple[str, bool]]:
    """Each stage that operators were shown, and whether with a deadline."""
    client = await Client.connect(f"{HOST}:{stack.ports.temporal}")
    history = await client.get_workflow_handle(await workflow_id(stack, registration)).fetch_history()
    shown = []
    for event in history.events:
        if event.HasField("upsert_workflow_search_attributes_event_attributes"):
            upsert = event.upsert_workflow_search_attributes_event_attributes
            fields = upsert.search_attributes.indexed_fields
            if "LiityStage" not in fields:
                # The SDK's own note of a patched version.
                continue
            shown.append(
                (fields["LiityStage"].data.decode().strip('"'), b'"' in fields["LiityDeadline"].data)
            )
    return shown
