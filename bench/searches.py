"""`SearchCustomers` in a unit with few and with many customers."""

import itertools
import random
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import create_async_engine

from bench.sizes import Sizes
from deploy.local.stack import Stack
from frontends.client import ApiClient
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE, LANGUAGE_FI, CustomerForm, PostalAddress
from liity.v1.customer_service_pb2 import SearchCustomersRequest
from services.registration.db.mapping import customer_row
from services.registration.db.models import customer_names, customers

_BATCH = 2_000

QUERIES = {
    "a last name": "virtanen",
    "both names begun": "mei virt",
    "one letter": "v",
    "nobody": "xyzzy",
}
"""Queries, from few matches to most."""

_FIRST_NAMES = ("Meiri", "Aino", "Åke", "Väinö", "Elli", "Onni", "Sylvi", "Tapio", "Kerttu", "Ilmari")
_LAST_NAMES = ("Virtanen", "Korhonen", "Mäkinen", "Nieminen", "Öhman", "Lindström", "Laine", "Heikkilä")


@dataclass
class SearchRun:
    """Searches of one kind at one number of customers."""

    customers: int
    what: str
    latencies: list[float]
    """Seconds, sorted."""

    def percentile(self, percent: int) -> float:
        """A percentile in milliseconds."""
        return self.latencies[min(len(self.latencies) * percent // 100, len(self.latencies) - 1)] * 1000


async def measure_searches(stack: Stack, api: ApiClient, sizes: Sizes) -> list[SearchRun]:
    """Stores customers of one unit as the service does, and searches them by the public API."""
    engine = create_async_engine(stack.postgres.url("registration"))
    everybody = _rows(api.unit.rpartition("/")[2])
    runs = []
    stored = 0
    try:
        for many in (sizes.customers_fewer, sizes.customers_most):
            while stored < many:
                batch = list(itertools.islice(everybody, min(_BATCH, many - stored)))
                keys = [
                    {"unit_id": row["unit_id"], "customer_id": row["customer_id"], "key": key}
                    for row in batch
                    for key in row.pop("search_keys")
                ]
                async with engine.begin() as connection:
                    await connection.execute(insert(customers), batch)
                    await connection.execute(insert(customer_names), keys)
                stored += len(batch)
            async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
                await connection.exec_driver_sql("ANALYZE customers, customer_names")
            runs += [await _search(api, many, what, query, sizes.searches) for what, query in QUERIES.items()]
    finally:
        await engine.dispose()
    return runs


def _rows(unit_id: str) -> Iterator[dict[str, Any]]:
    """Customers of a unit. Most have unique last names; the rest have common ones."""
    choice = random.Random(1)  # noqa: S311 - people are made up, not secrets
    moment = datetime.now(UTC)
    while True:
        own = "".join(choice.choices("aeiouhjklmnprstvy", k=9)).title()
        form = CustomerForm(
            first_names=f"{choice.choice(_FIRST_NAMES)} {own[::-1].title()}",
            last_name=choice.choice(_LAST_NAMES) if choice.random() < 0.1 else own,
            address=PostalAddress(municipality="Helsinki"),
            kind=CUSTOMER_KIND_ONLINE,
            language=LANGUAGE_FI,
        )
        yield customer_row(
            form, person_id=secrets.token_hex(16), unit_id=unit_id, birth_date=date(1950, 1, 1), moment=moment
        )


async def _search(api: ApiClient, many: int, what: str, query: str, searches: int) -> SearchRun:
    latencies = []
    request = SearchCustomersRequest(parent=api.unit, query=query)
    for _ in range(searches):
        started = time.perf_counter()
        await api.call(api.customers.SearchCustomers, request)
        latencies.append(time.perf_counter() - started)
    return SearchRun(many, what, sorted(latencies))
