"""Suspicious use, counted by PostgreSQL: days and hours are those of Helsinki."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from deploy.local.postgres import EmbeddedPostgres
from liity.registration.v1.use_log_service_pb2 import ListSuspicionsRequest
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, ACTOR_KIND_LINK, ACTOR_KIND_OPERATOR, ACTOR_KIND_SYSTEM
from liity.v1.use_log_service_pb2 import (
    SUSPICION_RULE_EMPTY_LOOK_UPS,
    SUSPICION_RULE_OUTSIDE_HOURS,
    SUSPICION_RULE_UNUSUAL_NUMBER,
    Suspicion,
)
from tests.services.registration.audit.uses import service_role
from tests.support.registration_service import Service, timestamp, violations

HELSINKI = ZoneInfo("Europe/Helsinki")
MONDAY = datetime(2026, 3, 30, 12, tzinfo=HELSINKI)
"""The day after summer time has begun, far from what other tests write."""


@pytest.fixture
def account_id() -> str:
    """An account of the test's own."""
    return uuid.uuid4().hex


async def write(postgres: EmbeddedPostgres, account_id: str, *moments: datetime, **own: Any) -> None:
    """Entries of look-ups at moments of the test's choice."""
    about = {
        "kind": ACTOR_KIND_ACCOUNT,
        "unit": "un1",
        "action": "customer:look-up",
        "subjects": ["s1"],
    } | own
    async with service_role(postgres) as connection:
        await connection.executemany(
            "INSERT INTO use_entries VALUES (gen_random_uuid(), $1, $2, $3, 1, $4, $5, $6, 'OK', '', '')",
            [
                (moment, about["kind"], account_id, about["unit"], about["action"], about["subjects"])
                for moment in moments
            ],
        )


async def suspicions(
    service: Service, account_id: str, since: datetime = MONDAY - timedelta(days=60)
) -> list[Suspicion]:
    """What is shown of an account."""
    stub = UseLogServiceStub(service.gateway.channel)
    request = ListSuspicionsRequest(start_time=timestamp(since.astimezone(UTC)))
    shown = await service.gateway.call(stub.ListSuspicions, request)
    assert len(shown.suspicions) <= 200
    return [found for found in shown.suspicions if found.account_id == account_id]


def every_minute(start: datetime, number: int) -> list[datetime]:
    return [start + timedelta(minutes=minute) for minute in range(number)]


@pytest.mark.parametrize("empty", [20, 21])
async def test_look_ups_that_found_nobody(
    service: Service, postgres: EmbeddedPostgres, account_id: str, empty: int
) -> None:
    moments = every_minute(MONDAY, empty)
    await write(postgres, account_id, *moments, subjects=[])
    await write(postgres, account_id, *every_minute(MONDAY + timedelta(hours=1), 25))
    found = await suspicions(service, account_id)
    if empty == 20:
        assert found == []
        return
    assert found == [
        Suspicion(
            rule=SUSPICION_RULE_EMPTY_LOOK_UPS,
            account_id=account_id,
            unit="units/un1",
            count=21,
            threshold=20,
            start_time=timestamp(moments[0].astimezone(UTC)),
            end_time=timestamp(moments[-1].astimezone(UTC)),
        )
    ]


@pytest.mark.parametrize("number", [50, 51])
async def test_far_more_look_ups_than_usual(
    service: Service, postgres: EmbeddedPostgres, account_id: str, number: int
) -> None:
    await write(postgres, account_id, *every_minute(MONDAY, number))
    await write(postgres, account_id, *every_minute(MONDAY - timedelta(days=7), 3))
    rules = [(found.rule, found.count, found.threshold) for found in await suspicions(service, account_id)]
    assert rules == ([(SUSPICION_RULE_UNUSUAL_NUMBER, 51, 50)] if number == 51 else [])


async def test_habits_reach_back_beyond_the_days_that_are_shown(
    service: Service, postgres: EmbeddedPostgres, account_id: str
) -> None:
    await write(postgres, account_id, *every_minute(MONDAY - timedelta(days=28), 40))
    await write(postgres, account_id, *every_minute(MONDAY, 201))
    found = await suspicions(service, account_id, MONDAY)
    assert [(item.count, item.threshold) for item in found] == [(201, 200)]


def helsinki(*local: int, fold: int = 0) -> datetime:
    """The moment at which clocks in Helsinki show this."""
    return datetime(*local, tzinfo=HELSINKI, fold=fold).astimezone(UTC)  # type: ignore[arg-type]


HOURS = {
    "Monday 05:59:59": (helsinki(2026, 3, 30, 5, 59, 59), True),
    "Monday 06:00": (helsinki(2026, 3, 30, 6), False),
    "Monday 19:59": (helsinki(2026, 3, 30, 19, 59), False),
    "Monday 20:00": (helsinki(2026, 3, 30, 20), True),
    "Friday noon": (helsinki(2026, 3, 27, 12), False),
    "Saturday noon": (helsinki(2026, 3, 28, 12), True),
    "Sunday noon": (helsinki(2026, 3, 29, 12), True),
    "Good Friday noon": (helsinki(2026, 4, 3, 12), True),
    # 06:00 in Helsinki is 04:00 UTC in winter, and 03:00 in summer.
    "winter 06:00": (helsinki(2026, 3, 27, 6), False),
    "winter 05:30": (helsinki(2026, 3, 27, 5, 30), True),
    "summer 05:30": (helsinki(2026, 3, 31, 5, 30), True),
    "winter 20:00": (helsinki(2026, 10, 26, 20), True),
    "summer 19:30": (helsinki(2026, 10, 23, 19, 30), False),
    # Summer time begins at three and ends at four on Sundays: hours that are not there, and there twice.
    "the night without 03:30": (helsinki(2026, 3, 29, 4, 30), True),
    "the night with 03:30 twice": (helsinki(2026, 10, 25, 3, 30, fold=1), True),
}


