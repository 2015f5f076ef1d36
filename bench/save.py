"""`RegisterCustomer` of an adult online customer up to the credentials' mail, and the bare engine."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import grpc
from temporalio.client import Client

from bench import engine
from bench.load import Run, measure, stack_cpu_times
from bench.people import SAVED, codes
from bench.sizes import Sizes
from deploy.demo.forms import adult
from deploy.local.stack import JOINT, Stack
from deploy.local.wiring import Wiring
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.registration_service_pb2 import RegisterCustomerRequest
from services.runtime.temporal.names import RegistrationWorkflowNames


@dataclass
class Comparison:
    """Results of both at each number of callers, and the history of one run."""

    engine: list[Run]
    save: list[Run]
    engine_history: tuple[int, int]
    """Events and bytes of one run's history."""
    save_history: tuple[int, int]


class SaveCaller:
    """Saves one new adult after another."""

    def __init__(self, api: ApiClient, mail_dir: Path) -> None:
        self._api = api
        self._codes: Iterator[str] = codes(*SAVED)
        self._form: CustomerForm = adult(datetime.now(UTC).date(), Random(0)).form  # noqa: S311
        self._mail_dir = mail_dir
        self._mails_expected = self._mails()
        self.names: list[str] = []

    async def save(self) -> None:
        """Saves one adult."""
        await self._send(self._request())

    async def save_patiently(self) -> None:
        """Saves one adult; repeats the call while it is UNAVAILABLE, as frontends do."""
        request = self._request()
        while True:
            try:
                return await self._send(request)
            except Refusal as refusal:
                if refusal.code is not grpc.StatusCode.UNAVAILABLE:
                    raise

    def through(self, api: ApiClient) -> "SaveCaller":
        """The same caller by another client: it saves nobody anew."""
        other = copy(self)
        other._api = api
        return other

    def _request(self) -> RegisterCustomerRequest:
        self._mails_expected += 1
        return RegisterCustomerRequest(
            parent=self._api.unit,
            request_id=new_request_id(),
            personal_identity_code=next(self._codes),
            form=self._form,
        )

    async def _send(self, request: RegisterCustomerRequest) -> None:
        response = await self._api.call(self._api.registrations.RegisterCustomer, request)
        self.names.append(response.registration.name)

    def expect(self, mails: int) -> None:
        """Makes `mailed` wait for mails that were caused otherwise, too."""
        self._mails_expected += mails

    async def mailed(self) -> None:
        """Waits until every credentials' mail has arrived."""
        while self._mails() < self._mails_expected:  # noqa: ASYNC110 - a folder tells nobody
            await asyncio.sleep(0.1)

    def _mails(self) -> int:
        return sum(1 for _ in self._mail_dir.rglob("*.eml"))


_JOINT = ("gateway", "identity", "registration", "notification", "worker")


@asynccontextmanager
async def joint(stack: Stack) -> AsyncIterator[None]:
    """Serves our components in one process in the meantime."""
    for name in _JOINT:
        await stack.stop_component(name)
    await stack.start_joint(*_JOINT)
    yield
    await stack.stop_component(JOINT)
    for name in reversed(_JOINT):
        await stack.start_component(name)


async def compare(
    stack: Stack, wiring: Wiring, caller: SaveCaller, client: Client, sizes: Sizes
) -> Comparison:
    """Measures the engine and Saves in turn, at each number of callers."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.engine", env={**os.environ, **wiring.settings("worker")}
    )
    try:
        return await _compare(stack, worker.pid, caller, client, sizes)
    finally:
        worker.terminate()
        await worker.wait()


async def _compare(
    stack: Stack, engine_pid: int, caller: SaveCaller, client: Client, sizes: Sizes
) -> Comparison:
    started: list[str] = []

    async def start_engine() -> None:
        started.append(await engine.start(client))

    async def nothing_left() -> None:
        pass

    def cpu() -> dict[str, float]:
        return stack_cpu_times(stack, {"engine worker": engine_pid})

    await measure(4, sizes.warm_up, start_engine, nothing_left, cpu)
    await measure(4, sizes.warm_up, caller.save_patiently, caller.mailed, cpu)
    comparison = Comparison([], [], (0, 0), (0, 0))
    for callers, total in sizes.calls.items():
        comparison.engine.append(await measure(callers, total, start_engine, nothing_left, cpu))
        comparison.save.append(await measure(callers, total, caller.save_patiently, caller.mailed, cpu))
    comparison.engine_history = await history_size(client, started[0])
    comparison.save_history = await history_size(client, await _any_registration(client))
    return comparison


async def _any_registration(client: Client) -> str:
    query = f'WorkflowType = "{RegistrationWorkflowNames.WORKFLOW}" AND LiityStage = "CREDENTIALS_SENT"'
    async for execution in client.list_workflows(query, limit=1):
        return execution.id
    raise LookupError("no registration found")


async def history_size(client: Client, workflow_id: str) -> tuple[int, int]:
    """Events and bytes of a run's history, as stored."""
    description = await client.get_workflow_handle(workflow_id).describe()
    info = description.raw_description.workflow_execution_info
    return info.history_length, info.history_size_bytes
