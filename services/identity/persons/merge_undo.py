"""Takes back a merge of two persons (R43): what it erased or moved is remembered until it is final."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.identity.v1.person_service_pb2 import MergePersonsRequest, UndoMergePersonsRequest
from liity.v1.reason_pb2 import REASON_CHANGED_SINCE_MERGE, REASON_MERGE_FINAL
from services.identity.models import CodeChange, Credential, Link, MergeUndo, Person
from services.identity.persons.vault import HetuVault
from services.runtime.clock import now
from services.runtime.rpc.errors import failed_precondition


class Codes(IntEnum):
    """What a merge did to the two persons' codes."""

    NONE = 0
    """The merged person had none."""
    MOVED = 1
    """The merged person's went to the remaining person, who had none."""
    KEPT = 2
    """The remaining person's counts; the merged person's leads to them."""
    SWAPPED = 3
    """The merged person's counts; the remaining person's leads to them."""


async def void_links_of(connection: AsyncConnection, subjects: Sequence[str]) -> list[str]:
    """Voids the unused links of registrations, and returns their IDs."""
    voided = await connection.execute(
        update(Link)
        .where(Link.subject.in_(subjects), Link.used_at.is_(None), Link.voided_at.is_(None))
        .values(voided_at=now())
        .returning(Link.link_id)
    )
    return list(voided.scalars())


async def remember(
    connection: AsyncConnection, request: MergePersonsRequest, codes: Codes, voided_link_ids: Sequence[str]
) -> None:
    """Stores what undoes a merge, before it is made; nothing if the request does not ask for it."""
    if not request.HasField("undo_expire_time"):
        return
    merged_id = request.merged_person_id
    columns_of_person = select(Person.retained_at, Person.without_code_request_id)
    person = (await connection.execute(columns_of_person.where(Person.person_id == merged_id))).one()
    columns = (
        Credential.user_name,
        Credential.password_hash,
        Credential.password_chosen_at,
        Credential.created_at.label("credential_created_at"),
    )
    found = await connection.execute(select(*columns).where(Credential.person_id == merged_id))
    credential = found.mappings().first()
    links = (
        await connection.execute(
            select(Link.link_id, Link.used_at, Link.voided_at).where(Link.subject == merged_id)
        )
    ).all()
    dropped = await connection.execute(select(Person.person_id).where(Person.merged_into == merged_id))
    row = {
        "person_id": request.person_id,
        "codes": codes,
        "merged_at": now(),
        "expires_at": request.undo_expire_time.ToDatetime(UTC),
        "retained_at": person.retained_at,
        "without_code_request_id": person.without_code_request_id,
        "detached_link_ids": [link.link_id for link in links],
        "voided_link_ids": [
            *voided_link_ids,
            *(link.link_id for link in links if link.used_at is None and link.voided_at is None),
        ],
        "dropped_person_ids": list(dropped.scalars()),
        **(credential or {}),
    }
    keep = insert(MergeUndo).values(merged_person_id=merged_id, **row)
    await connection.execute(
        keep.on_conflict_do_update(index_elements=[MergeUndo.merged_person_id], set_=row)
    )


