"""A registration that waits goes on with the build that is current when it wakes (AUTO_UPGRADE)."""

import asyncio

from deploy.local.ports import HOST
from deploy.local.stack import Stack
from deploy.local.temporal_server import temporal_binary
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WAITING_FOR_CONSENT
from tests.system.conftest import Api
from tests.system.support.registering import (
    MailCounter,
    accept,
    link_token,
    pupil,
    reaches,
    save,
    settings,
)

DEPLOYMENT = {"TEMPORAL_DEPLOYMENT_NAME": "prod/liity"}
"""As temporal-worker-controller names it: after the namespace and the deployment in Kubernetes."""


async def make_current(stack: Stack, *version: str) -> None:
    """What an operator does once the workers of a build are up."""
    name = DEPLOYMENT["TEMPORAL_DEPLOYMENT_NAME"]
    command = ("worker", "deployment", "set-current-version", "--deployment-name", name, *version, "--yes")
    for _ in range(100):
        process = await asyncio.create_subprocess_exec(
            temporal_binary(),
            *command,
            "--address",
            f"{HOST}:{stack.ports.temporal}",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, complaint = await process.communicate()
        if process.returncode == 0:
            return
        # The server learns of a new build when its worker first polls.
        await asyncio.sleep(0.2)
    raise AssertionError(complaint.decode())


async def test_a_waiting_registration_moves_to_the_current_build(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    child = pupil()
    try:
        async with settings(stack, DEPLOYMENT | {"LIITY_WORKER_BUILD_ID": "first"}):
            await stack.restart_component("worker")
            await make_current(stack, "--build-id", "first")
            waiting = await save(api.teacher, child)
            assert waiting.stage == STAGE_WAITING_FOR_CONSENT
            asked = await mails.wait_for(child, "consent_request")
        async with settings(stack, DEPLOYMENT | {"TEMPORAL_WORKER_BUILD_ID": "second"}):
            await stack.restart_component("worker")
            await make_current(stack, "--build-id", "second")
            await accept(api.anybody, link_token(asked), child)
            await reaches(api.teacher, waiting.name, STAGE_CREDENTIALS_SENT)
    finally:
        await make_current(stack, "--unversioned")
        await stack.restart_component("worker")
    await reaches(api.teacher, (await save(api.teacher, pupil())).name, STAGE_WAITING_FOR_CONSENT)
