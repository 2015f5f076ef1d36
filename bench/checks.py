"""`CheckPersonalIdentityCode` with few and with many stored persons."""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import asyncpg

from bench.people import STORED, UNKNOWN, codes
from bench.sizes import Sizes
from deploy.local.stack import Stack
from frontends.client import ApiClient
from liity.v1.registration_service_pb2 import CheckPersonalIdentityCodeRequest
from services.identity import hetu
from services.identity.persons.vault import HetuVault

_BATCH = 20_000


@dataclass
class CheckRun:
    """Latencies of checks at one number of stored persons."""

    persons: int
    latencies: list[float]
    """Seconds, sorted."""

    def percentile(self, percent: int) -> float:
        """A percentile in milliseconds."""
        return self.latencies[min(len(self.latencies) * percent // 100, len(self.latencies) - 1)] * 1000


async def measure_checks(stack: Stack, api: ApiClient, sizes: Sizes) -> list[CheckRun]:
    """Stores persons as the vault does, and checks known and unknown codes in turn."""
    everybody = codes(*STORED)
    connection = await asyncpg.connect(stack.postgres.url("identity").replace("+asyncpg", ""))
    runs = []
    try:
        stored: list[str] = []
        for persons in (sizes.persons_fewer, sizes.persons_most):
            await _store(
                connection, HetuVault(stack.keys_dir), islice(everybody, persons - len(stored)), stored
            )
            await connection.execute("ANALYZE persons")
            runs.append(await _check(api, persons, stored, sizes.checks))
    finally:
        await connection.close()
    return runs


async def _store(
    connection: asyncpg.Connection, vault: HetuVault, people: Iterator[str], stored: list[str]
) -> None:
    moment = datetime.now(UTC)
    while batch := list(islice(people, _BATCH)):
        rows = []
        for code in batch:
            person_id = secrets.token_hex(16)
            sealed = vault.seal(hetu.parse(code, today=moment.date(), allow_artificial=True), person_id)
            rows.append((person_id, *sealed, moment, moment))
        await connection.copy_records_to_table(
            "persons",
            records=rows,
            columns=[
                "person_id",
                "hetu_ciphertext",
                "hetu_key_id",
                "hetu_index",
                "index_key_id",
                "ensured_at",
                "retained_at",
            ],
        )
        stored += batch


async def _check(api: ApiClient, persons: int, stored: list[str], checks: int) -> CheckRun:
    unknown = codes(*UNKNOWN)
    latencies = []
    for number in range(checks):
        code = secrets.choice(stored) if number % 2 else next(unknown)
        request = CheckPersonalIdentityCodeRequest(parent=api.unit, personal_identity_code=code)
        started = time.perf_counter()
        await api.call(api.registrations.CheckPersonalIdentityCode, request)
        latencies.append(time.perf_counter() - started)
    return CheckRun(persons, sorted(latencies))
