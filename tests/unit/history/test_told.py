"""What is told of the persons in whom something is wrong."""

from tests.support.history.judgement import faults
from tests.support.history.told import lines
from tests.unit.history.made_up import AINO, EINO, MadeUp


def test_the_calls_and_mails_of_whom_a_fault_names_are_told_in_order() -> None:
    made_up = MadeUp()
    made_up.whole_adult()
    made_up.save(3, about=EINO, request_id="s2", registration="r2")
    made_up.mail(12, "welcome")
    found = [fault for fault in faults(made_up.history) if AINO in fault]

    told = list(lines(made_up.history, found))

    assert told[0] == f"{AINO}:"
    assert [line.split()[3] for line in told if " to " in line and "by" in line] == [
        "RegisterCustomer",
        "GetRegistration",
    ]
    assert sum("welcome" in line for line in told) == 2
    assert not any(EINO in line for line in told)


def test_nothing_is_told_where_nothing_is_wrong() -> None:
    made_up = MadeUp()
    made_up.whole_adult()
    assert list(lines(made_up.history, [])) == []
