"""All judges together, over whole histories that may stand."""

import pytest

from tests.support.history.judgement import JUDGES, faults
from tests.unit.history.made_up import MadeUp


@pytest.mark.parametrize("tell", [MadeUp.whole_adult, MadeUp.whole_child])
def test_a_history_that_may_stand_is_accepted_by_all(tell: object) -> None:
    made_up = MadeUp()
    assert callable(tell)
    tell(made_up)
    assert faults(made_up.history) == []


def test_a_fault_is_told_with_the_judge_who_found_it() -> None:
    made_up = MadeUp()
    made_up.save(1, "INTERNAL")
    (fault,) = faults(made_up.history)
    assert fault.startswith("answers: refused with INTERNAL")
    assert "answers" in JUDGES