@pytest.mark.parametrize(("moment", "outside"), HOURS.values(), ids=HOURS.keys())
async def test_working_hours_are_those_of_helsinki(
    service: Service,
    postgres: EmbeddedPostgres,
    account_id: str,
    moment: datetime,
    outside: bool,
) -> None:
    await write(postgres, account_id, *[moment] * 6)
    found = await suspicions(service, account_id)
    expected = [(SUSPICION_RULE_OUTSIDE_HOURS, 6, 5, moment)] if outside else []
    assert [
        (item.rule, item.count, item.threshold, item.start_time.ToDatetime(UTC)) for item in found
    ] == expected


async def test_five_at_night_are_nothing_yet_and_other_hours_do_not_count(
    service: Service, postgres: EmbeddedPostgres, account_id: str
) -> None:
    await write(postgres, account_id, *every_minute(MONDAY.replace(hour=22), 5))
    await write(postgres, account_id, *every_minute(MONDAY, 30))
    assert await suspicions(service, account_id) == []


@pytest.mark.parametrize("midnight", ["2026-03-30T21:00:00Z", "2026-03-26T22:00:00Z"])
async def test_a_day_ends_at_midnight_in_helsinki(
    service: Service, postgres: EmbeddedPostgres, account_id: str, midnight: str
) -> None:
    """21:00 UTC in summer, 22:00 in winter."""
    end = datetime.fromisoformat(midnight)
    before = [end - timedelta(seconds=1 + number) for number in range(20)]
    after = [end + timedelta(seconds=number) for number in range(20)]
    await write(postgres, account_id, *before, *after, subjects=[])
    rules = {found.rule for found in await suspicions(service, account_id)}
    assert SUSPICION_RULE_EMPTY_LOOK_UPS not in rules
    await write(postgres, account_id, end, subjects=[])
    (found,) = [
        found
        for found in await suspicions(service, account_id)
        if found.rule == SUSPICION_RULE_EMPTY_LOOK_UPS
    ]
    assert found.start_time.ToDatetime(UTC) == end


async def test_the_first_day_that_is_shown_is_shown_whole(
    service: Service, postgres: EmbeddedPostgres, account_id: str
) -> None:
    await write(postgres, account_id, *every_minute(MONDAY.replace(hour=0), 6))
    assert len(await suspicions(service, account_id, MONDAY.replace(hour=23))) == 1
    assert await suspicions(service, account_id, MONDAY + timedelta(days=1)) == []


@pytest.mark.parametrize(
    "other",
    [
        {"kind": ACTOR_KIND_LINK},
        {"kind": ACTOR_KIND_OPERATOR},
        {"kind": ACTOR_KIND_SYSTEM},
        {"action": "registration:read"},
    ],
    ids=["link", "operator", "system", "reading"],
)
async def test_only_look_ups_of_accounts_are_counted(
    service: Service, postgres: EmbeddedPostgres, account_id: str, other: dict[str, Any]
) -> None:
    await write(postgres, account_id, *every_minute(MONDAY.replace(hour=1), 60), subjects=[], **other)
    assert await suspicions(service, account_id) == []


async def test_the_unit_shown_is_that_of_most_look_ups(
    service: Service, postgres: EmbeddedPostgres, account_id: str
) -> None:
    await write(postgres, account_id, *every_minute(MONDAY, 11), subjects=[], unit="una")
    await write(postgres, account_id, *every_minute(MONDAY, 12), subjects=[], unit="unb")
    (found,) = await suspicions(service, account_id)
    assert (found.count, found.unit) == (23, "units/unb")


@pytest.mark.parametrize(
    "since",
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1999, 12, 31, tzinfo=UTC),
        datetime(2100, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ],
)
async def test_any_moment_may_be_asked_for(
    service: Service, postgres: EmbeddedPostgres, account_id: str, since: datetime
) -> None:
    await write(postgres, account_id, *every_minute(MONDAY, 21), subjects=[])
    assert len(await suspicions(service, account_id, since)) == (since < MONDAY)


async def test_no_moment_at_all_is_refused(service: Service) -> None:
    stub = UseLogServiceStub(service.gateway.channel)
    for request in (ListSuspicionsRequest(), ListSuspicionsRequest(start_time={"seconds": 10**12})):
        assert set(await violations(service.gateway.call(stub.ListSuspicions, request))) == {"start_time"}


async def test_at_most_200_are_shown_and_those_are_the_most_recent(
    service: Service, postgres: EmbeddedPostgres
) -> None:
    first = datetime(2031, 1, 6, 1, tzinfo=HELSINKI)
    for number in range(205):
        await write(postgres, f"many{number:03}", *[first + timedelta(days=number)] * 6)
    stub = UseLogServiceStub(service.gateway.channel)
    request = ListSuspicionsRequest(start_time=timestamp(first.astimezone(UTC)))
    shown = (await service.gateway.call(stub.ListSuspicions, request)).suspicions
    assert [found.account_id for found in shown] == [f"many{number:03}" for number in range(204, 4, -1)]
