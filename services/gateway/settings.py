"""The gateway's settings."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from services.runtime.server import ServerSettings
from services.runtime.temporal import TemporalSettings
from services.runtime.tls import Certificate, CertificateFiles


class GatewaySettings(ServerSettings, TemporalSettings):
    """What the gateway reads, prefix `LIITY_`."""

    identity_target: str = Field(description="host:port of the identity service.")
    registration_target: str = Field(description="host:port of the registration service.")
    public_tls_certificate: Path | None = Field(
        None, description="PEM of the certificate that frontends see, with its chain: turns TLS on for them."
    )
    public_tls_key: Path | None = Field(None, description="PEM of its key (a file of mode 0600).")

    @model_validator(mode="after")
    def _public_tls_is_whole(self) -> Self:
        if (self.public_tls_certificate is None) != (self.public_tls_key is None):
            raise ValueError("LIITY_PUBLIC_TLS_CERTIFICATE and LIITY_PUBLIC_TLS_KEY go together")
        return self

    def public_certificate(self) -> Certificate | None:
        """The certificate that frontends see; None without TLS. SettingsError if it cannot be used."""
        if self.public_tls_certificate is None or self.public_tls_key is None:
            return None
        return CertificateFiles(self.public_tls_certificate, self.public_tls_key).follow()
