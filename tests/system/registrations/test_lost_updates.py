"""A Save whose row is stored and whose run knows nothing: Temporal dies before it is recorded."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import asyncpg
import pytest

from deploy.demo.polling import eventually
from deploy.local.stack import Stack
from frontends.client import new_request_id
from frontends.refusals import Refusal
from liity.v1.registration_pb2 import STAGE_WELCOMED
from tests.system.conftest import Api
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
    save_request,
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
    async with settings(stack, {"LIITY_WORKFLOWS_WELCOME_DELAY": "PT40S"}, "worker"):
        yield


async def test_a_repeated_save_whose_run_has_lost_it_goes_on(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    child, customer = pupil(), adult()
    of_child, of_customer = new_request_id(), new_request_id()
    saves = [
        (api.teacher, save_request(api.teacher.unit, child, of_child)),
        (api.registrar, save_request(api.registrar.unit, customer, of_customer)),
    ]
    stored = "SELECT count(*) FROM registrations"
    async with database(stack, "registration") as connection:
        before = await connection.fetchval(stored)
        async with connection.transaction():
            await connection.execute("LOCK TABLE registrations IN SHARE MODE")
            saving = [
                asyncio.create_task(client.call(client.registrations.RegisterCustomer, request))
                for client, request in saves
            ]
            await _writes_wait(connection, len(saves))
            os.kill(stack.pid("temporal") or 0, signal.SIGSTOP)
        await eventually(
            lambda: connection.fetchval(stored), lambda found: found == before + len(saves), PATIENCE
        )
    for component in ("worker", "gateway", "temporal"):
        await stack.kill_component(component)
    lost = await asyncio.gather(*saving, return_exceptions=True)
    assert all(isinstance(answer, Refusal) for answer in lost)
    for component in ("temporal", "gateway", "worker"):
        await stack.start_component(component)

    registrations = [
        await save(api.teacher, child, of_child),
        await save(api.registrar, customer, of_customer),
    ]
    asked = await mails.wait_for(child, "consent_request")
    await accept(api.anybody, link_token(asked), child)
    for registration in registrations:
        await reaches(api.staff, registration.name, STAGE_WELCOMED)

    assert mails.templates(child) == OF_A_CHILD
    assert mails.templates(customer) == OF_AN_ADULT


async def _writes_wait(connection: asyncpg.Connection, number: int) -> None:
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'registrations'::regclass"
    await eventually(lambda: connection.fetchval(waiting), lambda found: found == number, PATIENCE)
