"""UnitService: creates, reads, changes and closes units."""

import secrets
import uuid
from datetime import UTC

from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import RowMapping, bindparam, case, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import override

from liity.registration.v1.unit_service_pb2 import (
    BatchGetUnitsRequest,
    BatchGetUnitsResponse,
    CloseUnitRequest,
    CloseUnitResponse,
    CreateUnitRequest,
    CreateUnitResponse,
    GetUnitClosingRequest,
    GetUnitClosingResponse,
    GetUnitRequest,
    GetUnitResponse,
    GetUnitSummaryRequest,
    GetUnitSummaryResponse,
    ListUnitPersonsRequest,
    ListUnitPersonsResponse,
    ListUnitsRequest,
    ListUnitsResponse,
    MoveUnitPersonsRequest,
    MoveUnitPersonsResponse,
    Unit,
    UpdateUnitRequest,
    UpdateUnitResponse,
)
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceServicer
from liity.v1 import unit_service_pb2 as public_pb2
from liity.v1.reason_pb2 import (
    REASON_INVALID_PAGE_TOKEN,
    REASON_REQUEST_ID_REUSED,
    REASON_REQUIRED,
    REASON_UNIT_CLOSED,
    REASON_UNIT_NAME_IN_USE,
    REASON_UNIT_NOT_FOUND,
    REASON_UNKNOWN_VALUE,
)
from services.registration.db.models import units
from services.registration.forms import name_keys
from services.registration.units import succession
from services.registration.units.summary import summary
from services.runtime.clock import now
from services.runtime.rpc.errors import (
    FieldViolation,
    already_exists,
    failed_precondition,
    invalid,
    not_found,
)

_EDITABLE = ("display_name", "kind")

_FIGURES = (
    "customers",
    "waiting_for_consent",
    "waiting_for_customer_service",
    "temporary_needs",
    "open_messages",
    "unfinished_class_lists",
)

_GET = select(*units.c).where(units.c.unit_id == bindparam("id"))
_MADE_BY = units.alias()
_NAME_IN_USE = select(
    exists().where(
        units.c.closed_at.is_(None), func.lower(units.c.display_name) == func.lower(bindparam("name"))
    )
    # Whoever repeats the call that has made the unit is answered with it.
    & ~exists().where(_MADE_BY.c.request_id == bindparam("call"))
)
_GET_FOR_CHANGE = _GET.with_for_update(key_share=True)
_CLOSE = (
    update(units)
    .where(units.c.unit_id == bindparam("id"))
    .values(
        version=case((units.c.closed_at.is_(None), units.c.version + 1), else_=units.c.version),
        closed_at=func.coalesce(units.c.closed_at, bindparam("moment")),
    )
    .returning(*units.c)
)


