"""ClassListService: stores class lists, and their rows until these are registered."""

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.registration.v1 import class_list_service_pb2 as pb
from liity.registration.v1.class_list_service_pb2_grpc import ClassListServiceServicer
from liity.registration.v1.registration_service_pb2 import Registrar
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_OUTCOME_ELSEWHERE,
    CLASS_LIST_OUTCOME_REFUSED,
    CLASS_LIST_OUTCOME_REGISTERED,
    CLASS_LIST_OUTCOME_REMAINING,
    CLASS_LIST_OUTCOME_TRANSFERRED,
    CLASS_LIST_OUTCOME_YOURS,
    CLASS_LIST_STATE_CANCELLED,
    CLASS_LIST_STATE_DONE,
    CLASS_LIST_STATE_RECEIVED,
    ClassListCounts,
    ClassListOutcome,
)
from liity.v1.reason_pb2 import (
    REASON_CLASS_LIST_HAS_ENDED,
    REASON_CLASS_LIST_NOT_FOUND,
    REASON_REGISTRATION_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
    REASON_REQUIRED,
    REASON_TWICE_IN_CLASS_LIST,
    REASON_UNKNOWN_VALUE,
)
from liity.v1.registration_service_pb2 import MissingPersonalIdentityCode
from services.registration.audit.entries import use_row
from services.registration.audit.lookup_quota import LookUps
from services.registration.class_lists import queries as sql
from services.registration.class_lists.checks import check_rows, open_unit
from services.registration.db import paging
from services.registration.db.models import class_lists
from services.registration.forms import proto_dates
from services.registration.forms.normalise import from_json, missing_code_errors, normalise, to_json
from services.registration.registrations import queries
from services.runtime.class_list_limits import PATIENCE
from services.runtime.clock import deadline_after, helsinki_day, now, to_proto_date
from services.runtime.rpc.errors import (
    FieldViolation,
    already_exists,
    failed_precondition,
    invalid,
    not_found,
)
from services.runtime.rpc.interceptor import violations_of
from services.runtime.slices import one_by_one, some_by_some

_REMEMBERED = timedelta(days=460)
"""How long it is remembered who stood in a list: a school year and a summer (R41)."""

_DECIDED = (CLASS_LIST_OUTCOME_YOURS, CLASS_LIST_OUTCOME_ELSEWHERE, CLASS_LIST_OUTCOME_TRANSFERRED)
"""Outcomes with which a row may come."""


