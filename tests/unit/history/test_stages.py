"""The judge of stages."""

import pytest

from liity.v1.registration_pb2 import (
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_RECEIVED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
    Stage,
)
from tests.support.history.stages import NEXT, judge, unfinished
from tests.unit.history.made_up import LIBRARY, MadeUp, told_registration


def seen(*stages: Stage.ValueType) -> MadeUp:
    """A registration that readers see in these stages, one after another."""
    made_up = MadeUp()
    for moment, stage in enumerate(stages):
        made_up.read(moment, stage)
    return made_up


def faults(made_up: MadeUp) -> int:
    return len(list(judge(made_up.history)))


@pytest.mark.parametrize(
    "stages",
    [
        (STAGE_RECEIVED, STAGE_WAITING_FOR_CONSENT, STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED),
        (STAGE_RECEIVED, STAGE_WELCOMED, STAGE_WELCOMED),
        (STAGE_WAITING_FOR_CONSENT, STAGE_DECLINED),
    ],
)
def test_what_goes_on_is_accepted(stages: tuple[Stage.ValueType, ...]) -> None:
    assert faults(seen(*stages)) == 0


@pytest.mark.parametrize(
    "stages",
    [
        (STAGE_ACTIVE, STAGE_WAITING_FOR_CONSENT),
        (STAGE_WELCOMED, STAGE_CREDENTIALS_SENT),
        (STAGE_DECLINED, STAGE_ACTIVE),
        (STAGE_WITHDRAWN, STAGE_WAITING_FOR_CONSENT),
        (STAGE_CREDENTIALS_SENT, STAGE_WITHDRAWN),
    ],
)
def test_what_goes_back_is_refused(stages: tuple[Stage.ValueType, ...]) -> None:
    assert faults(seen(*stages)) == 1


def test_readings_at_the_same_time_are_in_no_order() -> None:
    made_up = MadeUp()
    made_up.read(1, STAGE_ACTIVE, seconds=3)
    made_up.read(2, STAGE_WAITING_FOR_CONSENT)
    assert faults(made_up) == 0


def test_lists_and_saves_are_readings_too() -> None:
    made_up = MadeUp()
    made_up.save(1, stage=STAGE_ACTIVE)
    made_up.list(2, told_registration(LIBRARY, "r1", STAGE_WAITING_FOR_CONSENT))
    assert faults(made_up) == 1


def test_a_welcome_comes_again_only_after_an_end_was_undone() -> None:
    made_up = seen(STAGE_WELCOMED, STAGE_CREDENTIALS_SENT)
    made_up.save(0.1)
    assert faults(made_up) > 0
    made_up.undo(0.6)
    assert faults(made_up) == 0


def test_a_stage_before_an_acknowledged_act_is_refused_after_it() -> None:
    made_up = MadeUp()
    made_up.save(1, child=True, stage=STAGE_WAITING_FOR_CONSENT)
    made_up.accept(2)
    made_up.read(2.2, STAGE_WAITING_FOR_CONSENT)
    assert faults(made_up) == 0
    made_up.read(3, STAGE_WAITING_FOR_CONSENT)
    assert faults(made_up) == 1


def test_who_declines_does_not_begin() -> None:
    made_up = MadeUp()
    made_up.save(1, child=True, stage=STAGE_WAITING_FOR_CONSENT)
    made_up.decline(2)
    made_up.read(3, STAGE_WAITING_FOR_CONSENT)
    assert faults(made_up) == 0
    made_up.read(4, STAGE_ACTIVE)
    assert faults(made_up) == 1


def test_a_registration_that_stands_still_is_told() -> None:
    assert list(unfinished(seen(STAGE_ACTIVE, STAGE_WELCOMED).history)) == []
    assert list(unfinished(seen(STAGE_WAITING_FOR_CONSENT).history)) == []
    assert len(list(unfinished(seen(STAGE_CREDENTIALS_SENT).history))) == 1


def test_a_decline_that_never_ends_a_registration_is_told() -> None:
    made_up = seen(STAGE_WAITING_FOR_CONSENT)
    answer = made_up.history.calls[0].answer
    answer.registration.decline_end_time.seconds = 1  # type: ignore[union-attr]
    assert len(list(unfinished(made_up.history))) == 1


def test_every_stage_has_its_followers_or_is_an_end() -> None:
    ends = {"DECLINED", "LAPSED", "WITHDRAWN", "REJECTED", "LINKED", "MERGED"}
    named = {Stage.Name(stage).removeprefix("STAGE_") for stage in NEXT}
    assert named | ends | {"UNSPECIFIED"} == {name.removeprefix("STAGE_") for name in Stage.keys()}  # noqa: SIM118
