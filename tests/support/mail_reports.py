"""What comes to the return address: reports of other organisations' mail servers, and people's answers."""

from uuid import UUID


def delivery_report(
    mail: UUID,
    to: str,
    *,
    action: str = "failed",
    status: str = "5.1.1",
    diagnostic: str = "smtp; 550 5.1.1 No such user",
) -> bytes:
    """A report of the form of RFC 3464, as Postfix writes it."""
    return f"""\
Return-Path: <>
From: MAILER-DAEMON@mx.example.org
To: {to}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b/mx"

--b/mx
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.org.

--b/mx
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org
Arrival-Date: Sat, 28 Nov 2026 10:00:00 +0200

Final-Recipient: rfc822; outi@posti.example
Action: {action}
Status: {status}
Diagnostic-Code: {diagnostic}

--b/mx
Content-Type: message/rfc822

From: Liity <no-reply@liity.example>
To: outi@posti.example
Subject: We need your consent
Message-ID: <{mail}@liity.example>

Hello!

--b/mx--
""".replace("\n", "\r\n").encode()


def feedback_report(mail: UUID, to: str, kind: str) -> bytes:
    """A report of the form of RFC 5965: the reader has called a mail unwanted."""
    return f"""\
From: complaints@mail.example.org
To: {to}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report; boundary="b"

--b
Content-Type: text/plain

This is an abuse report.

--b
Content-Type: message/feedback-report

Feedback-Type: {kind}
User-Agent: Example/1.0
Version: 1

--b
Content-Type: text/rfc822-headers

From: no-reply@liity.example
Message-ID: <{mail}@liity.example>

--b--
""".replace("\n", "\r\n").encode()


def holiday_answer(to: str) -> bytes:
    """An automatic answer of Exchange."""
    return f"""\
From: outi@posti.example
To: {to}
Subject: Automatic reply: We need your consent
Auto-Submitted: auto-replied
Content-Type: text/plain

I am on holiday until the 20th.
""".replace("\n", "\r\n").encode()
