"""When the welcome and the reminders are due, over summer and winter time."""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liity.workflows.v1.registration_workflow_pb2 import Timetable
from services.runtime.clock import HELSINKI, helsinki_day, helsinki_moment
from workflows.settings import WorkerSettings
from workflows.support.deadlines import (
    address_reminder_time,
    lapse_time,
    last_welcome_time,
    reminder_times,
    welcome_time,
)


def settings(**own: object) -> WorkerSettings:
    least = {"identity_target": "", "registration_target": "", "notification_target": ""}
    folders = {"keys_dir": Path("keys"), "erasure_ledger_dir": Path("erasures")}
    return WorkerSettings.model_validate({**folders, **least, **own})


USUAL = settings().timetable()
AT_THE_HOUR = settings(workflows_morning_spread="PT0S").timetable()


def in_helsinki(year: int, month: int, day: int, hour: int, minute: int = 0, *, fold: int = 0) -> datetime:
    """A moment by the clock on a Helsinki wall."""
    return datetime(year, month, day, hour, minute, tzinfo=HELSINKI, fold=fold).astimezone(UTC)


@pytest.mark.parametrize(
    ("begun", "welcomed", "utc_hour"),
    [
        (in_helsinki(2026, 6, 1, 12), date(2026, 6, 15), 6),
        (in_helsinki(2026, 12, 1, 12), date(2026, 12, 15), 7),
        # Summer time ends on 25 October 2026 and begins on 28 March 2027.
        (in_helsinki(2026, 10, 20, 12), date(2026, 11, 3), 7),
        (in_helsinki(2026, 10, 11, 12), date(2026, 10, 25), 7),
        (in_helsinki(2026, 10, 10, 12), date(2026, 10, 24), 6),
        (in_helsinki(2027, 3, 20, 12), date(2027, 4, 3), 6),
        (in_helsinki(2027, 3, 14, 12), date(2027, 3, 28), 6),
        (in_helsinki(2027, 3, 13, 12), date(2027, 3, 27), 7),
        # The hour that comes twice.
        (in_helsinki(2026, 10, 25, 3, 30), date(2026, 11, 8), 7),
        (in_helsinki(2026, 10, 25, 3, 30, fold=1), date(2026, 11, 8), 7),
        # The day is the one in Helsinki, not in UTC.
        (in_helsinki(2026, 6, 1, 0, 0), date(2026, 6, 15), 6),
        (in_helsinki(2026, 6, 1, 23, 59), date(2026, 6, 15), 6),
        (datetime(2026, 6, 1, 20, 59, 59, tzinfo=UTC), date(2026, 6, 15), 6),
        (datetime(2026, 6, 1, 21, 0, tzinfo=UTC), date(2026, 6, 16), 6),
        (datetime(2026, 12, 31, 22, 0, tzinfo=UTC), date(2027, 1, 15), 7),
        # Over a leap day.
        (in_helsinki(2028, 2, 20, 12), date(2028, 3, 5), 7),
    ],
)
def test_the_welcome_is_at_nine_in_helsinki_on_the_fourteenth_day(
    begun: datetime, welcomed: date, utc_hour: int
) -> None:
    due = welcome_time(begun, AT_THE_HOUR, "r1")
    assert due == datetime(welcomed.year, welcomed.month, welcomed.day, utc_hour, tzinfo=UTC)
    assert due.astimezone(HELSINKI).hour == 9


@given(st.timedeltas(timedelta(0), timedelta(days=5000)))
def test_whenever_it_begins_it_is_nine_fourteen_days_on(after: timedelta) -> None:
    begun = datetime(2026, 1, 1, tzinfo=UTC) + after
    due = welcome_time(begun, AT_THE_HOUR, "r1").astimezone(HELSINKI)
    assert (due.hour, due.minute, due.second, due.microsecond) == (9, 0, 0, 0)
    assert due.date() - helsinki_day(begun) == timedelta(days=14)


def test_the_welcomes_of_a_morning_are_spread_over_it_each_at_its_own_moment() -> None:
    begun = in_helsinki(2026, 6, 1, 12)
    registrations = [f"{number:032x}" for number in range(6000)]
    due = [welcome_time(begun, USUAL, registration).astimezone(HELSINKI) for registration in registrations]
    assert {(moment.date(), moment.hour) for moment in due} == {(date(2026, 6, 15), 9)}
    in_minute = Counter(moment.minute for moment in due)
    assert len(in_minute) == 60
    assert max(in_minute.values()) < 150
    again = [welcome_time(begun, USUAL, registration).astimezone(HELSINKI) for registration in registrations]
    assert again == due


