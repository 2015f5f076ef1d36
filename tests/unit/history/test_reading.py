"""The judge of reading: what was acknowledged is found, as it was written."""

from liity.v1.registration_pb2 import STAGE_WELCOMED
from liity.v1.registration_service_pb2 import STANDING_NOT_REGISTERED, STANDING_REGISTERED_IN_THIS_UNIT
from tests.support.history.reading import judge
from tests.unit.history.made_up import LIBRARIAN, LIBRARY, SCHOOL, TEACHER, MadeUp


def faults(made_up: MadeUp) -> list[str]:
    return list(judge(made_up.history))


def saved(text: str = "") -> MadeUp:
    """A Save that is read at the end."""
    made_up = MadeUp()
    made_up.save(1, text=text)
    made_up.read(100, STAGE_WELCOMED)
    return made_up


def test_what_was_saved_and_edited_is_accepted() -> None:
    made_up = saved("first")
    made_up.read_customer(2, "first", caller=LIBRARIAN)
    made_up.edit(3, "second", etag="1", request_id="u1")
    made_up.read_customer(4, "second")
    assert faults(made_up) == []


def test_a_save_that_nobody_reads_at_the_end_is_refused() -> None:
    made_up = MadeUp()
    made_up.save(1)
    assert len(faults(made_up)) == 1
    made_up.read(0.1, STAGE_WELCOMED)
    assert len(faults(made_up)) == 1


def test_a_save_without_an_answer_need_not_be_read() -> None:
    made_up = MadeUp()
    made_up.save(1, "")
    assert faults(made_up) == []


def test_a_save_that_was_withdrawn_need_not_be_read() -> None:
    made_up = MadeUp()
    made_up.save(1, child=True)
    made_up.withdraw(2, "")
    made_up.read(3, None)
    assert faults(made_up) == []


def test_who_saved_it_and_does_not_find_it_is_refused() -> None:
    made_up = saved()
    made_up.read(2, None, caller=LIBRARIAN)
    made_up.read_customer(3, None, caller=LIBRARIAN)
    assert len(faults(made_up)) == 2


def test_who_was_saved_is_known_to_all() -> None:
    made_up = saved()
    made_up.check(0.2, STANDING_NOT_REGISTERED)
    made_up.check(1.2, STANDING_NOT_REGISTERED)
    made_up.check(3, STANDING_REGISTERED_IN_THIS_UNIT)
    assert faults(made_up) == []
    made_up.check(3, STANDING_NOT_REGISTERED, TEACHER)
    assert len(faults(made_up)) == 1
    made_up.withdraw(2, "")
    assert faults(made_up) == []


def test_the_unit_before_finds_nobody_after_a_move_and_the_new_one_does() -> None:
    made_up = saved()
    made_up.transfer(2)
    made_up.read_customer(3, None, caller=LIBRARIAN)
    assert faults(made_up) == []
    made_up.read_customer(4, None, unit=SCHOOL, caller=TEACHER)
    assert len(faults(made_up)) == 1


def test_a_move_without_an_answer_excuses_either_unit() -> None:
    made_up = saved()
    made_up.transfer(2, "")
    made_up.read_customer(3, None, caller=LIBRARIAN)
    made_up.read_customer(4, None, unit=SCHOOL, caller=TEACHER)
    assert faults(made_up) == []


def test_a_replaced_value_is_refused() -> None:
    made_up = saved("first")
    made_up.edit(3, "second", etag="1", request_id="u1")
    made_up.read_customer(4, "first")
    assert len(faults(made_up)) == 1


def test_a_value_that_nobody_wrote_is_refused() -> None:
    made_up = saved("first")
    made_up.read_customer(4, "third")
    assert len(faults(made_up)) == 1


def test_a_refused_edit_is_not_read() -> None:
    made_up = saved("first")
    made_up.edit(3, "second", "CHANGED_MEANWHILE", etag="1", request_id="u1")
    made_up.read_customer(4, "first")
    assert faults(made_up) == []
    made_up.read_customer(5, "second")
    assert len(faults(made_up)) == 1


def test_an_edit_without_an_answer_may_be_read_or_not() -> None:
    made_up = saved("first")
    made_up.edit(3, "second", "", etag="1", request_id="u1")
    made_up.read_customer(4, "first")
    made_up.read_customer(5, "second")
    assert faults(made_up) == []


def test_an_edit_refused_after_a_lost_call_is_not_read() -> None:
    made_up = saved("first")
    made_up.edit(3, "second", "", etag="1", request_id="u1")
    made_up.edit(4, "second", "CHANGED_MEANWHILE", etag="1", request_id="u1")
    made_up.read_customer(5, "second")
    assert len(faults(made_up)) == 1


def test_a_reading_during_an_edit_may_find_either() -> None:
    made_up = saved("first")
    made_up.edit(3, "second", etag="1", request_id="u1")
    made_up.read_customer(3.2, "first")
    made_up.read_customer(3.2, "second")
    assert faults(made_up) == []


def test_two_edits_of_one_version_are_a_lost_update() -> None:
    made_up = saved("first")
    made_up.edit(3, "second", etag="1", request_id="u1")
    made_up.edit(3.1, "third", etag="1", request_id="u2")
    assert len(faults(made_up)) == 1


def test_a_repeated_edit_is_one() -> None:
    made_up = saved("first")
    made_up.edit(3, "second", etag="1", request_id="u1")
    made_up.edit(4, "second", etag="1", request_id="u1")
    made_up.read_customer(5, "second", unit=LIBRARY)
    assert faults(made_up) == []
