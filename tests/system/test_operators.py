"""What operators do with Temporal's own command, without our code: find runs, read them, send signals."""

import asyncio, json, os, sys
import pytest
from deploy.stack import Stack
from deploy.ports import HOST
from deploy.temporal_server import temporal_binary
from tests.system.conftest import Api
from tests.system.registering import MailCounter, pupil, save, reaches, workflow_id, get

async def temporal(stack: Stack, *arguments: str, check=True) -> str:
    environment = {n: v for n, v in os.environ.items() if not n.startswith("TEMPORAL_")}
    process = await asyncio.create_subprocess_exec(temporal_binary(), *arguments, "--address", f"{HOST}:{stack.ports.temporal}", env=environment | {"TEMPORAL_CONFIG_FILE": os.devnull}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT)
    out, _ = await process.communicate()
    print("$", *arguments, "->", process.returncode); print(out.decode()[:6000])
    return out.decode()

GARBAGE = [
    ("--input", '"nonsense"'), ("--input", "[1, 2]"), ("--input", "null"), ("--input", "5"),
    ("--input", '{"no_such_field": true}'), ("--input", '{"evidence": 5}'), (),
    ("--input", "{}", "--input", "{}"),
    ("--input", '{"request_id": "no uuid", "evidence": {"method": 77}}'),
    ("--input", json.dumps({"evidence": {"method": "METHOD_LINK", "guardian_name": "x" * 500}})),
    ("--input", json.dumps({"evidence": {"sign_date": {"year": 2999, "month": 13, "day": 40}}})),
    ("--input", json.dumps({"evidence": {}})),
    ("--input", json.dumps({"link_id": "nonsense"})),
]

@pytest.mark.parametrize("garbage", GARBAGE, ids=range(len(GARBAGE)))
@pytest.mark.parametrize("name", ["record_consent", "withdraw"])
async def test_x(stack: Stack, api: Api, mails: MailCounter, garbage, name) -> None:
    child = pupil()
    saved = await save(api.teacher, child)
    await mails.wait_for(child, "consent_request")
    run = await workflow_id(stack, saved)
    await temporal(stack, "workflow", "signal", "--workflow-id", run, "--name", name, *garbage)
    await asyncio.sleep(1)
    before = (await get(api.teacher, saved.name)).stage
    await temporal(stack, "workflow", "describe", "--workflow-id", run)
    await temporal(stack, "workflow", "signal", "--workflow-id", run, "--name", "record_consent", "--input", "{}")
    try:
        async with asyncio.timeout(5):
            while (now := (await get(api.teacher, saved.name)).stage) != 4: await asyncio.sleep(.1)
    except TimeoutError: pass
    print("STAGE", name, garbage, before, now)
    if now == 2: 
        await temporal(stack, "workflow", "describe", "--workflow-id", run)
        await temporal(stack, "workflow", "show", "--workflow-id", run)
    assert now == 4 or before == 8, (name, garbage)
    assert before == 2, (name, garbage)
