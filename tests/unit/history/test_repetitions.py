"""The judge of repetitions."""

from tests.support.history.repetitions import judge
from tests.unit.history.made_up import MadeUp


def faults(made_up: MadeUp) -> int:
    return len(list(judge(made_up.history)))


def test_repetitions_answered_alike_are_accepted() -> None:
    made_up = MadeUp()
    made_up.save(1, "")
    made_up.save(2)
    made_up.save(3)
    made_up.end(4)
    made_up.end(5)
    assert faults(made_up) == 0


def test_another_registration_for_the_same_request_is_refused() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.save(2, registration="r2")
    assert faults(made_up) == 1


def test_another_time_for_the_same_request_is_refused() -> None:
    made_up = MadeUp()
    made_up.end(1)
    made_up.end(2, erased=101)
    assert faults(made_up) == 1


def test_a_refusal_after_an_answer_is_refused() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.save(2, "BEING_REGISTERED")
    assert faults(made_up) == 1


def test_a_refusal_that_another_act_may_explain_is_accepted() -> None:
    made_up = MadeUp()
    made_up.withdraw(1)
    made_up.transfer(2, "")
    made_up.history.calls.append(made_up.history.calls[0])
    made_up.withdraw(1, "REGISTRATION_NOT_FOUND")
    assert faults(made_up) == 0
