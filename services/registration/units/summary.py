"""A unit in figures, for its home page. Each figure is counted by an index."""

from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.v1.class_list_service_pb2 import CLASS_LIST_STATE_RECEIVED, CLASS_LIST_STATE_RUNNING
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE, EMAIL_STATE_UNDELIVERABLE
from liity.v1.message_service_pb2 import MESSAGE_STATE_OPEN
from liity.v1.reason_pb2 import REASON_UNIT_NOT_FOUND
from liity.v1.registration_pb2 import STAGE_WAITING_FOR_CONSENT
from liity.v1.unit_service_pb2 import GetUnitSummaryResponse
from services.registration.customers import listing
from services.registration.db.models import class_lists, customers, messages, registrations, units
from services.runtime.clock import helsinki_day, helsinki_moment, now, to_proto_date
from services.runtime.rpc.errors import not_found
from services.runtime.stages import BEGUN, WAITING_FOR_CUSTOMER_SERVICE

_NEEDS_WITHIN = timedelta(days=30)


async def summary(connection: AsyncConnection, unit_id: str) -> GetUnitSummaryResponse:
    """The figures of a unit. NOT_FOUND (UNIT_NOT_FOUND)."""
    today = helsinki_day(now())
    before = today + _NEEDS_WITHIN + timedelta(days=1)
    row = (await connection.execute(_counts(unit_id, today, before))).mappings().first()
    if row is None:
        raise not_found(REASON_UNIT_NOT_FOUND)
    return GetUnitSummaryResponse(**row, need_ends_before_date=to_proto_date(before))


def _counts(unit_id: str, today: date, before: date) -> Select[Any]:
    in_stage = registrations.c.stage
    refused = registrations.c.undeliverable_since.is_not(None)
    in_force = _one_of(customers.c.state, CUSTOMER_STATE_ACTIVE)
    failed = _one_of(customers.c.email_state, EMAIL_STATE_UNDELIVERABLE)
    under_way = _one_of(class_lists.c.state, CLASS_LIST_STATE_RECEIVED, CLASS_LIST_STATE_RUNNING)
    is_open = _one_of(messages.c.state, MESSAGE_STATE_OPEN)
    this_year = registrations.c.created_at >= helsinki_moment(date(today.year, 1, 1))
    conditions: dict[str, tuple[ColumnElement[bool], ...]] = {
        "waiting_for_consent": (_one_of(in_stage, STAGE_WAITING_FOR_CONSENT),),
        "waiting_for_customer_service": (_one_of(in_stage, *WAITING_FOR_CUSTOMER_SERVICE),),
        "undeliverable_guardians": (_one_of(in_stage, STAGE_WAITING_FOR_CONSENT), refused),
        "registered_this_year": (_one_of(in_stage, *BEGUN), this_year),
        "undeliverable_customers": (in_force, failed),
        "temporary_needs_ending": (in_force, *listing.need_ends_before(before)),
        "class_lists_under_way": (under_way,),
        "open_messages": (is_open,),
    }
    tables = {
        "undeliverable_customers": customers,
        "temporary_needs_ending": customers,
        "class_lists_under_way": class_lists,
        "open_messages": messages,
    }
    counts = []
    for name, condition in conditions.items():
        table = tables.get(name, registrations)
        count = select(func.count()).select_from(table).where(table.c.unit_id == unit_id, *condition)
        counts.append(count.scalar_subquery().label(name))
    return select(*counts).select_from(units).where(units.c.unit_id == unit_id)


def _one_of(column: ColumnElement[int], *values: int) -> ColumnElement[bool]:
    # Literals: the planner needs them to use partial indexes.
    literals = [literal(int(value), literal_execute=True) for value in values]
    return column == literals[0] if len(literals) == 1 else column.in_(literals)
