"""A person's code is attached or replaced, and two persons become one: the code is never a key (R24, R34)."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, case, delete, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.identity.v1.person_service_pb2 import (
    CheckMergeRequest,
    MergePersonsRequest,
    SetPersonalIdentityCodeRequest,
)
from liity.v1.customer_service_pb2 import CODE_CHANGE_ATTACHED, CODE_OF_MERGED, CODE_OF_UNSPECIFIED
from liity.v1.reason_pb2 import (
    REASON_BOTH_HAVE_PERSONAL_IDENTITY_CODES,
    REASON_HAS_PERSONAL_IDENTITY_CODE,
    REASON_NO_PERSONAL_IDENTITY_CODE,
    REASON_PERSON_NOT_FOUND,
)
from services.identity.hetu import Hetu
from services.identity.housekeeping import PROVISIONAL_LIFETIME
from services.identity.models import Link, Person
from services.identity.vault import HetuVault
from services.runtime.clock import now
from services.runtime.errors import failed_precondition, not_found, unavailable

_COLUMNS = (Person.person_id, Person.hetu_ciphertext, Person.hetu_index)
_VOIDED = func.coalesce(Link.voided_at, func.now())


async def set_code(
    connection: AsyncConnection, vault: HetuVault, request: SetPersonalIdentityCodeRequest, code: Hetu
) -> str:
    """Gives a person a code, in the connection's transaction. Answers who else has it, if somebody does."""
    indexes = vault.indexes(code)
    await lock_code(connection, indexes)
    rows = await _locked(
        connection, or_(Person.person_id == request.person_id, Person.hetu_index.in_(indexes))
    )
    person = rows.pop(request.person_id, None)
    if person is None:
        raise not_found(REASON_PERSON_NOT_FOUND)
    if person.hetu_index in indexes:
        return ""
    if request.change == CODE_CHANGE_ATTACHED and person.hetu_index is not None:
        raise failed_precondition(REASON_HAS_PERSONAL_IDENTITY_CODE)
    if request.change != CODE_CHANGE_ATTACHED and person.hetu_index is None:
        raise failed_precondition(REASON_NO_PERSONAL_IDENTITY_CODE)
    for other_id in rows:
        if not await _gave_way(connection, other_id, request.nobody):
            return other_id
    await _write(connection, request.person_id, vault.seal(code, request.person_id)._asdict())
    return ""


async def code_that_goes_over(
    connection: AsyncConnection, vault: HetuVault, request: CheckMergeRequest
) -> str | None:
    """The merged person's code, if it counts; raises if it is not said which of two does."""
    rows = await _locked(connection, Person.person_id.in_([request.person_id, request.merged_person_id]))
    if request.person_id not in rows:
        raise not_found(REASON_PERSON_NOT_FOUND)
    kept, merged = rows[request.person_id], rows.get(request.merged_person_id)
    if merged is None or merged.hetu_ciphertext is None:
        return None
    if kept.hetu_ciphertext is not None and request.code_of == CODE_OF_UNSPECIFIED:
        raise failed_precondition(REASON_BOTH_HAVE_PERSONAL_IDENTITY_CODES)
    if kept.hetu_ciphertext is not None and request.code_of != CODE_OF_MERGED:
        return None
    return vault.open(merged.hetu_ciphertext, merged.person_id)


async def merge(connection: AsyncConnection, vault: HetuVault, request: MergePersonsRequest) -> None:
    """Makes one person of two, in the connection's transaction: nothing of the merged one is left."""
    rows = await _locked(connection, Person.person_id.in_([request.person_id, request.merged_person_id]))
    kept, merged = rows.get(request.person_id), rows.get(request.merged_person_id)
    if merged is None:
        return
    await erase(connection, [merged.person_id], merged.person_id)
    if kept is None or merged.hetu_ciphertext is None:
        return
    if kept.hetu_ciphertext is None or request.code_of == CODE_OF_MERGED:
        sealed = vault.reseal(merged.hetu_ciphertext, merged.person_id, kept.person_id)
        await _write(connection, kept.person_id, sealed._asdict())


async def erase(connection: AsyncConnection, subjects: Sequence[str], person_id: str) -> None:
    """Erases a person, and what links open of theirs."""
    # The credentials go with the person.
    await connection.execute(delete(Person).where(Person.person_id == person_id))
    await connection.execute(
        update(Link)
        .where(Link.subject.in_(subjects))
        .values(subject="", voided_at=case((Link.used_at.is_(None), _VOIDED), else_=Link.voided_at))
    )


async def lock_code(connection: AsyncConnection, indexes: Sequence[bytes]) -> None:
    """Makes callers of one code queue.

    While a key is rotated, replicas may write it under different keys, which the unique index of the column
    cannot see.
    """
    lock = int.from_bytes(indexes[0][:8], signed=True)
    await connection.execute(select(func.pg_advisory_xact_lock(lock)))


async def _locked(connection: AsyncConnection, which: ColumnElement[bool]) -> dict[str, Any]:
    found = select(*_COLUMNS).where(which).order_by(Person.person_id).with_for_update()
    rows = (await connection.execute(found)).all()
    return {row.person_id: row for row in rows}


async def _gave_way(connection: AsyncConnection, other_id: str, nobody: str) -> bool:
    """Erases whoever has the code if nothing has come of their Save; a Save under way ensures them anew."""
    came_to_nothing: ColumnElement[bool] = Person.retained_at.is_(None)
    if other_id == nobody:
        came_to_nothing |= Person.ensured_at < now() - PROVISIONAL_LIFETIME
    erased = delete(Person).where(Person.person_id == other_id, came_to_nothing).returning(Person.person_id)
    return await connection.scalar(erased) is not None


async def _write(connection: AsyncConnection, person_id: str, code: dict[str, object]) -> None:
    try:
        await connection.execute(update(Person).where(Person.person_id == person_id).values(code))
    except IntegrityError:
        # A Save has ensured somebody with this code in this very moment: the next try meets them.
        raise unavailable() from None
