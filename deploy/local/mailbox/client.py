"""Client of the local stack's mailbox."""

import asyncio
import http.client
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

_LINK = re.compile(r"https?://\S+/([A-Za-z0-9_.~-]{20,})")


@dataclass(frozen=True)
class Mail:
    """A received mail."""

    id: str
    message_id: str
    """The same if a mail came twice."""
    to: tuple[str, ...]
    subject: str
    text: str

    @property
    def link_token(self) -> str:
        """The token of the link in the text. LookupError if there is none."""
        found = _LINK.search(self.text)
        if found is None:
            raise LookupError(f"The mail “{self.subject}” holds no personal link")
        return found.group(1)


class MailboxClient:
    """Client of the mailbox at host:port."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def mails(self, to: str = "") -> list[Mail]:
        """The mails to an address, or all, newest first. OSError if the mailbox is away."""
        answer = await asyncio.to_thread(self._get, "/api/messages?" + urlencode({"to": to}))
        return [
            Mail(mail["id"], mail["message_id"], tuple(mail["to"]), mail["subject"], mail["text"])
            for mail in answer["messages"]
        ]

    async def wait_for(
        self, to: str, seconds: float = 20, wanted: Callable[[Mail], bool] = lambda _: True
    ) -> Mail:
        """Waits for a wanted mail to an address; returns the newest. TimeoutError if none comes."""
        async with asyncio.timeout(seconds):
            while True:
                for mail in await self.mails(to):
                    if wanted(mail):
                        return mail
                await asyncio.sleep(0.1)

    def _get(self, path: str) -> Any:  # noqa: ANN401 - it is JSON
        connection = http.client.HTTPConnection(self._address, timeout=5)
        try:
            connection.request("GET", path)
            return json.load(connection.getresponse())
        finally:
            connection.close()
