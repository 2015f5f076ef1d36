"""The judge of mails."""

import pytest

from liity.v1.registration_pb2 import STAGE_WAITING_FOR_CONSENT
from tests.support.history.mailing import SMTP_WINDOW, judge
from tests.unit.history.made_up import MadeUp

LATE = 10 + SMTP_WINDOW


def faults(made_up: MadeUp) -> list[str]:
    return list(judge(made_up.history))


def declined() -> MadeUp:
    """A child whose guardian has declined."""
    made_up = MadeUp()
    made_up.save(1, child=True, stage=STAGE_WAITING_FOR_CONSENT)
    made_up.mail(2, "consent_request")
    made_up.decline(3)
    made_up.mail(4, "consent_receipt_declined")
    made_up.mail(5, "consent_declined", "librarian@kirjasto.example")
    return made_up


def test_a_copy_with_the_same_message_id_is_no_mail_of_its_own() -> None:
    made_up = MadeUp()
    made_up.whole_adult()
    made_up.mail(12, "welcome", message_id="<1>")
    assert faults(made_up) == []


def test_a_second_mail_is_refused() -> None:
    made_up = MadeUp()
    made_up.whole_adult()
    made_up.mail(12, "welcome")
    assert len(faults(made_up)) == 1


def test_a_second_mail_to_somebody_else_about_the_person_is_counted_by_recipient() -> None:
    made_up = MadeUp()
    made_up.whole_adult()
    made_up.transfer(11)
    made_up.mail(12, "moved_to_another_unit", "one@kirjasto.example")
    made_up.mail(12, "moved_to_another_unit", "two@kirjasto.example")
    assert faults(made_up) == []
    made_up.mail(13, "moved_to_another_unit", "two@kirjasto.example")
    assert len(faults(made_up)) == 1


@pytest.mark.parametrize("template", ["reactivation_done", "customership_ended"])
def test_a_mail_for_no_reason_is_refused(template: str) -> None:
    made_up = MadeUp()
    made_up.whole_adult()
    made_up.mail(12, template)
    assert len(faults(made_up)) == 1


@pytest.mark.parametrize("number", range(5))
def test_a_lost_mail_is_refused(number: int) -> None:
    made_up = MadeUp()
    made_up.whole_child()
    assert faults(made_up) == []
    del made_up.history.mails[number]
    assert len(faults(made_up)) == 1


def test_a_save_without_an_answer_may_have_no_mail() -> None:
    made_up = MadeUp()
    made_up.save(1, "")
    assert faults(made_up) == []


def test_a_decline_is_told_to_both() -> None:
    made_up = declined()
    assert faults(made_up) == []
    made_up.history.mails.pop()
    assert len(faults(made_up)) == 1


def test_a_mail_that_names_the_registration_alone_is_about_the_person() -> None:
    made_up = declined()
    made_up.history.mails.pop()
    made_up.mail(5, "consent_declined", "librarian@kirjasto.example", text="Hei! r1, Kaaoksen kirjasto.")
    assert faults(made_up) == []


def test_nothing_more_comes_after_a_decline() -> None:
    made_up = declined()
    made_up.mail(4, "welcome")
    assert faults(made_up) == []
    made_up.mail(LATE, "credentials")
    assert len(faults(made_up)) == 1


def test_no_welcome_comes_after_an_end_that_was_not_undone() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.mail(2, "credentials")
    made_up.end(3)
    made_up.mail(4, "customership_ended")
    assert faults(made_up) == []
    made_up.mail(LATE, "welcome")
    assert len(faults(made_up)) == 1
    made_up.undo(5)
    assert faults(made_up) == []


def test_an_end_is_told_to_the_customer() -> None:
    made_up = MadeUp()
    made_up.save(1)
    made_up.end(3)
    assert len(faults(made_up)) == 1