class UnitServicer(UnitServiceServicer):
    """Creates, reads, changes and closes units."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # Most calls are one statement: a transaction around it would only cost round trips.
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")

    @override
    async def CreateUnit(self, request: CreateUnitRequest, _context: object) -> CreateUnitResponse:
        """Creates a unit.

        ALREADY_EXISTS if the `request_id` made a different one (REQUEST_ID_REUSED), or an open unit has the
        name although it must be new (UNIT_NAME_IN_USE).
        """
        creation = (
            insert(units)
            .values(
                unit_id=secrets.token_hex(16),
                request_id=uuid.UUID(request.request_id),
                display_name=request.display_name,
                kind=request.kind,
                created_at=now(),
            )
            # Changes nothing, but makes the existing row be returned.
            .on_conflict_do_update(index_elements=["request_id"], set_={"kind": units.c.kind})
            .returning(*units.c)
        )
        async with self._autocommit.connect() as connection:
            if request.name_must_be_new and await connection.scalar(
                _NAME_IN_USE, {"name": request.display_name, "call": uuid.UUID(request.request_id)}
            ):
                raise already_exists(REASON_UNIT_NAME_IN_USE)
            row = (await connection.execute(creation)).mappings().one()
        made = (row["display_name"], row["kind"])
        # A unit changed since no longer equals the request that made it.
        if row["version"] == 1 and made != (request.display_name, request.kind):
            raise already_exists(REASON_REQUEST_ID_REUSED)
        return CreateUnitResponse(unit=_to_message(row))

    @override
    async def BatchGetUnits(self, request: BatchGetUnitsRequest, _context: object) -> BatchGetUnitsResponse:
        """Units by their IDs, each once, in the order of their names."""
        statement = (
            select(*units.c)
            .where(units.c.unit_id.in_(request.unit_ids))
            .order_by(units.c.display_name, units.c.unit_id)
        )
        async with self._autocommit.connect() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return BatchGetUnitsResponse(units=[_to_message(row) for row in rows])

    @override
    async def GetUnit(self, request: GetUnitRequest, _context: object) -> GetUnitResponse:
        """Reads a unit."""
        async with self._autocommit.connect() as connection:
            row = (await connection.execute(_GET, {"id": request.unit_id})).mappings().first()
        return GetUnitResponse(unit=_to_message(_known(row)))

    @override
    async def GetUnitSummary(
        self, request: GetUnitSummaryRequest, _context: object
    ) -> GetUnitSummaryResponse:
        """A unit in figures."""
        async with self._autocommit.connect() as connection:
            return GetUnitSummaryResponse(summary=await summary(connection, request.unit_id))

    @override
    async def ListUnits(self, request: ListUnitsRequest, _context: object) -> ListUnitsResponse:
        """Lists units by name. There are a few thousand: Python sorts them, in Finnish order."""
        async with self._autocommit.connect() as connection:
            rows = (await connection.execute(select(*units.c))).mappings().all()
        ordered = sorted(rows, key=lambda row: (name_keys.sort_key(row["display_name"], ""), row["unit_id"]))
        wanted = name_keys.query_keys(request.query)
        found = [
            row
            for row in _after(ordered, request.page_token)
            if (request.show_closed or row["closed_at"] is None) and _is_found(row["display_name"], wanted)
        ]
        page = found[: request.page_size]
        return ListUnitsResponse(
            units=[_to_message(row) for row in page],
            next_page_token=page[-1]["unit_id"] if len(found) > len(page) else "",
        )

    @override
    async def UpdateUnit(self, request: UpdateUnitRequest, _context: object) -> UpdateUnitResponse:
        """Changes a unit. The later of two simultaneous changes is refused."""
        changes = _changes(request)
        request_id = uuid.UUID(request.request_id)
        async with self._engine.begin() as connection:
            found = await connection.execute(_GET_FOR_CHANGE, {"id": request.unit_id})
            row = _known(found.mappings().first())
            if row["changed_by_request"] == request_id:
                return UpdateUnitResponse(unit=_to_message(row))
            if row["closed_at"] is not None:
                raise failed_precondition(REASON_UNIT_CLOSED)
            if request.etag != str(row["version"]):
                return UpdateUnitResponse(unit=_to_message(row), changed_meanwhile=True)
            changed = await connection.execute(
                update(units)
                .where(units.c.unit_id == request.unit_id)
                .values(**changes, version=units.c.version + 1, changed_by_request=request_id)
                .returning(*units.c)
            )
            return UpdateUnitResponse(unit=_to_message(changed.mappings().one()))

    @override
    async def CloseUnit(self, request: CloseUnitRequest, _context: object) -> CloseUnitResponse:
        """Closes a unit; returns a closed one unchanged, unless it gets a successor."""
        if request.successor_unit_id:
            async with self._engine.begin() as connection:
                return CloseUnitResponse(unit=_to_message(await succession.close(connection, request)))
        async with self._autocommit.connect() as connection:
            closed = await connection.execute(_CLOSE, {"id": request.unit_id, "moment": now()})
            return CloseUnitResponse(unit=_to_message(_known(closed.mappings().first())))

    @override
    async def GetUnitClosing(
        self, request: GetUnitClosingRequest, _context: object
    ) -> GetUnitClosingResponse:
        """What a unit has, and how far the move to its successor is."""
        async with self._autocommit.connect() as connection:
            found = await connection.execute(succession.figures(request.unit_id))
            row = _known(found.mappings().first())
        closing = public_pb2.GetUnitClosingResponse(
            **{name: row[name] for name in _FIGURES}, moved_persons=row["moved_persons"]
        )
        if row["move_ended_at"] is not None:
            closing.move_end_time.FromDatetime(row["move_ended_at"].astimezone(UTC))
        return GetUnitClosingResponse(closing=closing, unit=_to_message(row))

    @override
    async def ListUnitPersons(
        self, request: ListUnitPersonsRequest, _context: object
    ) -> ListUnitPersonsResponse:
        """The next persons to move."""
        async with self._autocommit.connect() as connection:
            return await succession.next_persons(connection, request.unit_id, request.page_size)

    @override
    async def MoveUnitPersons(
        self, request: MoveUnitPersonsRequest, _context: object
    ) -> MoveUnitPersonsResponse:
        """Moves persons to the unit's successor."""
        async with self._engine.begin() as connection:
            return await succession.move(connection, request.unit_id, request.person_ids)


def _known(row: RowMapping | None) -> RowMapping:
    if row is None:
        raise not_found(REASON_UNIT_NOT_FOUND)
    return row


def _after(ordered: list[RowMapping], page_token: str) -> list[RowMapping]:
    """The units after the last one of a page; it is there, as units are never deleted."""
    if not page_token:
        return ordered
    for number, row in enumerate(ordered, start=1):
        if row["unit_id"] == page_token:
            return ordered[number:]
    raise invalid([FieldViolation("page_token", REASON_INVALID_PAGE_TOKEN)])


def _is_found(display_name: str, wanted: list[str]) -> bool:
    keys = name_keys.search_keys(display_name)
    return all(any(key.startswith(beginning) for key in keys) for beginning in wanted)


def _changes(request: UpdateUnitRequest) -> dict[str, object]:
    """The new values by column. INVALID_ARGUMENT for an unknown or empty field."""
    mask: FieldMask = request.update_mask
    violations = [] if mask.paths else [FieldViolation("update_mask", REASON_REQUIRED)]
    for path in mask.paths:
        if path not in _EDITABLE:
            violations.append(FieldViolation("update_mask", REASON_UNKNOWN_VALUE))
        elif not getattr(request, path):
            violations.append(FieldViolation(path, REASON_REQUIRED))
    if violations:
        raise invalid(violations)
    return {path: getattr(request, path) for path in mask.paths}


def _to_message(row: RowMapping) -> Unit:
    unit = Unit(
        unit_id=row["unit_id"],
        display_name=row["display_name"],
        kind=row["kind"],
        etag=str(row["version"]),
        create_time=row["created_at"],
        successor_unit_id=row["successor_unit_id"] or "",
    )
    if row["closed_at"] is not None:
        unit.close_time.FromDatetime(row["closed_at"].astimezone(UTC))
    return unit
