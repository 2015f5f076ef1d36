"""What a mail server's refusal speaks of."""

import pytest

from services.notification.mail.refusals import Command, Speaks, judge

RECIPIENT, CONTENT, SENDER = Command.RECIPIENT, Command.CONTENT, Command.SENDER
ADDRESS, MOMENT, US = Speaks.OF_ADDRESS, Speaks.OF_MOMENT, Speaks.OF_US


@pytest.mark.parametrize(
    ("speaks", "code", "text", "command"),
    [
        (ADDRESS, 550, "5.1.1 No such user", RECIPIENT),
        (ADDRESS, 550, "5.1.1 No such user", CONTENT),
        (ADDRESS, 550, "5.1.2 Domain not found", RECIPIENT),
        (ADDRESS, 556, "5.1.10 Recipient address has a null MX", RECIPIENT),
        (ADDRESS, 550, "5.2.1 The mailbox is disabled", RECIPIENT),
        (ADDRESS, 550, "5.6.7 Non-ASCII addresses not permitted", RECIPIENT),
        (ADDRESS, 550, "Käyttäjää ei löydy", RECIPIENT),
        (ADDRESS, 550, "Mottagaren finns inte", RECIPIENT),
        (ADDRESS, 550, "Adressaten är okänd", RECIPIENT),
        (ADDRESS, 550, "Addressee unknown", RECIPIENT),
        (ADDRESS, 550, "Unable to find mailbox", RECIPIENT),
        (MOMENT, 554, "The mailbox is over its size limit", RECIPIENT),
        (MOMENT, 550, "Postilaatikko on täynnä", RECIPIENT),
        (US, 550, "Administrative prohibition", RECIPIENT),
        (US, 550, "SC-001 Unfortunately, messages from 1.2.3.4 weren't sent.", RECIPIENT),
        (US, 550, "Too many invalid recipients", RECIPIENT),
        (US, 550, "5.1.1 No such user", SENDER),
        (US, 550, "5.1.8 Bad sender's system address", RECIPIENT),
        (US, 550, "5.3.2 System not accepting network messages", RECIPIENT),
        (US, 552, "5.3.4 Message too big", CONTENT),
        (US, 550, "5.4.5 Daily quota exceeded", RECIPIENT),
        (US, 550, "5.6.0 Bad content", CONTENT),
        (US, 554, "5.7.1 Relay access denied", RECIPIENT),
        (US, 550, "5.7.60 Not permitted to send as this sender", CONTENT),
        (MOMENT, 552, "5.2.2 Mailbox full", RECIPIENT),
        (MOMENT, 550, "5.2.0 Other mailbox status", RECIPIENT),
        (MOMENT, 550, "5.0.0 Undefined", RECIPIENT),
        # A status that says something else, or nothing, beside words that say it.
        (ADDRESS, 550, "5.5.0 Requested action not taken: mailbox unavailable", RECIPIENT),
        (
            ADDRESS,
            554,
            "5.7.1 Recipient address rejected: User unknown in virtual alias table",
            RECIPIENT,
        ),
        (ADDRESS, 553, "5.3.0 No such user here", RECIPIENT),
        (ADDRESS, 550, "5.4.1 Recipient address rejected: Access denied.", RECIPIENT),
        (ADDRESS, 550, "5.4.4 Unable to route to the domain", RECIPIENT),
        (US, 550, "5.7.1 Message rejected as spam by content filtering", CONTENT),
        # Without an enhanced status code.
        (ADDRESS, 550, "Inactive user", RECIPIENT),
        (MOMENT, 554, "mailbox quota exceeded for x@y.fi", RECIPIENT),
        (ADDRESS, 550, "No such user here", RECIPIENT),
        (ADDRESS, 550, "Requested action not taken: mailbox unavailable", RECIPIENT),
        (ADDRESS, 550, "Recipient address rejected: User unknown in virtual mailbox table", RECIPIENT),
        (ADDRESS, 550, "The email account that you tried to reach does not exist.", CONTENT),
        (ADDRESS, 551, "User not local", RECIPIENT),
        (ADDRESS, 556, "Domain does not accept mail", RECIPIENT),
        (MOMENT, 552, "Requested mail action aborted: exceeded storage allocation", RECIPIENT),
        (MOMENT, 550, "User over quota", RECIPIENT),
        (MOMENT, 550, "Rejected", RECIPIENT),
        (US, 550, "Daily user sending quota exceeded", RECIPIENT),
        (US, 550, "You have exceeded your hourly sending limit", RECIPIENT),
        (US, 554, "Your IP is listed at a block list", RECIPIENT),
        (US, 550, "blocked using 5.4.3.2", RECIPIENT),
        (US, 550, "Sender address rejected: not owned by user", RECIPIENT),
        (US, 553, "Relaying denied", RECIPIENT),
        (US, 550, "Access denied", RECIPIENT),
        (US, 554, "Transaction failed", CONTENT),
        (US, 554, "No SMTP service here", Command.CONNECTION),
    ],
)
def test_only_what_speaks_of_the_address_is_held_against_it(
    speaks: Speaks, code: int, text: str, command: Command
) -> None:
    assert judge(code, text, command) is speaks
