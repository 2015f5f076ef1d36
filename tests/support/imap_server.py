"""A mailbox that another organisation keeps: as much of IMAP (RFC 3501) as reading it takes, over TLS."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

USER, PASSWORD = "bounces", 'a pass"word'  # pragma: allowlist secret
_LINE = re.compile(rb"(\S+) (UID )?(\S+) ?(.*)", re.DOTALL)


@dataclass
class ImapServer:
    """The mails by their number, and which of them were read."""

    port: int = 0
    mails: dict[int, bytes] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)
    fails: bool = False

    def receive(self, *mails: bytes) -> None:
        for mail in mails:
            self.mails[max(self.mails, default=0) + 1] = mail

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"* OK hello\r\n")
        while line := await reader.readline():
            command = _LINE.match(line.rstrip(b"\r\n"))
            assert command is not None
            tag, _, name, arguments = command.groups()
            answer = self._answer(name.decode().upper(), arguments.decode())
            refused = answer is None or self.fails
            writer.write(
                (b"" if answer is None else answer)
                + tag
                + (b" NO refused\r\n" if refused else b" OK done\r\n")
            )
        writer.close()

    def _answer(self, name: str, arguments: str) -> bytes | None:
        """The untagged lines of an answer; None for a refusal."""
        number = int(arguments.split(maxsplit=1)[0]) if name in {"FETCH", "STORE"} else 0
        match name:
            case "CAPABILITY":
                return b"* CAPABILITY IMAP4rev1\r\n"
            case "LOGIN":
                known = arguments.endswith(PASSWORD.replace('"', '\\"') + '"') and USER in arguments
                return b"" if known else None
            case "SEARCH":
                unread = " ".join(str(mail) for mail in self.mails if mail not in self.read)
                return f"* SEARCH {unread}\r\n".encode()
            case "FETCH":
                mail = self.mails[number]
                head = f"* {number} FETCH (UID {number} BODY[]<0> {{{len(mail)}}}\r\n".encode()
                return head + mail + b")\r\n"
            case "STORE":
                self.read.add(number)
                if "Deleted" in arguments:
                    self.deleted.add(number)
            case "EXPUNGE":
                for number in self.deleted:
                    self.mails.pop(number, None)
        return b""


@asynccontextmanager
async def imap_server(tls: ssl.SSLContext) -> AsyncIterator[ImapServer]:
    """A running server on loopback."""
    mailbox = ImapServer()
    server = await asyncio.start_server(mailbox.serve, "127.0.0.1", 0, ssl=tls)
    mailbox.port = server.sockets[0].getsockname()[1]
    try:
        yield mailbox
    finally:
        server.close()
