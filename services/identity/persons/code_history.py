"""Attaching and replacing a person's code, and merging two persons: the code is never a key (R24, R34)."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Result, Row, case, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.identity.v1.person_service_pb2 import (
    CheckMergeRequest,
    MergePersonsRequest,
    PrepareCodeChangeRequest,
)
from liity.v1.customer_service_pb2 import CODE_CHANGE_ATTACHED, CODE_OF_MERGED, CODE_OF_UNSPECIFIED
from liity.v1.customer_service_pb2 import CodeChange as CodeChangeKind
from liity.v1.reason_pb2 import (
    REASON_BOTH_HAVE_PERSONAL_IDENTITY_CODES,
    REASON_HAS_PERSONAL_IDENTITY_CODE,
    REASON_NO_PERSONAL_IDENTITY_CODE,
    REASON_PERSON_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
)
from services.identity.cleanup import PROVISIONAL_LIFETIME
from services.identity.hetu import Hetu
from services.identity.models import CodeChange, Credential, Link, Person
from services.identity.persons import merge_undo
from services.identity.persons.vault import HetuVault
from services.runtime.clock import now
from services.runtime.rpc.errors import already_exists, failed_precondition, not_found, unavailable

_COLUMNS = (Person.person_id, Person.hetu_ciphertext, Person.hetu_index, Person.merged_into)
_VOIDED = func.coalesce(Link.voided_at, func.now())


async def prepare(
    connection: AsyncConnection, vault: HetuVault, request: PrepareCodeChangeRequest, code: Hetu
) -> str:
    """Stores a change, in the connection's transaction. Returns another person who has the code, or ""."""
    request_id = request.request_id
    made = await _kept(connection, request_id)
    if made is not None and made.person_id != request.person_id:
        raise already_exists(REASON_REQUEST_ID_REUSED)
    if made is not None and made.committed_at is not None:
        return ""
    for other in await _others(connection, request.person_id, request.change, vault.indexes(code)):
        gives_way = select(Person.person_id).where(_gives_way(other, request.person_id, request.nobody))
        if await connection.scalar(gives_way) is None:
            return _whose(other)
    change = {
        "hetu_ciphertext": vault.seal(code, request.person_id).hetu_ciphertext,
        "change": request.change,
        "nobody": request.nobody,
        "prepared_at": now(),
    }
    keep = insert(CodeChange).values(request_id=request_id, person_id=request.person_id, **change)
    await connection.execute(
        keep.on_conflict_do_update(
            index_elements=[CodeChange.request_id],
            set_=change,
            # A concurrent retry may have committed the change: then leave it as it is.
            where=CodeChange.committed_at.is_(None),
        )
    )
    return ""


async def commit(
    connection: AsyncConnection, vault: HetuVault, request_id: str, parse: Callable[[str], Hetu]
) -> str:
    """Commits a change, in the connection's transaction. Returns another person who has the code, or ""."""
    change = await _kept(connection, request_id)
    if change is None:
        raise not_found(REASON_PERSON_NOT_FOUND)
    if change.committed_at is not None:
        return ""
    code = parse(vault.open(change.hetu_ciphertext, change.person_id))
    for other in await _others(connection, change.person_id, change.change, vault.indexes(code)):
        gives_way = _gives_way(other, change.person_id, change.nobody)
        erased = delete(Person).where(gives_way).returning(Person.person_id)
        if await connection.scalar(erased) is None:
            return _whose(other)
    # Of two concurrent retries, the later waits for the row's lock and then finds the change committed.
    made = await connection.scalar(
        update(CodeChange)
        .where(CodeChange.request_id == request_id, CodeChange.committed_at.is_(None))
        .values(committed_at=now(), hetu_ciphertext=None)
        .returning(CodeChange.request_id)
    )
    if made is not None:
        await _write(connection, change.person_id, vault.seal(code, change.person_id)._asdict())
    return ""


async def code_that_goes_over(
    connection: AsyncConnection, vault: HetuVault, request: CheckMergeRequest
) -> str | None:
    """The merged person's code, if it is the one to keep.

    None if not. Raises FAILED_PRECONDITION if both have a code and the request does not say which to keep.
    """
    rows = await _locked(connection, Person.person_id.in_([request.person_id, request.merged_person_id]))
    if request.person_id not in rows:
        raise not_found(REASON_PERSON_NOT_FOUND)
    kept, merged = rows[request.person_id], rows.get(request.merged_person_id)
    if merged is None or merged.hetu_ciphertext is None or merged.merged_into is not None:
        return None
    if kept.hetu_ciphertext is not None and request.code_of == CODE_OF_UNSPECIFIED:
        raise failed_precondition(REASON_BOTH_HAVE_PERSONAL_IDENTITY_CODES)
    if kept.hetu_ciphertext is not None and request.code_of != CODE_OF_MERGED:
        return None
    return vault.open(merged.hetu_ciphertext, merged.person_id)


