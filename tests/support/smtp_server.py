"""A mail server whose answers tests can script."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import Policy
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session
from typing_extensions import override

from services.runtime import mail_policy


class ReceivedMail(EmailMessage):
    """A mail as it came. Its headers are parsed once: tests that wait for a mail look at all of them."""

    def __init__(self, policy: Policy | None = None) -> None:
        super().__init__(policy)
        self._parsed: dict[str, Any] = {}

    @override
    def __getitem__(self, name: str) -> Any:
        if name not in self._parsed:
            self._parsed[name] = super().__getitem__(name)
        return self._parsed[name]


Answer = str | Callable[[SMTP], Awaitable[str]]
"""The answer to a command, or a function that returns it."""

ACCEPTED = "250 2.0.0 OK"


class SmtpServer:
    """Accepts mail, and answers commands first from scripts: `on_mail`, `on_rcpt` and `on_data`."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.taken: list[EmailMessage] = []
        """Mails answered with 250, or dropped after they were read."""
        self.recipients: list[str] = []
        self.senders: list[str] = []
        """Their envelope senders, which get the bounces."""
        self.options: list[list[str]] = []
        self.encrypted: list[bool] = []
        self.connections: list[SMTP] = []
        self.on_mail: list[Answer] = []
        self.on_rcpt: list[Answer] = []
        self.unknown_once: set[str] = set()
        """Addresses that are refused for good, but only the next time."""
        self.on_data: list[Answer] = []
        self.unknown: set[str] = set()
        """Addresses without a mailbox."""
        self.full: set[str] = set()
        """Addresses whose mailbox is full for now."""

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = await _next(self.on_mail, server)
        if answer == ACCEPTED:
            envelope.mail_from = address
            self.options.append(options)
        return answer

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address in self.unknown:
            return "550 5.1.1 No such mailbox"
        if address in self.full:
            return "452 4.2.2 Mailbox full"
        if address in self.unknown_once:
            self.unknown_once.remove(address)
            return "550 5.1.1 No such user here"
        answer = await _next(self.on_rcpt, server)
        if answer == ACCEPTED:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = await _next(self.on_data, server)
        if answer == ACCEPTED:
            self.take(session, envelope)
        return answer

    def take(self, session: Session, envelope: Envelope) -> None:
        """Keeps a mail."""
        content = envelope.original_content or b""
        self.taken.append(message_from_bytes(content, _class=ReceivedMail, policy=mail_policy.READ))
        self.recipients += envelope.rcpt_tos
        self.senders.append(envelope.mail_from or "")
        self.encrypted.append(session.ssl is not None)

    async def read_then_drop(self, server: SMTP) -> str:
        """Reads the mail, then closes the connection without an answer."""
        assert server.session is not None
        assert server.envelope is not None
        self.take(server.session, server.envelope)
        return await drop(server)


async def drop(server: SMTP) -> str:
    """Closes the connection."""
    assert server.transport is not None
    server.transport.abort()
    await asyncio.sleep(60)
    return ""


async def hang(_server: SMTP) -> str:
    """Never answers."""
    await asyncio.sleep(60)
    return ""


@asynccontextmanager
async def smtp_server(
    port: int = 0, *, tls: ssl.SSLContext | None = None, **parameters: Any
) -> AsyncIterator[SmtpServer]:
    """A running server. `tls` offers STARTTLS."""
    loop = asyncio.get_running_loop()
    mailbox = SmtpServer(port)

    def connect() -> SMTP:
        options = {"enable_SMTPUTF8": True, **parameters}
        mailbox.connections.append(
            SMTP(mailbox, hostname="smtp.example.org", tls_context=tls, loop=loop, **options)
        )
        return mailbox.connections[-1]

    server = await loop.create_server(connect, "127.0.0.1", port)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
        for connection in mailbox.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await server.wait_closed()


async def _next(script: list[Answer], server: SMTP) -> str:
    answer = script.pop(0) if script else ACCEPTED
    return answer if isinstance(answer, str) else await answer(server)
