"""The program's commands that need no running stack."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.components import COMPONENTS, WITH_DATABASE
from deploy.local.postgres import EmbeddedPostgres
from services.runtime.security.keys import TEMPLATES
from services.runtime.security.service_identity import SERVICES
from tests.conftest import running_postgres
from tests.support.program import Program, plain_environment


def liity(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A start of its own, as from a terminal."""
    return subprocess.run(
        [sys.executable, "-m", "deploy", *arguments],
        env=plain_environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("component", COMPONENTS)
def test_serve_names_missing_settings_in_one_line(component: str, program: Program) -> None:
    refused = program("serve", component)

    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1
    assert refused.stderr.startswith("Wrong settings: ")
    assert "LIITY_KEYS_DIR: Field required" in refused.stderr


def test_serve_knows_its_components_alone() -> None:
    refused = liity("serve", "everything")

    assert refused.returncode == 2
    assert "one of identity, registration" in refused.stderr


@pytest.fixture(scope="module")
async def empty_postgres(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL whose databases nobody has migrated."""
    async with running_postgres(tmp_path_factory.mktemp("empty")) as server:
        yield server


@pytest.mark.parametrize("component", WITH_DATABASE)
async def test_migrate_makes_the_tables_and_may_be_repeated(
    empty_postgres: EmbeddedPostgres, component: str, program: Program
) -> None:
    for _ in range(2):
        migrated = await program.run(
            "migrate", component, environment={"LIITY_DATABASE_URL": empty_postgres.owner_url(component)}
        )
        assert migrated.returncode == 0, migrated.stderr

    connection = await asyncpg.connect(empty_postgres.url(component).replace("+asyncpg", ""))
    try:
        assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    finally:
        await connection.close()


def test_keys_create_makes_what_is_missing_and_keeps_the_rest(program: Program, tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    assert program("keys", "create", environment={"LIITY_KEYS_DIR": str(folder)}).returncode == 0
    first = {path.name: path.read_bytes() for path in folder.iterdir()}
    lost = folder / "links.keyset.json"
    lost.unlink()

    assert program("keys", "create", environment={"LIITY_KEYS_DIR": str(folder)}).returncode == 0

    second = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert second.keys() == first.keys()
    # That it was made anew is written down, too.
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {lost.name, "key-dates.json"}
    assert {f"{purpose}.keyset.json" for purpose in TEMPLATES} <= first.keys()
    assert {f"service-{name}.jwk.json" for name in SERVICES} <= first.keys()
    assert folder.stat().st_mode & 0o077 == 0


def test_the_demonstration_needs_a_stack(program: Program, tmp_path: Path) -> None:
    refused = program("demo", "--state-dir", str(tmp_path))

    assert refused.returncode == 2
    assert refused.stderr == f"No stack has been started in {tmp_path}: liity up --state-dir {tmp_path}\n"
