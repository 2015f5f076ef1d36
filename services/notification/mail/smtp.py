"""Sending over SMTP: a few connections kept open, and the outcome of each mail."""

import asyncio
from dataclasses import dataclass
from email.message import EmailMessage

import aiosmtplib

from services.notification.mail.addresses import mask
from services.notification.mail.refusals import Command, Speaks, judge
from services.notification.settings import MailSettings
from services.runtime.security.tls import client_context

_IDLE = 30.0
"""Seconds after which an unused connection is replaced: firewalls drop idle ones silently."""


@dataclass(frozen=True)
class Sent:
    """The server has accepted the mail."""


@dataclass(frozen=True)
class NotAccepted:
    """No server has accepted the mail yet: it may be retried. `error` contains no address."""

    error: str
    put_off: bool = False
    """Whether a server puts off this address; otherwise it refuses us, or none could be reached."""
    refuses_us: bool = False
    """Whether a server refuses us for good, and would refuse other mail alike."""


@dataclass(frozen=True)
class Refused:
    """Nobody gets mail at the address. `error` contains no address."""

    error: str


Outcome = Sent | NotAccepted | Refused


class Transport:
    """Sends mail over at most `smtp_connections` connections, which are reused while they work.

    SettingsError if the CA of the mail server cannot be used.
    """

    def __init__(self, settings: MailSettings) -> None:
        self._settings = settings
        self._slots = asyncio.Semaphore(settings.smtp_connections)
        self._idle: list[tuple[aiosmtplib.SMTP, float]] = []
        self._trusted = client_context(settings.smtp_tls_ca) if settings.smtp_tls_ca else None

    async def send(self, message: EmailMessage, recipient: str, sender: str) -> Outcome:
        """Sends a mail within `smtp_timeout` seconds; returns the outcome. `sender` gets its bounces.

        A connection lost before the server's last answer counts as not accepted.
        """
        try:
            async with asyncio.timeout(self._settings.smtp_timeout), self._slots:
                connection = self._take() or await self._connect()
                return await self._deliver(connection, message, recipient, sender)
        except (OSError, aiosmtplib.SMTPException) as error:
            # The dialogue has not come to the mail: the answer speaks of us.
            refuses_us = isinstance(error, aiosmtplib.SMTPResponseException) and _is_permanent(error)
            return NotAccepted(_describe(error, recipient), refuses_us=refuses_us)

    async def close(self) -> None:
        """Closes the idle connections."""
        while self._idle:
            connection, _ = self._idle.pop()
            try:
                await connection.quit(timeout=1)
            except (OSError, aiosmtplib.SMTPException):
                connection.close()

    async def _deliver(
        self, connection: aiosmtplib.SMTP, message: EmailMessage, recipient: str, sender: str
    ) -> Outcome:
        sent = False
        try:
            await connection.send_message(message, sender=sender, recipients=[recipient])
            sent = True
        except (
            aiosmtplib.SMTPResponseException,
            aiosmtplib.SMTPRecipientsRefused,
            aiosmtplib.SMTPNotSupported,
        ) as error:
            return _outcome(error, recipient)
        finally:
            # After a failure the connection's protocol state is unknown.
            if sent:
                self._idle.append((connection, asyncio.get_running_loop().time()))
            else:
                connection.close()
        return Sent()

    def _take(self) -> aiosmtplib.SMTP | None:
        """The connection used last that still works; None if there is none."""
        while self._idle:
            connection, used = self._idle.pop()
            if connection.is_connected and asyncio.get_running_loop().time() - used < _IDLE:
                return connection
            connection.close()
        return None

    async def _connect(self) -> aiosmtplib.SMTP:
        settings = self._settings
        verified = settings.smtp_tls in {"starttls", "tls"}
        connection = aiosmtplib.SMTP(
            hostname=settings.smtp_host,
            port=settings.smtp_port,
            username=settings.smtp_username,
            password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
            local_hostname=settings.mail_domain,
            timeout=settings.smtp_timeout,
            use_tls=settings.smtp_tls == "tls",
            start_tls={"starttls-if-offered": None, "starttls": True}.get(settings.smtp_tls, False),
            # Opportunistic TLS protects against readers only (RFC 7435): requiring a valid certificate would
            # leave the mail unsent, or sent in clear.
            validate_certs=verified,
            tls_context=self._trusted.current() if self._trusted else None,
        )
        await connection.connect()
        return connection


def _outcome(error: Exception, recipient: str) -> Outcome:
    """The outcome of a mail that the server has refused."""
    described = _describe(error, recipient)
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        # A mail has one recipient.
        [error] = error.recipients
    if not isinstance(error, aiosmtplib.SMTPResponseException):
        # The server knows no addresses beyond ASCII (RFC 6531).
        return Refused(described)
    if not isinstance(error, aiosmtplib.SMTPSenderRefused | aiosmtplib.SMTPRecipientRefused):
        command = Command.CONTENT
    else:
        is_sender = isinstance(error, aiosmtplib.SMTPSenderRefused)
        command = Command.SENDER if is_sender else Command.RECIPIENT
    speaks = judge(error.code, error.message, command)
    if not _is_permanent(error):
        return NotAccepted(described, put_off=speaks is not Speaks.OF_US)
    if speaks is Speaks.OF_ADDRESS:
        return Refused(described)
    return NotAccepted(described, put_off=speaks is Speaks.OF_MOMENT, refuses_us=speaks is Speaks.OF_US)


def _is_permanent(error: aiosmtplib.SMTPResponseException) -> bool:
    """Whether an answer is one of 5xx, which the server would repeat (RFC 5321 4.2.1)."""
    return 500 <= error.code < 600  # noqa: PLR2004


def _describe(error: Exception, recipient: str) -> str:
    """The server's answer, or the error on the way to it, without addresses."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        return _describe(error.recipients[0], recipient)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return mask(f"{error.code} {error.message}", recipient)
    return mask(str(error) or type(error).__name__, recipient)
