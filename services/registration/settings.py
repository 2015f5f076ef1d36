"""Settings of the registration service."""

from services.runtime.database import DatabaseSettings
from services.runtime.server import ServerSettings


class RegistrationSettings(ServerSettings, DatabaseSettings):
    """What the registration service reads, prefix `LIITY_`."""
