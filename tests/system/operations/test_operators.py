"""What operators do with Temporal's own command: find runs, read them, and send them signals."""

import asyncio
import base64
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from temporalio.client import ScheduleActionExecutionStartWorkflow

from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from deploy.local.temporal_server import temporal_binary
from docs import tables
from liity.v1.registration_pb2 import (
    CONSENT_STATE_GIVEN,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WITHDRAWN,
    Registration,
    Stage,
)
from services.runtime.clock import now
from services.runtime.temporal.actor_header import SEALED
from tests.system.conftest import Api
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    get,
    pupil,
    reaches,
    save,
    settings,
    workflow_id,
)

Temporal = Callable[..., Awaitable[str]]

EVERY = timedelta(minutes=5)

TYPED = "MattiMeikalainen"
"""What must not come into a log: an operator may type a name in the wrong place."""

GARBAGE = {
    "no body": (),
    "two bodies": ("--input", "{}", "--input", "{}"),
    "null": ("--input", "null", "--input-meta", "encoding=binary/null"),
    "a text": ("--input", '"nonsense"'),
    "a number": ("--input", "5"),
    "a list": ("--input", "[1, 2]"),
    "an unknown field": ("--input", f'{{"{TYPED}": true}}'),
    "another message": (
        *("--input", "{}", "--input-meta", "encoding=json/protobuf"),
        *("--input-meta", "messageType=liity.v1.Registration"),
    ),
    "another encoding": ("--input", "x", "--input-meta", "encoding=binary/unknown"),
    "a wrong type": ("--input", '{"request_id": 5}'),
}
GARBAGE_FOR_CONSENT = {
    "evidence of a wrong type": ("--input", '{"evidence": 5}'),
    "a method by another name": ("--input", f'{{"evidence": {{"method": "{TYPED}"}}}}'),
}
"""Evidence that cannot be read; what can be is left out of account, right or wrong."""


class Waiting(NamedTuple):
    """A child whose guardian was asked."""

    child: DemoPerson
    registration: Registration
    run: str
    """Workflow ID."""