class ClassListServicer(ClassListServiceServicer):
    """Serves class lists. A list is kept for `lifetime`."""

    def __init__(self, engine: AsyncEngine, look_ups: LookUps, lifetime: timedelta) -> None:
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._look_ups = look_ups
        self._lifetime = lifetime

    @override
    async def CheckClassList(
        self, request: pb.CheckClassListRequest, _context: object
    ) -> pb.CheckClassListResponse:
        """Checks the rows of a list."""
        await self._look_ups.admit_list(len(request.rows))
        return await check_rows(self._autocommit, request)

    @override
    async def CreateClassList(
        self, request: pb.CreateClassListRequest, _context: object
    ) -> pb.CreateClassListResponse:
        """Stores a list."""
        rows = await _stored_rows(request)
        moment = now()
        new = {
            "class_list_id": request.class_list_id,
            "unit_id": request.unit_id,
            "registrar_account_id": request.registrar.account_id,
            "registrar_display_name": request.registrar.display_name,
            "state": CLASS_LIST_STATE_RECEIVED,
            "created_at": moment,
            "ended_at": None,
            "expires_at": deadline_after(moment, self._lifetime),
        }
        async with self._engine.begin() as connection:
            await open_unit(connection, request.unit_id)
            if await connection.scalar(sql.INSERT_LIST, new):
                async for some in some_by_some(rows):
                    await connection.execute(sql.INSERT_ROWS, some)
                async for some in some_by_some(_members(request, moment)):
                    await connection.execute(sql.INSERT_MEMBERS, some)
                persons = {row["person_id"] for row in rows if row["person_id"]}
                await connection.execute(queries.INSERT_USE, use_row("class-list:register", persons))
            stored = await _get(connection, request.class_list_id)
        if (stored.unit_id, stored.registrar.account_id) != (request.unit_id, request.registrar.account_id):
            raise already_exists(REASON_REQUEST_ID_REUSED)
        return pb.CreateClassListResponse(class_list=stored)

    @override
    async def GetClassList(
        self, request: pb.GetClassListRequest, _context: object
    ) -> pb.GetClassListResponse:
        """Returns a list."""
        async with self._autocommit.connect() as connection:
            return pb.GetClassListResponse(class_list=await _get(connection, request.class_list_id))

    @override
    async def ListClassLists(
        self, request: pb.ListClassListsRequest, _context: object
    ) -> pb.ListClassListsResponse:
        """Lists a unit's class lists, newest first."""
        place = (class_lists.c.created_at, class_lists.c.class_list_id)
        statement = (
            select(class_lists)
            .where(class_lists.c.unit_id == request.unit_id)
            .order_by(*(column.desc() for column in place))
            .limit(request.page_size + 1)
        )
        if request.page_token:
            statement = statement.where(tuple_(*place) < paging.decode(request.page_token))
        async with self._autocommit.connect() as connection:
            rows = (await connection.execute(statement)).mappings().all()
            page = rows[: request.page_size]
            lists = await _with_counts(connection, page)
        more = len(rows) > len(page)
        last = paging.Position(page[-1]["created_at"], page[-1]["class_list_id"]) if more else None
        return pb.ListClassListsResponse(
            class_lists=lists, next_page_token=paging.encode(last) if last else ""
        )

    @override
    async def ListOutcomes(
        self, request: pb.ListOutcomesRequest, _context: object
    ) -> pb.ListOutcomesResponse:
        """Lists the current outcome of each row."""
        async with self._autocommit.connect() as connection:
            rows = (await connection.execute(sql.OUTCOMES, {"id": request.class_list_id})).mappings().all()
        if not rows:
            raise not_found(REASON_CLASS_LIST_NOT_FOUND)
        return pb.ListOutcomesResponse(
            outcomes=[
                pb.RowOutcome(
                    row_number=row["row_number"],
                    outcome=row["outcome"],
                    wrong_fields=_wrong_fields(row["wrong_fields"]),
                    registration_id=row["registration_id"] or "",
                    registration_unit_id=row["unit_id"] or "",
                )
                for row in rows
            ]
        )

    @override
    async def BeginClassList(
        self, request: pb.BeginClassListRequest, _context: object
    ) -> pb.BeginClassListResponse:
        """Marks a list as begun."""
        async with self._autocommit.connect() as connection:
            await connection.execute(sql.BEGIN, {"id": request.class_list_id})
            return pb.BeginClassListResponse(class_list=await _get(connection, request.class_list_id))

    @override
    async def ListUndecidedRows(
        self, request: pb.ListUndecidedRowsRequest, _context: object
    ) -> pb.ListUndecidedRowsResponse:
        """Lists the next rows to register."""
        next_rows = {"id": request.class_list_id, "most": request.page_size}
        async with self._autocommit.connect() as connection:
            rows = (await connection.execute(sql.UNDECIDED, next_rows)).mappings().all()
            stored = await _get(connection, request.class_list_id)
        return pb.ListUndecidedRowsResponse(
            rows=[
                pb.ClassListRow(
                    row_number=row["row_number"],
                    person_id=row["person_id"],
                    birth_date=to_proto_date(row["birth_date"]),
                    form=from_json(row["form"]),
                    missing_code=MissingPersonalIdentityCode(reason=row["missing_code_reason"])
                    if row["missing_code_reason"]
                    else None,
                )
                for row in rows
            ],
            class_list=stored,
        )

    @override
    async def DecideRows(self, request: pb.DecideRowsRequest, _context: object) -> pb.DecideRowsResponse:
        """Records the outcomes of rows."""
        if any(not (decision.registration_id or decision.refusal) for decision in request.decisions):
            raise invalid([FieldViolation("decisions", REASON_REQUIRED)])
        decisions = [
            {
                "id": request.class_list_id,
                "row": decision.row_number,
                "became": CLASS_LIST_OUTCOME_REGISTERED
                if decision.registration_id
                else CLASS_LIST_OUTCOME_REFUSED,
                "why": [] if decision.registration_id else [["", decision.refusal]],
                "made": decision.registration_id or None,
            }
            for decision in request.decisions
        ]
        try:
            async with self._engine.begin() as connection:
                await connection.execute(sql.DECIDE, decisions)
        except IntegrityError:
            raise not_found(REASON_REGISTRATION_NOT_FOUND) from None
        return pb.DecideRowsResponse()

    @override
    async def FinishClassList(
        self, request: pb.FinishClassListRequest, _context: object
    ) -> pb.FinishClassListResponse:
        """Marks a list as done."""
        by_id = {"id": request.class_list_id}
        async with self._engine.begin() as connection:
            await connection.execute(sql.FINISH, {**by_id, "now": now()})
            await connection.execute(sql.FORGET_CANCELLED, by_id)
            await connection.execute(sql.FORGET_STRANGERS, by_id)
            return pb.FinishClassListResponse(class_list=await _get(connection, request.class_list_id))

    @override
    async def CancelClassList(
        self, request: pb.CancelClassListRequest, _context: object
    ) -> pb.CancelClassListResponse:
        """Cancels the undecided rows of a list."""
        by_id = {"id": request.class_list_id}
        async with self._engine.begin() as connection:
            row = (await connection.execute(sql.GET_FOR_CHANGE, by_id)).mappings().first()
            if row is None:
                raise not_found(REASON_CLASS_LIST_NOT_FOUND)
            if row["state"] == CLASS_LIST_STATE_DONE:
                raise failed_precondition(REASON_CLASS_LIST_HAS_ENDED)
            if row["state"] != CLASS_LIST_STATE_CANCELLED:
                await connection.execute(sql.CANCEL_ROWS, by_id)
                await connection.execute(sql.CANCEL_LIST, {**by_id, "now": now()})
            unneeded = (await connection.scalars(sql.UNNEEDED, by_id)).all()
            if row["state"] != CLASS_LIST_STATE_CANCELLED:
                await connection.execute(queries.INSERT_USE, use_row("class-list:cancel", unneeded))
            return pb.CancelClassListResponse(
                class_list=await _get(connection, request.class_list_id), unneeded_person_ids=unneeded
            )


