"""Who did not become a customer is in no file any more, but for the mail that has left the house (R30)."""

import asyncio
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from deploy.demo.polling import eventually
from deploy.local.postgres import DATABASES
from deploy.local.stack import Stack
from frontends.client import new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.consent_service_pb2 import DeclineConsentRequest
from liity.v1.registration_pb2 import (
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_WITHDRAWN,
    Registration,
)
from liity.v1.registration_service_pb2 import (
    CheckPersonalIdentityCodeRequest,
    ListRegistrationsRequest,
    WithdrawRegistrationRequest,
)
from services.runtime.rpc.peer import Peer
from services.runtime.security.keys import read_private_file
from services.runtime.security.service_identity import ServiceIdentity
from tests.system.conftest import Api
from tests.system.support.byte_search import find
from tests.system.support.marked import marked_pupil, marks
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    database,
    get,
    link_token,
    persistently,
    reaches,
    save,
    settings,
    workflow_id,
)
from workflows.privacy.erasure import Erasure
from workflows.privacy.erasure_ledger import ErasureLedger

SOON = {"LIITY_WORKFLOWS_CONSENT_REMINDERS": '["PT1S"]', "LIITY_WORKFLOWS_CONSENT_LAPSE": "PT3S"}


def files(folder: Path) -> dict[str, bytes]:
    """Every file of a stack's folder but its mailbox: that stands for those who have got the mail."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "mail" not in path.relative_to(folder).parts
    }


async def write_to_disk(stack: Stack) -> None:
    """Has PostgreSQL write what it holds in memory, and gather what it keeps of values as statistics."""
    for name in DATABASES:
        connection = await superuser(stack, name)
        # As many as it can keep: by default a value of a long table is among them by chance.
        await connection.execute("SET default_statistics_target = 10000")
        await connection.execute("ANALYZE")
        await connection.close()
    connection = await superuser(stack, "postgres")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def vacuum(stack: Stack) -> None:
    """Does at once what PostgreSQL does by and by: gives up dead rows, and the log of what was written."""
    for name in DATABASES:
        connection = await superuser(stack, name)
        await _old_snapshots_end(connection)
        await connection.execute("VACUUM FULL")
        await connection.close()
    connection = await superuser(stack, "postgres")
    assert await connection.fetchval("SHOW wal_recycle") == "off"
    await connection.execute("CHECKPOINT")
    await connection.execute("SELECT pg_switch_wal()")
    await connection.execute("CHECKPOINT")
    await connection.close()


async def _old_snapshots_end(connection: asyncpg.Connection) -> None:
    """Waits for transactions that may still see deleted rows, such as an ANALYZE: for them these are kept."""
    began_before = "SELECT count(*) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND xact_start < $1"
    moment = await connection.fetchval("SELECT clock_timestamp()")
    await eventually(lambda: connection.fetchval(began_before, moment), lambda count: count == 0, PATIENCE)


async def superuser(stack: Stack, name: str) -> asyncpg.Connection:
    """A connection that may do everything."""
    return await asyncpg.connect(
        host="127.0.0.1",
        port=stack.ports.postgres,
        user="postgres",
        password=read_private_file(stack.postgres.folder / "postgres.password"),
        database=name,
    )


async def decline(api: Api, token: str, request_id: str) -> None:
    request = DeclineConsentRequest(token=token, request_id=request_id)
    await persistently(lambda: api.anybody.call(api.anybody.consents.DeclineConsent, request))


async def test_nothing_is_left_in_any_file(stack: Stack, api: Api, mails: MailCounter) -> None:
    declined, withdrawn, lapsed, staying = (marked_pupil() for _ in range(4))
    gone = (declined, withdrawn, lapsed)
    saved = {
        person.personal_identity_code: await save(api.teacher, person) for person in (declined, withdrawn)
    }
    stays = await save(api.teacher, staying)
    tokens = [link_token(await mails.wait_for(person, "consent_request")) for person in (declined, withdrawn)]
    person_ids = [(await workflow_id(stack, saved[person.personal_identity_code])) for person in gone[:2]]
    await write_to_disk(stack)
    # What is there is found: else finding nothing would prove nothing.
    before = files(stack.folder)
    for person in (declined, withdrawn, staying):
        assert {mark for mark, _ in find(marks(person), before)} == marks(person)

    await decline(api, tokens[0], new_request_id())
    await withdraw(api, saved[withdrawn.personal_identity_code])
    async with settings(stack, SOON, "worker"):
        saved[lapsed.personal_identity_code] = await save(api.teacher, lapsed)
        await reaches(api.teacher, saved[lapsed.personal_identity_code].name, STAGE_LAPSED)
    for person, template in ((declined, "consent_declined"), (lapsed, "consent_lapsed")):
        await mails.wait_for(person, template, saved[person.personal_identity_code])
    await vacuum(stack)

    after = dict(files(stack.folder))
    personal = {mark for person in gone for mark in marks(person)}
    personal |= {person.personal_identity_code for person in gone} | set(tokens)
    assert find(personal, after) == []
    # What the worker says to who looks for a fault names runs, too: on this stack, at the level DEBUG.
    worker_log = after["logs/worker.log"].splitlines()
    after["logs/worker.log"] = b"\n".join(line for line in worker_log if b'"level": "debug"' not in line)
    # The log of use and Temporal's runs go on naming them by an ID that leads to nobody.
    traces = {name for _, name in find([person_id.rpartition("/")[2] for person_id in person_ids], after)}
    # So may Temporal's own log, which names runs.
    assert not [name for name in traces - {"logs/temporal.log"} if name.startswith("logs/")]
    # Who has not been erased is there as before.
    assert {mark for mark, _ in find(marks(staying), after)} == marks(staying)
    assert (await get(api.teacher, stays.name)).customer_display_name


async def withdraw(api: Api, registration: Registration) -> None:
    request = WithdrawRegistrationRequest(name=registration.name, request_id=new_request_id())
    await api.teacher.call(api.teacher.registrations.WithdrawRegistration, request)


async def test_the_unit_still_sees_when_it_was_and_what_became_of_it(stack: Stack, api: Api) -> None:
    person = marked_pupil()
    saved = await save(api.teacher, person)
    await withdraw(api, saved)
    listing = ListRegistrationsRequest(parent=api.teacher.unit, stage=STAGE_WITHDRAWN)
    listed = await api.teacher.call(api.teacher.registrations.ListRegistrations, listing)
    [remains] = [found for found in listed.registrations if found.name == saved.name]
    assert (remains.create_time, remains.registrar_display_name) == (
        saved.create_time,
        saved.registrar_display_name,
    )
    assert not remains.customer_display_name
    # The same person is registered as new.
    check = CheckPersonalIdentityCodeRequest(
        parent=api.teacher.unit, personal_identity_code=person.personal_identity_code
    )
    answer = await api.teacher.call(api.teacher.registrations.CheckPersonalIdentityCode, check)
    assert not answer.registration
    assert (await save(api.teacher, person)).name != saved.name


async def test_a_customer_with_credentials_and_consent_is_erased_alike(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    """The operation that removal will use (R20)."""
    person = marked_pupil(with_consent=True)
    saved = await save(api.teacher, person)
    await mails.wait_for(person, "credentials")
    await reaches(api.teacher, saved.name, STAGE_CREDENTIALS_SENT)
    person_id = (await workflow_id(stack, saved)).rpartition("/")[2]
    async with database(stack, "identity") as connection:
        user_name = await connection.fetchval(
            "SELECT user_name FROM credentials WHERE person_id = $1", person_id
        )
    own = ServiceIdentity("worker", stack.keys_dir, stack.certificate("worker"))
    peers = [
        Peer(name, f"127.0.0.1:{getattr(stack.ports, name)}", own)
        for name in ("identity", "registration", "notification")
    ]
    ledger = ErasureLedger(stack.folder / "erasures", timedelta(days=400))
    await Erasure(*peers, ledger=ledger).erase_person(person_id)
    for peer in peers:
        await peer.close()
    await vacuum(stack)
    personal = marks(person) | {person.personal_identity_code, user_name}
    assert find(personal, files(stack.folder)) == []


@pytest.mark.parametrize("away", ["notification", "identity"])
async def test_a_worker_that_dies_between_two_services_has_another_finish(
    stack: Stack, api: Api, mails: MailCounter, away: str
) -> None:
    person = marked_pupil()
    saved = await save(api.teacher, person)
    token = link_token(await mails.wait_for(person, "consent_request"))
    person_id = (await workflow_id(stack, saved)).rpartition("/")[2]
    request_id = new_request_id()
    await stack.kill_component(away)
    # Links are opened, and sessions looked at, by identity: without it an operator can still withdraw.
    ending = decline(api, token, request_id) if away == "notification" else _withdraw_by_signal(stack, saved)
    answering = asyncio.create_task(ending)
    await eventually(
        lambda: _stage(stack, saved), lambda stage: stage in {STAGE_DECLINED, STAGE_WITHDRAWN}, PATIENCE
    )
    await stack.kill_component("worker")
    await stack.start_component(away)
    await stack.start_component("worker")
    await answering

    async def still_named() -> int:
        async with database(stack, "registration") as connection:
            rows = await connection.fetch("SELECT 1 FROM registrations WHERE person_id = $1", person_id)
        return len(rows)

    await eventually(still_named, lambda rows: rows == 0, PATIENCE)
    async with database(stack, "identity") as connection:
        assert not await connection.fetch("SELECT 1 FROM persons WHERE person_id = $1", person_id)
        subject = saved.name.rpartition("/")[2]
        assert not await connection.fetch("SELECT 1 FROM links WHERE subject = $1", subject)
    if away == "notification":
        await mails.wait_for(person, "consent_declined", saved)
        assert mails.templates(person, saved) == {"consent_request": 1, "consent_declined": 1}
        # The guardian whose answer was lost may repeat it; a second one comes too late.
        await decline(api, token, request_id)
        with pytest.raises(Refusal) as refusal:
            await decline(api, token, new_request_id())
        assert reason_name(refusal.value.reason) == "LINK_USED"


async def _withdraw_by_signal(stack: Stack, saved: Registration) -> None:
    client = await connect_temporal(stack)
    await client.get_workflow_handle(await workflow_id(stack, saved)).signal("withdraw", {})


async def _stage(stack: Stack, saved: Registration) -> int:
    async with database(stack, "registration") as connection:
        registration_id = saved.name.rpartition("/")[2]
        stage: int = await connection.fetchval(
            "SELECT stage FROM registrations WHERE registration_id = $1", registration_id
        )
    return stage
