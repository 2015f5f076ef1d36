"""The registration on DBOS as a process beside the stack, and its callers."""

import asyncio
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import httpx2
from google.protobuf.json_format import MessageToDict

from deploy.local.ports import HOST, Ports
from deploy.local.process import Command, Running, spawn
from deploy.local.stack import Stack
from deploy.local.wiring import Wiring
from frontends.client import new_request_id
from liity.v1.customer_form_pb2 import CustomerForm

DATABASE = "peer"
"""Its database in PostgreSQL, and the role that owns it."""


@dataclass(frozen=True)
class DbosPeer:
    """The running server."""

    pid: int
    http: httpx2.AsyncClient

    async def register(self, code: str, form: CustomerForm) -> str:
        """Registers a person; returns the customer's ID, which is the workflow's."""
        request_id = new_request_id()
        await self._post(
            "/registrations", {"request_id": request_id, "code": code, "form": MessageToDict(form)}
        )
        return request_id

    async def start_bare(self) -> None:
        """Starts a workflow without our work."""
        await self._post("/bare", {"request_id": new_request_id()})

    async def consent(self, customer_id: str) -> None:
        """Sends the guardian's consent to a waiting registration."""
        await self._post(f"/registrations/{customer_id}/consent", {})

    async def _post(self, path: str, body: dict[str, object]) -> None:
        (await self.http.post(path, json=body)).raise_for_status()


@asynccontextmanager
async def dbos_peer(stack: Stack, wiring: Wiring) -> AsyncIterator[DbosPeer]:
    """Runs the server on a database of its own in the stack's PostgreSQL. RuntimeError if it ends."""
    url = await _create_database(stack)
    port = Ports.free().gateway
    environment = {**os.environ, **wiring.settings("notification"), "DBOS_SYSTEM_DATABASE_URL": url}
    command = Command([sys.executable, "-m", "bench.peers.dbos_app", str(port)], environment)
    log = stack.logs / "dbos.log"
    process = await spawn(command, log)
    try:
        async with httpx2.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=300) as http:
            peer = DbosPeer(process.pid, http)
            if not await _answers(process, http):
                raise RuntimeError(f"The registration on DBOS does not start:\n{log.read_text('utf-8')}")
            yield peer
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def _create_database(stack: Stack) -> str:
    """Creates the database and its owner; returns its URL."""
    password = secrets.token_urlsafe(24)
    connection = await stack.postgres.connect("postgres", "postgres")
    try:
        # A constant and a URL-safe password: no quoting needed.
        await connection.execute(f"CREATE ROLE {DATABASE} LOGIN PASSWORD '{password}'")
        await connection.execute(f"CREATE DATABASE {DATABASE} OWNER {DATABASE}")
    finally:
        await connection.close()
    return f"postgresql://{DATABASE}:{password}@{HOST}:{stack.ports.postgres}/{DATABASE}"


async def _answers(process: Running, http: httpx2.AsyncClient) -> bool:
    """Waits until the server answers; False if it ends."""
    while process.returncode is None:
        with suppress(httpx2.TransportError):
            await http.get("/")
            return True
        await asyncio.sleep(0.1)
    return False