def test_a_registration_of_a_release_before_is_welcomed_at_the_hour_itself() -> None:
    kept = Timetable.FromString(USUAL.SerializeToString())
    kept.ClearField("morning_spread")
    assert welcome_time(in_helsinki(2026, 6, 1, 12), kept, "r1") == in_helsinki(2026, 6, 15, 9)


@pytest.mark.parametrize(
    "delay", [timedelta(seconds=1), timedelta(seconds=10), timedelta(hours=23, minutes=59)]
)
def test_a_short_delay_counts_to_the_second(delay: timedelta) -> None:
    begun = in_helsinki(2026, 10, 24, 12, 34) + timedelta(seconds=56)
    timetable = settings(workflows_welcome_delay=delay).timetable()
    assert welcome_time(begun, timetable, "r1") == begun + delay


def test_a_delay_of_a_day_counts_to_the_hour() -> None:
    own = settings(workflows_welcome_delay="P1D", workflows_welcome_hour=0, workflows_morning_spread="PT0S")
    begun = in_helsinki(2026, 6, 1, 23, 59)
    assert welcome_time(begun, own.timetable(), "r1") == in_helsinki(2026, 6, 2, 0)


def test_reminders_come_on_days_7_14_and_21_and_the_lapse_on_day_30() -> None:
    asked = datetime(2026, 10, 20, 12, tzinfo=UTC)
    assert [moment - asked for moment in reminder_times(asked, USUAL)] == [
        timedelta(days=days) for days in (7, 14, 21)
    ]
    # With the end of the 30th day in Helsinki (R44).
    assert lapse_time(asked, USUAL) == in_helsinki(2026, 11, 20, 0)


def test_shortened_durations_come_as_they_are_set() -> None:
    own = settings(workflows_consent_reminders=("PT1S", "PT2.5S"), workflows_consent_lapse="PT4S")
    asked = datetime(2026, 10, 20, 12, tzinfo=UTC)
    reminders = [moment - asked for moment in reminder_times(asked, own.timetable())]
    assert reminders == [timedelta(seconds=1), timedelta(seconds=2.5)]
    assert lapse_time(asked, own.timetable()) - asked == timedelta(seconds=4)


def test_without_reminders_there_is_only_the_lapse() -> None:
    timetable = settings(workflows_consent_reminders=()).timetable()
    assert list(reminder_times(datetime(2026, 1, 1, tzinfo=UTC), timetable)) == []


def test_a_timetable_kept_by_a_registration_is_what_counts() -> None:
    kept = Timetable.FromString(USUAL.SerializeToString())
    begun = in_helsinki(2026, 6, 1, 12)
    assert welcome_time(begun, kept, "r1") == welcome_time(begun, USUAL, "r1")


@pytest.mark.parametrize(
    ("day", "moment"),
    [
        (date(2026, 6, 15), datetime(2026, 6, 14, 21, tzinfo=UTC)),
        (date(2026, 12, 15), datetime(2026, 12, 14, 22, tzinfo=UTC)),
        (date(2026, 10, 25), datetime(2026, 10, 24, 21, tzinfo=UTC)),
        (date(2026, 10, 26), datetime(2026, 10, 25, 22, tzinfo=UTC)),
        (date(2027, 3, 28), datetime(2027, 3, 27, 22, tzinfo=UTC)),
        (date(2027, 3, 29), datetime(2027, 3, 28, 21, tzinfo=UTC)),
    ],
)
def test_a_birthday_begins_at_midnight_in_helsinki(day: date, moment: datetime) -> None:
    assert helsinki_moment(day) == moment
    assert helsinki_day(moment) == day
    assert helsinki_day(moment - timedelta(microseconds=1)) == day - timedelta(days=1)


def test_a_registrars_own_address_is_reminded_of_after_a_week_and_holds_the_welcome_two_more() -> None:
    begun = in_helsinki(2026, 12, 1, 12)
    assert address_reminder_time(begun, USUAL) == begun + timedelta(days=7)
    welcome = welcome_time(begun, USUAL, "r1")
    assert last_welcome_time(welcome, USUAL) == welcome + timedelta(days=14)
