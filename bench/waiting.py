"""Resources of registrations that wait for a guardian: worker memory, rows and bytes."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from random import Random

import asyncpg
import psutil

from bench.people import codes
from deploy.components import WITH_DATABASE
from deploy.demo.forms import pupil
from deploy.local.stack import Stack
from deploy.local.wiring import Wiring
from frontends.client import ApiClient, new_request_id
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.registration_service_pb2 import RegisterCustomerRequest

CALLERS = 16


@dataclass
class Footprint:
    """Resources at one number of waiting registrations."""

    waiting: int
    worker_bytes: int
    """Resident memory of the worker."""
    rows: int
    """Rows in all tables of the three services."""
    database_bytes: int
    """Size of the three databases."""
    temporal_bytes: int
    """Size of Temporal's database file."""


async def measure_waiting(stack: Stack, wiring: Wiring, api: ApiClient, most: int) -> list[Footprint]:
    """Saves children until `most` wait, and measures at none, a tenth, and all of them."""
    today = datetime.now(UTC).date()
    children = codes(date(today.year - 10, 1, 1), date(today.year - 9, 1, 1))
    form = pupil(today, Random(0)).form  # noqa: S311
    footprints = [await _footprint(stack, wiring, 0)]
    waiting = 0
    for target in (most // 10, most):
        remaining = iter(range(target - waiting))

        async with asyncio.TaskGroup() as group:
            for _ in range(CALLERS):
                group.create_task(_save_each(api, remaining, children, form))
        waiting = target
        footprints.append(await _footprint(stack, wiring, waiting))
    return footprints


async def _save_each(
    api: ApiClient, remaining: Iterator[int], children: Iterator[str], form: CustomerForm
) -> None:
    for _ in remaining:
        request = RegisterCustomerRequest(
            parent=api.unit,
            request_id=new_request_id(),
            personal_identity_code=next(children),
            form=form,
        )
        await api.call(api.registrations.RegisterCustomer, request, timeout=60)


async def _footprint(stack: Stack, wiring: Wiring, waiting: int) -> Footprint:
    rows = size = 0
    for name in WITH_DATABASE:
        connection = await asyncpg.connect(stack.postgres.url(name).replace("+asyncpg", ""))
        try:
            size += await connection.fetchval("SELECT pg_database_size(current_database())")
            tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
            for table in tables:
                rows += await connection.fetchval(f'SELECT count(*) FROM "{table["tablename"]}"')  # noqa: S608
        finally:
            await connection.close()
    worker = stack.pid("worker")
    temporal = sum(path.stat().st_size for path in wiring.temporal_database.parent.iterdir())
    return Footprint(waiting, psutil.Process(worker).memory_info().rss, rows, size, temporal)
