"""A database of identity with keys of its own, and the program that works on both."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.admin.key_files import KeyRing, create_keys
from deploy.local.postgres import EmbeddedPostgres
from services.identity import hetu
from services.identity.links.tokens import new_id
from services.identity.models import Base, Person
from services.identity.persons.vault import HetuVault
from services.identity.server import SERVICES, compose
from services.identity.settings import IdentitySettings
from services.runtime.clock import helsinki_day, now
from tests.conftest import running_postgres
from tests.services.conftest import Component, migrated_engine, running
from tests.support.hetu_codes import nth_code
from tests.support.program import Program, plain_environment


@dataclass(frozen=True)
class Installation:
    """An identity's database and the folder of its keys."""

    engine: AsyncEngine
    keys_dir: Path
    program: Program

    @property
    def environment(self) -> dict[str, str]:
        """What the program is told."""
        url = self.engine.url.render_as_string(hide_password=False)
        return plain_environment() | {"LIITY_KEYS_DIR": str(self.keys_dir), "LIITY_DATABASE_URL": url}

    def serving(self, keys_dir: Path | None = None) -> AbstractAsyncContextManager[Component]:
        """An identity with the keys as they are now in a folder, its own unless another is given."""
        folder = keys_dir or self.keys_dir
        settings = IdentitySettings.model_validate(
            {"listen": "", "database_url": "postgresql+asyncpg://", "hetu_allow_artificial": True}
            | {"keys_dir": folder}
        )
        return running("identity", compose(settings, self.engine), folder, SERVICES)

    async def liity(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        return await self.program.run(*arguments, environment=self.environment | settings)

    async def store_codes(self, count: int) -> dict[str, str]:
        """Stores people under the keys of now; their IDs by their codes."""
        vault = HetuVault(self.keys_dir)
        today = helsinki_day(now())
        people = {nth_code(number): new_id() for number in range(count)}
        rows = [
            {
                "person_id": person_id,
                "ensured_at": now(),
                "retained_at": now(),
                **vault.seal(hetu.parse(code, today=today, allow_artificial=True), person_id)._asdict(),
            }
            for code, person_id in people.items()
        ]
        async with self.engine.begin() as connection:
            await connection.execute(insert(Person), rows)
        return people

    async def under(self, key_id: str) -> int:
        """How many codes or indexes lie under a key."""
        counted = select(func.count()).where(
            (Person.hetu_key_id == int(key_id)) | (Person.index_key_id == int(key_id))
        )
        async with self.engine.connect() as connection:
            return await connection.scalar(counted) or 0

    def replace_key(self, purpose: str) -> tuple[str, str]:
        """Rotates and promotes; the IDs of the old and the new key."""
        ring = KeyRing(self.keys_dir, purpose)
        (old,) = (key.key_id for key in ring.read() if key.primary)
        ring.rotate()
        return old, ring.promote()


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of our own: other tests leave rows under other keys."""
    async with running_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


@pytest.fixture(scope="module")
async def engine(
    server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[AsyncEngine]:
    async with migrated_engine(server, "identity", tmp_path_factory.mktemp("unused"), pool_size=16) as engine:
        yield engine


@pytest.fixture
async def installation(engine: AsyncEngine, program: Program, tmp_path: Path) -> AsyncIterator[Installation]:
    """Keys made just now, and empty tables."""
    create_keys(tmp_path / "keys")
    yield Installation(engine, tmp_path / "keys", program)
    async with engine.begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            await connection.execute(table.delete())
