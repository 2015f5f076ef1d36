"""The persons of a long list are stored in few statements, whatever else is stored at the same time."""

import asyncio
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import event, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.demo.polling import eventually
from liity.identity.v1.person_service_pb2 import BatchEnsurePersonsRequest, EnsurePersonRequest
from services.identity.models import Person
from services.identity.persons.service import Persons
from services.identity.persons.vault import HetuVault
from tests.services.conftest import Component
from tests.support.hetu_codes import nth_code

CODES = [nth_code(number) for number in range(500, 620)]

_WAITING_FOR_A_LOCK = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)


def ensure_all(*codes: str) -> BatchEnsurePersonsRequest:
    return BatchEnsurePersonsRequest(personal_identity_codes=codes, hold_until=Timestamp(seconds=10**10))


async def test_a_long_list_is_stored_in_few_statements(
    identity: Component, identity_engine: AsyncEngine
) -> None:
    known = (await identity(EnsurePersonRequest(personal_identity_code=CODES[7]))).person_id
    statements = []
    engine = identity_engine.sync_engine

    def note(_c: object, _cursor: object, statement: str, *_more: object) -> None:
        statements.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        persons = (await identity(ensure_all(*CODES, CODES[0]))).persons
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len([statement for statement in statements if "INSERT INTO persons" in statement]) == 3
    person_ids = [person.person_id for person in persons]
    assert person_ids[7] == known
    assert person_ids[-1] == person_ids[0], "a code that comes twice"
    assert len(set(person_ids)) == len(CODES)
    for number in (0, 60, 119):
        alone = await identity(EnsurePersonRequest(personal_identity_code=CODES[number]))
        assert (alone.person_id, alone.birth_date) == (person_ids[number], persons[number].birth_date)


async def test_lists_of_the_same_persons_do_not_wait_for_one_another(
    identity: Component, identity_engine: AsyncEngine, keys_dir: Path
) -> None:
    """In whatever order: else each would hold what the other needs."""
    codes = [nth_code(number) for number in range(620, 660)]
    known = [person.person_id for person in (await identity(ensure_all(*codes))).persons]
    # Without the retries of a caller, which would mend it.
    service = Persons(identity_engine, HetuVault(keys_dir), allow_artificial=True)

    async def waiting() -> int:
        async with identity_engine.connect() as connection:
            number: int = await connection.scalar(_WAITING_FOR_A_LOCK)
        return number

    async with identity_engine.begin() as holding:
        await holding.execute(select(Person).where(Person.person_id == known[20]).with_for_update())
        both = [
            asyncio.create_task(service.BatchEnsurePersons(ensure_all(*some), None))
            for some in (codes, codes[::-1])
        ]
        await eventually(waiting, lambda number: number == len(both), 60)
    one, other = [[person.person_id for person in answer.persons] for answer in await asyncio.gather(*both)]
    assert one == other[::-1] == known
