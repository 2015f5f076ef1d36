"""Settings of the codec server."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from services.runtime.rpc.server import ServerSettings
from services.runtime.security.tls import PublicTlsSettings

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _is_origin(origin: str) -> str:
    """Refuses values that a browser never sends as an origin (RFC 6454), as they would match nothing."""
    parts = urlsplit(origin)
    in_form = origin == f"{parts.scheme}://{parts.netloc}".lower() and "@" not in parts.netloc
    if parts.scheme not in {"http", "https"} or not parts.hostname or not in_form:
        raise ValueError("an origin is expected here, such as https://temporal.library.example")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("personal data travels over https only; http is for this machine alone")
    return origin


Origin = Annotated[str, AfterValidator(_is_origin)]


class CodecSettings(ServerSettings, PublicTlsSettings):
    """Settings of the codec server, prefix `LIITY_`."""

    codec_url: Origin = Field(
        description="Where browsers find the codec server: an origin, such as https://codec.library.example."
    )
    codec_ui_origins: tuple[Origin, ...] = Field(
        min_length=1,
        description="Origins of the Temporal UIs that are served; on the same site as the codec server.",
    )
    gateway_target: str = Field(description="host:port of the gateway, which logs people in.")
    gateway_ca: Path | None = Field(
        None, description="PEM of the CA of the gateway's certificate: calls it over TLS."
    )
    identity_target: str = Field(description="host:port of the identity service.")
    registration_target: str = Field(description="host:port of the registration service: it keeps the log.")
