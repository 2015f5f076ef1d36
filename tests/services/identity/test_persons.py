"""The vault: one opaque ID per code, the code itself unreadable (R32 to R35)."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import tink
from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine
from tink import aead

from deploy.admin.key_files import KeyRing
from liity.identity.v1.credential_service_pb2 import ChoosePasswordRequest, IssueCredentialsRequest
from liity.identity.v1.person_service_pb2 import (
    BatchEnsurePersonsRequest,
    BatchFindPersonsRequest,
    BatchReleasePersonsRequest,
    EnsurePersonRequest,
    EnsurePersonWithoutCodeRequest,
    ErasePersonRequest,
    ExportPersonRequest,
    FindPersonRequest,
    ListMissingPersonsRequest,
    ReleasePersonRequest,
    RetainPersonRequest,
    UnretainPersonRequest,
)
from liity.v1.reason_pb2 import (
    REASON_HETU_ARTIFICIAL,
    REASON_HETU_CHECK_CHARACTER,
    REASON_HETU_DATE,
    REASON_HETU_DUMMY,
    REASON_HETU_FORMAT,
    REASON_HETU_NOT_YET_BORN,
    REASON_HETU_TOO_OLD,
    REASON_INVALID_DATE,
    REASON_INVALID_FORMAT,
    REASON_LINK_VOID,
    REASON_PERSON_NOT_FOUND,
    REASON_TOO_LONG,
    Reason,
)
from services.identity.cleanup import PROVISIONAL_LIFETIME, sweep
from services.identity.models import Link, Person
from services.identity.persons.vault import HetuVault
from services.runtime.clock import now
from services.runtime.rpc.errors import FieldViolation
from services.runtime.security.keys import KeysetPurpose, keyset_path, load_primitive
from services.runtime.settings import SettingsError
from tests.services.conftest import Component, IdentityFactory, refused
from tests.support.hetu_codes import nth_code


async def ensure(identity: Component, code: str) -> str:
    person_id: str = (await identity(EnsurePersonRequest(personal_identity_code=code))).person_id
    return person_id


async def find(identity: Component, code: str) -> str:
    person_id: str = (await identity(FindPersonRequest(personal_identity_code=code))).person_id
    return person_id


async def test_finding_tells_the_birth_date_and_stores_nothing(
    identity: Component, identity_engine: AsyncEngine
) -> None:
    answer = await identity(FindPersonRequest(personal_identity_code=" 020516c903k "))
    assert (answer.birth_date.year, answer.birth_date.month, answer.birth_date.day) == (2016, 5, 2)
    assert answer.person_id == ""
    assert await find(identity, "020516C903K") == ""


async def test_one_opaque_person_per_code(identity: Component) -> None:
    first = await ensure(identity, nth_code(0))
    assert len(first) == 32
    assert int(first, 16) >= 0
    assert await ensure(identity, nth_code(0).lower()) == first
    assert await find(identity, nth_code(0).replace("-", "–")) == first
    assert await ensure(identity, nth_code(1)) != first


async def ensure_without_code(identity: Component, request_id: str) -> str:
    request = EnsurePersonWithoutCodeRequest(request_id=request_id)
    person_id: str = (await identity(request)).person_id
    return person_id


async def test_a_person_without_a_code_is_one_for_each_save(identity: Component) -> None:
    request_id = str(uuid4())
    first = await ensure_without_code(identity, request_id)
    assert await ensure_without_code(identity, request_id.upper()) == first
    assert await ensure_without_code(identity, str(uuid4())) != first
    malformed = await refused(identity(EnsurePersonWithoutCodeRequest(request_id="x")))
    assert malformed.violations == (FieldViolation("request_id", REASON_INVALID_FORMAT),)


async def test_a_person_without_a_code_is_provisional_exported_and_erased_like_others(
    identity: Component, identity_engine: AsyncEngine
) -> None:
    kept, left = [await ensure_without_code(identity, str(uuid4())) for _ in range(2)]
    await identity(RetainPersonRequest(person_id=kept))
    async with identity_engine.begin() as connection:
        long_ago = now() - PROVISIONAL_LIFETIME - timedelta(minutes=1)
        both = update(Person).where(Person.person_id.in_([kept, left]))
        await connection.execute(both.values(ensured_at=long_ago))
    await sweep(identity_engine)
    gone = await refused(identity(RetainPersonRequest(person_id=left)))
    assert gone.reason == REASON_PERSON_NOT_FOUND
    (section,) = (await identity(ExportPersonRequest(person_id=kept))).sections
    (record,) = section.records
    assert (record["person_id"], "personal_identity_code" in record) == (kept, False)
    await identity(ErasePersonRequest(person_id=kept))
    erased = await refused(identity(RetainPersonRequest(person_id=kept)))
    assert erased.reason == REASON_PERSON_NOT_FOUND


async def test_the_century_sign_distinguishes(identity: Component) -> None:
    dash, letter = nth_code(2), nth_code(2).replace("-", "Y")
    one = await ensure(identity, dash)
    made = await identity(EnsurePersonRequest(personal_identity_code=letter))
    assert made.person_id != one
    # Whom one may have meant is told.
    assert list(made.other_sign_person_ids) == [one]
    codes = BatchEnsurePersonsRequest(personal_identity_codes=[letter, dash, nth_code(4)])
    codes.hold_until.FromDatetime(now() + timedelta(minutes=1))
    persons = (await identity(codes)).persons
    assert [list(each.other_sign_person_ids) for each in persons] == [[one], [made.person_id], []]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("", REASON_HETU_FORMAT),
        ("\0", REASON_HETU_FORMAT),
        ("010150+903F", REASON_HETU_TOO_OLD),
        ("010594Y9033", REASON_HETU_CHECK_CHARACTER),
        ("310294-9033", REASON_HETU_DATE),
        ("010199A9033", REASON_HETU_NOT_YET_BORN),
        ("22222222222", REASON_HETU_DUMMY),
        ("0" * 41, REASON_TOO_LONG),
    ],
)
async def test_wrong_codes(identity: Component, code: str, reason: Reason.ValueType) -> None:
    for request in (FindPersonRequest, EnsurePersonRequest):
        refusal = await refused(identity(request(personal_identity_code=code)))
        assert refusal.code.name == "INVALID_ARGUMENT"
        assert refusal.violations == (FieldViolation("personal_identity_code", reason),)


async def test_artificial_codes_are_refused_by_default(identity_with: IdentityFactory) -> None:
    async with identity_with(hetu_allow_artificial=False) as production:
        refusal = await refused(ensure(production, nth_code(3)))
    assert refusal.reason == REASON_HETU_ARTIFICIAL


async def test_fifty_racing_calls_give_one_person(identity: Component, identity_engine: AsyncEngine) -> None:
    people = await asyncio.gather(*(ensure(identity, nth_code(4)) for _ in range(50)))
    assert len(set(people)) == 1


async def test_what_is_stored_shows_no_code(
    identity: Component, identity_engine: AsyncEngine, keys_dir: Path
) -> None:
    code = nth_code(5)
    person_id = await ensure(identity, code)
    async with identity_engine.connect() as connection:
        rows = await connection.execute(text("SELECT p::text FROM persons p"))
        stored = "".join(rows.scalars())
        ciphertext = await connection.scalar(
            select(Person.hetu_ciphertext).where(Person.person_id == person_id)
        )
    assert person_id in stored
    for shown in (code, code.encode().hex(), code[:6], code[:6].encode().hex()):
        assert shown not in stored
    cipher = load_primitive(keys_dir, KeysetPurpose.HETU, aead.Aead)
    assert cipher.decrypt(ciphertext, person_id.encode()) == code.encode()
    with pytest.raises(tink.TinkError):
        cipher.decrypt(ciphertext, ("0" * 32).encode())


def with_new_index_key(keys_dir: Path, folder: Path, *, active: bool) -> Path:
    """A copy of the keys whose index keyset has one key more: at first known, then active."""
    shutil.copytree(keys_dir, folder)
    ring = KeyRing(folder, KeysetPurpose.HETU_INDEX)
    ring.rotate()
    if active:
        ring.promote()
    return folder


async def test_rotation_of_the_index_key(
    identity: Component, identity_with: IdentityFactory, keys_dir: Path, tmp_path: Path
) -> None:
    before = await ensure(identity, nth_code(6))
    async with identity_with(keys_dir=with_new_index_key(keys_dir, tmp_path / "keys", active=True)) as after:
        assert await find(after, nth_code(6)) == before
        assert await ensure(after, nth_code(6)) == before
        made = await ensure(after, nth_code(7))
        assert await find(after, nth_code(7)) == made
    assert await find(identity, nth_code(7)) == "", "only the new key finds what was made under it"


async def test_callers_race_while_the_key_is_rotated(
    identity_with: IdentityFactory, keys_dir: Path, tmp_path: Path
) -> None:
    known = with_new_index_key(keys_dir, tmp_path / "known", active=False)
    active = shutil.copytree(known, tmp_path / "active")
    KeyRing(active, KeysetPurpose.HETU_INDEX).promote()
    async with identity_with(keys_dir=known) as old, identity_with(keys_dir=active) as new:
        for number in range(10, 20):
            people = await asyncio.gather(*(ensure(one, nth_code(number)) for one in (old, new) * 5))
            assert len(set(people)) == 1


async def test_an_erased_person_comes_back_as_another(
    identity: Component, identity_engine: AsyncEngine
) -> None:
    person_id = await ensure(identity, nth_code(8))
    await identity(RetainPersonRequest(person_id=person_id))
    issue = IssueCredentialsRequest(request_id=str(uuid4()), person_id=person_id)
    token = (await identity(issue)).link_token
    for _ in range(2):
        await identity(ErasePersonRequest(person_id=person_id))
    assert await find(identity, nth_code(8)) == ""
    assert (
        await refused(identity(RetainPersonRequest(person_id=person_id)))
    ).reason == REASON_PERSON_NOT_FOUND
    choose = ChoosePasswordRequest(
        request_id=str(uuid4()), link_token=token, password="correct horse battery"
    )
    assert (await refused(identity(choose))).reason == REASON_LINK_VOID
    async with identity_engine.connect() as connection:
        links = select(func.count()).select_from(Link).where(Link.subject == person_id)
        assert await connection.scalar(links) == 0
    assert await ensure(identity, nth_code(8)) != person_id


async def age(engine: AsyncEngine, person_id: str) -> None:
    """Makes a person one that was ensured more than an hour ago."""
    async with engine.begin() as connection:
        await connection.execute(
            update(Person)
            .where(Person.person_id == person_id)
            .values(ensured_at=now() - PROVISIONAL_LIFETIME - timedelta(seconds=1))
        )


async def test_provisional_persons_are_forgotten(identity: Component, identity_engine: AsyncEngine) -> None:
    fresh, stale, ensured_anew, retained = [await ensure(identity, nth_code(n)) for n in range(20, 24)]
    await identity(RetainPersonRequest(person_id=retained))
    await identity(RetainPersonRequest(person_id=retained))
    for person_id in (stale, ensured_anew, retained):
        await age(identity_engine, person_id)
    assert await ensure(identity, nth_code(22)) == ensured_anew
    await sweep(identity_engine)
    assert [await find(identity, nth_code(n)) for n in range(20, 24)] == [fresh, "", ensured_anew, retained]
    assert (await refused(identity(RetainPersonRequest(person_id=stale)))).reason == REASON_PERSON_NOT_FOUND


async def test_whoever_was_retained_for_nothing_is_provisional_again(
    identity: Component, identity_engine: AsyncEngine
) -> None:
    unretained, retained_anew = [await ensure(identity, nth_code(n)) for n in (37, 38)]
    for person_id in (unretained, retained_anew):
        await identity(RetainPersonRequest(person_id=person_id))
        for _ in range(2):
            await identity(UnretainPersonRequest(person_id=person_id))
        await age(identity_engine, person_id)
    await identity(RetainPersonRequest(person_id=retained_anew))
    await sweep(identity_engine)
    assert [await find(identity, nth_code(n)) for n in (37, 38)] == ["", retained_anew]
    await identity(UnretainPersonRequest(person_id=unretained))


def batch(kind: type[Any], *codes: str, **fields: Any) -> Any:
    return kind(personal_identity_codes=codes, **fields)


async def test_many_codes_are_looked_up_at_once(
    identity: Component, identity_with: IdentityFactory, keys_dir: Path, tmp_path: Path
) -> None:
    known = await ensure(identity, nth_code(30))
    codes = nth_code(30), nth_code(31), "010594Y9033", nth_code(31).lower(), nth_code(30)
    rotated = with_new_index_key(keys_dir, tmp_path / "keys", active=True)
    async with identity_with(keys_dir=rotated) as after_rotation:
        for component in (identity, after_rotation):
            found = list((await component(batch(BatchFindPersonsRequest, *codes))).persons)
            assert [person.person_id for person in found] == [known, "", "", "", ""]
            assert [person.repeated for person in found] == [False, False, False, True, True]
            assert [person.reason for person in found] == [0, 0, REASON_HETU_CHECK_CHARACTER, 0, 0]
            assert [person.HasField("birth_date") for person in found] == [True, True, False, True, True]
    assert await find(identity, nth_code(31)) == "", "nothing was stored"


async def test_persons_of_a_list_are_held(identity: Component, identity_engine: AsyncEngine) -> None:
    codes = [nth_code(number) for number in range(32, 36)]
    ensure_all = batch(BatchEnsurePersonsRequest, *codes)
    ensure_all.hold_until.FromDatetime(now() + timedelta(days=7))
    persons = [person.person_id for person in (await identity(ensure_all)).persons]
    ensure_all.hold_until.FromDatetime(now() + timedelta(days=1))
    assert [person.person_id for person in (await identity(ensure_all)).persons] == persons
    held, released, expired, retained = persons
    await identity(RetainPersonRequest(person_id=retained))
    await identity(ReleasePersonRequest(person_id=held))
    await identity(BatchReleasePersonsRequest(person_ids=[released, retained]))
    for person_id in persons:
        await age(identity_engine, person_id)
    async with identity_engine.begin() as connection:
        over = update(Person).where(Person.person_id == expired).values(hold_until=now())
        await connection.execute(over)
    await sweep(identity_engine)
    assert [await find(identity, code) for code in codes] == [held, "", "", retained]
    missing = await identity(ListMissingPersonsRequest(person_ids=persons))
    assert missing.person_ids == sorted([released, expired])


async def test_a_list_with_a_wrong_code_makes_nobody(identity: Component) -> None:
    ensure_all = batch(BatchEnsurePersonsRequest, nth_code(36), "010594Y9033")
    ensure_all.hold_until.FromDatetime(now())
    assert (await refused(identity(ensure_all))).reason == REASON_HETU_CHECK_CHARACTER
    assert await find(identity, nth_code(36)) == ""
    never = batch(BatchEnsurePersonsRequest, nth_code(36), hold_until=Timestamp(seconds=10**12))
    assert (await refused(identity(never))).reason == REASON_INVALID_DATE


async def test_a_missing_or_wrong_keyset_stops_the_start(keys_dir: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(keys_dir, tmp_path / "keys")
    index = keyset_path(folder, KeysetPurpose.HETU_INDEX)
    shutil.copy(keyset_path(folder, KeysetPurpose.HETU), index)
    with pytest.raises(SettingsError, match="hetu-index"):
        HetuVault(folder)
    index.write_text("{}")
    with pytest.raises(SettingsError, match="hetu-index"):
        HetuVault(folder)
    index.unlink()
    with pytest.raises(SettingsError, match="hetu-index"):
        HetuVault(folder)
