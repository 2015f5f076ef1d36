"""The worker's settings."""

from datetime import timedelta
from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from liity.workflows.v1.registration_workflow_pb2 import Timetable
from services.runtime.temporal import TemporalSettings
from services.runtime.temporal_namespace import NamespaceSettings


class WorkerSettings(TemporalSettings, NamespaceSettings):
    """What the worker reads, prefix `LIITY_`.

    Durations are ISO 8601 (`P14D`, `PT10S`). A registration is given its deadlines when it is saved and keeps
    them: a change here holds for those saved later.
    """

    identity_target: str = Field(description="host:port of the identity service.")
    registration_target: str = Field(description="host:port of the registration service.")
    notification_target: str = Field(description="host:port of the notification service.")
    workflows_consent_reminders: tuple[timedelta, ...] = Field(
        (timedelta(days=7), timedelta(days=14), timedelta(days=21)),
        description="From the consent request to each reminder, ascending (R30).",
    )
    workflows_consent_lapse: timedelta = Field(
        timedelta(days=30), gt=timedelta(0), description="From the consent request to its lapse (R30)."
    )
    workflows_welcome_delay: timedelta = Field(
        timedelta(days=14),
        gt=timedelta(0),
        description="From the start of the customership to the welcome mail (R26). Whole days count to the "
        "welcome hour of that day, less than a day to the second.",
    )
    workflows_welcome_hour: int = Field(9, ge=0, le=23, description="Hour of the welcome mail in Helsinki.")
    worker_build_id: str = Field(
        "",
        description="Build ID for Worker Versioning (AUTO_UPGRADE); without one the worker is unversioned.",
    )

    @model_validator(mode="after")
    def _reminders_ascend_to_the_lapse(self) -> Self:
        moments = [timedelta(0), *self.workflows_consent_reminders, self.workflows_consent_lapse]
        if any(earlier >= later for earlier, later in pairwise(moments)):
            raise ValueError(
                "LIITY_WORKFLOWS_CONSENT_REMINDERS must ascend and come before LIITY_WORKFLOWS_CONSENT_LAPSE"
            )
        return self

    def timetable(self) -> Timetable:
        """The durations as a registration is given them."""
        timetable = Timetable(welcome_hour=self.workflows_welcome_hour)
        for reminder in self.workflows_consent_reminders:
            timetable.consent_reminders.add().FromTimedelta(reminder)
        timetable.consent_lapse.FromTimedelta(self.workflows_consent_lapse)
        timetable.welcome_delay.FromTimedelta(self.workflows_welcome_delay)
        return timetable
