"""PersonService: personal identity codes and the persons they belong to."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from sqlalchemy import ARRAY, LargeBinary, String, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.identity.v1.person_service_pb2 import (
    BatchEnsurePersonsRequest,
    BatchEnsurePersonsResponse,
    BatchFindPersonsRequest,
    BatchFindPersonsResponse,
    BatchReleasePersonsRequest,
    BatchReleasePersonsResponse,
    CheckMergeRequest,
    CheckMergeResponse,
    CommitCodeChangeRequest,
    CommitCodeChangeResponse,
    EnsurePersonRequest,
    EnsurePersonResponse,
    EnsurePersonWithoutCodeRequest,
    EnsurePersonWithoutCodeResponse,
    ErasePersonRequest,
    ErasePersonResponse,
    ExportPersonRequest,
    ExportPersonResponse,
    FindPersonRequest,
    FindPersonResponse,
    FoundPerson,
    HasCodeRequest,
    HasCodeResponse,
    ListMissingPersonsRequest,
    ListMissingPersonsResponse,
    MergePersonsRequest,
    MergePersonsResponse,
    PrepareCodeChangeRequest,
    PrepareCodeChangeResponse,
    ReleasePersonRequest,
    ReleasePersonResponse,
    RetainPersonRequest,
    RetainPersonResponse,
    UndoMergePersonsRequest,
    UndoMergePersonsResponse,
    UnretainPersonRequest,
    UnretainPersonResponse,
)
from liity.identity.v1.person_service_pb2_grpc import PersonServiceServicer
from liity.v1.reason_pb2 import REASON_INVALID_DATE, REASON_PERSON_NOT_FOUND
from services.identity import hetu, privacy_export
from services.identity.accounts.sessions import require_session
from services.identity.links.tokens import new_id
from services.identity.models import CodeChange, Credential, Link, Person
from services.identity.persons import code_history, merge_undo
from services.identity.persons.vault import HetuVault
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.rpc.errors import FieldViolation, Refusal, invalid, not_found, unavailable
from services.runtime.slices import one_by_one, some_by_some

_WHOSE = func.coalesce(Person.merged_into, Person.person_id).label("person_id")
"""The person whom a row's code identifies; for a code dropped in a merge, the remaining person."""

# Statements of a Save are built once: building one costs more than running it.

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
            "hold_until",
        )
    }
)

_UPSERT = _SEALED.on_conflict_do_update(
    # DO UPDATE instead of DO NOTHING, so that the statement returns the ID of an existing row.
    index_elements=[Person.hetu_index],
    set_={
        "ensured_at": _SEALED.excluded.ensured_at,
        # The longest hold wins; GREATEST ignores NULL.
        "hold_until": func.greatest(Person.hold_until, _SEALED.excluded.hold_until),
    },
)
_ENSURE = _UPSERT.returning(_WHOSE)
_ENSURE_MANY = _UPSERT.returning(_WHOSE, Person.hetu_index)

_WITHOUT_CODE = insert(Person).values(
    {
        column: bindparam(column)
        for column in ("person_id", "ensured_at", "without_code_request_id", "hold_until")
    }
)

_ENSURE_WITHOUT_CODE = _WITHOUT_CODE.on_conflict_do_update(
    index_elements=[Person.without_code_request_id],
    set_={
        "ensured_at": _WITHOUT_CODE.excluded.ensured_at,
        "hold_until": func.greatest(Person.hold_until, _WITHOUT_CODE.excluded.hold_until),
    },
).returning(Person.person_id)

_RETAIN = (
    update(Person)
    .where(Person.person_id == bindparam("retained_id"), Person.merged_into.is_(None))
    .values(retained_at=func.coalesce(Person.retained_at, bindparam("moment", type_=Person.retained_at.type)))
    .returning(Person.person_id)
)

_UNRETAIN = (
    update(Person)
    .where(Person.person_id == bindparam("unretained_id"), Person.merged_into.is_(None))
    .values(retained_at=None)
)

_RELEASE = delete(Person).where(
    Person.retained_at.is_(None),
    # Whoever has these is no mere outcome of a Save, whatever became of the mark: ErasePerson erases them.
    *(
        ~select(table.person_id).where(table.person_id == Person.person_id).exists()
        for table in (Credential, CodeChange)
    ),
)

