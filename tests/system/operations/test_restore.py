"""Registration's database goes back to an earlier moment: who was erased stays so, what is lost is named."""

import json
import subprocess
from collections.abc import AsyncIterator

import asyncpg
import pytest
from temporalio.client import Client

from deploy.demo.polling import eventually
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.registration_pb2 import STAGE_WITHDRAWN, Registration
from liity.v1.registration_service_pb2 import GetRegistrationRequest, WithdrawRegistrationRequest
from services.runtime.temporal.names import ReconciliationWorkflowNames
from tests.support.program import Program
from tests.system.conftest import Api, Liity
from tests.system.support.registering import PATIENCE, database, pupil, save, workflow_id


@pytest.fixture
async def _worker_does_not_reconcile(stack: Stack) -> AsyncIterator[None]:
    """Else it would now and then be faster than the commands."""
    temporal = await Client.connect(f"{HOST}:{stack.ports.temporal}")
    schedule = temporal.get_schedule_handle(ReconciliationWorkflowNames.SCHEDULE)
    await schedule.pause()
    yield
    await schedule.unpause()


@pytest.mark.usefixtures("_worker_does_not_reconcile")
async def test_registration_is_restored_to_an_earlier_moment(
    stack: Stack, api: Api, liity: Liity, program: Program
) -> None:
    erased = await save(api.teacher, pupil())
    erased_run = await workflow_id(stack, erased)
    person_id = erased_run.rpartition("/")[2]
    async with database(stack, "registration") as connection:
        backup = await connection.fetchval(
            "SELECT to_jsonb(registrations)::text FROM registrations WHERE registration_id = $1",
            number(erased),
        )
    # After moment A: one person is erased, another is saved.
    withdraw = WithdrawRegistrationRequest(name=erased.name, request_id=new_request_id())
    await api.teacher.call(api.teacher.registrations.WithdrawRegistration, withdraw)
    await eventually(lambda: remains_of(stack, erased), lambda found: found == (None, None), PATIENCE)
    lost = await save(api.teacher, pupil())
    lost_run = await workflow_id(stack, lost)
    folder = ("--state-dir", str(stack.folder))
    assert person_id not in (await program.run("erasure", "reapply", *folder)).stdout

    async with database(stack, "registration") as connection:
        await put_back(connection, backup, number(erased))
        await connection.execute("DELETE FROM registrations WHERE registration_id = $1", number(lost))

    dry = await program.run("erasure", "reapply", *folder)
    assert (dry.returncode, person_id in dry.stdout) == (1, True), dry.stderr
    fixed = await program.run("erasure", "reapply", *folder, "--fix")
    assert (fixed.returncode, person_id in fixed.stdout) == (0, True), fixed.stderr
    assert await remains_of(stack, erased) == (None, None)

    anchor = liity("staff", "audit", "verify").stdout.split()[-1]
    found = await program.run("reconcile", *folder)
    assert f"run_has_row: {lost_run}" in found.stdout, found.stderr
    assert found.returncode == 1
    assert "erased_stays_erased: " not in found.stdout
    fixed = await program.run("reconcile", *folder, "--fix")
    assert f"run_has_row: {lost_run}" in fixed.stdout, fixed.stderr

    async def what_is_left() -> subprocess.CompletedProcess[str]:
        return await program.run("reconcile", *folder, "--anchor", anchor)

    # The list of open runs may lag.
    left = await eventually(what_is_left, lambda shown: lost_run not in shown.stdout, PATIENCE)
    assert {"row_has_person", "open_row_has_run", "chain_matches_anchor"} <= set(left.stdout.split())
    # Other tests may have left something on this stack that cannot be repaired.
    assert (left.returncode == 0) == ("/" not in left.stdout), left.stdout + left.stderr
    get = GetRegistrationRequest(name=erased.name)
    remains = await api.teacher.call(api.teacher.registrations.GetRegistration, get)
    assert remains.registration.stage == STAGE_WITHDRAWN


def number(registration: Registration) -> str:
    return registration.name.rpartition("/")[2]


async def remains_of(stack: Stack, registration: Registration) -> tuple[str | None, ...]:
    """What registration's database still holds of somebody."""
    async with database(stack, "registration") as connection:
        row = await connection.fetchrow(
            "SELECT form::text, person_id FROM registrations WHERE registration_id = $1", number(registration)
        )
    return tuple(row)


async def put_back(connection: asyncpg.Connection, backup: str, registration_id: str) -> None:
    assert json.loads(backup)["form"]
    await connection.execute("DELETE FROM registrations WHERE registration_id = $1", registration_id)
    await connection.execute(
        "INSERT INTO registrations SELECT * FROM jsonb_populate_record(NULL::registrations, $1::jsonb)",
        backup,
    )
