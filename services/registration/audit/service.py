"""UseLogService: writes and searches the log of use."""

from datetime import UTC, datetime

from sqlalchemy import ARRAY, RowMapping, String, cast, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import override

from liity.registration.v1.use_log_service_pb2 import (
    ListSuspicionsRequest,
    ListSuspicionsResponse,
    ListUsesRequest,
    ListUsesResponse,
    RecordUseRequest,
    RecordUseResponse,
)
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceServicer
from liity.v1 import use_log_service_pb2 as pb
from liity.v1.reason_pb2 import REASON_INVALID_PAGE_TOKEN
from services.registration.audit.anomaly_rules import (
    DAYS_OF_USE,
    HABIT,
    Suspicion,
    day_of_use,
    suspicions,
)
from services.registration.audit.entries import link_waiting, use_row
from services.registration.audit.subjects import subjects_of
from services.registration.db.models import use_chain, use_entries
from services.registration.forms import proto_dates
from services.registration.settings import RegistrationSettings
from services.runtime.clock import HELSINKI, helsinki_day
from services.runtime.rpc.errors import FieldViolation, invalid

_MOST_SUSPICIONS = 200
_LARGEST_SEQUENCE = 2**63 - 1

_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
"""Bounds within which all entries lie."""

_RECORD = insert(use_entries)

_USES = (
    select(use_chain.c.sequence, *use_entries.c)
    .join_from(use_chain, use_entries, use_entries.c.use_id == use_chain.c.use_id)
    .order_by(use_chain.c.sequence.desc())
)


class UseLogServicer(UseLogServiceServicer):
    """Writes and searches the log of use."""

    def __init__(self, engine: AsyncEngine, settings: RegistrationSettings) -> None:
        # Each call is one statement: a transaction around it would only cost round trips.
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._rules = settings.suspicion_rules()

    @override
    async def RecordUse(self, request: RecordUseRequest, _context: object) -> RecordUseResponse:
        """Writes an entry."""
        async with self._engine.connect() as connection:
            await connection.execute(_RECORD, use_row(request.action, request.subject_ids, request.outcome))
        return RecordUseResponse()

    @override
    async def ListUses(self, request: ListUsesRequest, _context: object) -> ListUsesResponse:
        """Searches the log, newest first."""
        statement = _USES.limit(request.page_size + 1)
        for column, value in (
            (use_entries.c.account_id, request.account_id),
            (use_entries.c.for_unit_id, request.unit_id),
            (use_entries.c.action, request.action),
        ):
            if value:
                statement = statement.where(column == value)
        if request.HasField("start_time"):
            statement = statement.where(
                use_entries.c.used_at >= proto_dates.moment(request.start_time, "start_time")
            )
        if request.HasField("end_time"):
            statement = statement.where(
                use_entries.c.used_at < proto_dates.moment(request.end_time, "end_time")
            )
        if request.page_token:
            statement = statement.where(use_chain.c.sequence < _sequence(request.page_token))
        # The newest entries must be found as well, and only a link gives an entry its place in the list.
        await link_waiting(self._engine)
        async with self._engine.connect() as connection:
            if request.subject_id:
                subjects = await subjects_of(connection, request.subject_id)
                statement = statement.where(use_entries.c.subject_ids.overlap(cast(subjects, ARRAY(String))))
            rows = (await connection.execute(statement)).mappings().all()
        page = rows[: request.page_size]
        return ListUsesResponse(
            uses=[_use(row) for row in page],
            next_page_token=str(page[-1]["sequence"]) if len(rows) > len(page) else "",
        )

    @override
    async def ListSuspicions(
        self, request: ListSuspicionsRequest, _context: object
    ) -> ListSuspicionsResponse:
        """Lists findings of the rules for suspicious use."""
        start = proto_dates.moment(request.start_time, "start_time")
        since = helsinki_day(min(max(start, _EARLIEST), _LATEST))
        begin = datetime(since.year, since.month, since.day, tzinfo=HELSINKI)
        parameters = {
            "since": begin - HABIT,
            "opens": self._rules.opens,
            "closes": self._rules.closes,
        }
        async with self._engine.connect() as connection:
            rows = (await connection.execute(DAYS_OF_USE, parameters)).mappings().all()
        found = suspicions(map(day_of_use, rows), since, self._rules)
        return ListSuspicionsResponse(
            suspicions=[_suspicion(suspicion) for suspicion in found[:_MOST_SUSPICIONS]]
        )


def _sequence(page_token: str) -> int:
    if not page_token.isascii() or not page_token.isdecimal() or int(page_token) > _LARGEST_SEQUENCE:
        raise invalid([FieldViolation("page_token", REASON_INVALID_PAGE_TOKEN)])
    return int(page_token)


def _use(row: RowMapping) -> pb.Use:
    return pb.Use(
        sequence=row["sequence"],
        time=row["used_at"],
        actor_kind=row["actor_kind"],
        account_id=row["account_id"],
        role=row["actor_role"],
        unit=_unit_name(row["for_unit_id"]),
        action=row["action"],
        subject_ids=row["subject_ids"],
        outcome=row["outcome"],
        request_id=row["call_id"],
        trace_id=row["trace_id"],
    )


def _suspicion(suspicion: Suspicion) -> pb.Suspicion:
    found = pb.Suspicion(
        rule=suspicion.rule,
        account_id=suspicion.use.account_id,
        unit=_unit_name(suspicion.use.unit_id),
        count=suspicion.span.number,
        threshold=suspicion.threshold,
    )
    if suspicion.span.first is not None and suspicion.span.last is not None:
        found.start_time.FromDatetime(suspicion.span.first)
        found.end_time.FromDatetime(suspicion.span.last)
    return found


def _unit_name(unit_id: str) -> str:
    return f"units/{unit_id}" if unit_id else ""
