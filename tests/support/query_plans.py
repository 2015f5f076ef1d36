"""Query plans of a service's statements, on tables with many rows."""

import json
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
from sqlalchemy import (
    ARRAY,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Uuid,
    event,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from deploy.admin.migrate import migrate_database
from deploy.local.postgres import EmbeddedPostgres

ROWS = int(os.environ.get("LIITY_TEST_PLAN_ROWS", "100000"))
"""Rows of each table. With a million, the same tests take some minutes."""

_EXPLAINED = ("SELECT", "UPDATE", "DELETE", "INSERT", "WITH")

_READING_ALL = ("Sort", "Aggregate", "Hash", "Materialize", "CTE Scan")
"""Plan nodes that read all their input before the first row."""

Filling = Mapping[str, Mapping[str, str]]
"""SQL for each column of each table, as a function of the row number `n`."""


@asynccontextmanager
async def filled(
    server: EmbeddedPostgres, service: str, metadata: MetaData, filling: Filling, few: AbstractSet[str]
) -> AsyncIterator[AsyncEngine]:
    """An engine on a service's database with `ROWS` rows per table, but few in the tables of `few`."""
    await migrate_database(service, server.owner_url(service))
    connection = await server.connect("postgres", service)
    try:
        # Rows as a service would store them, without the cost of foreign keys and triggers.
        await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
        for table in metadata.sorted_tables:
            if table.name not in few:
                await _fill(connection, table, filling.get(table.name, {}), ROWS)
            elif table.name in filling:
                await _fill(connection, table, filling[table.name], 1000)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()
    engine = create_async_engine(server.url(service))
    try:
        yield engine
    finally:
        await engine.dispose()


async def _fill(connection: asyncpg.Connection, table: Table, own: Mapping[str, str], rows: int) -> None:
    values = [own.get(column.name) or _value(column) for column in table.c]
    names = ", ".join(f'"{column.name}"' for column in table.c)
    await connection.execute(
        f"INSERT INTO {table.name} ({names})"  # noqa: S608 - names of our own
        f" SELECT {', '.join(values)} FROM generate_series(1, {rows}) AS n"
    )


def _value(column: Column[Any]) -> str:
    kinds = {
        Boolean: "false",
        Integer: "1",
        Uuid: "gen_random_uuid()",
        DateTime: "now() - n * interval '1 second'",
        Date: "date '1940-01-01' + (n % 30000)::int",
        LargeBinary: "sha256(n::text::bytea)",
        JSONB: "'{}'",
        ARRAY: "'{}'",
    }
    if column.name in {"expires_at", "ends_at"}:
        return "now() + (n - 100) * interval '1 second'"
    if column.nullable:
        return "NULL"
    for kind, value in kinds.items():
        if isinstance(column.type, kind):
            return value
    return f"'{column.name[:2]}' || n"


class Plans:
    """Executed statements, and their plans."""

    def __init__(self, engine: AsyncEngine, few: AbstractSet[str] = frozenset()) -> None:
        self._engine = engine
        self._few = few
        self._run: list[tuple[str, Any]] = []

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Records the statements executed meanwhile."""

        def remember(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
            self._run.append((statement, parameters))

        event.listen(self._engine.sync_engine, "before_cursor_execute", remember)
        try:
            yield
        finally:
            event.remove(self._engine.sync_engine, "before_cursor_execute", remember)

    async def wrong(self) -> list[str]:
        """The statements that read a whole table, or a large part of one."""
        found = []
        async for statement, plan in self._explained():
            read = [table for table in _read_whole(plan, bounded=False) if table not in self._few]
            if read:
                found.append(f"{read} {statement}")
        return found

    async def indexes(self) -> set[str]:
        """The names of the indexes that the statements go by."""
        return {index async for _, plan in self._explained() for index in _indexes(plan)}

    async def _explained(self) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
        assert self._run
        async with self._engine.connect() as connection:
            for statement, parameters in self._run:
                if not statement.lstrip().startswith(_EXPLAINED):
                    continue
                explained = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters)
                plan = explained.scalar_one()
                yield statement, (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]


def _indexes(plan: Mapping[str, Any]) -> Iterator[str]:
    if "Index Name" in plan:
        yield plan["Index Name"]
    for child in plan.get("Plans", ()):
        yield from _indexes(child)


def _read_whole(plan: Mapping[str, Any], *, bounded: bool) -> Iterator[str]:
    """The tables that a plan reads whole, or in large part by an index.

    `bounded` means that the parent stops as soon as a page is full.
    """
    node = plan["Node Type"]
    if "Relation Name" in plan and (node == "Seq Scan" or (plan["Plan Rows"] > ROWS / 10 and not bounded)):
        yield plan["Relation Name"]
    bounded = node == "Limit" or (bounded and not node.endswith(_READING_ALL))
    for child in plan.get("Plans", ()):
        yield from _read_whole(child, bounded=bounded)
