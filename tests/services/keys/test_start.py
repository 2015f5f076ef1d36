"""A key that is lost, or another in its place, stops identity's start with one clear line."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from alembic import command
from alembic.config import Config
from grpc_health.v1 import health_pb2, health_pb2_grpc
from sqlalchemy import Connection, select, update
from sqlalchemy.ext.asyncio import create_async_engine

import services.identity
from deploy.admin.key_files import KeyRing, create_keys
from deploy.demo.polling import eventually
from deploy.local.postgres import EmbeddedPostgres
from services.identity.models import KnownKey
from services.identity.persons.key_check import USES, keys_checked
from services.runtime.security.keys import TOKEN_SIGNING, KeysetPurpose, key_file_path
from services.runtime.settings import SettingsError
from tests.conftest import running_postgres
from tests.services.keys.conftest import Installation
from tests.support.kms import new_fake_kms_key
from tests.support.ports import free_port

PURPOSES = tuple(USES)


async def start(installation: Installation) -> None:
    """What a start does with the keys."""
    async with keys_checked(installation.engine, installation.keys_dir):
        pass


async def known(installation: Installation) -> dict[str, list[str]]:
    async with installation.engine.connect() as connection:
        rows = (await connection.execute(select(KnownKey.purpose, KnownKey.key_id))).all()
    return {purpose: [row.key_id for row in rows if row.purpose == purpose] for purpose in PURPOSES}


def lose(installation: Installation, purpose: str, tmp_path: Path) -> str:
    """Puts another file in the place of a purpose's; the ID of the lost key."""
    (old,) = KeyRing(installation.keys_dir, purpose).read()
    create_keys(tmp_path / "others")
    shutil.copy(key_file_path(tmp_path / "others", purpose), key_file_path(installation.keys_dir, purpose))
    return old.key_id


def falsify(installation: Installation, purpose: str, tmp_path: Path) -> str:
    """The same, but the other key has the lost one's ID."""
    key_id = lose(installation, purpose, tmp_path)
    path = key_file_path(installation.keys_dir, purpose)
    content = json.loads(path.read_text())
    if purpose == TOKEN_SIGNING:
        content["keys"][0]["kid"] = key_id
    else:
        content["primaryKeyId"] = content["key"][0]["keyId"] = int(key_id)
    path.write_text(json.dumps(content))
    return key_id


@pytest.mark.parametrize("purpose", PURPOSES)
@pytest.mark.parametrize(("wrong", "how"), [(lose, "lacks key"), (falsify, "holds something else as key")])
async def test_the_program_ends_with_one_line(
    installation: Installation, tmp_path: Path, purpose: str, wrong: object, how: str
) -> None:
    await start(installation)
    await installation.store_codes(12)
    key_id = wrong(installation, purpose, tmp_path)  # type: ignore[operator]
    before = await known(installation)

    ended = await installation.liity("serve", "identity", LIITY_LISTEN=f"127.0.0.1:{free_port()}")

    assert ended.returncode == 2
    path = key_file_path(installation.keys_dir, purpose)
    use = USES[purpose].format(count=12 if wrong is falsify or purpose.startswith("hetu") else 0)
    assert ended.stderr == f"{path} {how} {key_id}, {use}: put the right file back\n"
    assert "Traceback" not in ended.stdout
    assert await known(installation) == before, "a key that was refused is not taken for one that was used"


async def test_keys_are_known_once_they_write(installation: Installation) -> None:
    await start(installation)
    for purpose in PURPOSES:
        ring = KeyRing(installation.keys_dir, purpose)
        (old,) = (key.key_id for key in ring.read())
        assert (await known(installation))[purpose] == [old]
        new = ring.rotate()
        await start(installation)
        assert (await known(installation))[purpose] == [old], "nothing is lost with a key that never wrote"
        ring.promote()
        await start(installation)
        assert sorted((await known(installation))[purpose]) == sorted([old, new])


async def test_replicas_that_start_at_once_agree(installation: Installation) -> None:
    await asyncio.gather(*(start(installation) for _ in range(10)))
    assert {len(keys) for keys in (await known(installation)).values()} == {1}


async def test_a_replica_with_the_file_from_before_a_rotation_is_refused(
    installation: Installation, tmp_path: Path
) -> None:
    await start(installation)
    stale = replace(installation, keys_dir=shutil.copytree(installation.keys_dir, tmp_path / "stale"))
    _, new = installation.replace_key(KeysetPurpose.HETU)
    await start(installation)
    with pytest.raises(SettingsError, match=f"lacks key {new}"):
        await start(stale)


async def test_codes_stored_by_the_release_before_need_their_keys(
    installation: Installation, server: EmbeddedPostgres, tmp_path: Path
) -> None:
    await installation.store_codes(2)
    owner = create_async_engine(server.owner_url("identity"))

    def migrate(connection: Connection, how: str, revision: str) -> None:
        config = Config()
        config.set_main_option("script_location", str(Path(services.identity.__path__[0]) / "migrations"))
        config.attributes["connection"] = connection
        getattr(command, how)(config, revision)

    try:
        for how, revision in (("downgrade", "0001"), ("upgrade", "head")):
            async with owner.connect() as connection:
                await connection.run_sync(migrate, how, revision)
    finally:
        await owner.dispose()

    right = key_file_path(installation.keys_dir, KeysetPurpose.HETU_INDEX)
    kept = right.read_bytes()
    lost = lose(installation, KeysetPurpose.HETU_INDEX, tmp_path)
    with pytest.raises(SettingsError, match=f"lacks key {lost}"):
        await start(installation)
    right.write_bytes(kept)
    await start(installation)
    async with installation.engine.connect() as connection:
        unchecked = await connection.scalars(select(KnownKey.key_id).where(KnownKey.check_value.is_(None)))
        assert unchecked.all() == []


