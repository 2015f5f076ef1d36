"""Temporal schedules of recurring workflows."""

from datetime import timedelta

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleIntervalSpec,
    ScheduleRange,
    ScheduleSpec,
)
from temporalio.service import RPCError

from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import (
    TASK_QUEUE,
    PasswordReminderWorkflowNames,
    ReconciliationWorkflowNames,
    WorkDigestWorkflowNames,
    behind_saves,
)

log = structlog.get_logger()

_Names = PasswordReminderWorkflowNames | WorkDigestWorkflowNames | ReconciliationWorkflowNames

_HOUR = 9
"""Hour of the day in Helsinki: people read mail then."""


_EVERY = timedelta(minutes=5)
"""Interval of reconciliation. A run that takes longer is not joined by a second."""


async def prepare_schedules(client: Client) -> None:
    """Creates missing schedules, and triggers reconciliation now.

    An existing schedule stays as operators have left it.
    """
    daily = ScheduleSpec(
        calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(_HOUR)])], time_zone_name="Europe/Helsinki"
    )
    often = ScheduleSpec(intervals=[ScheduleIntervalSpec(every=_EVERY)])
    await _prepare(client, PasswordReminderWorkflowNames, "Password reminders", daily)
    await _prepare(client, WorkDigestWorkflowNames, "Daily mail of work that is due", daily)
    await _prepare(client, ReconciliationWorkflowNames, "Reconciliation of rows and runs", often)
    try:
        await client.get_schedule_handle(ReconciliationWorkflowNames.SCHEDULE).trigger()
    except RPCError as error:
        log.warning("reconciliation not begun", status=error.status.name)


async def _prepare(client: Client, names: type[_Names], summary: str, spec: ScheduleSpec) -> None:
    schedule = Schedule(
        action=ScheduleActionStartWorkflow(
            names.WORKFLOW,
            id=names.SCHEDULE,
            task_queue=TASK_QUEUE,
            static_summary=OperatorText(summary),
            priority=behind_saves(),
        ),
        spec=spec,
    )
    try:
        await client.create_schedule(names.SCHEDULE, schedule)
    except ScheduleAlreadyRunningError:
        return
    except RPCError as error:
        log.warning("schedule unknown", schedule=names.SCHEDULE, status=error.status.name)
