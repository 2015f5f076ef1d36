"""What a mail server's refusal speaks of: the address, the moment, or us. Pure functions of its answer."""

import re
from enum import Enum, auto


class Speaks(Enum):
    """What a refusal speaks of."""

    OF_ADDRESS = auto()
    """Nobody gets mail at the address."""
    OF_MOMENT = auto()
    """The mailbox takes no mail for now, for example because it is full; or the answer does not say why."""
    OF_US = auto()
    """Our mail server, quota, reputation, sender, settings or mail: other addresses are refused alike."""


class Command(Enum):
    """The part of the SMTP dialogue that was refused."""

    CONNECTION = auto()
    SENDER = auto()
    RECIPIENT = auto()
    CONTENT = auto()


_ENHANCED = re.compile(r"(?<![\d.])[45]\.(\d{1,3})\.(\d{1,3})(?![\d.]*\d)")

_SENDERS_ADDRESS = {7, 8}
"""Details of subject 1 that speak of the sender's address (RFC 3463 3.2)."""

_VAGUE = {0, 3, 4, 5, 7}
"""Subjects of enhanced status codes that servers also send when nobody has the address."""

_NO_MAIL_HERE = {521, 556}
"""The host or domain of the address takes no mail at all (RFC 7504)."""

# Without an enhanced status code the words decide. Servers write them as they like: these are the usual ones.
_FULL_WORDS = re.compile(
    r"full\b|over ?-?quota|(mailbox|user).{0,20}quota|quota exceeded|storage|mailbox size"
    r"|mailbox.{0,20}\blimit|täynnä|temporar|try again|later",
    re.IGNORECASE,
)
_SENDERS_WORDS = re.compile(
    r"\bsender|mail from|from address|\bspam\b|black.?list|block.?list|\bblocked\b|reputation|spamhaus"
    r"|too many (invalid|bad|unknown)|messages from \S+ were|administrative"
    r"|\b(dns|r)bl\b|relay|\b(spf|dkim|dmarc|helo|ehlo|ptr)\b|(daily|hourly|sending|rate|message).{0,20}(quota|limit)",
    re.IGNORECASE,
)
_ADDRESS_WORDS = re.compile(
    r"(no such|unknown|invalid|not? (a )?valid|non.?existent|bad|unrouteable|undeliverable)"
    r".{0,30}(user|mailbox|recipient|address|account|person|domain|host|here)"
    r"|(user|mailbox|recipient|address|account|domain)\b.{0,40}"
    r"(unknown|not found|no longer|n.t exist|not exist|invalid|unavailable|disabled|inactive|closed"
    r"|n.t have|not have|not known|not local|not listed|suspended)"
    r"|no (user|mailbox|recipient|account)\b|does(n.t| not) have an account"
    r"|(inactive|disabled|deactivated|suspended) (user|mailbox|recipient|address|account)"
    r"|(recipient|address) (address )?rejected: (user|recipient|address|access denied)"
    r"|addressee unknown|(unable to|cannot|could not) find.{0,20}(user|mailbox|recipient|address|account)"
    r"|tuntematon|(vastaanottajaa|käyttäjää|postilaatikkoa|osoitetta) ei"
    r"|okänd (mottagare|användare|adressat)"
    r"|(mottagaren|användaren|adressaten|adressen|brevlådan) (finns inte|är okänd)",
    re.IGNORECASE,
)
_OUR_WORDS = re.compile(
    r"quota|too many|limit|throttl|denied|not permitted|not allowed|authenticat|authoriz|policy|\btls\b"
    r"|\bip\b|content|virus|banned|suspicious|listed|block",
    re.IGNORECASE,
)


def judge(code: int, text: str, command: Command) -> Speaks:
    """What a refusal speaks of.

    An enhanced status code (RFC 3463) decides; without one, the words do. A refusal of the connection or of
    the sender cannot speak of the recipient, whom the server does not know yet.
    """
    if command in {Command.CONNECTION, Command.SENDER}:
        return Speaks.OF_US
    status = _ENHANCED.search(text)
    if status is not None:
        says = judge_status(int(status[1]), int(status[2]))
        # Many servers send one status for everything: words about the recipient are more exact.
        vague = int(status[1]) in _VAGUE and says is not Speaks.OF_ADDRESS
        return Speaks.OF_ADDRESS if vague and _judge_words(text) is Speaks.OF_ADDRESS else says
    if code in _NO_MAIL_HERE:
        return Speaks.OF_ADDRESS
    words = _judge_words(text)
    if words is None:
        # After the data, a server nearly always speaks of the mail or its sender.
        return Speaks.OF_MOMENT if command is Command.RECIPIENT else Speaks.OF_US
    return words


def judge_status(subject: int, detail: int) -> Speaks:
    """What an enhanced status code `5.subject.detail` speaks of."""
    if subject == 1:
        return Speaks.OF_US if detail in _SENDERS_ADDRESS else Speaks.OF_ADDRESS
    if subject == 2:  # noqa: PLR2004 - mailbox status
        return Speaks.OF_ADDRESS if detail == 1 else Speaks.OF_MOMENT
    if (subject, detail) == (4, 4):
        # The domain has no mail server, or is none.
        return Speaks.OF_ADDRESS
    if (subject, detail) == (6, 7):
        # The recipient's server cannot take an address beyond ASCII (RFC 6531).
        return Speaks.OF_ADDRESS
    return Speaks.OF_MOMENT if subject == 0 else Speaks.OF_US


def _judge_words(text: str) -> Speaks | None:
    """What the words speak of; None if they do not say."""
    for words, speaks in (
        (_SENDERS_WORDS, Speaks.OF_US),
        (_FULL_WORDS, Speaks.OF_MOMENT),
        (_ADDRESS_WORDS, Speaks.OF_ADDRESS),
        (_OUR_WORDS, Speaks.OF_US),
    ):
        if words.search(text):
            return speaks
    return None