async def undo(connection: AsyncConnection, vault: HetuVault, request: UndoMergePersonsRequest) -> None:
    """Takes a merge back, in the connection's transaction; errors as the contract's."""
    pair = [request.person_id, request.merged_person_id]
    persons = {row.person_id: row for row in await connection.execute(_locked(Person.person_id.in_(pair)))}
    kept, merged = (persons.get(person_id) for person_id in pair)
    found = await connection.execute(
        select(*MergeUndo.__table__.c)
        .where(
            MergeUndo.person_id == request.person_id,
            MergeUndo.merged_person_id == request.merged_person_id,
        )
        .with_for_update()
    )
    remembered: Any = found.mappings().first()
    if remembered is None and merged is not None and merged.merged_into is None:
        # An earlier attempt has done it.
        return
    moment = now()
    if kept is None or remembered is None or remembered["expires_at"] <= moment:
        raise failed_precondition(REASON_MERGE_FINAL)
    changed = exists().where(
        CodeChange.person_id == kept.person_id, CodeChange.committed_at >= remembered["merged_at"]
    )
    codes = Codes(remembered["codes"])
    is_changed = await connection.scalar(select(changed)) or _does_not_fit(codes, kept, merged)
    if is_changed or kept.merged_into is not None:
        raise failed_precondition(REASON_CHANGED_SINCE_MERGE)
    if request.validate_only:
        return
    await _give_codes_back(connection, vault, codes, kept, request.merged_person_id, remembered)
    await connection.execute(
        update(Person)
        .where(
            Person.person_id.in_(remembered["dropped_person_ids"]), Person.merged_into == request.person_id
        )
        .values(merged_into=request.merged_person_id)
    )
    await _give_the_rest_back(connection, request.merged_person_id, remembered, moment)
    await connection.execute(delete(MergeUndo).where(MergeUndo.merged_person_id == request.merged_person_id))


def _locked(which: ColumnElement[bool]) -> Any:  # noqa: ANN401
    columns = (Person.person_id, Person.hetu_ciphertext, Person.merged_into)
    return select(*columns).where(which).order_by(Person.person_id).with_for_update()


def _does_not_fit(codes: Codes, kept: Any, merged: Any) -> bool:  # noqa: ANN401
    """Whether the codes do not stand as the merge has left them."""
    if codes in {Codes.KEPT, Codes.SWAPPED}:
        is_led = merged is not None and merged.merged_into == kept.person_id
        return not is_led or kept.hetu_ciphertext is None
    return merged is not None or (codes is Codes.MOVED and kept.hetu_ciphertext is None)


async def _give_codes_back(
    connection: AsyncConnection,
    vault: HetuVault,
    codes: Codes,
    kept: Any,  # noqa: ANN401
    merged_id: str,
    remembered: Mapping[str, Any],
) -> None:
    async def write(person_id: str, values: Mapping[str, object]) -> None:
        await connection.execute(update(Person).where(Person.person_id == person_id).values(**values))

    if codes in {Codes.NONE, Codes.MOVED}:
        await connection.execute(
            insert(Person).values(
                person_id=merged_id,
                ensured_at=now(),
                retained_at=remembered["retained_at"],
                without_code_request_id=remembered["without_code_request_id"],
            )
        )
    if codes is Codes.KEPT:
        await write(merged_id, {"merged_into": None})
    if codes not in {Codes.MOVED, Codes.SWAPPED}:
        return
    own = vault.reseal(kept.hetu_ciphertext, kept.person_id, merged_id)
    other = {}
    if codes is Codes.SWAPPED:
        dropped: Any = await connection.scalar(
            select(Person.hetu_ciphertext).where(Person.person_id == merged_id)
        )
        other = vault.reseal(dropped, merged_id, kept.person_id)._asdict()
        # The code's column is unique: clear it in one row before writing it to the other.
        await write(merged_id, dict.fromkeys(own._fields))
    await write(kept.person_id, other or dict.fromkeys(own._fields))
    await write(merged_id, own._asdict() | {"merged_into": None})


async def _give_the_rest_back(
    connection: AsyncConnection, merged_id: str, remembered: Mapping[str, Any], moment: datetime
) -> None:
    if remembered["user_name"] is not None:
        await connection.execute(
            insert(Credential).values(
                person_id=merged_id,
                user_name=remembered["user_name"],
                password_hash=remembered["password_hash"],
                password_chosen_at=remembered["password_chosen_at"],
                created_at=remembered["credential_created_at"],
            )
        )
    await connection.execute(
        update(Link).where(Link.link_id.in_(remembered["detached_link_ids"])).values(subject=merged_id)
    )
    await connection.execute(
        update(Link)
        .where(Link.link_id.in_(remembered["voided_link_ids"]), Link.expires_at > moment)
        .values(voided_at=None)
    )
