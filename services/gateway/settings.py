"""The gateway's settings."""

from datetime import timedelta

from pydantic import Field, IPvAnyNetwork

from services.runtime.rpc.server import ServerSettings
from services.runtime.security.tls import PublicTlsSettings
from services.runtime.temporal.client import TemporalSettings


class GatewaySettings(ServerSettings, PublicTlsSettings, TemporalSettings):
    """Settings of the gateway, prefix `LIITY_`."""

    identity_target: str = Field(description="host:port of the identity service.")
    registration_target: str = Field(description="host:port of the registration service.")
    notification_target: str = Field(description="host:port of the notification service.")
    trusted_proxies: tuple[IPvAnyNetwork, ...] = Field(
        (),
        description='Networks of our own proxies, as in `["10.1.0.0/16"]`: only their'
        " `x-forwarded-for` is trusted.",
    )
    disclosure_lifetime: timedelta = Field(
        timedelta(days=7),
        gt=timedelta(0),
        description="How long the export for an access request can be read, until it is erased.",
    )
