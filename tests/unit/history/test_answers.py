"""The judge of answers."""

from dataclasses import replace

import grpc

from tests.support.history.answers import REFUSALS, documented_statuses, judge
from tests.unit.history.made_up import MadeUp


def test_documented_refusals_and_missing_answers_are_accepted() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.save(2, "BEING_REGISTERED", request_id="s2")
    made_up.save(3, "", request_id="s3")
    made_up.read(4, None)
    assert list(judge(made_up.history)) == []


def test_an_internal_fault_is_refused() -> None:
    made_up = MadeUp()
    made_up.save(1, "INTERNAL")
    assert len(list(judge(made_up.history))) == 1


def test_a_reason_that_the_rpc_does_not_document_is_refused() -> None:
    made_up = MadeUp()
    made_up.save(1, "CUSTOMER_HAS_ENDED")
    assert len(list(judge(made_up.history))) == 1


def test_a_reason_with_another_status_than_the_documented_one_is_refused() -> None:
    made_up = MadeUp()
    made_up.read_customer(1, None)
    (call,) = made_up.history.calls
    assert call.refused is not None
    wrong = call.refused._replace(code=grpc.StatusCode.ABORTED)
    made_up.history.calls = [replace(call, refused=wrong)]
    assert len(list(judge(made_up.history))) == 1


def test_a_call_that_hangs_is_refused() -> None:
    made_up = MadeUp()
    made_up.save(1, "")
    made_up.history.calls = [replace(call, hung=True) for call in made_up.history.calls]
    assert len(list(judge(made_up.history))) == 1


def test_every_reason_is_a_documented_one() -> None:
    assert {reason for reasons in REFUSALS.values() for reason in reasons} <= documented_statuses().keys()
