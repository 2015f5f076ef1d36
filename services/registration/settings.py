"""Settings of the registration service."""

from datetime import timedelta

from pydantic import Field

from services.runtime.database import DatabaseSettings
from services.runtime.server import ServerSettings


class RegistrationSettings(ServerSettings, DatabaseSettings):
    """What the registration service reads, prefix `LIITY_`."""

    look_ups_per_account: int = Field(
        default=200,
        ge=1,
        description="Look-ups of a person by code per account and window; a Save of somebody who is known "
        "counts as one.",
    )
    look_ups_per_unit: int = Field(
        default=1000, ge=1, description="The same per unit, by all its registrars together."
    )
    look_up_window: timedelta = Field(
        default=timedelta(hours=1), gt=timedelta(0), description="How long look-ups are counted."
    )
