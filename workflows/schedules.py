"""What starts by itself, again and again: Temporal's schedules."""

import structlog
from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleCalendarSpec,
    ScheduleRange,
    ScheduleSpec,
)
from temporalio.service import RPCError

from services.runtime.temporal import (
    TASK_QUEUE,
    OperatorText,
    PasswordReminderWorkflowNames,
    WorkDigestWorkflowNames,
)

log = structlog.get_logger()

_HOUR = 9
"""Of the day in Helsinki: people read mail then."""


async def prepare_schedules(client: Client) -> None:
    """Makes the schedules that are missing. One that is there stays as operators have left it."""
    await _prepare(client, PasswordReminderWorkflowNames, "Password reminders")
    await _prepare(client, WorkDigestWorkflowNames, "What is due in the work list")


async def _prepare(
    client: Client, names: type[PasswordReminderWorkflowNames | WorkDigestWorkflowNames], summary: str
) -> None:
    daily = Schedule(
        action=ScheduleActionStartWorkflow(
            names.WORKFLOW, id=names.SCHEDULE, task_queue=TASK_QUEUE, static_summary=OperatorText(summary)
        ),
        spec=ScheduleSpec(
            calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(_HOUR)])], time_zone_name="Europe/Helsinki"
        ),
    )
    try:
        await client.create_schedule(names.SCHEDULE, daily)
    except ScheduleAlreadyRunningError:
        return
    except RPCError as error:
        log.warning("schedule unknown", schedule=names.SCHEDULE, status=error.status.name)
