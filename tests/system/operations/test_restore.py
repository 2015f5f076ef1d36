"""Registration's database goes back to an earlier moment: who was erased stays so, what is lost is named."""

import json

import asyncpg

from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.registration_pb2 import Registration
from liity.v1.registration_service_pb2 import GetRegistrationRequest, WithdrawRegistrationRequest
from tests.system.conftest import Api, Liity
from tests.system.privacy.test_erasure import database, workflow_id
from tests.system.support.registering import pupil, save


async def test_registration_is_restored_to_an_earlier_moment(stack: Stack, api: Api, liity: Liity) -> None:
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
    lost = await save(api.teacher, pupil())
    lost_run = await workflow_id(stack, lost)
    folder = ("--state-dir", str(stack.folder))
    assert person_id not in liity("staff", "erasure", "reapply", *folder).stdout

    async with database(stack, "registration") as connection:
        await put_back(connection, backup, number(erased))
        await connection.execute("DELETE FROM registrations WHERE registration_id = $1", number(lost))

    dry = liity("staff", "erasure", "reapply", *folder)
    assert (dry.returncode, person_id in dry.stdout) == (1, True), dry.stderr
    fixed = liity("staff", "erasure", "reapply", *folder, "--fix")
    assert (fixed.returncode, person_id in fixed.stdout) == (0, True), fixed.stderr
    async with database(stack, "registration") as connection:
        row = await connection.fetchrow(
            "SELECT form, person_id FROM registrations WHERE registration_id = $1", number(erased)
        )
    assert tuple(row) == (None, None)

    anchor = liity("staff", "audit", "verify").stdout.split()[-1]
    found = liity("staff", "reconcile", *folder)
    assert f"run_has_row: {lost_run}" in found.stdout, found.stderr
    assert found.returncode == 1
    assert "erased_stays_erased: " not in found.stdout
    for _ in range(2):
        repaired = liity("staff", "reconcile", *folder, "--fix", "--anchor", anchor)
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert {"row_has_person", "open_row_has_run", "chain_matches_anchor"} <= set(repaired.stdout.split())
    get = GetRegistrationRequest(name=erased.name)
    remains = await api.teacher.call(api.teacher.registrations.GetRegistration, get)
    assert not remains.customer_display_name


def number(registration: Registration) -> str:
    return registration.name.rpartition("/")[2]


async def put_back(connection: asyncpg.Connection, backup: str, registration_id: str) -> None:
    assert json.loads(backup)["form"]
    await connection.execute("DELETE FROM registrations WHERE registration_id = $1", registration_id)
    await connection.execute(
        "INSERT INTO registrations SELECT * FROM jsonb_populate_record(NULL::registrations, $1::jsonb)",
        backup,
    )
