"""Temporal client: address, namespace, TLS, codec."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from pydantic import Field
from temporalio.client import Client
from temporalio.envconfig import ClientConfig, ClientConfigProfile

from services.runtime.management import is_managed
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.security.tls import CertificateFiles, FromFiles, client_context
from services.runtime.settings import RuntimeSettings, SettingsError
from services.runtime.temporal.actor_header import ActorClientInterceptor, ActorSeal
from services.runtime.temporal.codec import data_converter
from services.runtime.temporal.sdk_metrics import measured_runtime

log = structlog.get_logger()

_WATCH_PAUSE = 2.0
"""Seconds between two checks of the TLS files."""


class TemporalSettings(RuntimeSettings):
    """Settings of components that use Temporal.

    Settings not given here come from Temporal's own environment configuration (`TEMPORAL_*`, profiles).
    """

    temporal_address: str = Field("", description="host:port of the Temporal frontend.")
    temporal_namespace: str = Field("", description="Namespace the workflows live in.")


async def connect(settings: TemporalSettings, *, lazy: bool = True) -> Client:
    """Creates a client with the payload codec. If lazy, it connects at the first call.

    Temporal may then be away at the start. A worker needs a connected one. SettingsError if there is no
    address, or TLS files or the keyset cannot be used; RuntimeError if Temporal is away.
    """
    _tls_files()
    config = ClientConfig.load_client_connect_config()
    if settings.temporal_address:
        config["target_host"] = settings.temporal_address
    if settings.temporal_namespace:
        config["namespace"] = settings.temporal_namespace
    if "target_host" not in config:
        raise SettingsError("LIITY_TEMPORAL_ADDRESS or TEMPORAL_ADDRESS must say where Temporal is")
    keyset = load_keyset(settings.keys_dir, KeysetPurpose.PAYLOADS)
    return await Client.connect(
        **config,
        data_converter=data_converter(keyset),
        interceptors=[ActorClientInterceptor(ActorSeal(keyset))],
        lazy=lazy,
        runtime=measured_runtime() if is_managed() else None,
    )


@asynccontextmanager
async def follow_certificates(
    settings: TemporalSettings, use: Callable[[Client], None]
) -> AsyncIterator[None]:
    """While the body runs, reconnects whenever a TLS file changes and passes the new client to `use`.

    A failed connection is retried; until then the old client stays in use.
    """
    watching = asyncio.create_task(_watch(settings, use, _tls_files()))
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(
    settings: TemporalSettings, use: Callable[[Client], None], files: FromFiles[Any] | None
) -> None:
    if files is None:
        return
    used = files.current()
    while True:
        await asyncio.sleep(_WATCH_PAUSE)
        changed = files.current()
        if changed is used:
            continue
        try:
            use(await connect(settings, lazy=False))
        except (RuntimeError, SettingsError) as error:
            log.warning("cannot connect to temporal with changed TLS files", problem=str(error))
        else:
            used = changed
            log.info("connected to temporal anew")


def _tls_files() -> FromFiles[Any] | None:
    """The TLS files of Temporal's own configuration, if any. SettingsError if they cannot be used."""
    tls = ClientConfigProfile.load().tls
    if tls is None:
        return None
    ca = tls.server_root_ca_cert if isinstance(tls.server_root_ca_cert, Path) else None
    if isinstance(tls.client_cert, Path) and isinstance(tls.client_private_key, Path):
        return CertificateFiles(tls.client_cert, tls.client_private_key, ca).follow()
    return client_context(ca) if ca else None