async def sweep_class_lists(engine: AsyncEngine) -> None:
    """Refuses undecided rows of lists that take too long, and deletes expired lists."""
    moment = now()
    async with engine.begin() as connection:
        await connection.execute(sql.GIVE_UP_ROWS, {"too_old": moment - PATIENCE})
        await connection.execute(sql.GIVE_UP_LISTS, {"too_old": moment - PATIENCE, "now": moment})
        await connection.execute(sql.SWEEP, {"now": moment})
        await connection.execute(sql.SWEEP_MEMBERS, {"too_old": moment - _REMEMBERED})


async def _stored_rows(request: pb.CreateClassListRequest) -> list[dict[str, Any]]:
    """The rows to store. INVALID_ARGUMENT if a right row is incomplete or malformed."""
    today = helsinki_day(now())
    if len({row.row_number for row in request.rows}) < len(request.rows):
        raise invalid([FieldViolation("rows.row_number", REASON_TWICE_IN_CLASS_LIST)])
    rows = []
    async for row in one_by_one(request.rows):
        right = not (row.wrong_fields or row.outcome)
        stored: dict[str, Any] = {
            "class_list_id": request.class_list_id,
            "row_number": row.row_number,
            # Keep only the errors of a refused row, and nothing of one with which nothing is done.
            "person_id": None,
            "birth_date": None,
            "form": None,
            "outcome": CLASS_LIST_OUTCOME_REMAINING if right else row.outcome or CLASS_LIST_OUTCOME_REFUSED,
            "wrong_fields": [[wrong.field, wrong.reason] for wrong in row.wrong_fields],
            "registration_id": None,
            "missing_code_reason": None,
        }
        if right:
            if not row.person_id:
                raise invalid([FieldViolation("rows.person_id", REASON_REQUIRED)])
            form = normalise(row.form)
            malformed = violations_of(form, "form.")
            if malformed:
                raise invalid(malformed)
            stored |= {
                "person_id": row.person_id,
                "birth_date": _birth_date(row, today),
                "form": to_json(form),
                "missing_code_reason": row.missing_code.reason or None,
            }
        elif row.outcome and (row.outcome not in _DECIDED or row.wrong_fields):
            raise invalid([FieldViolation("rows.outcome", REASON_UNKNOWN_VALUE)])
        rows.append(stored)
    return rows


def _birth_date(row: pb.ClassListRow, today: date) -> date:
    """The date of birth of a right row. INVALID_ARGUMENT if it has none, or a wrong one."""
    if not row.HasField("missing_code"):
        return proto_dates.birth_date(row.birth_date, today)
    born, errors = missing_code_errors(row.missing_code, today)
    if born is None or errors:
        raise invalid(errors)
    return born


def _members(request: pb.CreateClassListRequest, moment: datetime) -> list[dict[str, Any]]:
    """The persons of a list who are the unit's, or may become so."""
    persons = {
        row.person_id
        for row in request.rows
        if row.person_id and not row.wrong_fields and row.outcome != CLASS_LIST_OUTCOME_ELSEWHERE
    }
    of_list = {"class_list_id": request.class_list_id, "unit_id": request.unit_id, "listed_at": moment}
    return [{**of_list, "person_id": person} for person in sorted(persons)]


async def _get(connection: AsyncConnection, class_list_id: str) -> pb.ClassList:
    row = (await connection.execute(sql.GET, {"id": class_list_id})).mappings().first()
    if row is None:
        raise not_found(REASON_CLASS_LIST_NOT_FOUND)
    return (await _with_counts(connection, [row]))[0]


async def _with_counts(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[pb.ClassList]:
    """Lists with the counts of their rows."""
    counts = {row["class_list_id"]: ClassListCounts() for row in rows}
    for class_list_id, outcome, number in await connection.execute(sql.COUNT, {"ids": list(counts)}):
        name = ClassListOutcome.Name(outcome).removeprefix("CLASS_LIST_OUTCOME_").lower()
        setattr(counts[class_list_id], name, number)
        counts[class_list_id].total += number
    return [
        pb.ClassList(
            class_list_id=row["class_list_id"],
            unit_id=row["unit_id"],
            registrar=Registrar(
                account_id=row["registrar_account_id"], display_name=row["registrar_display_name"]
            ),
            state=row["state"],
            counts=counts[row["class_list_id"]],
            create_time=row["created_at"],
            end_time=row["ended_at"],
            expire_time=row["expires_at"],
        )
        for row in rows
    ]


def _wrong_fields(stored: Iterable[Sequence[Any]]) -> list[pb.WrongField]:
    return [pb.WrongField(field=field, reason=reason) for field, reason in stored]
