"""A client of the public API whose calls, answers and mails become a history."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from deploy.demo.polling import eventually
from deploy.local.mailbox.store import Maildir
from frontends.client import TIMEOUT, ApiClient
from frontends.refusals import Refusal, reason_name
from tests.support.history.records import Call, Caller, History, Mail, Refused
from tests.system.support.registering import template_of_subject

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)

_MOMENT = 0.3
"""Seconds between two tries, and between two looks into the mailbox."""

_GIVE_UP = 4 * TIMEOUT
"""Seconds after which a call hangs whose deadline is `TIMEOUT`: the machine may be busy, too."""

PATIENCE = 300.0
"""Seconds until a caller gives up who is never answered."""


class Recording:
    """One caller. Every call is recorded, with its answer."""

    def __init__(self, history: History, caller: Caller, client: ApiClient) -> None:
        self.caller = caller
        self.api = client
        self._history = history

    async def call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        about: str = "",
    ) -> ResponseT | None:
        """Repeats a call until it is answered; None if it is refused. TimeoutError if neither comes."""
        async with asyncio.timeout(PATIENCE):
            while True:
                call, answer = await self._once(method, request, about)
                if answer is not None or call.refused is not None:
                    return answer
                await asyncio.sleep(_MOMENT)

    async def _once(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT, about: str
    ) -> tuple[Call, ResponseT | None]:
        asked = type(request)()
        asked.CopyFrom(request)
        answer, refused, hung = None, None, False
        began = time.time()
        try:
            async with asyncio.timeout(_GIVE_UP):
                answer = await self.api.call(method, request)
        except Refusal as refusal:
            if refusal.code is not grpc.StatusCode.UNAVAILABLE:
                refused = Refused(refusal.code, reason_name(refusal.reason))
        except TimeoutError:
            hung = True
        call = Call(self.caller, asked, about, began, time.time(), answer, refused, hung)
        self._history.calls.append(call)
        return call, answer


class Mailbox:
    """The mails of a history, as they arrive."""

    def __init__(self, history: History, maildir: Maildir) -> None:
        self._history = history
        self._maildir = maildir
        self._seen = set(maildir.ids())
        self._arrived: dict[tuple[str, str], dict[str, Mail]] = defaultdict(dict)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Reads new mails in the meantime, and once more at the end."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            self._read_new()

    async def wait_for(self, recipient: str, template: str, number: int = 1) -> Mail:
        """The mail of a template to somebody that came as the given number."""

        async def come() -> list[Mail]:
            return list(self._arrived[template, recipient].values())

        return (await eventually(come, lambda mails: len(mails) >= number, PATIENCE))[number - 1]

    async def _watch(self) -> None:
        while True:
            self._read_new()
            await asyncio.sleep(_MOMENT)

    def _read_new(self) -> None:
        for mail_id in reversed(self._maildir.ids()):
            if mail_id in self._seen:
                continue
            self._seen.add(mail_id)
            mail = self._maildir.read(mail_id)
            assert mail is not None
            template, recipient = template_of_subject(mail.subject), ",".join(mail.recipients)
            came = Mail(template, recipient, mail.message_id, mail.text, mail.time.timestamp())
            self._history.mails.append(came)
            self._arrived[template, recipient].setdefault(came.message_id, came)
