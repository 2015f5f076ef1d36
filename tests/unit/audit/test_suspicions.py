"""The rules of suspicious use: each at its threshold, and what an account's habits are."""

from datetime import UTC, date, datetime, timedelta

import pytest
from pydantic import ValidationError

from liity.v1.use_log_service_pb2 import (
    SUSPICION_RULE_EMPTY_LOOK_UPS,
    SUSPICION_RULE_OUTSIDE_HOURS,
    SUSPICION_RULE_UNUSUAL_NUMBER,
    SuspicionRule,
)
from services.registration.audit.anomaly_rules import DayOfUse, Span, SuspicionRules, suspicions
from services.registration.settings import RegistrationSettings
from services.runtime.settings import SettingsError, load

RULES = SuspicionRules(
    empty_look_ups=20, outside_hours=5, opens=6, closes=20, unusual_number=50, unusual_factor=5
)
DAY = date(2026, 3, 30)

Found = tuple[SuspicionRule.ValueType, str, date, int, int]


def use(
    day: date = DAY, *, looked_up: int = 1, empty: int = 0, outside: int = 0, account_id: str = "ac1"
) -> DayOfUse:
    """A day on which an account has looked up so many people."""
    noon = datetime(day.year, day.month, day.day, 10, tzinfo=UTC)

    def span(number: int) -> Span:
        return Span(number, noon, noon + timedelta(minutes=number)) if number else Span(0, None, None)

    return DayOfUse(account_id, day, "un1", span(looked_up), span(empty), span(outside))


def found(*uses: DayOfUse, since: date = DAY, rules: SuspicionRules = RULES) -> list[Found]:
    """What the rules find, and by how much."""
    return [
        (
            suspicion.rule,
            suspicion.use.account_id,
            suspicion.use.day,
            suspicion.span.number,
            suspicion.threshold,
        )
        for suspicion in suspicions(uses, since, rules)
    ]


def test_who_looks_up_a_few_people_is_nothing_to_look_at() -> None:
    assert found() == []
    assert found(use(looked_up=50, empty=20, outside=5)) == []


@pytest.mark.parametrize(("empty", "suspicious"), [(19, False), (20, False), (21, True)])
def test_many_look_ups_that_end_in_nothing(empty: int, suspicious: bool) -> None:
    expected = [(SUSPICION_RULE_EMPTY_LOOK_UPS, "ac1", DAY, empty, 20)] if suspicious else []
    assert found(use(looked_up=empty, empty=empty)) == expected


@pytest.mark.parametrize(("outside", "suspicious"), [(4, False), (5, False), (6, True)])
def test_look_ups_outside_of_working_hours(outside: int, suspicious: bool) -> None:
    expected = [(SUSPICION_RULE_OUTSIDE_HOURS, "ac1", DAY, outside, 5)] if suspicious else []
    assert found(use(looked_up=outside, outside=outside)) == expected


@pytest.mark.parametrize(("looked_up", "suspicious"), [(49, False), (50, False), (51, True)])
def test_many_look_ups_of_an_account_without_habits(looked_up: int, suspicious: bool) -> None:
    expected = [(SUSPICION_RULE_UNUSUAL_NUMBER, "ac1", DAY, looked_up, 50)] if suspicious else []
    assert found(use(looked_up=looked_up)) == expected


@pytest.mark.parametrize(("looked_up", "suspicious"), [(99, False), (100, False), (101, True)])
def test_many_look_ups_of_an_account_that_makes_many(looked_up: int, suspicious: bool) -> None:
    habits = [
        use(DAY - timedelta(days=day), looked_up=number) for day, number in ((1, 10), (7, 30), (14, 20))
    ]
    expected = [(SUSPICION_RULE_UNUSUAL_NUMBER, "ac1", DAY, looked_up, 100)] if suspicious else []
    assert found(*habits, use(looked_up=looked_up)) == expected


def test_few_look_ups_are_never_unusual_however_few_an_account_makes() -> None:
    habit = use(DAY - timedelta(days=1), looked_up=1)
    assert found(habit, use(looked_up=50)) == []
    assert [item[3:] for item in found(habit, use(looked_up=51))] == [(51, 50)]


@pytest.mark.parametrize(("days_ago", "threshold"), [(0, 50), (1, 200), (28, 200), (29, 50)])
def test_habits_are_those_of_the_four_weeks_before(days_ago: int, threshold: int) -> None:
    uses = [use(looked_up=201)]
    if days_ago:
        uses.append(use(DAY - timedelta(days=days_ago), looked_up=40))
    assert found(*uses) == [(SUSPICION_RULE_UNUSUAL_NUMBER, "ac1", DAY, 201, threshold)]


