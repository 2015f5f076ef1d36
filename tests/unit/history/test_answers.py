"""The judge of answers."""

from dataclasses import replace

import grpc

from tests.support.history.answers import REFUSALS, documented_statuses, judge
from tests.unit.history.made_up import SCHOOL, MadeUp


def test_documented_refusals_and_missing_answers_are_accepted() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.save(2, "BEING_REGISTERED", request_id="s2")
    made_up.save(3, "", request_id="s3")
    made_up.read(4, None)
    assert list(judge(made_up.history)) == []


def test_a_save_refused_as_known_that_nobody_else_made_is_refused() -> None:
    made_up = MadeUp()
    made_up.save(1, "")
    made_up.save(2, "BEING_REGISTERED")
    assert len(list(judge(made_up.history))) == 1


def test_a_save_without_an_answer_is_a_cause_that_another_is_refused() -> None:
    made_up = MadeUp()
    made_up.save(1, "")
    made_up.save(2, "BEING_REGISTERED", request_id="s2")
    assert list(judge(made_up.history)) == []


def test_an_edit_refused_for_itself_is_refused() -> None:
    made_up = MadeUp()
    made_up.edit(1, "first", "", etag="1", request_id="u1")
    made_up.edit(2, "first", "CHANGED_MEANWHILE", etag="1", request_id="u1")
    assert len(list(judge(made_up.history))) == 1
    made_up.edit(1, "second", etag="1", request_id="u2")
    assert list(judge(made_up.history)) == []


def test_a_cause_that_comes_later_is_none() -> None:
    made_up = MadeUp()
    made_up.transfer(1, "ALREADY_REGISTERED_IN_THIS_UNIT")
    made_up.save(2, unit=SCHOOL)
    assert len(list(judge(made_up.history))) == 1


def test_an_internal_fault_is_refused() -> None:
    made_up = MadeUp()
    made_up.save(1, "INTERNAL")
    assert len(list(judge(made_up.history))) == 1


def test_a_reason_that_the_rpc_does_not_document_is_refused() -> None:
    made_up = MadeUp()
    made_up.save(1, "REGISTRATION_NOT_FOUND")
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
