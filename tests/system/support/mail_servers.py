"""Mail servers that replace the stack's mailbox and delay their answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email import message_from_bytes

from aiosmtpd.smtp import SMTP

from deploy.demo.forms import DemoPerson
from deploy.local.stack import Stack
from services.runtime import mail_policy
from services.runtime.security.tls import server_context
from tests.support.smtp_server import ACCEPTED, SmtpServer, smtp_server
from tests.system.support.registering import PATIENCE, MailCounter, copy_of

_MANY = 1000


@asynccontextmanager
async def standing_in(stack: Stack, mails: MailCounter) -> AsyncIterator[SmtpServer]:
    """A mail server at the address of the mailbox, which is stopped meanwhile."""
    files = stack.certificates.files("smtp") if stack.certificates else None
    tls = server_context(replace(files, ca=None)) if files else None
    await stack.stop_component("mailbox")
    try:
        async with smtp_server(stack.ports.smtp, tls=tls) as server:
            mails.others.append(server)
            yield server
    finally:
        await stack.start_component("mailbox")


class Gate:
    """Delays a mail server's answer to some mails: they are read, but not yet accepted."""

    def __init__(self, server: SmtpServer) -> None:
        self._kept: dict[tuple[str, str], asyncio.Event] = {}
        self._open = asyncio.Event()
        server.on_data = [self._answer] * _MANY

    def keep(self, person: DemoPerson, template: str) -> None:
        """Delays a mail to or about a person."""
        self._kept[template, person.form.first_names] = asyncio.Event()

    async def has(self, person: DemoPerson, template: str) -> None:
        """Waits until the mail is delayed."""
        async with asyncio.timeout(PATIENCE):
            await self._kept[template, person.form.first_names].wait()

    def open(self) -> None:
        """Releases every delayed mail, and delays no more."""
        self._open.set()

    async def _answer(self, server: SMTP) -> str:
        assert server.envelope is not None
        mail = copy_of(message_from_bytes(server.envelope.original_content or b"", policy=mail_policy.READ))
        for (template, first_names), kept in self._kept.items():
            if template == mail.template and first_names in mail.text:
                kept.set()
                await self._open.wait()
        return ACCEPTED
