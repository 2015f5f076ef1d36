"""Collecting reports from the mailbox of the bounce address, over IMAP (RFC 3501)."""

import asyncio
import imaplib
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import structlog

from services.notification.mail.bounces import Bounces
from services.notification.settings import InboxSettings
from services.runtime.security.tls import client_context

log = structlog.get_logger()

_MOST = 100
"""Mails read in one round."""

_LONGEST = 262_144
"""Bytes read of one mail: a report says all in its first parts."""

_TIMEOUT = 30.0
_ALARM = 3600.0


class Inbox:
    """Reads the mailbox. Reports of our mail are deleted; all else stays, as read, for people.

    A mail is marked only after its report is recorded, so that a round that was interrupted is repeated.
    """

    def __init__(self, settings: InboxSettings, bounces: Bounces) -> None:
        self._settings = settings
        self._bounces = bounces
        ca = settings.bounce_imap_tls_ca
        self._trusted = client_context(ca).current() if ca else ssl.create_default_context()
        self._next_alarm = 0.0

    async def collect_all(self) -> None:
        """Takes all unread mails. Alarms the operators if the mailbox fails, at most once an hour."""
        try:
            while await self.collect() == _MOST:
                pass
        except (imaplib.IMAP4.error, OSError, ValueError) as error:
            # ValueError: an answer that is not IMAP's.
            self._alarm(error)

    async def collect(self) -> int:
        """Takes the unread mails; returns how many there were."""
        connection = await self._connected()
        try:
            numbers = await asyncio.to_thread(_unread, connection)
            for number in numbers:
                raw = await asyncio.to_thread(_fetch, connection, number)
                taken = raw is not None and await self._bounces.take_mail(raw)
                flags = r"(\Seen \Deleted)" if taken else r"(\Seen)"
                await asyncio.to_thread(_require, connection.uid, "STORE", number, "+FLAGS", flags)
            if numbers:
                await asyncio.to_thread(_require, connection.expunge)
            return len(numbers)
        finally:
            await _close(connection)

    async def _connected(self) -> imaplib.IMAP4:
        connecting = asyncio.ensure_future(asyncio.to_thread(self._connect))
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            # The thread goes on: what it opens is closed here, for nobody else knows it.
            with suppress(imaplib.IMAP4.error, OSError, ValueError):
                await _close(await connecting)
            raise

    def _connect(self) -> imaplib.IMAP4:
        settings = self._settings
        host, port = settings.bounce_imap_host or "", settings.bounce_imap_port
        connection: imaplib.IMAP4
        if settings.bounce_imap_tls == "tls":
            connection = imaplib.IMAP4_SSL(host, port, ssl_context=self._trusted, timeout=_TIMEOUT)
        else:
            connection = imaplib.IMAP4(host, port, timeout=_TIMEOUT)
        password = settings.bounce_imap_password
        try:
            if settings.bounce_imap_tls != "tls":
                connection.starttls(self._trusted)
            connection.login(
                settings.bounce_imap_username or "", password.get_secret_value() if password else ""
            )
            _require(connection.select, _quoted(settings.bounce_imap_folder))
        except BaseException:
            connection.shutdown()
            raise
        return connection

    def _alarm(self, error: Exception) -> None:
        moment = asyncio.get_running_loop().time()
        report = log.error if moment >= self._next_alarm else log.warning
        if moment >= self._next_alarm:
            self._next_alarm = moment + _ALARM
        report("reports of undelivered mail cannot be collected", error=type(error).__name__)


async def _close(connection: imaplib.IMAP4) -> None:
    # Shielded: a cancelled call that no thread has begun would never be made.
    await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, connection.shutdown))


def _unread(connection: imaplib.IMAP4) -> list[str]:
    [numbers] = _require(connection.uid, "SEARCH", "UNSEEN")
    return (numbers or b"").decode().split()[:_MOST]


def _fetch(connection: imaplib.IMAP4, number: str) -> bytes | None:
    """A mail, or its beginning; None if it was deleted meanwhile."""
    parts = _require(connection.uid, "FETCH", number, f"(BODY.PEEK[]<0.{_LONGEST}>)")
    return next(_literals(parts), None)


def _literals(parts: list[Any]) -> Iterator[bytes]:
    return (part[1] for part in parts if isinstance(part, tuple))


def _require(command: Callable[..., tuple[str, list[Any]]], *arguments: str) -> list[Any]:
    status, answer = command(*arguments)
    if status != "OK":
        raise imaplib.IMAP4.error("the server has refused a command")
    return answer


def _quoted(folder: str) -> str:
    escaped = folder.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
