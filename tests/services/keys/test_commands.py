"""`liity keys`: what an operator does, one command after another."""

import re
import uuid
from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from deploy.admin.key_commands import _PURPOSES as SHOWN
from deploy.admin.key_files import PURPOSES, KeyRing
from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_CONSENT,
    CheckLinkRequest,
    IssueLinkRequest,
    VoidLinksRequest,
)
from liity.v1.reason_pb2 import REASON_LINK_INVALID
from services.identity.models import Account, Session
from services.identity.persons.key_check import keys_checked
from services.runtime.clock import now
from services.runtime.security.keys import TOKEN_SIGNING, KeysetPurpose
from tests.services.conftest import Component, refused
from tests.services.keys.conftest import Installation
from tests.services.keys.test_start import PURPOSES as OF_IDENTITY
from tests.services.keys.test_start import known, start

AT_ONCE = ("--margin", "PT0S")


def test_the_commands_know_every_purpose() -> None:
    assert SHOWN == PURPOSES


async def issue(identity: Component) -> str:
    request = IssueLinkRequest(request_id=str(uuid.uuid4()), purpose=LINK_PURPOSE_CONSENT, subject="subject")
    request.expire_time.FromDatetime(now() + timedelta(days=30))
    return str((await identity(request)).token)


def check(token: str) -> CheckLinkRequest:
    return CheckLinkRequest(purpose=LINK_PURPOSE_CONSENT, token=token, request_id=str(uuid.uuid4()))


@pytest.mark.parametrize("purpose", [KeysetPurpose.HETU, KeysetPurpose.HETU_INDEX])
async def test_from_one_key_of_the_vault_to_the_next(installation: Installation, purpose: str) -> None:
    await start(installation)
    people = await installation.store_codes(5)
    (old,) = (key.key_id for key in KeyRing(installation.keys_dir, purpose).read())

    rotated = await installation.liity("keys", "rotate", purpose)
    new = re.findall(r"Key (\d+)", rotated.stdout)[0]
    assert f"restart them; then: liity keys promote {purpose}" in rotated.stdout
    promoted = await installation.liity("keys", "promote", purpose)
    assert "restart them; then: liity keys reencrypt" in promoted.stdout
    await start(installation)

    refusal = await installation.liity("keys", "retire", purpose, old)
    assert refusal.returncode == 1
    assert "may still write with key" in refusal.stderr
    assert "--margin" in refusal.stderr
    refusal = await installation.liity("keys", "retire", purpose, old, *AT_ONCE)
    assert refusal.returncode == 1
    assert refusal.stderr == (
        f"Key {old} of {purpose} is still needed by 5 personal identity codes (liity keys reencrypt)\n"
    )
    assert [key.key_id for key in KeyRing(installation.keys_dir, purpose).read()] == [old, new]
    assert sorted((await known(installation))[purpose]) == sorted([old, new])

    assert (await installation.liity("keys", "reencrypt")).returncode == 0
    retired = await installation.liity("keys", "retire", purpose, old, *AT_ONCE)
    assert (retired.returncode, retired.stderr) == (0, "")
    assert [key.key_id for key in KeyRing(installation.keys_dir, purpose).read()] == [new]
    assert (await known(installation))[purpose] == [new]
    await start(installation)
    assert await installation.under(new) == len(people)


@pytest.mark.parametrize("purpose", PURPOSES)
async def test_the_primary_key_is_never_retired(installation: Installation, purpose: str) -> None:
    (only,) = (key.key_id for key in KeyRing(installation.keys_dir, purpose).read())
    refusal = await installation.liity("keys", "retire", purpose, only, *AT_ONCE)
    assert refusal.returncode == 1
    assert f"Key {only} is the one that writes" in refusal.stderr


async def test_a_key_of_links_is_needed_by_links_that_may_be_used_and_log_ins_not_renewed(
    installation: Installation,
) -> None:
    await start(installation)
    async with installation.serving() as identity:
        token = await issue(identity)
    account = {"account_id": "a", "email": "a@unit.example", "display_name": "A", "password_hash": ""}
    async with installation.engine.begin() as connection:
        await connection.execute(
            insert(Account).values(**account, language=1, roles=[], created_at=now(), request_id="r")
        )
        await connection.execute(
            insert(Session).values(
                session_id="s", account_id="a", created_at=now(), expires_at=now() + timedelta(days=14)
            )
        )
    old, new = installation.replace_key(KeysetPurpose.LINKS)
    retire = ("keys", "retire", KeysetPurpose.LINKS, old, *AT_ONCE)

    refusal = await installation.liity(*retire)
    assert refusal.returncode == 1
    assert re.search(r"1 link \(the last ends by .*\); 1 log-in \(the last ends by ", refusal.stderr)
    shown = await installation.liity("keys", "show")
    assert re.search(rf"{old} +│ reads .*1 link ", shown.stdout)
    assert re.search(rf"{new} +│ primary .*all that is written now", shown.stdout)

    async with installation.serving() as identity:
        await identity(check(token))
        newer = await issue(identity)
        voided = VoidLinksRequest(purpose=LINK_PURPOSE_CONSENT, subject="subject")
        await identity(voided)
        usable = await issue(identity)
    assert newer != usable
    assert "1 log-in" in (refusal := await installation.liity(*retire)).stderr
    assert "link " not in refusal.stderr

    async with installation.engine.begin() as connection:
        renewed = now() + timedelta(days=14)
        await connection.execute(update(Session).values(expires_at=renewed))
    assert (await installation.liity(*retire)).returncode == 0
    async with installation.serving() as identity:
        await identity(check(usable))
        assert (await refused(identity(check(token)))).reason == REASON_LINK_INVALID


