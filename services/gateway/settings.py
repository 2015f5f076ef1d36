"""The gateway's settings."""

from datetime import timedelta

from pydantic import Field

from services.runtime.server import ServerSettings
from services.runtime.temporal import TemporalSettings


class GatewaySettings(ServerSettings, TemporalSettings):
    """What the gateway reads, prefix `LIITY_`."""

    identity_target: str = Field(description="host:port of the identity service.")
    registration_target: str = Field(description="host:port of the registration service.")
    disclosure_lifetime: timedelta = Field(
        timedelta(days=7),
        gt=timedelta(0),
        description="How long the export for an access request can be read, until it is erased.",
    )
