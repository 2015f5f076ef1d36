"""When what is due: pure functions of a timetable and a moment."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from liity.workflows.v1.registration_workflow_pb2 import Timetable
from services.runtime.clock import helsinki_day, helsinki_moment


def welcome_time(begun: datetime, timetable: Timetable) -> datetime:
    """When the welcome mail goes out (R26): at the welcome hour in Helsinki on the day the delay leads to.

    A delay of less than a day, for demonstrations, counts to the second.
    """
    delay = timetable.welcome_delay.ToTimedelta()
    if delay < timedelta(days=1):
        return begun + delay
    return helsinki_moment(helsinki_day(begun) + delay, timetable.welcome_hour)


def address_reminder_time(begun: datetime, timetable: Timetable) -> datetime:
    """When the registrar whose own address is on file is reminded (R27)."""
    return begun + timetable.address_reminder.ToTimedelta()


def last_welcome_time(welcome: datetime, timetable: Timetable) -> datetime:
    """Until when the welcome waits for the customer's own address (R27)."""
    return welcome + timetable.address_patience.ToTimedelta()


def reminder_times(asked: datetime, timetable: Timetable) -> Iterator[datetime]:
    """When the guardian is reminded (R30), ascending."""
    return (asked + reminder.ToTimedelta() for reminder in timetable.consent_reminders)


def lapse_time(asked: datetime, timetable: Timetable) -> datetime:
    """When a consent request lapses (R30)."""
    return asked + timetable.consent_lapse.ToTimedelta()
