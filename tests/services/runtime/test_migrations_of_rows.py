"""Migrations that change rows: what an earlier release has stored is found and read as before."""

import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from deploy.local.postgres import EmbeddedPostgres
from services.registration.forms import name_keys
from services.runtime.data.migrations import migrate
from services.runtime.text.email_addresses import fold
from tests.conftest import running_postgres

SERVICES = Path(__file__).parents[3] / "services"

CUSTOMER = """
INSERT INTO customers (customer_id, person_id, unit_id, first_names, last_name, kind, email, language,
    profile, sort_key, created_at, updated_at)
VALUES (:id, :id, 'un1', :first, :last, 1, :email, 1, CAST(:profile AS jsonb), :sort_key, now(), now())
"""


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """A server whose databases are empty."""
    async with running_postgres(tmp_path_factory.mktemp("old") / "postgres") as server:
        yield server


@asynccontextmanager
async def upgraded(
    server: EmbeddedPostgres, folder: Path, service: str, before: str, rows: list[tuple[str, dict[str, Any]]]
) -> AsyncIterator[AsyncConnection]:
    """A database with rows that were stored at an earlier revision, after all later ones."""
    migrations = SERVICES / service / "migrations"
    shutil.copytree(migrations, folder / service)
    for revision in (folder / service / "versions").glob("0*.py"):
        if revision.name[:4] > before:
            revision.unlink()
    engine = create_async_engine(server.owner_url(service))
    try:
        await migrate(engine, folder / service)
        async with engine.begin() as connection:
            for statement, values in rows:
                await connection.execute(text(statement), values)
        await migrate(engine, migrations)
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def test_customers_of_an_earlier_release_are_found_and_mailed(
    server: EmbeddedPostgres, tmp_path: Path
) -> None:
    names = {
        "c1": ("Iŋgá", "Boŧŧá"),
        "c2": ("Outi-Maija", "Mäki-Virta"),
        "c3": ("Aino", "Virtanen"),
        "c4": ("Seán", "O\u2019Brien"),
    }
    form = {
        "first_names": "Iŋgá",
        "email": "Outi@xn--land-poa.example",
        "related_person": {"email": "huoltaja@xn--land-poa.example", "full_name": "Åke Huoltaja"},
    }
    rows: list[tuple[str, dict[str, Any]]] = [
        ("INSERT INTO units VALUES ('un1', gen_random_uuid(), 'Kirjasto', 1, now())", {}),
        *(
            (
                CUSTOMER,
                {
                    "id": key,
                    "first": first,
                    "last": last,
                    "email": form["email"] if key == "c1" else "",
                    "profile": json.dumps(form if key == "c1" else {}),
                    "sort_key": "as it was",
                },
            )
            for key, (first, last) in names.items()
        ),
        ("INSERT INTO customer_names (customer_id, unit_id, key) VALUES ('c3', 'un1', 'virtanen')", {}),
    ]
    async with upgraded(server, tmp_path, "registration", "0023", rows) as connection:
        found = await connection.execute(text("SELECT * FROM customers ORDER BY customer_id"))
        customers = {row.customer_id: row for row in found}
        assert {key: (row.first_names, row.last_name) for key, row in customers.items()} == names
        assert customers["c1"].email == "Outi@åland.example"
        assert customers["c1"].profile == form | {
            "email": "Outi@åland.example",
            "related_person": {"email": "huoltaja@åland.example", "full_name": "Åke Huoltaja"},
        }
        stored: dict[str, set[str]] = {}
        for row in await connection.execute(text("SELECT customer_id, key FROM customer_names")):
            stored.setdefault(row.customer_id, set()).add(row.key)
        for key in ("c1", "c2", "c4"):
            first, last = names[key]
            assert stored[key] >= set(name_keys.search_keys(first, last))
            assert customers[key].sort_key == name_keys.sort_key(last, first)
        # Nothing to fold anew.
        assert (stored["c3"], customers["c3"].sort_key) == ({"virtanen"}, "as it was")


async def test_accounts_of_an_earlier_release_log_in(server: EmbeddedPostgres, tmp_path: Path) -> None:
    emails = {"a1": "opettaja@xn--land-poa.example", "a2": "olli@koulu.example"}
    statement = (
        "INSERT INTO accounts (account_id, email, display_name, password_hash, language, roles, created_at,"
        " request_id) VALUES (:id, :email, 'Olli', 'hash', 1, ARRAY[]::smallint[], now(), :id)"
    )
    rows = [(statement, {"id": key, "email": email}) for key, email in emails.items()]
    async with upgraded(server, tmp_path, "identity", "0013", rows) as connection:
        found = await connection.execute(text("SELECT account_id, email FROM accounts"))
        stored = {row.account_id: row.email for row in found}
    assert stored == {key: fold(email) for key, email in emails.items()}
    assert stored["a1"] == fold("Opettaja@Åland.example")
