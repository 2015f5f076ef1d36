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

from services.runtime.temporal import PasswordReminderWorkflowNames as Names

log = structlog.get_logger()

_HOUR = 9
"""Of the day in Helsinki: people read mail then."""


async def prepare_schedules(client: Client) -> None:
    """Makes the schedules that are missing. One that is there stays as operators have left it."""
    reminders = Schedule(
        action=ScheduleActionStartWorkflow(
            Names.WORKFLOW,
            id=Names.SCHEDULE,
            task_queue=Names.TASK_QUEUE,
            static_summary="Password reminders",
        ),
        spec=ScheduleSpec(
            calendars=[ScheduleCalendarSpec(hour=[ScheduleRange(_HOUR)])], time_zone_name="Europe/Helsinki"
        ),
    )
    try:
        await client.create_schedule(Names.SCHEDULE, reminders)
    except ScheduleAlreadyRunningError:
        return
    except RPCError as error:
        log.warning("schedule unknown", schedule=Names.SCHEDULE, status=error.status.name)
