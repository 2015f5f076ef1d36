"""Deadlines: pure functions of a timetable and a moment."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from liity.workflows.v1.registration_workflow_pb2 import Timetable
from services.runtime.clock import deadline_after, helsinki_day, helsinki_moment
from workflows.support.spread import own_share


def welcome_time(begun: datetime, timetable: Timetable, registration_id: str) -> datetime:
    """When the welcome mail is sent (R26): from the welcome hour in Helsinki on, on the day after the delay.

    A delay of less than a day, for demonstrations, counts to the second.
    """
    delay = timetable.welcome_delay.ToTimedelta()
    if delay < timedelta(days=1):
        return begun + delay
    due = helsinki_moment(helsinki_day(begun) + delay, timetable.welcome_hour)
    return due + own_share(timetable.morning_spread.ToTimedelta(), registration_id)


def address_reminder_time(begun: datetime, timetable: Timetable) -> datetime:
    """When the registrar is reminded of their own address on file (R27)."""
    return begun + timetable.address_reminder.ToTimedelta()


def last_welcome_time(welcome: datetime, timetable: Timetable) -> datetime:
    """The latest time of the welcome mail while it waits for the customer's own address (R27)."""
    return welcome + timetable.address_patience.ToTimedelta()


def reminder_times(asked: datetime, timetable: Timetable) -> Iterator[datetime]:
    """When the guardian is reminded (R30), ascending."""
    return (asked + reminder.ToTimedelta() for reminder in timetable.consent_reminders)


def reminder_gap(timetable: Timetable) -> timedelta:
    """The least time from a mail to the guardian to the unit's reminder, and from it to an automatic one."""
    return timetable.reminder_gap.ToTimedelta() if timetable.HasField("reminder_gap") else timedelta(days=3)


def lapse_time(asked: datetime, timetable: Timetable) -> datetime:
    """When a consent request lapses (R30): with the end of a day (R44)."""
    return deadline_after(asked, timetable.consent_lapse.ToTimedelta())
