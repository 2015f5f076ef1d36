"""Every key of a running stack is replaced, and nobody notices."""

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import DeleteWorkflowExecutionRequest

from deploy.admin.key_files import PURPOSES, KeyRing, create_keys
from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.ports import HOST
from deploy.local.seed import seed
from deploy.local.stack import Stack
from deploy.local.temporal_server import NAMESPACE
from deploy.local.wiring import wiring_in
from frontends.client import ApiClient, new_request_id
from liity.v1.credential_service_pb2 import ChoosePasswordRequest
from liity.v1.registration_pb2 import STAGE_WAITING_FOR_CONSENT, STAGE_WELCOMED
from liity.v1.registration_service_pb2 import (
    STANDING_REGISTERED_IN_THIS_UNIT,
    CheckPersonalIdentityCodeRequest,
)
from services.runtime.security.keys import TOKEN_SIGNING, KeysetPurpose, key_file_path, write_private_file
from tests.conftest import copy_postgres
from tests.support.ports import free_ports
from tests.support.program import Program
from tests.system.conftest import Api
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    accept,
    adult,
    get,
    link_token,
    persistently,
    pupil,
    reaches,
    save,
    workflow_id,
)

HOLDERS = ("identity", "worker", "gateway", "codec", "web")
LIFETIMES = {
    "LIITY_ACCESS_TOKEN_LIFETIME": "PT5S",
    "LIITY_WORKFLOWS_WELCOME_DELAY": "PT1S",
    "LIITY_WORKFLOWS_CUSTOMERSHIP_LINK_LIFETIME": "PT20S",
}
VAULT = (KeysetPurpose.HETU, KeysetPurpose.HETU_INDEX)


@pytest.fixture
async def own_stack(tmp_path: Path, postgres_template: Path, program: Program) -> AsyncIterator[Stack]:
    """A stack whose keys no other test needs."""
    stack = Stack(tmp_path / "stack", free_ports(), restart=False, spawn=program.spawn)
    copy_postgres(postgres_template, stack.folder / "postgres")
    stack.environment |= LIFETIMES
    await stack.start()
    try:
        yield stack
    finally:
        await stack.stop()


@dataclass(frozen=True)
class Keys:
    """`liity keys` as somebody uses it beside the stack: the folder of its state is all it is told."""

    stack: Stack
    program: Program

    async def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        where = ("--state-dir", str(self.stack.folder))
        return await self.program.run("keys", *arguments, *where, environment=LIFETIMES)


async def for_every_purpose(keys: Keys, command: str) -> None:
    for purpose in PURPOSES:
        ended = await keys(command, purpose)
        assert (ended.returncode, ended.stderr) == (0, "")
    await restart(keys.stack)


async def restart(stack: Stack) -> None:
    """All who hold the files that have changed."""
    await asyncio.gather(*(stack.restart_component(name) for name in HOLDERS))


async def retire(keys: Keys, purpose: str, key_id: str) -> str:
    """Why a key cannot go yet; empty once it is gone."""
    ended = await keys("retire", purpose, key_id, "--margin", "PT0S")
    assert ended.returncode == (1 if ended.stderr else 0)
    return ended.stderr


async def retired(keys: Keys, purpose: str, key_id: str) -> None:
    await eventually(lambda: retire(keys, purpose, key_id), lambda reason: not reason, PATIENCE)


async def is_found(client: ApiClient, person: DemoPerson) -> bool:
    request = CheckPersonalIdentityCodeRequest(
        parent=client.unit, personal_identity_code=person.personal_identity_code
    )
    answer = await persistently(lambda: client.call(client.registrations.CheckPersonalIdentityCode, request))
    return answer.standing == STANDING_REGISTERED_IN_THIS_UNIT


async def forget_runs(stack: Stack, *kept: str) -> None:
    """What Temporal does with runs whose retention is over."""
    client = await connect_temporal(stack)
    async for run in client.list_workflows():
        if run.id not in kept:
            execution = WorkflowExecution(workflow_id=run.id, run_id=run.run_id)
            await client.workflow_service.delete_workflow_execution(
                DeleteWorkflowExecutionRequest(namespace=NAMESPACE, workflow_execution=execution)
            )