async def test_a_database_that_was_not_migrated_is_told(installation: Installation, tmp_path: Path) -> None:
    async with running_postgres(tmp_path / "postgres") as empty:
        ended = await installation.liity(
            "serve",
            "identity",
            LIITY_DATABASE_URL=empty.url("identity"),
            LIITY_LISTEN=f"127.0.0.1:{free_port()}",
        )
    assert ended.returncode == 2
    assert ended.stderr == "The database lacks the table known_keys: run `liity migrate identity`\n"


@asynccontextmanager
async def identity_without_database(
    installation: Installation, database_port: int
) -> AsyncIterator[subprocess.Popen[str]]:
    """Identity as it serves while its database, at a port, is away."""
    target = f"127.0.0.1:{free_port()}"
    url = installation.engine.url.set(port=database_port).render_as_string(hide_password=False)
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy", "serve", "identity"],
        env=installation.environment | {"LIITY_DATABASE_URL": url, "LIITY_LISTEN": target},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
            answer = await check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=60)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
        yield process
    finally:
        process.kill()
        process.communicate()


@asynccontextmanager
async def database_at(port: int, server: EmbeddedPostgres) -> AsyncIterator[None]:
    """The database can be reached at a port, too."""
    forwarding: set[asyncio.Task[None]] = set()

    async def forward(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
                await target.drain()
        target.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        database_reader, database_writer = await asyncio.open_connection("127.0.0.1", server.port)
        forwarding.add(asyncio.create_task(forward(reader, database_writer)))
        forwarding.add(asyncio.create_task(forward(database_reader, writer)))

    door = await asyncio.start_server(connect, "127.0.0.1", port)
    try:
        yield
    finally:
        door.close()
        await asyncio.gather(*forwarding)


async def test_without_its_database_identity_serves_and_checks_its_keys_later(
    installation: Installation, server: EmbeddedPostgres
) -> None:
    port = free_port()
    async with identity_without_database(installation, port) as process:
        assert await known(installation) == {purpose: [] for purpose in PURPOSES}
        async with database_at(port, server):
            await eventually(lambda: known(installation), lambda found: all(found.values()), 30)
            assert process.poll() is None
            process.terminate()
            await asyncio.to_thread(process.wait, 30)
        assert process.returncode == 0


async def test_a_wrong_key_ends_it_once_the_database_is_back(
    installation: Installation, server: EmbeddedPostgres, tmp_path: Path
) -> None:
    await start(installation)
    lost = lose(installation, KeysetPurpose.HETU, tmp_path)
    port = free_port()
    async with identity_without_database(installation, port) as process, database_at(port, server):
        _, complaint = await asyncio.to_thread(process.communicate, timeout=60)
        assert process.returncode == 2
        assert f"lacks key {lost}" in complaint
        assert len(complaint.splitlines()) == 1


async def test_a_known_key_without_check_value_gets_one_and_keeps_it(
    installation: Installation, tmp_path: Path
) -> None:
    await start(installation)
    async with installation.engine.begin() as connection:
        await connection.execute(update(KnownKey).values(check_value=None))
    await start(installation)
    falsify(installation, KeysetPurpose.LINKS, tmp_path)
    with pytest.raises(SettingsError, match="holds something else"):
        await start(installation)


async def test_identity_starts_with_keys_under_a_kms_alone_if_it_can_reach_it(
    installation: Installation, tmp_path: Path
) -> None:
    """Tink's fake KMS is made known to the program, as the library of a provider's would be."""
    (tmp_path / "sitecustomize.py").write_text(
        "from tink.testing import fake_kms\nfake_kms.register_client()\n"
    )
    uri = new_fake_kms_key()
    with_kms = {
        "PYTHONPATH": f"{tmp_path}:{installation.environment.get('PYTHONPATH', '')}",
        "LIITY_KMS_KEY_URI": uri,
    }

    async def liity(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """A start of its own: only then Python reads `sitecustomize`."""
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "deploy", *arguments],
            env=installation.environment | with_kms | settings,
            capture_output=True,
            text=True,
            check=False,
        )

    made = await liity("keys", "create")
    assert (made.returncode, made.stderr) == (0, "")
    target = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy", "serve", "identity"],
        env=installation.environment | with_kms | {"LIITY_LISTEN": target},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        async with grpc.aio.insecure_channel(target) as channel:
            check = health_pb2_grpc.HealthStub(channel).Check  # type: ignore[attr-defined]
            await check(health_pb2.HealthCheckRequest(), wait_for_ready=True, timeout=60)
        shown = await liity("keys", "show")
        assert shown.returncode == 0
    finally:
        process.terminate()
        process.communicate(timeout=30)
    for wrong in ("", new_fake_kms_key()):
        ended = await liity("serve", "identity", LIITY_KMS_KEY_URI=wrong, LIITY_LISTEN=target)
        assert ended.returncode == 2
        assert len(ended.stderr.splitlines()) == 1
        assert "KMS" in ended.stderr
