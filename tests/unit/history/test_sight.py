"""The judge of what callers see."""

from liity.v1.registration_pb2 import STAGE_WELCOMED
from tests.support.history.sight import judge
from tests.unit.history.made_up import LIBRARIAN, SCHOOL, TEACHER, MadeUp, told_registration


def faults(made_up: MadeUp) -> int:
    return len(list(judge(made_up.history)))


def test_ones_own_persons_are_accepted() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.read_customer(2, "", caller=LIBRARIAN)
    made_up.list(3, told_registration("units/library", "r1", STAGE_WELCOMED))
    assert faults(made_up) == 0


def test_a_name_of_another_unit_is_refused() -> None:
    made_up = MadeUp()
    made_up.list(1, told_registration(SCHOOL, "r1", STAGE_WELCOMED), caller=LIBRARIAN)
    assert faults(made_up) == 1


def test_customer_service_sees_all() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.search(2, f"{SCHOOL}/customers/c1")
    made_up.read_customer(3, "", unit=SCHOOL)
    assert faults(made_up) == 0


def test_a_person_of_another_unit_is_refused() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.read(2, STAGE_WELCOMED, unit=SCHOOL, caller=TEACHER)
    assert faults(made_up) == 1


def test_the_unit_before_does_not_read_who_has_moved_away() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.transfer(2)
    made_up.read_customer(2.2, "", caller=LIBRARIAN)
    assert faults(made_up) == 0
    made_up.read_customer(3, "", caller=LIBRARIAN)
    assert faults(made_up) == 1


def test_who_may_have_come_back_may_be_read() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.transfer(2)
    made_up.transfer(3, "", unit="units/library")
    made_up.read_customer(4, "", caller=LIBRARIAN)
    made_up.read_customer(4, "", unit=SCHOOL, caller=TEACHER)
    assert faults(made_up) == 0


def test_who_may_have_been_saved_may_be_read() -> None:
    made_up = MadeUp()
    made_up.save(1, "", unit=SCHOOL)
    made_up.read_customer(2, "", unit=SCHOOL, caller=TEACHER)
    assert faults(made_up) == 0


def test_a_refused_save_gives_no_sight() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.save(2, "ALREADY_REGISTERED_IN_ANOTHER_UNIT", unit=SCHOOL, request_id="s2")
    made_up.read_customer(3, "", unit=SCHOOL, caller=TEACHER)
    assert faults(made_up) == 1


def test_who_has_ended_is_read_no_more_unless_undone() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.end(2)
    made_up.read_customer(2.2, "", caller=LIBRARIAN)
    made_up.read_customer(3, "")
    assert faults(made_up) == 0
    made_up.read_customer(3, "", caller=LIBRARIAN)
    assert faults(made_up) == 1
    made_up.undo(2.6)
    assert faults(made_up) == 0
