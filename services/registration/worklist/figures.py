"""How much is under way in all units, for customer service's front page: counted by indexes."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from sqlalchemy import RowMapping, Select, func, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.v1.class_list_service_pb2 import CLASS_LIST_STATE_RECEIVED, CLASS_LIST_STATE_RUNNING
from liity.v1.registration_pb2 import Stage
from liity.v1.work_service_pb2 import AgeFigure, GetFiguresResponse, StageFigure, WorkFigure, WorkItemKind
from services.registration.db.models import class_lists, registrations
from services.registration.registrations.reconciliation import UNFINISHED
from services.registration.worklist import items
from services.registration.worklist.items import Patience
from services.runtime.clock import now
from services.runtime.stages import UNDER_WAY

_AGES = (0, 1, 7, 14, 30)
"""The days with which each age begins."""

# Literals: the planner needs them to use the partial index.
_RUNNING = [
    literal(int(state), literal_execute=True)
    for state in (CLASS_LIST_STATE_RECEIVED, CLASS_LIST_STATE_RUNNING)
]
_CLASS_LISTS = select(func.count()).select_from(class_lists).where(class_lists.c.state.in_(_RUNNING))


async def figures(connection: AsyncConnection, patience: Patience) -> GetFiguresResponse:
    """The figures, without those of mail."""
    moment = now()
    stages = {row["stage"]: row for row in (await connection.execute(_by_stage(moment))).mappings()}
    waiting = (await connection.execute(items.totals(), {"moment": moment, **patience})).mappings()
    work = {row["kind"]: row for row in waiting}
    running = (await connection.execute(_CLASS_LISTS)).scalar_one()
    return GetFiguresResponse(
        registrations=[_of_stage(stage, stages) for stage in UNDER_WAY],
        work=[_of_kind(kind, work) for kind in WorkItemKind.values() if kind],
        class_lists_under_way=running,
    )


def _by_stage(moment: datetime) -> Select[Any]:
    """Counts the registrations under way, by stage and age."""
    since = registrations.c.updated_at
    # The first age has no latest moment: the clock of another server may be ahead.
    bounds = [None, *(moment - timedelta(days=days) for days in _AGES[1:]), None]
    ages = []
    for days, (latest, earliest) in zip(_AGES, pairwise(bounds), strict=True):
        within = [since <= latest] if latest is not None else []
        within += [since > earliest] if earliest is not None else []
        ages.append(func.count().filter(*within).label(f"from_{days}"))
    return select(registrations.c.stage, *ages).where(UNFINISHED).group_by(registrations.c.stage)


def _of_stage(stage: Stage.ValueType, rows: Mapping[int, RowMapping]) -> StageFigure:
    row = rows.get(stage)
    ages = [AgeFigure(from_days=days, count=row[f"from_{days}"] if row is not None else 0) for days in _AGES]
    return StageFigure(stage=stage, count=sum(age.count for age in ages), ages=ages)


def _of_kind(kind: WorkItemKind.ValueType, rows: Mapping[int, RowMapping]) -> WorkFigure:
    row = rows.get(kind)
    if row is None:
        return WorkFigure(kind=kind)
    return WorkFigure(kind=kind, count=row["total"], overdue=row["overdue"], oldest_time=row["oldest"])
