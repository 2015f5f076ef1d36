"""The local stack's mail server: accepts every mail, forwards none, and shows them on pages and as JSON."""

import asyncio
import json
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import structlog
from aiosmtpd.smtp import SMTP, Envelope, Session
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import Field
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from deploy.local.mailbox.store import Maildir, StoredMail
from services.runtime import logs
from services.runtime.clock import HELSINKI
from services.runtime.components import stop_requested
from services.runtime.http import serving_http
from services.runtime.security.tls import component_files, server_context
from services.runtime.settings import RuntimeSettings, SettingsError, load

log = structlog.get_logger()

_NAME = "mailbox"
_HOST_NAME = "mailbox.liity.example"
_LARGEST_MAIL = 10 * 1024 * 1024
_PER_PAGE = 100

_PAGES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)

_PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'"
# Mail may be hostile: no scripts, requests or forms; links open in a tab of their own.
_MAIL_POLICY = (
    "sandbox allow-popups allow-popups-to-escape-sandbox;"
    " default-src 'none'; style-src 'unsafe-inline'; img-src data:"
)


class MailboxSettings(RuntimeSettings):
    """Settings of the local stack's mailbox.

    With a certificate (`LIITY_TLS_CERTIFICATE`, with the DNS name `smtp`) it accepts mail over TLS only.
    """

    mailbox_smtp_listen: str = Field("127.0.0.1:1025", description="host:port that takes mail.")
    mailbox_http_listen: str = Field("127.0.0.1:8025", description="host:port that shows it.")
    mailbox_dir: Path = Field(description="Folder the mail is kept in.")


async def run() -> None:
    """Accepts and shows mail until SIGTERM or SIGINT."""
    settings = load(MailboxSettings)
    logs.configure(_NAME, settings)
    # Its lines contain addresses.
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    async with serving_mailbox(settings):
        log.info("serving", smtp=settings.mailbox_smtp_listen, http=settings.mailbox_http_listen)
        await stop_requested()
        log.info("stopping")


@asynccontextmanager
async def serving_mailbox(settings: MailboxSettings) -> AsyncIterator[Maildir]:
    """Accepts and shows mail while the body runs. SettingsError if a port is taken."""
    maildir = Maildir(settings.mailbox_dir)
    async with (
        _serving_mail(maildir, settings.mailbox_smtp_listen, _tls(settings)),
        serving_http(_Pages(maildir).application(), settings.mailbox_http_listen),
    ):
        yield maildir


class _Delivery:
    """Stores accepted mail."""

    def __init__(self, maildir: Maildir) -> None:
        self._maildir = maildir

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        content = envelope.original_content or b""
        await asyncio.to_thread(self._maildir.add, envelope.rcpt_tos, content)
        return "250 2.0.0 OK"


@asynccontextmanager
async def _serving_mail(maildir: Maildir, listen: str, tls: ssl.SSLContext | None) -> AsyncIterator[None]:
    loop = asyncio.get_running_loop()
    delivery = _Delivery(maildir)
    connections: list[SMTP] = []

    def connect() -> SMTP:
        connections[:] = [connection for connection in connections if connection.transport is not None]
        connections.append(
            SMTP(
                delivery,
                hostname=_HOST_NAME,
                enable_SMTPUTF8=True,
                data_size_limit=_LARGEST_MAIL,
                loop=loop,
                tls_context=tls,
                require_starttls=tls is not None,
            )
        )
        return connections[-1]

    try:
        server = await loop.create_server(connect, *_address(listen))
    except OSError:
        raise _taken(listen) from None
    try:
        yield
    finally:
        server.close()
        for connection in connections:
            if connection.transport is not None:
                connection.transport.close()
        await server.wait_closed()


class _Pages:
    """Shows the mails."""

    def __init__(self, maildir: Maildir) -> None:
        self._maildir = maildir

    def application(self) -> Starlette:
        """The routes."""
        routes = [
            Route("/", self._list),
            Route("/messages/{id}", self._show),
            Route("/messages/{id}/html", self._show_html),
            Route("/api/messages", self._list_json),
            Route("/healthz", _health),
        ]
        return Starlette(routes=routes, exception_handlers={404: _missing})

    async def _list(self, request: Request) -> Response:
        before = request.query_params.get("before", "")
        found = await asyncio.to_thread(self._maildir.ids)
        ids = [mail_id for mail_id in found if not before or mail_id < before]
        mails = [mail for mail_id in ids[:_PER_PAGE] if (mail := self._maildir.read(mail_id))]
        return _page("list.html", mails=mails, before=before, more=len(ids) > _PER_PAGE)

    async def _show(self, request: Request) -> Response:
        return _page("message.html", mail=self._mail(request))

    async def _show_html(self, request: Request) -> Response:
        html = self._mail(request).html.replace("<head>", '<head><base target="_blank">', 1)
        return HTMLResponse(html, headers={"Content-Security-Policy": _MAIL_POLICY})

    async def _list_json(self, request: Request) -> Response:
        mails = await asyncio.to_thread(self._maildir.sent_to, request.query_params.get("to", ""))
        # Escapes what is no text in an address, unlike Starlette's own.
        text = json.dumps({"messages": [_as_json(mail) for mail in mails]})
        return Response(text, media_type="application/json")

    def _mail(self, request: Request) -> StoredMail:
        mail = self._maildir.read(request.path_params["id"])
        if mail is None:
            raise HTTPException(404)
        return mail


async def _health(_request: Request) -> Response:
    return PlainTextResponse("ok")


async def _missing(_request: Request, _error: Exception) -> Response:
    return _page("missing.html", status=404)


def _as_json(mail: StoredMail) -> dict[str, Any]:
    return {
        "id": mail.id,
        "to": list(mail.recipients),
        "subject": mail.subject,
        "time": mail.time.isoformat(),
        "message_id": mail.message_id,
        "text": mail.text,
    }


def _page(template: str, status: int = 200, **variables: object) -> Response:
    html = _PAGES.get_template(template).render(variables, zone=HELSINKI)
    return HTMLResponse(html, status, headers={"Content-Security-Policy": _PAGE_POLICY})


def _tls(settings: MailboxSettings) -> ssl.SSLContext | None:
    files = component_files("smtp", settings)
    # Senders of mail show no certificate.
    return server_context(replace(files, ca=None)) if files else None


def _address(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    return host, int(port)


def _taken(listen: str) -> SettingsError:
    return SettingsError(f"Cannot listen on {listen}: is something else running there?")
