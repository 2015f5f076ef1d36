"""Re-encryption of the vault, beside identities that work."""

import asyncio
import random
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
from sqlalchemy import func, select, update

from deploy.admin.key_files import KeyRing
from deploy.demo.polling import eventually
from liity.identity.v1.person_service_pb2 import (
    EnsurePersonRequest,
    EnsurePersonWithoutCodeRequest,
    FindPersonRequest,
)
from services.identity.models import Person
from services.identity.persons.key_rotation import Reencryption, ReencryptionError
from services.identity.persons.vault import HetuVault
from services.runtime.security.keys import KeysetPurpose
from tests.services.conftest import Component
from tests.services.keys.conftest import Installation
from tests.support.hetu_codes import nth_code

VAULT = (KeysetPurpose.HETU, KeysetPurpose.HETU_INDEX)


async def find(identity: Component, code: str) -> str:
    return str((await identity(FindPersonRequest(personal_identity_code=code))).person_id)


async def ensure(identity: Component, code: str) -> str:
    return str((await identity(EnsurePersonRequest(personal_identity_code=code))).person_id)


async def reencrypt(installation: Installation) -> int:
    done: list[int] = []
    await Reencryption(installation.engine, HetuVault(installation.keys_dir)).run(done.append)
    return sum(done)


@pytest.mark.parametrize("purposes", [VAULT[:1], VAULT[1:], VAULT], ids=" and ".join)
async def test_every_code_comes_under_the_primary_keys(
    installation: Installation, purposes: tuple[str, ...]
) -> None:
    people = await installation.store_codes(450)
    replaced = [installation.replace_key(purpose) for purpose in purposes]

    assert await reencrypt(installation) == 450
    assert await reencrypt(installation) == 0

    for old, new in replaced:
        assert (await installation.under(old), await installation.under(new)) == (0, 450)
    for purpose, (old, _) in zip(purposes, replaced, strict=True):
        KeyRing(installation.keys_dir, purpose).remove(old)
    async with installation.serving() as identity:
        for code in list(people)[::50]:
            assert await find(identity, code) == people[code]
    vault = HetuVault(installation.keys_dir)
    async with installation.engine.connect() as connection:
        for person_id, ciphertext, index in await connection.execute(
            select(Person.person_id, Person.hetu_ciphertext, Person.hetu_index)
        ):
            assert vault.reseal(ciphertext, person_id).hetu_index == index


async def test_nobody_is_lost_or_doubled_meanwhile(installation: Installation, tmp_path: Path) -> None:
    people = await installation.store_codes(3000)
    for purpose in VAULT:
        KeyRing(installation.keys_dir, purpose).rotate()
    knows = shutil.copytree(installation.keys_dir, tmp_path / "knows the new keys")
    for purpose in VAULT:
        KeyRing(installation.keys_dir, purpose).promote()
    new_codes = [nth_code(number) for number in range(10_000, 10_060)]
    made: dict[str, set[str]] = {code: set() for code in new_codes}
    over = asyncio.Event()
    looked: list[str] = []

    async def look_up(identity: Component, seed: int) -> None:
        chance = random.Random(seed)  # noqa: S311 - nobody's secret
        while not over.is_set():
            code = chance.choice(list(people))
            ask = chance.choice([find, ensure])
            assert await ask(identity, code) == people[code]
            looked.append(code)

    async def add(identity: Component) -> None:
        for code in new_codes:
            made[code].add(await ensure(identity, code))

    async with installation.serving() as writes_new, installation.serving(knows) as writes_old:
        async with asyncio.TaskGroup() as group:
            for seed, identity in enumerate((writes_new, writes_old) * 2):
                group.create_task(look_up(identity, seed))
            adding = [group.create_task(add(identity)) for identity in (writes_new, writes_old)]
            await asyncio.gather(*(reencrypt(installation) for _ in range(2)))
            await asyncio.gather(*adding)
            over.set()
        # Those that another wrote under the old keys in the end.
        await reencrypt(installation)
        for code in new_codes:
            assert {await find(writes_new, code)} == made[code]

    assert len(looked) > 50
    async with installation.engine.connect() as connection:
        assert await connection.scalar(select(func.count()).select_from(Person)) == 3060
    assert await Reencryption(installation.engine, HetuVault(installation.keys_dir)).remaining() == 0


