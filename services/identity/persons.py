"""PersonService: who a personal identity code belongs to."""

from collections.abc import Sequence

from sqlalchemy import bindparam, case, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.identity.v1.person_service_pb2 import (
    EnsurePersonRequest,
    EnsurePersonResponse,
    ErasePersonRequest,
    ErasePersonResponse,
    ExportPersonRequest,
    ExportPersonResponse,
    FindPersonRequest,
    FindPersonResponse,
    ReleasePersonRequest,
    ReleasePersonResponse,
    RetainPersonRequest,
    RetainPersonResponse,
)
from liity.identity.v1.person_service_pb2_grpc import PersonServiceServicer
from liity.v1.reason_pb2 import REASON_PERSON_NOT_FOUND
from services.identity import hetu, personal_data
from services.identity.models import Link, Person
from services.identity.sealed_ids import new_id
from services.identity.vault import HetuVault
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.errors import FieldViolation, invalid, not_found

# What a Save needs is prepared once: to build a statement costs more than to run it.

_SEALED = insert(Person).values(
    {
        column: bindparam(column)
        for column in (
            "person_id",
            "hetu_ciphertext",
            "hetu_key_id",
            "hetu_index",
            "index_key_id",
            "ensured_at",
        )
    }
)

_ENSURE = _SEALED.on_conflict_do_update(
    # Updating what is there, rather than doing nothing, makes the statement answer with its ID.
    index_elements=[Person.hetu_index],
    set_={"ensured_at": _SEALED.excluded.ensured_at},
).returning(Person.person_id)

_RETAIN = (
    update(Person)
    .where(Person.person_id == bindparam("retained_id"))
    .values(retained_at=func.coalesce(Person.retained_at, bindparam("moment", type_=Person.retained_at.type)))
    .returning(Person.person_id)
)

_VOIDED = func.coalesce(Link.voided_at, func.now())


class Persons(PersonServiceServicer):
    """The vault of personal identity codes."""

    def __init__(self, engine: AsyncEngine, vault: HetuVault, *, allow_artificial: bool) -> None:
        self._engine = engine
        # One statement is a transaction of its own: it needs no BEGIN and COMMIT around it.
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._vault = vault
        self._allow_artificial = allow_artificial

    @override
    async def FindPerson(self, request: FindPersonRequest, context: object) -> FindPersonResponse:
        parsed = self._parse(request.personal_identity_code)
        async with self._single.connect() as connection:
            person_id = await _find(connection, self._vault.indexes(parsed))
        return FindPersonResponse(person_id=person_id or "", birth_date=to_proto_date(parsed.birth_date))

    @override
    async def EnsurePerson(self, request: EnsurePersonRequest, context: object) -> EnsurePersonResponse:
        parsed = self._parse(request.personal_identity_code)
        indexes = self._vault.indexes(parsed)
        if len(indexes) == 1:
            async with self._single.connect() as connection:
                return _ensured(await self._upsert(connection, parsed), parsed)
        async with self._engine.begin() as connection:
            # While a key is rotated, replicas may insert under different keys, which the unique index of
            # the column cannot see: callers of one code queue here instead.
            lock = int.from_bytes(indexes[0][:8], signed=True)
            await connection.execute(select(func.pg_advisory_xact_lock(lock)))
            person_id = await _find(connection, indexes)
            if person_id is None:
                person_id = await self._upsert(connection, parsed)
            else:
                await connection.execute(
                    update(Person).where(Person.person_id == person_id).values(ensured_at=now())
                )
        return _ensured(person_id, parsed)

    @override
    async def ReleasePerson(self, request: ReleasePersonRequest, context: object) -> ReleasePersonResponse:
        provisional = delete(Person).where(
            Person.person_id == request.person_id, Person.retained_at.is_(None)
        )
        async with self._single.connect() as connection:
            await connection.execute(provisional)
        return ReleasePersonResponse()

    @override
    async def RetainPerson(self, request: RetainPersonRequest, context: object) -> RetainPersonResponse:
        async with self._single.connect() as connection:
            parameters = {"retained_id": request.person_id, "moment": now()}
            retained = await connection.scalar(_RETAIN, parameters)
        if retained is None:
            raise not_found(REASON_PERSON_NOT_FOUND)
        return RetainPersonResponse()

    @override
    async def ErasePerson(self, request: ErasePersonRequest, context: object) -> ErasePersonResponse:
        async with self._engine.begin() as connection:
            # The credentials go with the person.
            await connection.execute(delete(Person).where(Person.person_id == request.person_id))
            await connection.execute(
                update(Link)
                .where(Link.subject.in_([request.person_id, *request.subject_ids]))
                .values(subject="", voided_at=case((Link.used_at.is_(None), _VOIDED), else_=Link.voided_at))
            )
        return ErasePersonResponse()

    @override
    async def ExportPerson(self, request: ExportPersonRequest, context: object) -> ExportPersonResponse:
        async with self._single.connect() as connection:
            sections = await personal_data.export(
                connection, self._vault, request.person_id, request.subject_ids
            )
        return ExportPersonResponse(sections=sections)

    def _parse(self, text: str) -> hetu.Hetu:
        try:
            return hetu.parse(text, today=helsinki_day(now()), allow_artificial=self._allow_artificial)
        except hetu.InvalidHetu as error:
            raise invalid([FieldViolation("personal_identity_code", error.reason)]) from None

    async def _upsert(self, connection: AsyncConnection, parsed: hetu.Hetu) -> str:
        person_id = new_id()
        row = {"person_id": person_id, "ensured_at": now(), **self._vault.seal(parsed, person_id)._asdict()}
        return (await connection.execute(_ENSURE, row)).scalar_one()


def _ensured(person_id: str, parsed: hetu.Hetu) -> EnsurePersonResponse:
    return EnsurePersonResponse(person_id=person_id, birth_date=to_proto_date(parsed.birth_date))


async def _find(connection: AsyncConnection, indexes: Sequence[bytes]) -> str | None:
    person_id: str | None = await connection.scalar(
        select(Person.person_id).where(Person.hetu_index.in_(indexes))
    )
    return person_id
