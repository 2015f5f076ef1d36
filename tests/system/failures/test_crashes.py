"""Programs killed with SIGKILL in the midst of a registration: nothing is lost, nothing is doubled."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from deploy.demo.polling import eventually
from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED
from tests.system.conftest import Api
from tests.system.support.mail_servers import Gate, standing_in
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    accept,
    adult,
    database,
    link_token,
    pupil,
    reaches,
    save,
    settings,
)

OF_AN_ADULT = {"credentials": 1, "welcome": 1}
OF_A_CHILD = {
    "consent_request": 1,
    "consent_given": 1,
    "consent_receipt_given": 1,
    "credentials": 1,
    "welcome": 1,
}


@pytest.fixture(scope="module", autouse=True)
async def _short_welcome(stack: Stack) -> AsyncIterator[None]:
    environment = {"LIITY_WORKFLOWS_WELCOME_DELAY": "PT10S", "LIITY_SMTP_TIMEOUT": "60"}
    async with settings(stack, environment, "worker", "notification"):
        yield


async def test_the_worker_is_killed_in_each_stage(stack: Stack, api: Api, mails: MailCounter) -> None:
    saving, sending, welcoming = adult(), adult(), adult()
    asking, waiting, deciding = pupil(), pupil(), pupil()
    async with standing_in(stack, mails) as server:
        gate = Gate(server)
        gate.keep(asking, "consent_request")
        gate.keep(deciding, "consent_given")
        gate.keep(sending, "credentials")

        registrations = {"waiting for consent": await save(api.teacher, waiting)}
        await mails.wait_for(waiting, "consent_request")
        registrations["between consent and credentials"] = await save(api.teacher, deciding)
        asked = await mails.wait_for(deciding, "consent_request")
        await accept(api.anybody, link_token(asked), deciding)
        await gate.has(deciding, "consent_given")
        registrations["while the consent request is mailed"] = await save(api.teacher, asking)
        await gate.has(asking, "consent_request")
        registrations["while the credentials are mailed"] = await save(api.registrar, sending)
        await gate.has(sending, "credentials")
        registrations["during the welcome wait"] = await save(api.registrar, welcoming)
        await reaches(api.staff, registrations["during the welcome wait"].name, STAGE_CREDENTIALS_SENT)
        async with _held_writes(stack) as connection:
            answer = asyncio.create_task(save(api.registrar, saving))
            await _writes_wait(connection)
            await stack.kill_component("worker")
        gate.open()

        await stack.start_component("worker")
        registrations["during Save"] = await answer
        for person in (asking, waiting):
            asked = await mails.wait_for(person, "consent_request")
            await accept(api.anybody, link_token(asked), person)
        for registration in registrations.values():
            await reaches(api.staff, registration.name, STAGE_WELCOMED)

    persons = (waiting, deciding, asking, sending, welcoming, saving)
    counted = {stage: mails.templates(person) for stage, person in zip(registrations, persons, strict=True)}
    assert counted == dict(zip(registrations, [OF_A_CHILD] * 3 + [OF_AN_ADULT] * 3, strict=True))


async def test_the_worker_is_killed_again_and_again(stack: Stack, api: Api, mails: MailCounter) -> None:
    persons = [adult() for _ in range(12)]
    saves = []
    for index, person in enumerate(persons):
        saves.append(asyncio.create_task(save(api.registrar, person)))
        if index % 4 == 3:
            await saves[-4]
            await stack.kill_component("worker")
            await stack.start_component("worker")

    for registration in await asyncio.gather(*saves):
        await reaches(api.registrar, registration.name, STAGE_WELCOMED)

    assert [mails.templates(person) for person in persons] == [OF_AN_ADULT] * len(persons)


async def test_the_worker_is_killed_after_it_has_done_and_before_it_has_said_so(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    child, customer = pupil(), adult()
    registrations = [await save(api.teacher, child)]
    asked = await mails.wait_for(child, "consent_request")
    async with _held_writes(stack) as connection:
        accepting = asyncio.create_task(accept(api.anybody, link_token(asked), child))
        saving = asyncio.create_task(save(api.registrar, customer))
        await _writes_wait(connection, 2)
        os.kill(stack.pid("temporal") or 0, signal.SIGSTOP)
    done = (
        "SELECT count(*) FROM registrations JOIN customers USING (customer_id)"
        " WHERE (first_names, stage) IN (($1, $2), ($3, $4))"
    )
    async with database(stack, "registration") as connection:
        stages = (child.form.first_names, STAGE_ACTIVE, customer.form.first_names, STAGE_CREDENTIALS_SENT)
        await eventually(lambda: connection.fetchval(done, *stages), lambda found: found == 2, PATIENCE)
    await stack.kill_component("worker")
    os.kill(stack.pid("temporal") or 0, signal.SIGCONT)

    await stack.start_component("worker")
    await accepting
    registrations.append(await saving)
    for registration in registrations:
        await reaches(api.staff, registration.name, STAGE_WELCOMED)

    assert mails.templates(child) == OF_A_CHILD
    assert mails.templates(customer) == OF_AN_ADULT


async def test_the_gateway_is_killed_during_save(stack: Stack, api: Api, mails: MailCounter) -> None:
    person, request_id = adult(), new_request_id()
    async with _held_writes(stack) as connection:
        first = asyncio.create_task(save(api.registrar, person, request_id))
        await _writes_wait(connection)
        await stack.kill_component("gateway")
        await stack.start_component("gateway")
        second = asyncio.create_task(save(api.registrar, person, request_id))
    registration = await second

    assert (await first).name == registration.name
    await reaches(api.registrar, registration.name, STAGE_WELCOMED)
    assert mails.templates(person) == OF_AN_ADULT
    async with database(stack, "registration") as connection:
        count = "SELECT count(*) FROM customers WHERE first_names = $1"
        assert await connection.fetchval(count, person.form.first_names) == 1


@asynccontextmanager
async def _held_writes(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    """Whoever stores or changes a registration meanwhile must wait; reading goes on."""
    async with database(stack, "registration") as connection, connection.transaction():
        await connection.execute("LOCK TABLE registrations IN SHARE MODE")
        yield connection


async def _writes_wait(connection: asyncpg.Connection, number: int = 1) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'registrations'::regclass"
    await eventually(lambda: connection.fetchval(waiting), lambda found: found == number, PATIENCE)
