"""A person's code is attached or replaced, and two persons become one (R24, R34)."""

import asyncio
import itertools
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.credential_service_pb2 import IssueCredentialsRequest
from liity.identity.v1.person_service_pb2 import (
    BatchFindPersonsRequest,
    CheckMergeRequest,
    CommitCodeChangeRequest,
    EnsurePersonRequest,
    ErasePersonRequest,
    ExportPersonRequest,
    FindPersonRequest,
    MergePersonsRequest,
    PrepareCodeChangeRequest,
    PrepareCodeChangeResponse,
    RetainPersonRequest,
    UnretainPersonRequest,
)
from liity.v1.customer_service_pb2 import (
    CODE_CHANGE_ATTACHED,
    CODE_CHANGE_CORRECTED,
    CODE_CHANGE_RENEWED,
    CODE_OF_KEPT,
    CODE_OF_MERGED,
)
from liity.v1.customer_service_pb2 import CodeChange as CodeChangeKind
from liity.v1.reason_pb2 import (
    REASON_BOTH_HAVE_PERSONAL_IDENTITY_CODES,
    REASON_HAS_PERSONAL_IDENTITY_CODE,
    REASON_HETU_CHECK_CHARACTER,
    REASON_NO_PERSONAL_IDENTITY_CODE,
    REASON_PERSON_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
    Reason,
)
from services.identity.cleanup import PROVISIONAL_LIFETIME, sweep
from services.identity.models import CodeChange, Credential, Person
from services.runtime.clock import now
from services.runtime.rpc.errors import FieldViolation
from tests.services.conftest import Component, refused
from tests.support.hetu_codes import nth_code

_numbers = itertools.count(60_000)


@pytest.fixture
def codes() -> list[str]:
    """Codes that no other test knows."""
    return [nth_code(next(_numbers)) for _ in range(3)]


async def known(identity: Component, code: str) -> str:
    """Somebody with a code who is kept."""
    person_id: str = (await identity(EnsurePersonRequest(personal_identity_code=code))).person_id
    await identity(RetainPersonRequest(person_id=person_id))
    return person_id


async def without_code(engine: AsyncEngine) -> str:
    person_id = uuid4().hex
    async with engine.begin() as connection:
        row = {"person_id": person_id, "ensured_at": now(), "retained_at": now()}
        await connection.execute(insert(Person).values(row))
    return person_id


async def reason_of(call: Awaitable[Any]) -> Reason.ValueType:
    return (await refused(call)).reason


async def find(identity: Component, code: str) -> str:
    person_id: str = (await identity(FindPersonRequest(personal_identity_code=code))).person_id
    return person_id


def change(
    person_id: str, code: str, what: CodeChangeKind.ValueType, nobody: str = ""
) -> PrepareCodeChangeRequest:
    return PrepareCodeChangeRequest(
        request_id=str(uuid4()), person_id=person_id, personal_identity_code=code, change=what, nobody=nobody
    )


async def make(identity: Component, request: PrepareCodeChangeRequest) -> PrepareCodeChangeResponse:
    """A change from its preparation to its end: the answer of whichever tells that the code is another's."""
    prepared: PrepareCodeChangeResponse = await identity(request)
    if not prepared.other_person_id:
        committed = await identity(CommitCodeChangeRequest(request_id=request.request_id))
        prepared.other_person_id = committed.other_person_id
    return prepared