def test_a_day_to_come_is_no_habit() -> None:
    later = use(DAY + timedelta(days=1), looked_up=40)
    assert found(use(looked_up=51), later) == [(SUSPICION_RULE_UNUSUAL_NUMBER, "ac1", DAY, 51, 50)]


def test_habits_of_one_account_excuse_no_other() -> None:
    habit = use(DAY - timedelta(days=1), looked_up=40, account_id="ac2")
    assert [item[1] for item in found(habit, use(looked_up=51), use(looked_up=51, account_id="ac2"))] == [
        "ac1"
    ]


def test_a_day_may_meet_every_rule() -> None:
    assert [item[0] for item in found(use(looked_up=60, empty=30, outside=10))] == [
        SUSPICION_RULE_UNUSUAL_NUMBER,
        SUSPICION_RULE_EMPTY_LOOK_UPS,
        SUSPICION_RULE_OUTSIDE_HOURS,
    ]


def test_days_before_are_not_shown_and_the_most_recent_come_first() -> None:
    days = [DAY + timedelta(days=number) for number in (-1, 0, 3, 1, 2)]
    shown = [item[2] for item in found(*(use(day, looked_up=30, empty=30) for day in days))]
    assert shown == [DAY + timedelta(days=number) for number in (3, 2, 1, 0)]


def test_what_was_found_tells_its_own_first_and_last_moment() -> None:
    day = use(looked_up=60, empty=30)
    unusual, empty = suspicions([day], DAY, RULES)
    assert (unusual.span, empty.span) == (day.all, day.empty)


def test_the_strictest_rules_find_every_look_up() -> None:
    strict = SuspicionRules(
        empty_look_ups=0, outside_hours=0, opens=0, closes=1, unusual_number=0, unusual_factor=1
    )
    assert len(found(use(looked_up=1, empty=1, outside=1), rules=strict)) == 3
    assert found(use(DAY - timedelta(days=1), looked_up=2), use(looked_up=2), rules=strict) == []


# Settings


def settings(**own: int) -> RegistrationSettings:
    url = "postgresql+asyncpg://a:b@127.0.0.1/c"
    return RegistrationSettings.model_validate(
        {"listen": "", "keys_dir": "/nowhere", "database_url": url, **own}
    )


def test_settings_become_the_rules() -> None:
    assert settings().suspicion_rules() == RULES
    own = {field: getattr(RULES, field) + 1 for field in RULES._fields}
    rules = settings(**{f"suspicion_{field}": value for field, value in own.items()}).suspicion_rules()
    assert rules._asdict() == own


@pytest.mark.parametrize(("opens", "closes"), [(0, 1), (0, 24), (23, 24)])
def test_working_hours_may_be_any_part_of_a_day(opens: int, closes: int) -> None:
    rules = settings(suspicion_opens=opens, suspicion_closes=closes).suspicion_rules()
    assert (rules.opens, rules.closes) == (opens, closes)


@pytest.mark.parametrize(
    "own",
    [
        {"suspicion_opens": 8, "suspicion_closes": 8},
        {"suspicion_opens": 20, "suspicion_closes": 6},
        {"suspicion_opens": 20},
        {"suspicion_opens": -1},
        {"suspicion_opens": 24},
        {"suspicion_closes": 0},
        {"suspicion_closes": 25},
        {"suspicion_empty_look_ups": -1},
        {"suspicion_outside_hours": -1},
        {"suspicion_unusual_number": -1},
        {"suspicion_unusual_factor": 0},
    ],
)
def test_settings_that_say_nothing_sensible_are_refused(own: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        settings(**own)


def test_settings_that_contradict_stop_the_start_with_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "LISTEN": "127.0.0.1:1",
        "KEYS_DIR": "/nowhere",
        "DATABASE_URL": "postgresql+asyncpg://a:b@127.0.0.1/c",
        "SUSPICION_OPENS": "18",
        "SUSPICION_CLOSES": "8",
    }.items():
        monkeypatch.setenv(f"LIITY_{name}", value)
    with pytest.raises(SettingsError, match="LIITY_SUSPICION_OPENS must come before LIITY_SUSPICION_CLOSES"):
        load(RegistrationSettings)
