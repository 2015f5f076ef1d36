"""Runs the web pages as a component: settings, keys, TLS and shutdown as of the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import structlog
from pydantic import Field

from frontends.web.app import create_app
from frontends.web.config import WebConfig
from frontends.web.sealing import Seal
from services.runtime import logs
from services.runtime.components import stop_requested
from services.runtime.http import serving_http
from services.runtime.rpc.server import ServerSettings
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.security.tls import PublicTlsSettings, server_context
from services.runtime.settings import load

log = structlog.get_logger()

_NAME = "web"
_GRACE = 20
"""Seconds that running requests get at shutdown: longer than a call of the gateway may take."""


class WebSettings(ServerSettings, PublicTlsSettings):
    """Settings of the web pages."""

    gateway_target: str = Field(description="host:port of the gateway.")
    gateway_ca: Path | None = Field(
        None, description="PEM of the CA of the gateway's certificate: calls it over TLS."
    )
    web_mailbox_url: str = Field("", description="The local stack's mailbox, for links to it.")
    web_demo_accounts: dict[str, str] = Field(
        default_factory=dict,
        description="Demo accounts that the log-in page offers: JSON of passwords by address. Local only.",
    )


async def run() -> None:
    """Serves the pages until SIGTERM or SIGINT."""
    settings = load(WebSettings)
    logs.configure(_NAME, settings)
    async with serving_web(settings):
        log.info("serving", listen=settings.listen, address=settings.web_url)
        await stop_requested()
        log.info("stopping")
        await asyncio.sleep(settings.drain_pause.total_seconds())


@asynccontextmanager
async def serving_web(settings: WebSettings) -> AsyncIterator[None]:
    """Serves while the body runs. SettingsError if the port is taken, or a key or certificate is unusable."""
    config = WebConfig(
        origin=settings.web_url.rstrip("/"),
        gateway=settings.gateway_target,
        gateway_ca=settings.gateway_ca,
        customer_service_email=settings.customer_service_email,
        customer_service_url=settings.customer_service_url,
        mailbox_url=settings.web_mailbox_url,
        demo_accounts=settings.web_demo_accounts,
    )
    public = settings.public_files()
    tls = server_context(public) if public else None
    app, api = create_app(config, Seal(load_keyset(settings.keys_dir, KeysetPurpose.WEB)))
    try:
        async with serving_http(app, settings.listen, tls=tls, grace=_GRACE):
            yield
    finally:
        await api.close()
