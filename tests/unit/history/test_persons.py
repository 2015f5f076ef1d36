"""The judge of persons: one customer each."""

from liity.v1.registration_pb2 import STAGE_WAITING_FOR_CONSENT
from tests.support.history.persons import judge
from tests.unit.history.made_up import EINO, LIBRARY, SCHOOL, MadeUp, told_registration


def faults(made_up: MadeUp) -> int:
    return len(list(judge(made_up.history)))


def test_one_customer_seen_by_all_is_accepted() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.read_customer(2, "")
    made_up.search(3, f"{LIBRARY}/customers/c1")
    made_up.transfer(4)
    made_up.search(5, f"{SCHOOL}/customers/c1")
    made_up.search(6, f"{SCHOOL}/customers/c2", about=EINO)
    assert faults(made_up) == 0


def test_two_customers_of_two_units_are_refused() -> None:
    made_up = MadeUp()
    made_up.read_customer(1, "")
    made_up.read_customer(2, "", unit=SCHOOL, customer="c2")
    assert faults(made_up) == 1


def test_two_customers_in_one_search_are_refused() -> None:
    made_up = MadeUp()
    made_up.search(1, f"{LIBRARY}/customers/c1", f"{SCHOOL}/customers/c2")
    assert faults(made_up) == 1


def test_two_who_wait_on_one_page_are_refused() -> None:
    made_up = MadeUp()
    one, other = (told_registration(LIBRARY, name, STAGE_WAITING_FOR_CONSENT) for name in ("r1", "r2"))
    made_up.list(1, one)
    assert faults(made_up) == 0
    made_up.list(2, one, other)
    assert faults(made_up) == 1


def test_of_two_saves_at_once_one_is_refused_as_known() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.save(1.1, "ALREADY_REGISTERED_IN_THIS_UNIT", request_id="s2")
    assert faults(made_up) == 0


def test_two_acknowledged_saves_of_one_person_are_refused() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.save(1.1, unit=SCHOOL, request_id="s2", registration="r2")
    assert faults(made_up) == 1


def test_two_saves_that_were_given_one_registration_are_refused() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.save(2, request_id="s2")
    assert faults(made_up) == 1


def test_a_save_after_the_first_one_was_withdrawn_is_accepted() -> None:
    made_up = MadeUp()
    made_up.save(1, child=True)
    made_up.withdraw(2, "")
    made_up.save(3, request_id="s2", registration="r2", child=True)
    assert faults(made_up) == 0


def test_an_end_after_both_saves_explains_nothing() -> None:
    made_up = MadeUp()
    made_up.save(1, child=True)
    made_up.save(3, request_id="s2", registration="r2", child=True)
    made_up.withdraw(5)
    assert faults(made_up) == 1