async def merge(connection: AsyncConnection, vault: HetuVault, request: MergePersonsRequest) -> None:
    """Merges two persons into one, in the connection's transaction.

    Erases the merged person. If both have codes, the row with the dropped code stays and leads to the
    remaining person, so that a Save by that code does not create the merged person again.
    """
    rows = await _locked(connection, Person.person_id.in_([request.person_id, request.merged_person_id]))
    kept, merged = rows.get(request.person_id), rows.get(request.merged_person_id)
    if merged is None or merged.merged_into is not None:
        return
    voided = await merge_undo.void_links_of(connection, request.registration_ids)
    if kept is not None:
        codes = merge_undo.Codes.NONE
        if merged.hetu_ciphertext is not None:
            codes = (
                merge_undo.Codes.MOVED
                if kept.hetu_ciphertext is None
                else merge_undo.Codes.SWAPPED
                if request.code_of == CODE_OF_MERGED
                else merge_undo.Codes.KEPT
            )
        await merge_undo.remember(connection, request, codes, voided)
        # Codes dropped in earlier merges into the merged person move to the remaining person, too.
        of_merged = update(Person).where(Person.merged_into == merged.person_id)
        await connection.execute(of_merged.values(merged_into=kept.person_id))
    if kept is None or merged.hetu_ciphertext is None:
        await erase(connection, [merged.person_id], merged.person_id)
        return
    taken = vault.reseal(merged.hetu_ciphertext, merged.person_id, kept.person_id)
    if kept.hetu_ciphertext is None:
        await erase(connection, [merged.person_id], merged.person_id)
        await _write(connection, kept.person_id, taken._asdict())
        return
    await connection.execute(delete(Credential).where(Credential.person_id == merged.person_id))
    await _void_links(connection, [merged.person_id])
    await _write(connection, merged.person_id, {"merged_into": kept.person_id})
    if request.code_of == CODE_OF_MERGED:
        dropped = vault.reseal(kept.hetu_ciphertext, kept.person_id, merged.person_id)
        # The code's column is unique: clear it in one row before writing it to the other.
        await _write(connection, merged.person_id, dict.fromkeys(taken._fields))
        await _write(connection, kept.person_id, taken._asdict())
        await _write(connection, merged.person_id, dropped._asdict())


async def erase(connection: AsyncConnection, subjects: Sequence[str], person_id: str) -> None:
    """Erases a person, and detaches their links."""
    # Credentials, and rows of codes dropped in merges, are deleted by cascade.
    await connection.execute(delete(Person).where(Person.person_id == person_id))
    await _void_links(connection, subjects)


async def _void_links(connection: AsyncConnection, subjects: Sequence[str]) -> None:
    """Voids the subjects' links and removes the subject from them."""
    await connection.execute(
        update(Link)
        .where(Link.subject.in_(subjects))
        .values(subject="", voided_at=case((Link.used_at.is_(None), _VOIDED), else_=Link.voided_at))
    )


async def lock_code(connection: AsyncConnection, indexes: Sequence[bytes]) -> None:
    """Serialises callers that use the same code, until the transaction ends.

    During a key rotation, replicas may write the code under different keys; the column's unique constraint
    cannot detect that.
    """
    lock = int.from_bytes(indexes[0][:8], signed=True)
    await connection.execute(select(func.pg_advisory_xact_lock(lock)))


async def _locked(connection: AsyncConnection, which: ColumnElement[bool]) -> dict[str, Any]:
    found = select(*_COLUMNS).where(which).order_by(Person.person_id).with_for_update()
    rows = (await connection.execute(found)).all()
    return {row.person_id: row for row in rows}


async def _kept(connection: AsyncConnection, request_id: str) -> Row[Any] | None:
    """The stored change of a call, if there is one."""
    kept: Result[Any] = await connection.execute(
        select(*CodeChange.__table__.c).where(CodeChange.request_id == request_id)
    )
    return kept.one_or_none()


async def _others(
    connection: AsyncConnection, person_id: str, change: CodeChangeKind.ValueType, indexes: Sequence[bytes]
) -> Sequence[Any]:
    """Locks and returns the rows of others who have the code; raises if the person cannot get it."""
    await lock_code(connection, indexes)
    rows = await _locked(connection, or_(Person.person_id == person_id, Person.hetu_index.in_(indexes)))
    person = rows.pop(person_id, None)
    if person is None:
        raise not_found(REASON_PERSON_NOT_FOUND)
    if person.hetu_index in indexes:
        return ()
    if change == CODE_CHANGE_ATTACHED and person.hetu_index is not None:
        raise failed_precondition(REASON_HAS_PERSONAL_IDENTITY_CODE)
    if change != CODE_CHANGE_ATTACHED and person.hetu_index is None:
        raise failed_precondition(REASON_NO_PERSONAL_IDENTITY_CODE)
    return tuple(rows.values())


def _whose(row: Any) -> str:  # noqa: ANN401 - a row of `_COLUMNS`
    """The ID of the person whom a row's code identifies."""
    whose: str = row.merged_into or row.person_id
    return whose


def _gives_way(other: Any, person_id: str, nobody: str) -> ColumnElement[bool]:  # noqa: ANN401
    """The condition under which a row gives up its code to the person.

    A row gives it up if it is not retained, or if it holds a code of the person's own, dropped in a merge. A
    row whose Save came to nothing gives it up too, unless a running Save has ensured it recently.
    """
    other_id: str = other.person_id
    came_to_nothing: ColumnElement[bool] = Person.retained_at.is_(None) | (Person.merged_into == person_id)
    if other_id == nobody:
        came_to_nothing |= Person.ensured_at < now() - PROVISIONAL_LIFETIME
    return (Person.person_id == other_id) & came_to_nothing


async def _write(connection: AsyncConnection, person_id: str, code: dict[str, object]) -> None:
    try:
        await connection.execute(update(Person).where(Person.person_id == person_id).values(code))
    except IntegrityError:
        # A concurrent Save has inserted a person with this code: the retry finds them.
        raise unavailable() from None