async def test_a_log_in_is_counted_by_the_lifetime_that_is_set(installation: Installation) -> None:
    await start(installation)
    async with installation.engine.begin() as connection:
        account = {"account_id": "a", "email": "a@unit.example", "display_name": "A", "password_hash": ""}
        await connection.execute(
            insert(Account).values(**account, language=1, roles=[], created_at=now(), request_id="r")
        )
        session = {"session_id": "s", "account_id": "a", "created_at": now()}
        await connection.execute(insert(Session).values(**session, expires_at=now() + timedelta(days=20)))
    old, _ = installation.replace_key(KeysetPurpose.LINKS)
    retire = ("keys", "retire", KeysetPurpose.LINKS, old, *AT_ONCE)
    refusal = await installation.liity(*retire, LIITY_REFRESH_TOKEN_LIFETIME="P30D")
    assert "1 log-in" in refusal.stderr
    assert (await installation.liity(*retire)).returncode == 0


async def test_a_key_of_access_tokens_is_needed_as_long_as_they_live(installation: Installation) -> None:
    await start(installation)
    old, _ = installation.replace_key(TOKEN_SIGNING)
    retire = ("keys", "retire", TOKEN_SIGNING, old, *AT_ONCE)
    refusal = await installation.liity(*retire)
    assert refusal.returncode == 1
    assert "is still needed by access tokens (they end by " in refusal.stderr
    retired = await installation.liity(*retire, LIITY_ACCESS_TOKEN_LIFETIME="PT0.001S")
    assert retired.returncode == 0
    assert old not in (await known(installation))[TOKEN_SIGNING]
    await start(installation)


@pytest.mark.parametrize("purpose", OF_IDENTITY)
async def test_a_key_that_never_wrote_may_go_at_once(installation: Installation, purpose: str) -> None:
    await start(installation)
    new = KeyRing(installation.keys_dir, purpose).rotate()
    assert (await installation.liity("keys", "retire", purpose, new)).returncode == 0
    assert new not in {key.key_id for key in KeyRing(installation.keys_dir, purpose).read()}


async def test_a_key_whose_successors_date_is_unknown_stays(installation: Installation) -> None:
    await start(installation)
    old, _ = installation.replace_key(KeysetPurpose.LINKS)
    (installation.keys_dir / "key-dates.json").unlink()
    refusal = await installation.liity("keys", "retire", KeysetPurpose.LINKS, old, *AT_ONCE)
    assert refusal.returncode == 1
    assert "It is not known until when" in refusal.stderr


@pytest.mark.parametrize("purpose", [KeysetPurpose.LINKS, KeysetPurpose.PAYLOADS])
async def test_nothing_is_retired_while_nobody_can_be_asked(installation: Installation, purpose: str) -> None:
    old, new = installation.replace_key(purpose)
    away = "postgresql+asyncpg://identity:hush@127.0.0.1:1/identity"
    refusal = await installation.liity(
        *("keys", "retire", purpose, old, *AT_ONCE),
        LIITY_DATABASE_URL=away,
        LIITY_TEMPORAL_ADDRESS="127.0.0.1:1",
    )
    assert refusal.returncode == 2
    assert len(refusal.stderr.splitlines()) == 1
    assert "does not answer" in refusal.stderr
    assert "hush" not in refusal.stderr
    assert [key.key_id for key in KeyRing(installation.keys_dir, purpose).read()] == [old, new]


async def test_a_lost_key_is_given_up_knowingly(installation: Installation) -> None:
    await start(installation)
    await installation.store_codes(3)
    kept = await installation.liity("keys", "forget", "hetu", "1", "--yes")
    assert "Nothing was ever written with key 1" in kept.stderr
    lost, _ = installation.replace_key(KeysetPurpose.HETU)
    there = await installation.liity("keys", "forget", "hetu", lost, "--yes")
    assert f"Key {lost} of hetu is not lost: liity keys retire hetu {lost}" in there.stderr
    KeyRing(installation.keys_dir, KeysetPurpose.HETU).remove(lost)

    asked = await installation.liity("keys", "forget", "hetu", lost)
    assert asked.returncode == 1
    assert "3 personal identity codes, which can never be read again" in asked.stdout
    assert lost in (await known(installation))["hetu"]
    forgotten = await installation.liity("keys", "forget", "hetu", lost, "--yes")
    assert forgotten.returncode == 0
    async with keys_checked(installation.engine, installation.keys_dir):
        assert lost not in (await known(installation))["hetu"]


async def test_a_command_says_that_it_needs_a_folder(installation: Installation) -> None:
    ended = await installation.liity("keys", "show", LIITY_KEYS_DIR="")
    assert ended.returncode == 2
    assert ended.stderr == "--keys-dir or LIITY_KEYS_DIR must say where the key files are\n"


async def test_wrong_words_are_told(installation: Installation) -> None:
    wrong = await installation.liity("keys", "rotate", "everything")
    assert wrong.returncode == 2
    assert "one of payloads, hetu" in wrong.stderr
    wrong = await installation.liity("keys", "retire", "links", "1")
    assert wrong.returncode == 2
    assert wrong.stderr == "There is no key 1 of links: `liity keys show` tells which there are\n"
    wrong = await installation.liity("keys", "show", "--margin", "soon")
    assert wrong.returncode == 2
    assert "a duration such as PT1H" in wrong.stderr
    wrong = await installation.liity("keys", "show", "--state-dir", str(installation.keys_dir))
    assert wrong.returncode == 2
    assert "No stack has been started in" in wrong.stderr
