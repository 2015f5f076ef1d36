"""The registration on DBOS as a process beside the stack, and its callers."""

import asyncio
import os
import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
from google.protobuf.json_format import MessageToDict

from deploy.local.ports import HOST, Ports
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
    http: aiohttp.ClientSession

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
        async with self.http.post(path, json=body) as response:
            response.raise_for_status()


@asynccontextmanager
async def dbos_peer(stack: Stack, wiring: Wiring) -> AsyncIterator[DbosPeer]:
    """Runs the server on a database of its own in the stack's PostgreSQL. RuntimeError if it ends."""
    url = await _create_database(stack)
    port = Ports.free().gateway
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.peers.dbos_app", url, str(port)),
        env={**os.environ, **wiring.settings("notification")},
    )
    try:
        async with aiohttp.ClientSession(f"http://{HOST}:{port}") as http:
            peer = DbosPeer(process.pid, http)
            await _answers(process, http)
            yield peer
    finally:
        with suppress(ProcessLookupError):
            process.terminate()
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


async def _answers(process: asyncio.subprocess.Process, http: aiohttp.ClientSession) -> None:
    """Waits until the server answers."""
    async with asyncio.timeout(60):
        while process.returncode is None:
            with suppress(aiohttp.ClientConnectionError):
                async with http.get("/"):
                    return
            await asyncio.sleep(0.1)
    raise RuntimeError(f"The registration on DBOS ended with {process.returncode}")
