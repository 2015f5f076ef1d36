"""The client of Temporal: where Temporal is, and over which TLS."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from pydantic import Field
from temporalio.client import Client
from temporalio.envconfig import ClientConfig, ClientConfigProfile

from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.security.tls import CertificateFiles, FromFiles, client_context
from services.runtime.settings import RuntimeSettings, SettingsError
from services.runtime.temporal.actor_header import ActorClientInterceptor, ActorSeal
from services.runtime.temporal.codec import data_converter

log = structlog.get_logger()

_WATCH_PAUSE = 2.0
"""Seconds between two looks at the files of Temporal's TLS."""


class TemporalSettings(RuntimeSettings):
    """What a component that speaks to Temporal reads besides.

    Whatever is not given here comes from Temporal's own environment configuration (`TEMPORAL_*`, profiles).
    """

    temporal_address: str = Field("", description="host:port of the Temporal frontend.")
    temporal_namespace: str = Field("", description="Namespace the workflows live in.")


async def connect(settings: TemporalSettings, *, lazy: bool = True) -> Client:
    """A client with the payload codec. If lazy, the first call connects: Temporal may be away at the start.

    A worker needs one that is connected. SettingsError if it is not told where Temporal is, or by TLS files
    that cannot be used; RuntimeError if Temporal is away.
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
    )


@asynccontextmanager
async def follow_certificates(
    settings: TemporalSettings, use: Callable[[Client], None]
) -> AsyncIterator[None]:
    """Meanwhile connects anew whenever a file of Temporal's TLS changes, and gives the client to `use`.

    What does not connect is tried again; until then the client before stays in use.
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
    """The files that Temporal's own configuration names, if any. SettingsError if they cannot be used."""
    tls = ClientConfigProfile.load().tls
    if tls is None:
        return None
    ca = tls.server_root_ca_cert if isinstance(tls.server_root_ca_cert, Path) else None
    if isinstance(tls.client_cert, Path) and isinstance(tls.client_private_key, Path):
        return CertificateFiles(tls.client_cert, tls.client_private_key, ca).follow()
    return client_context(ca) if ca else None