async def test_a_code_is_attached_to_a_person_who_had_none(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    person_id = await without_code(identity_engine)
    request = change(person_id, codes[0].lower(), CODE_CHANGE_ATTACHED)
    first, repeated = await make(identity, request), await make(identity, request)
    assert first == repeated
    assert first.HasField("birth_date")
    assert await find(identity, codes[0]) == person_id


@pytest.mark.parametrize("what", [CODE_CHANGE_CORRECTED, CODE_CHANGE_RENEWED])
async def test_a_code_is_replaced_and_the_old_one_is_free(
    identity: Component, codes: list[str], what: CodeChangeKind.ValueType
) -> None:
    person_id = await known(identity, codes[0])
    credentials = await identity(IssueCredentialsRequest(request_id=str(uuid4()), person_id=person_id))
    await make(identity, change(person_id, codes[1], what))
    assert await find(identity, codes[1]) == person_id
    assert await find(identity, codes[0]) == ""
    again = await identity(IssueCredentialsRequest(request_id=str(uuid4()), person_id=person_id))
    assert again.user_name == credentials.user_name
    assert await known(identity, codes[0]) != person_id


async def test_what_happens_must_be_what_is_said(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    person_id, other = await known(identity, codes[0]), await without_code(identity_engine)
    attach = change(person_id, codes[1], CODE_CHANGE_ATTACHED)
    assert await reason_of(identity(attach)) == REASON_HAS_PERSONAL_IDENTITY_CODE
    assert (
        await refused(identity(change(other, codes[1], CODE_CHANGE_RENEWED)))
    ).reason == REASON_NO_PERSONAL_IDENTITY_CODE
    assert (
        await refused(identity(change(uuid4().hex, codes[1], CODE_CHANGE_ATTACHED)))
    ).reason == REASON_PERSON_NOT_FOUND
    wrong = codes[1][:-1] + ("A" if codes[1][-1] != "A" else "B")
    refusal = await refused(identity(change(person_id, wrong, CODE_CHANGE_RENEWED)))
    assert refusal.violations == (FieldViolation("personal_identity_code", REASON_HETU_CHECK_CHARACTER),)


async def test_a_code_of_somebody_who_is_known_stays_theirs(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    other, person_id = await known(identity, codes[0]), await without_code(identity_engine)
    answer = await make(identity, change(person_id, codes[0], CODE_CHANGE_ATTACHED))
    assert answer.other_person_id == other
    # Nobody to the registration service, yet a Save has ensured them a moment ago.
    answer = await make(identity, change(person_id, codes[0], CODE_CHANGE_ATTACHED, nobody=other))
    assert answer.other_person_id == other
    assert await find(identity, codes[0]) == other


async def test_whoever_came_to_nothing_gives_way(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    provisional = await identity(EnsurePersonRequest(personal_identity_code=codes[0]))
    left_over = await known(identity, codes[1])
    async with identity_engine.begin() as connection:
        long_ago = now() - PROVISIONAL_LIFETIME - timedelta(minutes=1)
        await connection.execute(
            update(Person).where(Person.person_id == left_over).values(ensured_at=long_ago)
        )
    person_id = await without_code(identity_engine)
    assert not (await make(identity, change(person_id, codes[0], CODE_CHANGE_ATTACHED))).other_person_id
    # The Save that had ensured the provisional person does so anew, and meets this one.
    assert (
        await refused(identity(RetainPersonRequest(person_id=provisional.person_id)))
    ).reason == REASON_PERSON_NOT_FOUND
    assert await find(identity, codes[0]) == person_id
    renewed = change(person_id, codes[1], CODE_CHANGE_RENEWED, nobody=left_over)
    assert not (await make(identity, renewed)).other_person_id
    assert await find(identity, codes[1]) == person_id


async def test_of_two_who_are_given_one_code_at_once_one_gets_it(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    persons = [await without_code(identity_engine) for _ in range(6)]
    requests = [change(person_id, codes[0], CODE_CHANGE_ATTACHED) for person_id in persons]
    answers = await asyncio.gather(*(make(identity, request) for request in requests))
    owner = await find(identity, codes[0])
    assert owner in persons
    assert [answer.other_person_id for answer in answers].count("") == 1
    assert {answer.other_person_id for answer in answers} == {"", owner}


async def test_what_is_only_prepared_changes_nothing(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    person_id = await without_code(identity_engine)
    request = change(person_id, codes[0], CODE_CHANGE_ATTACHED)
    await identity(request)
    assert await find(identity, codes[0]) == ""
    async with identity_engine.begin() as connection:
        kept = select(CodeChange).where(CodeChange.request_id == request.request_id)
        assert codes[0] not in str((await connection.execute(kept)).one())
        long_ago = now() - PROVISIONAL_LIFETIME - timedelta(minutes=1)
        await connection.execute(
            update(CodeChange).where(CodeChange.request_id == request.request_id).values(prepared_at=long_ago)
        )
    await sweep(identity_engine)
    commit = CommitCodeChangeRequest(request_id=request.request_id)
    assert await reason_of(identity(commit)) == REASON_PERSON_NOT_FOUND
    assert await find(identity, codes[0]) == ""


async def test_a_late_repetition_leaves_a_later_change_alone(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    person_id = await without_code(identity_engine)
    first = change(person_id, codes[0], CODE_CHANGE_ATTACHED)
    await make(identity, first)
    await make(identity, change(person_id, codes[1], CODE_CHANGE_CORRECTED))
    assert not (await make(identity, first)).other_person_id
    assert await find(identity, codes[1]) == person_id
    another = change(await without_code(identity_engine), codes[2], CODE_CHANGE_ATTACHED)
    another.request_id = first.request_id
    assert await reason_of(identity(another)) == REASON_REQUEST_ID_REUSED


async def test_a_code_that_becomes_anothers_meanwhile_stays_theirs(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    person_id = await without_code(identity_engine)
    request = change(person_id, codes[0], CODE_CHANGE_ATTACHED)
    await identity(request)
    other = await known(identity, codes[0])
    committed = await identity(CommitCodeChangeRequest(request_id=request.request_id))
    assert committed.other_person_id == other
    assert await find(identity, codes[0]) == other


async def test_of_several_tries_at_once_one_makes_the_change(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    person_id = await without_code(identity_engine)
    request = change(person_id, codes[0], CODE_CHANGE_ATTACHED)
    await identity(request)
    commit = CommitCodeChangeRequest(request_id=request.request_id)
    answers = await asyncio.gather(*(identity(commit) for _ in range(6)))
    assert {answer.other_person_id for answer in answers} == {""}
    assert await find(identity, codes[0]) == person_id


async def merged(identity: Component, kept: str, other: str, code_of: Any = None) -> Any:
    checked = await identity(CheckMergeRequest(person_id=kept, merged_person_id=other, code_of=code_of))
    for _ in range(2):
        await identity(MergePersonsRequest(person_id=kept, merged_person_id=other, code_of=code_of))
    return checked


async def test_the_only_code_goes_over_to_the_person_who_stays(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    kept, other = await without_code(identity_engine), await known(identity, codes[0])
    await identity(IssueCredentialsRequest(request_id=str(uuid4()), person_id=other))
    checked = await merged(identity, kept, other)
    found = await identity(FindPersonRequest(personal_identity_code=codes[0]))
    assert (found.person_id, found.birth_date) == (kept, checked.birth_date)
    async with identity_engine.connect() as connection:
        for table in (Credential, Person):
            gone = select(table.person_id).where(table.person_id == other)
            assert (await connection.execute(gone)).first() is None


async def test_of_two_codes_the_one_that_is_said_counts_and_the_other_leads_to_the_same_person(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    """Else a Save by the dropped code would make the person who was merged anew."""
    kept, other = await known(identity, codes[0]), await known(identity, codes[1])
    unsaid = CheckMergeRequest(person_id=kept, merged_person_id=other)
    assert await reason_of(identity(unsaid)) == REASON_BOTH_HAVE_PERSONAL_IDENTITY_CODES
    assert (await merged(identity, kept, other, CODE_OF_MERGED)).HasField("birth_date")
    third = await known(identity, codes[2])
    assert not (await merged(identity, kept, third, CODE_OF_KEPT)).HasField("birth_date")
    assert [await find(identity, code) for code in codes] == [kept] * 3
    assert [await known(identity, code) for code in codes] == [kept] * 3
    found = await identity(BatchFindPersonsRequest(personal_identity_codes=codes))
    assert [person.person_id for person in found.persons] == [kept] * 3
    told = (await identity(ExportPersonRequest(person_id=kept))).sections[0].records
    assert sorted(str(record["personal_identity_code"]) for record in told) == sorted(codes)
    # What the registrations of those who were merged still ask for changes nothing.
    for gone in (other, third):
        await identity(UnretainPersonRequest(person_id=gone))
        assert await reason_of(identity(RetainPersonRequest(person_id=gone))) == REASON_PERSON_NOT_FOUND
    await sweep(identity_engine)
    assert [await find(identity, code) for code in codes] == [kept] * 3
    await identity(ErasePersonRequest(person_id=kept))
    assert [await find(identity, code) for code in codes] == [""] * 3


async def test_a_dropped_code_leads_through_a_chain_of_merges(identity: Component, codes: list[str]) -> None:
    first, second, third = [await known(identity, code) for code in codes]
    await merged(identity, second, first, CODE_OF_KEPT)
    await merged(identity, third, second, CODE_OF_MERGED)
    assert [await find(identity, code) for code in codes] == [third] * 3


async def test_a_dropped_code_can_become_the_persons_again_and_nobody_elses(
    identity: Component, identity_engine: AsyncEngine, codes: list[str]
) -> None:
    kept, other = await known(identity, codes[0]), await known(identity, codes[1])
    await merged(identity, kept, other, CODE_OF_MERGED)
    stranger = await without_code(identity_engine)
    answer = await make(identity, change(stranger, codes[0], CODE_CHANGE_ATTACHED))
    assert answer.other_person_id == kept
    assert not (await make(identity, change(kept, codes[0], CODE_CHANGE_CORRECTED))).other_person_id
    # The code that is replaced is free, as after any correction.
    assert [await find(identity, code) for code in codes[:2]] == [kept, ""]
