"""The RPCs about units."""

import secrets
import uuid

from sqlalchemy import RowMapping, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.registration.v1.unit_service_pb2 import (
    BatchGetUnitsRequest,
    BatchGetUnitsResponse,
    CreateUnitRequest,
    CreateUnitResponse,
    Unit,
)
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceServicer
from liity.v1.reason_pb2 import REASON_REQUEST_ID_REUSED
from services.registration.models import units
from services.runtime.clock import now
from services.runtime.errors import already_exists

_COLUMNS = (units.c.unit_id, units.c.display_name, units.c.kind)


class UnitServicer(UnitServiceServicer):
    """The units that register customers."""

    def __init__(self, engine: AsyncEngine) -> None:
        # Each call is one statement: a transaction around it would only cost round trips.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    async def CreateUnit(self, request: CreateUnitRequest, _context: object) -> CreateUnitResponse:  # noqa: N802
        """Makes a unit. ALREADY_EXISTS (REQUEST_ID_REUSED) if the `request_id` made a different one."""
        creation = (
            insert(units)
            .values(
                unit_id=secrets.token_hex(16),
                request_id=uuid.UUID(request.request_id),
                display_name=request.display_name,
                kind=request.kind,
                created_at=now(),
            )
            # It changes nothing, yet makes the row that is there come back.
            .on_conflict_do_update(index_elements=["request_id"], set_={"kind": units.c.kind})
            .returning(*_COLUMNS)
        )
        async with self._engine.connect() as connection:
            unit = _to_message((await connection.execute(creation)).mappings().one())
        if (unit.display_name, unit.kind) != (request.display_name, request.kind):
            raise already_exists(REASON_REQUEST_ID_REUSED)
        return CreateUnitResponse(unit=unit)

    async def BatchGetUnits(self, request: BatchGetUnitsRequest, _context: object) -> BatchGetUnitsResponse:  # noqa: N802
        """Units by their IDs, each once, in the order of their names."""
        statement = (
            select(*_COLUMNS)
            .where(units.c.unit_id.in_(request.unit_ids))
            .order_by(units.c.display_name, units.c.unit_id)
        )
        async with self._engine.connect() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        return BatchGetUnitsResponse(units=[_to_message(row) for row in rows])


def _to_message(row: RowMapping) -> Unit:
    return Unit(unit_id=row["unit_id"], display_name=row["display_name"], kind=row["kind"])