class Begun(NamedTuple):
    """A re-encryption that runs, and whose codes it is about."""

    installation: Installation
    process: subprocess.Popen[str]
    people: dict[str, str]


@pytest.fixture
async def begun(installation: Installation) -> AsyncIterator[Begun]:
    """A re-encryption that is in its middle, and cannot come to its end: somebody holds a row."""
    people = await installation.store_codes(2000)
    for purpose in VAULT:
        installation.replace_key(purpose)
    vault = HetuVault(installation.keys_dir)
    async with installation.engine.connect() as connection:
        held = select(Person.person_id).where(Person.person_id == max(people.values())).with_for_update()
        await connection.execute(held)
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy", "keys", "reencrypt"],
            env=installation.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            await eventually(Reencryption(installation.engine, vault).remaining, lambda left: left < 2000, 60)
            yield Begun(installation, process, people)
        finally:
            process.kill()
            process.communicate()


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name
)
async def test_it_is_stopped_in_its_middle_and_goes_on(begun: Begun, number: signal.Signals) -> None:
    installation, process, people = begun.installation, begun.process, begun.people
    process.send_signal(number)
    _, complaint = await asyncio.to_thread(process.communicate, timeout=30)
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert complaint == "Stopped. What is done stays done: run it again to go on.\n"
    work = Reencryption(installation.engine, HetuVault(installation.keys_dir))
    left = await work.remaining()
    assert 0 < left < 2000
    async with installation.serving() as identity:
        for code in list(people)[::100]:
            assert await find(identity, code) == people[code]
    # The row is still held: whoever is first to go on does all the others.
    again = asyncio.create_task(reencrypt(installation))
    await eventually(work.remaining, lambda left: left == 1, 60)
    again.cancel()


async def test_a_person_without_a_code_is_left_alone(installation: Installation) -> None:
    await installation.store_codes(3)
    async with installation.serving() as identity:
        without = EnsurePersonWithoutCodeRequest(request_id=str(uuid.uuid4()))
        person_id = (await identity(without)).person_id
        for purpose in VAULT:
            installation.replace_key(purpose)
        assert await reencrypt(installation) == 3
        assert (await identity(without)).person_id == person_id


async def test_the_command_tells_how_far_it_is(installation: Installation) -> None:
    await installation.store_codes(30)
    for purpose in VAULT:
        installation.replace_key(purpose)
    for total in ("30/30", "0/0"):
        ended = await installation.liity("keys", "reencrypt")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert total in ended.stdout
        assert "All personal identity codes lie under the primary keys" in ended.stdout


async def test_a_code_that_cannot_be_read_is_named_by_its_person_and_key(installation: Installation) -> None:
    await installation.store_codes(3)
    old, _ = installation.replace_key(KeysetPurpose.HETU)
    KeyRing(installation.keys_dir, KeysetPurpose.HETU).remove(old)
    ended = await installation.liity("keys", "reencrypt")
    assert ended.returncode == 1
    assert f"the keyset lacks key {old}" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


async def test_a_person_stored_twice_is_told(installation: Installation, tmp_path: Path) -> None:
    """What comes of an identity that was not told of a key before others wrote with it."""
    people = await installation.store_codes(3)
    stale = shutil.copytree(installation.keys_dir, tmp_path / "stale")
    installation.replace_key(KeysetPurpose.HETU_INDEX)
    async with installation.serving() as identity:
        double = await ensure(identity, nth_code(100))
    async with installation.serving(stale) as identity:
        assert await ensure(identity, nth_code(100)) != double
    with pytest.raises(ReencryptionError, match=double):
        await reencrypt(installation)
    async with installation.engine.begin() as connection:
        untouched = select(func.count()).where(Person.person_id.in_(people.values()))
        assert await connection.scalar(untouched) == 3
        await connection.execute(
            update(Person).where(Person.person_id == double).values(hetu_index=b"erased by then")
        )
    await reencrypt(installation)
