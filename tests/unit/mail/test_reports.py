"""Reports of undelivered mail, as mail servers write them."""

import uuid

import pytest

from services.notification.mail.refusals import Speaks
from services.notification.mail.reports import read_report, request_id_of
from services.notification.mail.return_address import new_secret, read_token, return_address
from tests.support.mail_reports import delivery_report, feedback_report, holiday_answer

BOUNCES = "bounces@liity.example"
MAIL = uuid.UUID("0b0f4e2e-5d3c-4d53-9c0e-1c2f5b7a9d10")


@pytest.mark.parametrize(
    ("action", "status", "diagnostic", "failed"),
    [
        ("failed", "5.1.1", "smtp; 550 5.1.1 No such user", Speaks.OF_ADDRESS),
        ("Failed", "5.1.10 (null MX)", "", Speaks.OF_ADDRESS),
        ("failed", "5.0.0", "smtp; 550 No such user here", Speaks.OF_ADDRESS),
        ("failed", "5.0.0", "smtp; 550 Message blocked as spam", Speaks.OF_US),
        # The type is left out, or the server's words come with others around them.
        ("failed", "5.0.0", "550 5.7.1 Message rejected due to content", Speaks.OF_US),
        ("failed", "5.0.0", "550 5.7.1 Blocked; see https://mx.example/why", Speaks.OF_US),
        ("failed", "5.0.0", "550 5.1.1 No such user; check the address", Speaks.OF_ADDRESS),
        ("failed", "5.0.0", "x-unix; 450 4.2.2 Mailbox full", Speaks.OF_MOMENT),
        ("failed", "5.0.0", "smtp; host mx.example said: 550 5.7.1 Blocked by policy", Speaks.OF_US),
        ("failed", "5.2.2", "smtp; 552 5.2.2 Mailbox full", Speaks.OF_MOMENT),
        # One status for everything: the words about the recipient are more exact, as in a refusal at once.
        ("failed", "5.4.1", "smtp; 550 5.4.1 Recipient address rejected: Access denied", Speaks.OF_ADDRESS),
        ("failed", "5.7.1", "smtp; 550 5.7.1 Recipient address rejected: User unknown", Speaks.OF_ADDRESS),
        ("failed", "5.3.0", "smtp; 550 5.3.0 User unknown", Speaks.OF_ADDRESS),
        ("failed", "5.7.1", "smtp; 550 5.7.1 Message blocked", Speaks.OF_US),
        ("failed", "5.4.7", "smtp; 554 5.4.7 Delivery expired", Speaks.OF_US),
        ("failed", "4.4.7", "smtp; 450 expired in the queue", Speaks.OF_MOMENT),
        ("failed", "5.7.1", "smtp; 550 5.7.1 blocked", Speaks.OF_US),
        ("delayed", "4.4.1", "smtp; connection timed out", None),
        ("relayed", "2.0.0", "", None),
        ("delivered", "2.0.0", "", None),
        ("expanded", "2.0.0", "", None),
    ],
)
def test_only_a_final_failure_counts(
    action: str, status: str, diagnostic: str, failed: Speaks | None
) -> None:
    report = read_report(delivery_report(MAIL, BOUNCES, action=action, status=status, diagnostic=diagnostic))
    assert report is not None
    assert (report.request_id, report.failed) == (MAIL, failed)
    assert report.addresses == BOUNCES


@pytest.mark.parametrize(
    ("kind", "complaint"), [("abuse", True), ("fraud", True), ("opt-out", True), ("not-spam", False)]
)
def test_a_complaint_is_no_failure(kind: str, complaint: bool) -> None:
    report = read_report(feedback_report(MAIL, BOUNCES, kind))
    assert report is not None
    assert (report.request_id, report.failed, report.complaint) == (MAIL, None, complaint)


@pytest.mark.parametrize(
    "raw",
    [
        holiday_answer(BOUNCES),
        b"",
        b"\0\xff" * 100,
        b"Content-Type: multipart/report; report-type=delivery-status\r\n\r\nnothing",
        b"Content-Type: multipart/report; boundary=x\r\n\r\n--x\r\nContent-Type: message/delivery-status\r\n",
        b"Content-Type: text/plain\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\n",
        b'Content-Type: multipart/report; boundary="\r\n\r\n--\r\n',
    ],
)
def test_other_mail_says_nothing(raw: bytes) -> None:
    report = read_report(raw)
    assert report is None or report.failed is None


def test_a_returned_report_says_nothing_of_the_mail_around_it() -> None:
    returned = delivery_report(MAIL, BOUNCES)
    around = b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: message/rfc822\r\n\r\n"
    assert read_report(around + returned + b"\r\n--x--\r\n") is None


def test_a_mail_has_a_return_address_of_its_own() -> None:
    secret = new_secret()
    address = return_address(BOUNCES, MAIL, secret)
    assert len(address.partition("@")[0]) <= 64
    assert read_token(BOUNCES, f"For <{address.upper()}>, please") == (MAIL, secret)
    assert read_token(BOUNCES, BOUNCES) is None
    assert read_token("other@liity.example", address) is None
    assert read_token(BOUNCES, address.replace("+", "+a", 1)) is None


def test_a_message_id_names_the_mail() -> None:
    assert request_id_of(f"<{MAIL}@liity.example>") == request_id_of(f" {MAIL}@x".upper()) == MAIL
    assert request_id_of("<somebody-elses@example.org>") is None