async def test_every_key_is_replaced_while_registrations_go_on(own_stack: Stack, program: Program) -> None:
    stack, mails, keys = own_stack, MailCounter(own_stack), Keys(own_stack, program)
    accounts = await seed(stack.folder, stack.keys_dir, stack.ports)
    target = f"{HOST}:{stack.ports.gateway}"
    async with ApiClient(target) as teacher, ApiClient(target) as registrar, ApiClient(target) as anybody:
        await teacher.log_in(accounts["teacher"].email, accounts["teacher"].password)
        await registrar.log_in(accounts["registrar"].email, accounts["registrar"].password)
        child, customer = pupil(), adult()
        waiting = await save(teacher, child)
        consent = link_token(await mails.wait_for(child, "consent_request"))
        saved = await save(registrar, customer)
        password = link_token(await mails.wait_for(customer, "credentials"))
        await reaches(registrar, saved.name, STAGE_WELCOMED)
        old = {purpose: KeyRing(stack.keys_dir, purpose).read()[0].key_id for purpose in PURPOSES}

        await for_every_purpose(keys, "rotate")
        assert (await get(teacher, waiting.name)).stage == STAGE_WAITING_FOR_CONSENT
        await for_every_purpose(keys, "promote")

        # What was begun before goes on: runs, links in mail, log-ins, codes.
        assert (await get(teacher, waiting.name)).stage == STAGE_WAITING_FOR_CONSENT
        assert await is_found(registrar, customer)
        for purpose, reason in (
            (KeysetPurpose.PAYLOADS, r"([2-9]|\d\d+) runs"),
            (KeysetPurpose.HETU, r"2 personal identity codes"),
            (KeysetPurpose.HETU_INDEX, r"2 personal identity codes"),
            (KeysetPurpose.LINKS, r"\d links .*"),
        ):
            assert re.search(f"still needed by {reason}", await retire(keys, purpose, old[purpose]))
        await accept(anybody, consent, child)
        choose = ChoosePasswordRequest(
            token=password, request_id=new_request_id(), password="kolme sanaa riittää"
        )
        await persistently(lambda: anybody.call(anybody.credentials.ChoosePassword, choose))
        await reaches(teacher, waiting.name, STAGE_WELCOMED)
        another_child = pupil()
        another = await save(teacher, another_child)
        asked = link_token(await mails.wait_for(another_child, "consent_request"))

        # Then the old keys go, as soon as nothing needs them.
        reencrypted = await keys("reencrypt")
        assert reencrypted.returncode == 0
        assert "2/2" in reencrypted.stdout
        for purpose in VAULT:
            assert await retire(keys, purpose, old[purpose]) == ""
        await retired(keys, TOKEN_SIGNING, old[TOKEN_SIGNING])
        for client in (teacher, registrar):
            # Whoever is still there has had their log-in renewed.
            await get(client, waiting.name if client is teacher else saved.name)
        await retired(keys, KeysetPurpose.LINKS, old[KeysetPurpose.LINKS])
        assert "runs" in await retire(keys, KeysetPurpose.PAYLOADS, old[KeysetPurpose.PAYLOADS])
        await forget_runs(stack, await workflow_id(stack, another))
        await retired(keys, KeysetPurpose.PAYLOADS, old[KeysetPurpose.PAYLOADS])
        # Browsers whose cookies it has sealed log in again.
        await retired(keys, KeysetPurpose.WEB, old[KeysetPurpose.WEB])
        await restart(stack)

        shown = (await keys("show")).stdout
        assert not any(key_id in shown for key_id in old.values())
        assert await is_found(registrar, customer)
        await accept(anybody, asked, another_child)
        await reaches(teacher, another.name, STAGE_WELCOMED)
        await save(registrar, adult())


def others_payloads(stack: Stack, folder: Path, *, of_the_same_id: bool) -> tuple[Path, str]:
    """The stack's keys with another key of payloads; the ID of the one they should hold."""
    (right,) = (key.key_id for key in KeyRing(stack.keys_dir, KeysetPurpose.PAYLOADS).read())
    create_keys(folder / "others")
    keys_dir = shutil.copytree(stack.keys_dir, folder / "keys")
    keyset = json.loads(key_file_path(folder / "others", KeysetPurpose.PAYLOADS).read_text())
    if of_the_same_id:
        keyset["primaryKeyId"] = keyset["key"][0]["keyId"] = int(right)
    write_private_file(key_file_path(keys_dir, KeysetPurpose.PAYLOADS), json.dumps(keyset))
    return keys_dir, right


@pytest.mark.parametrize("component", ["worker", "gateway"])
@pytest.mark.parametrize(
    ("how", "of_the_same_id"), [("lacks", False), ("holds something else as", True)], ids=["lost", "wrong"]
)
async def test_without_the_key_of_what_temporal_holds_there_is_no_start(
    stack: Stack, api: Api, program: Program, tmp_path: Path, component: str, how: str, of_the_same_id: bool
) -> None:
    await save(api.teacher, pupil())
    client = await connect_temporal(stack)
    await eventually(
        lambda: client.count_workflows('ExecutionStatus = "Running"'), lambda found: found.count > 0, PATIENCE
    )
    keys_dir, right = others_payloads(stack, tmp_path, of_the_same_id=of_the_same_id)
    settings = wiring_in(stack.folder).settings(component) | {"LIITY_KEYS_DIR": str(keys_dir)}
    ended = await program.run("serve", component, environment=settings)
    assert ended.returncode == 2
    path = key_file_path(keys_dir, KeysetPurpose.PAYLOADS)
    assert ended.stderr == (
        f"{path} {how} key {right}, under which runs in Temporal are encrypted: put the right file back\n"
    )