_FIND_MANY = select(_WHOSE, Person.hetu_index).where(
    Person.hetu_index == func.any(bindparam("indexes", type_=ARRAY(LargeBinary)))
)

_KNOWN = select(Person.person_id).where(
    Person.person_id == func.any(bindparam("person_ids", type_=ARRAY(String))), Person.merged_into.is_(None)
)

_VOIDED = func.coalesce(Link.voided_at, func.now())


class Persons(PersonServiceServicer):
    """The vault of personal identity codes, and the persons' rows."""

    def __init__(self, engine: AsyncEngine, vault: HetuVault, *, allow_artificial: bool) -> None:
        self._engine = engine
        # A single statement is a transaction of its own: autocommit saves BEGIN and COMMIT.
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._vault = vault
        self._allow_artificial = allow_artificial

    @override
    async def FindPerson(self, request: FindPersonRequest, context: object) -> FindPersonResponse:
        parsed = self._parse(request.personal_identity_code)
        async with self._single.connect() as connection:
            person_id = await _find(connection, self._vault.indexes(parsed))
            alike = await self._with_other_signs(connection, [parsed])
        return FindPersonResponse(
            person_id=person_id or "",
            birth_date=to_proto_date(parsed.birth_date),
            other_sign_person_ids=sorted(alike[parsed.code] - {person_id}),
        )

    @override
    async def EnsurePerson(self, request: EnsurePersonRequest, context: object) -> EnsurePersonResponse:
        await self._require_session(request.session_id)
        parsed = self._parse(request.personal_identity_code)
        return (await self._add_other_signs([parsed], [await self._ensure(parsed, None)]))[0]

    @override
    async def BatchFindPersons(
        self, request: BatchFindPersonsRequest, context: object
    ) -> BatchFindPersonsResponse:
        found: list[FoundPerson] = []
        places: dict[bytes, FoundPerson] = {}
        seen: set[bytes] = set()
        async for code in one_by_one(request.personal_identity_codes):
            try:
                parsed = self._parse(code)
            except Refusal as refusal:
                found.append(FoundPerson(reason=refusal.reason))
                continue
            indexes = self._vault.indexes(parsed)
            person = FoundPerson(birth_date=to_proto_date(parsed.birth_date), repeated=indexes[0] in seen)
            seen.add(indexes[0])
            if not person.repeated:
                places |= dict.fromkeys(indexes, person)
            found.append(person)
        async with self._single.connect() as connection:
            for row in await connection.execute(_FIND_MANY, {"indexes": list(places)}):
                places[row.hetu_index].person_id = row.person_id
        return BatchFindPersonsResponse(persons=found)

    @override
    async def BatchEnsurePersons(
        self, request: BatchEnsurePersonsRequest, context: object
    ) -> BatchEnsurePersonsResponse:
        parsed = [self._parse(code) async for code in one_by_one(request.personal_identity_codes)]
        hold_until = _moment(request.hold_until)
        if self._vault.index_is_rotated:
            persons = [await self._ensure(code, hold_until) for code in parsed]
        else:
            persons = await self._ensure_many(parsed, hold_until)
        return BatchEnsurePersonsResponse(persons=await self._add_other_signs(parsed, persons))

    @override
    async def BatchReleasePersons(
        self, request: BatchReleasePersonsRequest, context: object
    ) -> BatchReleasePersonsResponse:
        async with self._single.connect() as connection:
            await connection.execute(_RELEASE.where(Person.person_id.in_(request.person_ids)))
        return BatchReleasePersonsResponse()

    @override
    async def ListMissingPersons(
        self, request: ListMissingPersonsRequest, context: object
    ) -> ListMissingPersonsResponse:
        async with self._single.connect() as connection:
            known = await connection.scalars(_KNOWN, {"person_ids": list(request.person_ids)})
        return ListMissingPersonsResponse(person_ids=sorted(set(request.person_ids).difference(known)))

    async def _add_other_signs(
        self, codes: Sequence[hetu.Hetu], persons: list[EnsurePersonResponse]
    ) -> list[EnsurePersonResponse]:
        """The persons of the codes, with those whose codes differ by the century sign alone (R45)."""
        async with self._single.connect() as connection:
            alike = await self._with_other_signs(connection, codes)
        for code, person in zip(codes, persons, strict=True):
            person.other_sign_person_ids.extend(sorted(alike[code.code] - {person.person_id}))
        return persons

    async def _with_other_signs(
        self, connection: AsyncConnection, codes: Iterable[hetu.Hetu]
    ) -> dict[str, set[str]]:
        """The persons whose codes differ from some codes by the century sign alone, by code."""
        today = helsinki_day(now())
        found: dict[str, set[str]] = {}
        codes_of: dict[bytes, list[str]] = {}
        async for parsed in one_by_one(codes):
            found[parsed.code] = set()
            for other in hetu.other_signs(parsed, today=today):
                for index in self._vault.indexes(other):
                    codes_of.setdefault(index, []).append(parsed.code)
        for row in await connection.execute(_FIND_MANY, {"indexes": list(codes_of)}):
            for code in codes_of[row.hetu_index]:
                found[code].add(row.person_id)
        return found

    async def _ensure(self, parsed: hetu.Hetu, hold_until: datetime | None) -> EnsurePersonResponse:
        indexes = self._vault.indexes(parsed)
        if len(indexes) == 1:
            async with self._single.connect() as connection:
                return _ensured(await self._upsert(connection, parsed, hold_until), parsed)
        async with self._engine.begin() as connection:
            await code_history.lock_code(connection, indexes)
            person_id = await _find(connection, indexes)
            if person_id is None:
                person_id = await self._upsert(connection, parsed, hold_until)
            else:
                hold = func.greatest(Person.hold_until, hold_until)
                await connection.execute(
                    update(Person)
                    .where(Person.person_id == person_id)
                    .values(ensured_at=now(), hold_until=hold)
                )
        return _ensured(person_id, parsed)

    async def _ensure_many(
        self, parsed: Sequence[hetu.Hetu], hold_until: datetime | None
    ) -> list[EnsurePersonResponse]:
        indexes = [self._vault.indexes(code)[0] async for code in one_by_one(parsed)]
        person_ids: dict[bytes, str] = {}
        # Sorted: two lists with the same persons lock them in the same order.
        codes = sorted(dict(zip(indexes, parsed, strict=True)).items())
        async with self._single.connect() as connection:
            async for some in some_by_some(codes):
                rows = [self._row(code, hold_until) for _, code in some]
                for ensured in await connection.execute(_ENSURE_MANY, rows):
                    person_ids[ensured.hetu_index] = ensured.person_id
        return [_ensured(person_ids[index], code) for index, code in zip(indexes, parsed, strict=True)]

    @override
    async def EnsurePersonWithoutCode(
        self, request: EnsurePersonWithoutCodeRequest, context: object
    ) -> EnsurePersonWithoutCodeResponse:
        await self._require_session(request.session_id)
        row = {
            "person_id": new_id(),
            "ensured_at": now(),
            "without_code_request_id": request.request_id,
            "hold_until": _moment(request.hold_until) if request.HasField("hold_until") else None,
        }
        async with self._single.connect() as connection:
            person_id = (await connection.execute(_ENSURE_WITHOUT_CODE, row)).scalar_one()
        return EnsurePersonWithoutCodeResponse(person_id=person_id)

    @override
    async def ReleasePerson(self, request: ReleasePersonRequest, context: object) -> ReleasePersonResponse:
        nobody_waits = or_(Person.hold_until.is_(None), Person.hold_until <= now())
        async with self._single.connect() as connection:
            await connection.execute(_RELEASE.where(Person.person_id == request.person_id, nobody_waits))
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
    async def UnretainPerson(self, request: UnretainPersonRequest, context: object) -> UnretainPersonResponse:
        async with self._single.connect() as connection:
            await connection.execute(_UNRETAIN, {"unretained_id": request.person_id})
        return UnretainPersonResponse()

    @override
    async def ErasePerson(self, request: ErasePersonRequest, context: object) -> ErasePersonResponse:
        async with self._engine.begin() as connection:
            subjects = [request.person_id, *request.subject_ids]
            await code_history.erase(connection, subjects, request.person_id)
        return ErasePersonResponse()

    @override
    async def HasCode(self, request: HasCodeRequest, context: object) -> HasCodeResponse:
        coded = select(Person.person_id).where(
            Person.person_id == request.person_id, Person.hetu_index.is_not(None)
        )
        async with self._single.connect() as connection:
            return HasCodeResponse(has_code=await connection.scalar(coded) is not None)

    @override
    async def ExportPerson(self, request: ExportPersonRequest, context: object) -> ExportPersonResponse:
        async with self._single.connect() as connection:
            sections = await privacy_export.export(
                connection, self._vault, request.person_id, request.subject_ids
            )
        return ExportPersonResponse(sections=sections)

    @override
    async def PrepareCodeChange(
        self, request: PrepareCodeChangeRequest, context: object
    ) -> PrepareCodeChangeResponse:
        parsed = self._parse(request.personal_identity_code)
        async with self._engine.begin() as connection:
            other_id = await code_history.prepare(connection, self._vault, request, parsed)
        birth_date = to_proto_date(parsed.birth_date)
        return PrepareCodeChangeResponse(birth_date=birth_date, other_person_id=other_id)

    @override
    async def CommitCodeChange(
        self, request: CommitCodeChangeRequest, context: object
    ) -> CommitCodeChangeResponse:
        request_id = request.request_id
        async with self._engine.begin() as connection:
            other_id = await code_history.commit(connection, self._vault, request_id, self._parse)
        return CommitCodeChangeResponse(other_person_id=other_id)

    @override
    async def CheckMerge(self, request: CheckMergeRequest, context: object) -> CheckMergeResponse:
        async with self._engine.begin() as connection:
            code = await code_history.code_that_goes_over(connection, self._vault, request)
        if code is None:
            return CheckMergeResponse()
        return CheckMergeResponse(birth_date=to_proto_date(self._parse(code).birth_date))

    @override
    async def MergePersons(self, request: MergePersonsRequest, context: object) -> MergePersonsResponse:
        async with self._engine.begin() as connection:
            await code_history.merge(connection, self._vault, request)
        return MergePersonsResponse()

    @override
    async def UndoMergePersons(
        self, request: UndoMergePersonsRequest, context: object
    ) -> UndoMergePersonsResponse:
        try:
            async with self._engine.begin() as connection:
                await merge_undo.undo(connection, self._vault, request)
        except IntegrityError:
            # A concurrent Save has inserted a person with a code: the retry finds them.
            raise unavailable() from None
        return UndoMergePersonsResponse()

    async def _require_session(self, session_id: str) -> None:
        if session_id:
            async with self._single.connect() as connection:
                await require_session(connection, session_id)

    def _parse(self, text: str) -> hetu.Hetu:
        try:
            return hetu.parse(text, today=helsinki_day(now()), allow_artificial=self._allow_artificial)
        except hetu.InvalidHetu as error:
            raise invalid([FieldViolation("personal_identity_code", error.reason)]) from None

    async def _upsert(
        self, connection: AsyncConnection, parsed: hetu.Hetu, hold_until: datetime | None
    ) -> str:
        return (await connection.execute(_ENSURE, self._row(parsed, hold_until))).scalar_one()

    def _row(self, parsed: hetu.Hetu, hold_until: datetime | None) -> dict[str, object]:
        person_id = new_id()
        return {
            "person_id": person_id,
            "ensured_at": now(),
            "hold_until": hold_until,
            **self._vault.seal(parsed, person_id)._asdict(),
        }


def _ensured(person_id: str, parsed: hetu.Hetu) -> EnsurePersonResponse:
    return EnsurePersonResponse(person_id=person_id, birth_date=to_proto_date(parsed.birth_date))


async def _find(connection: AsyncConnection, indexes: Sequence[bytes]) -> str | None:
    person_id: str | None = await connection.scalar(select(_WHOSE).where(Person.hetu_index.in_(indexes)))
    return person_id


def _moment(timestamp: Timestamp) -> datetime:
    """Converts a timestamp. Raises INVALID_ARGUMENT if it is out of range."""
    try:
        return timestamp.ToDatetime(UTC)
    except (ValueError, OverflowError):
        raise invalid([FieldViolation("hold_until", REASON_INVALID_DATE)]) from None
