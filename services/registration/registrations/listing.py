"""Pages of a unit's registrations: each filter and order goes by an index."""

from typing import Any

from sqlalchemy import CompoundSelect, Select, literal, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1 import registration_service_pb2 as pb
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WAITING_FOR_CONSENT, Stage
from liity.v1.registration_service_pb2 import REGISTRATION_ORDER_DEADLINE
from services.registration.db import paging
from services.registration.db.mapping import to_message
from services.registration.db.models import registrations
from services.registration.db.protected import is_protected
from services.registration.forms import proto_dates
from services.registration.registrations import queries
from services.runtime.rpc.context import current_actor
from services.runtime.stages import WAITING

_ALL = frozenset(Stage.values()) - {0}

_WITH_DEADLINE = frozenset({*WAITING, STAGE_CREDENTIALS_SENT})
"""The stages whose registrations have a deadline."""


async def page(
    connection: AsyncConnection, request: pb.ListRegistrationsRequest
) -> pb.ListRegistrationsResponse:
    """A page of registrations. INVALID_ARGUMENT (INVALID_DATE, INVALID_PAGE_TOKEN)."""
    stages = _stages(request)
    if not stages:
        return pb.ListRegistrationsResponse()
    by_deadline = request.order_by == REGISTRATION_ORDER_DEADLINE
    moment = registrations.c.deadline if by_deadline else registrations.c.created_at
    place = (moment, registrations.c.registration_id)
    order = place if by_deadline else tuple(column.desc() for column in place)
    wanted = (
        _filtered(request)
        .add_columns(registrations.c.registration_id)
        .order_by(*order)
        .limit(request.page_size + 1)
    )
    if request.page_token:
        after = paging.decode(request.page_token)
        wanted = wanted.where(tuple_(*place) > after if by_deadline else tuple_(*place) < after)
    found: Select[Any] | CompoundSelect[Any]
    if by_deadline:
        found = wanted.where(registrations.c.stage.in_(stages), registrations.c.deadline.is_not(None))
    elif request.registrar_account_id or stages != _ALL:
        # One page of each stage: an index that begins with the stage has each of them in order.
        found = union_all(*(wanted.where(_in_stage(stage)) for stage in sorted(stages)))
    else:
        found = wanted
    statement = (
        select(*queries.COLUMNS)
        .where(registrations.c.registration_id.in_(found))
        .order_by(*order)
        .limit(request.page_size + 1)
    )
    rows = (await connection.execute(statement)).mappings().all()
    shown = rows[: request.page_size]
    more = len(rows) > len(shown)
    last = paging.Position(shown[-1][moment.name], shown[-1]["registration_id"]) if more else None
    return pb.ListRegistrationsResponse(
        registrations=[to_message(row) for row in shown],
        next_page_token=paging.encode(last) if last else "",
    )


def _filtered(request: pb.ListRegistrationsRequest) -> Select[Any]:
    statement = select().where(registrations.c.unit_id == request.unit_id)
    if current_actor().role == ROLE_CUSTOMER_SERVICE:
        # The list of a unit would tell the unit of a protected person without a reason (R37).
        statement = statement.where(~is_protected(registrations.c.person_id))
    if request.registrar_account_id:
        statement = statement.where(registrations.c.registrar_account_id == request.registrar_account_id)
    if request.HasField("due_before_date"):
        before = proto_dates.begin_of_day(request.due_before_date, "due_before_date")
        # A deadline at midnight is good for the day before (R44).
        statement = statement.where(registrations.c.deadline <= before)
    if request.undeliverable:
        statement = statement.where(registrations.c.undeliverable_since.is_not(None))
    return statement


def _stages(request: pb.ListRegistrationsRequest) -> frozenset[int]:
    """The stages asked for, without those that another filter excludes."""
    stages = (frozenset(request.stages) | {request.stage}) & _ALL or _ALL
    if request.undeliverable:
        stages &= {STAGE_WAITING_FOR_CONSENT}
    if request.HasField("due_before_date"):
        stages &= _WITH_DEADLINE
    return stages


def _in_stage(stage: int) -> Any:  # noqa: ANN401 - a condition
    # A literal: the planner needs it to use a partial index.
    return registrations.c.stage == literal(stage, literal_execute=True)
