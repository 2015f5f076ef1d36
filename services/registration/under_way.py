"""What is under way, and what is late, as metrics. Every replica shows the same numbers."""

from prometheus_client import Gauge
from sqlalchemy import func, literal, select
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.v1.customer_form_pb2 import CustomerKind
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.registration_pb2 import Stage
from liity.v1.work_service_pb2 import WorkItemKind
from services.registration.db.models import UseLink, UseWaiting, customers, registrations
from services.registration.registrations.reconciliation import UNFINISHED
from services.registration.worklist.figures import figures
from services.registration.worklist.items import Patience
from services.runtime.stages import WAITING

_REGISTRATIONS = Gauge("liity_registrations", "Registrations under way.", ["stage", "kind"])
_OLDEST = Gauge(
    "liity_registration_oldest_timestamp_seconds",
    "When that one last changed which has not changed for longest.",
    ["stage", "kind"],
)
_DEADLINE = Gauge(
    "liity_registration_first_deadline_timestamp_seconds",
    "The earliest deadline of those that wait.",
    ["stage", "kind"],
)
_WORK = Gauge("liity_work_items", "Items of customer service's work list.", ["kind"])
_OVERDUE = Gauge("liity_work_items_overdue", "Those whose deadline is over.", ["kind"])
_CLASS_LISTS = Gauge("liity_class_lists_under_way", "Class lists that are not done.")
_MARKED = Gauge("liity_customers_marked_for_deletion", "Customers whose data is to be erased (R20).")
_CHAINED = Gauge("liity_use_log_chained", "Entries in the chain of the log of use (R36).")
_UNCHAINED = Gauge("liity_use_log_unchained", "Entries that are not in the chain yet.")

_UNDER_WAY = (
    select(
        registrations.c.stage,
        registrations.c.kind,
        func.count().label("total"),
        func.min(registrations.c.updated_at).label("oldest"),
        func.min(registrations.c.deadline).label("deadline"),
    )
    .where(UNFINISHED)
    .group_by(registrations.c.stage, registrations.c.kind)
)

# A literal: the planner needs it to use the partial index.
_STATE = literal(int(CUSTOMER_STATE_MARKED_FOR_DELETION), literal_execute=True)

_COUNTS = (
    (_MARKED, select(func.count()).select_from(customers).where(customers.c.state == _STATE)),
    (_CHAINED, select(func.coalesce(func.max(UseLink.sequence), 0))),
    (_UNCHAINED, select(func.count()).select_from(UseWaiting)),
)


async def measure(engine: AsyncEngine, patience: Patience) -> None:
    """Counts what is under way now."""
    async with engine.connect() as connection:
        rows = (await connection.execute(_UNDER_WAY)).all()
        counted = await figures(connection, patience)
        counts = [(gauge, await connection.scalar(statement)) for gauge, statement in _COUNTS]
    for gauge in (_REGISTRATIONS, _OLDEST, _DEADLINE):
        gauge.clear()
    for row in rows:
        labels = (
            Stage.Name(row.stage).removeprefix("STAGE_"),
            CustomerKind.Name(row.kind).removeprefix("CUSTOMER_KIND_"),
        )
        _REGISTRATIONS.labels(*labels).set(row.total)
        _OLDEST.labels(*labels).set(row.oldest.timestamp())
        if row.deadline is not None and row.stage in WAITING:
            _DEADLINE.labels(*labels).set(row.deadline.timestamp())
    for figure in counted.work:
        kind = WorkItemKind.Name(figure.kind).removeprefix("WORK_ITEM_KIND_")
        _WORK.labels(kind).set(figure.count)
        _OVERDUE.labels(kind).set(figure.overdue)
    _CLASS_LISTS.set(counted.class_lists_under_way)
    for gauge, count in counts:
        gauge.set(count or 0)