@pytest.fixture
def temporal(stack: Stack) -> Temporal:
    """Temporal's own command, as it comes: it knows neither our codec nor our messages."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}
    address = ("--address", f"{HOST}:{stack.ports.temporal}", "--disable-config-file", "--disable-config-env")

    async def run(*arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            temporal_binary(),
            *arguments,
            *address,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        return output.decode()

    return run


@pytest.fixture
async def waiting(stack: Stack, api: Api, mails: MailCounter) -> Waiting:
    child = pupil()
    registration = await save(api.teacher, child)
    await mails.wait_for(child, "consent_request")
    return Waiting(child, registration, await workflow_id(stack, registration))


@pytest.mark.parametrize(
    ("signal", "stage", "told"),
    [
        (
            "record_consent",
            STAGE_CREDENTIALS_SENT,
            {"consent_given": 1, "consent_receipt_given": 1, "credentials": 1},
        ),
        ("decline_consent", STAGE_DECLINED, {"consent_declined": 1}),
        ("withdraw", STAGE_WITHDRAWN, {"registration_withdrawn": 1}),
    ],
)
async def test_a_signal_decides(
    api: Api,
    mails: MailCounter,
    temporal: Temporal,
    waiting: Waiting,
    signal: str,
    stage: Stage.ValueType,
    told: dict[str, int],
) -> None:
    await temporal("workflow", "signal", "--workflow-id", waiting.run, "--name", signal, "--input", "{}")

    await reaches(api.teacher, waiting.registration.name, stage)
    for template in told:
        await mails.wait_for(waiting.child, template, waiting.registration)
    assert mails.templates(waiting.child, waiting.registration) == {"consent_request": 1, **told}


async def test_a_garbled_signal_changes_nothing_and_harms_nothing(
    stack: Stack, api: Api, mails: MailCounter, temporal: Temporal, waiting: Waiting
) -> None:
    async def signal(name: str, *body: str) -> None:
        await temporal("workflow", "signal", "--workflow-id", waiting.run, "--name", name, *body)

    for name in ("record_consent", "decline_consent", "withdraw"):
        for body in GARBAGE.values():
            await signal(name, *body)
    for body in GARBAGE_FOR_CONSENT.values():
        await signal("record_consent", *body)
    await signal("no_such_signal", "--input", "{}")
    # Its answer comes after the worker has met them all.
    assert waiting.registration.name.rpartition("/")[2] in await temporal(
        "workflow", "metadata", "--workflow-id", waiting.run
    )

    assert (await get(api.teacher, waiting.registration.name)).stage == STAGE_WAITING_FOR_CONSENT
    await signal("record_consent", "--input", "{}")
    activated = await reaches(api.teacher, waiting.registration.name, STAGE_CREDENTIALS_SENT)
    assert activated.consent_state == CONSENT_STATE_GIVEN
    await mails.wait_for(waiting.child, "consent_given")
    assert mails.templates(waiting.child) == {
        "consent_request": 1,
        "consent_given": 1,
        "consent_receipt_given": 1,
        "credentials": 1,
    }
    log = (stack.logs / "worker.log").read_text("utf-8")
    assert "signal dropped" in log
    assert TYPED not in log


async def test_a_run_is_found_by_its_stage(temporal: Temporal, waiting: Waiting) -> None:
    async def runs(query: str) -> list[str]:
        listed = json.loads(await temporal("workflow", "list", "--query", query, "--output", "json"))
        return [run["execution"]["workflowId"] for run in listed]

    waits = 'LiityStage="WAITING_FOR_CONSENT" AND LiityDeadline > "2020-01-01T00:00:00Z"'
    await eventually(lambda: runs(waits), lambda found: waiting.run in found, PATIENCE)
    assert waiting.run not in await runs('LiityStage="ACTIVE"')


async def test_every_query_of_the_documents_is_understood(stack: Stack) -> None:
    query = re.compile(r"`((?:Liity[A-Z]\w+|WorkflowType|ExecutionStatus) (?:=|!=|IN|<|>)[^`\n…]*)`")
    pages = Path(tables.__file__).parent.rglob("*.md")
    found = {each for page in pages for each in query.findall(page.read_text("utf-8"))}
    assert len(found) > 10
    client = await connect_temporal(stack)
    for each in sorted(found):
        assert (await client.count_workflows(each)).count >= 0, each


async def test_what_starts_by_itself_is_scheduled(temporal: Temporal) -> None:
    async def schedules() -> set[str]:
        listed = json.loads(await temporal("schedule", "list", "--output", "json"))
        return {schedule["scheduleId"] for schedule in listed}

    wanted = {"password-reminders", "reconciliation", "work-digest"}
    assert await eventually(schedules, lambda found: wanted <= found, PATIENCE) == wanted


async def test_rows_and_runs_are_reconciled_every_five_minutes_and_when_a_worker_starts(
    stack: Stack, api: Api, mails: MailCounter, temporal: Temporal, waiting: Waiting
) -> None:
    client = await connect_temporal(stack)
    schedule = client.get_schedule_handle("reconciliation")
    assert [each.every for each in (await schedule.describe()).schedule.spec.intervals] == [EVERY]
    await temporal("workflow", "terminate", "--workflow-id", waiting.run)
    stopped = now()

    async def rounds_of_a_start() -> list[str]:
        """Rounds since then that do not begin with the interval."""
        actions = (await schedule.describe()).info.recent_actions
        return [
            action.action.workflow_id
            for action in actions
            if isinstance(action.action, ScheduleActionExecutionStartWorkflow)
            and action.started_at > stopped
            and action.scheduled_at.timestamp() % EVERY.total_seconds()
        ]

    async with settings(stack, {"LIITY_WORKFLOWS_RECONCILIATION_AGE": "PT0S"}, "worker"):
        begun = await eventually(rounds_of_a_start, bool, PATIENCE)
        mended = 'WorkflowType = "ReconciliationWorkflow" AND LiityStage = "MENDED"'

        async def shown() -> set[str]:
            return {run.id async for run in client.list_workflows(mended)}

        found = await eventually(shown, lambda found: not found.isdisjoint(begun), PATIENCE)
        details = await temporal("workflow", "metadata", "--workflow-id", min(found & set(begun)))
    assert re.search(r"Missing runs begun: [1-9]", details)
    # The run goes on with its row, and mails nobody again.
    await temporal(
        "workflow", "signal", "--workflow-id", waiting.run, "--name", "record_consent", "--input", "{}"
    )
    await reaches(api.teacher, waiting.registration.name, STAGE_CREDENTIALS_SENT)
    assert mails.templates(waiting.child)["consent_request"] == 1


async def test_a_run_is_read_without_personal_data(temporal: Temporal, waiting: Waiting) -> None:
    described = await temporal("workflow", "describe", "--workflow-id", waiting.run)
    metadata = await temporal("workflow", "metadata", "--workflow-id", waiting.run)
    shown = await temporal("workflow", "show", "--workflow-id", waiting.run, "--output", "json")

    assert "Registration of a customer" in described
    assert "Waits for the guardian's consent" in metadata
    assert f"{waiting.registration.deadline.ToDatetime():%Y-%m-%d %H:%M} UTC" in metadata
    assert "record_consent" in metadata
    payloads = list(_payloads(json.loads(shown)))
    encodings = {encoding for encoding, _ in payloads}
    sealed = {"binary/encrypted", SEALED.decode()}
    assert sealed <= encodings
    readable = {data.decode() for encoding, data in payloads if encoding not in sealed}
    assert {'"Registration of a customer"', '"Send the consent request"', '"Consent: reminder"'} <= readable
    assert '"WAITING_FOR_CONSENT"' in readable
    form = waiting.child.form
    everything = "\n".join([described, metadata, shown, *readable])
    for personal in (
        form.first_names,
        form.last_name,
        form.related_person.full_name,
        waiting.child.email,
        waiting.child.personal_identity_code,
        form.address.street_address,
    ):
        assert personal not in everything


def _payloads(node: Any) -> Iterator[tuple[str, bytes]]:
    """Every payload in a history as the command prints it: its encoding and its data."""
    if isinstance(node, list):
        for child in node:
            yield from _payloads(child)
    elif isinstance(node, dict):
        if "encoding" in node.get("metadata", {}):
            encoding = base64.b64decode(node["metadata"]["encoding"]).decode()
            yield encoding, base64.b64decode(node.get("data", ""))
        for child in node.values():
            yield from _payloads(child)
