"""The worker's settings."""

from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from liity.workflows.v1.registration_workflow_pb2 import Timetable
from services.runtime.class_list_limits import PATIENCE
from services.runtime.temporal.client import TemporalSettings
from services.runtime.temporal.namespace import NamespaceSettings
from workflows.removal.retention import Retention


class WorkerSettings(TemporalSettings, NamespaceSettings):
    """Settings of the worker, prefix `LIITY_`.

    Durations are ISO 8601 (`P14D`, `PT10S`). A registration keeps the deadlines it gets when it is saved: a
    change applies to later registrations.
    """

    identity_target: str = Field(description="host:port of the identity service.")
    registration_target: str = Field(description="host:port of the registration service.")
    notification_target: str = Field(description="host:port of the notification service.")
    workflows_consent_reminders: tuple[timedelta, ...] = Field(
        (timedelta(days=7), timedelta(days=14), timedelta(days=21)),
        description="From the consent request to each reminder, ascending (R30).",
    )
    workflows_consent_reminder_gap: timedelta = Field(
        timedelta(days=3),
        ge=timedelta(0),
        description="From a mail to the guardian until the unit can have them reminded. Such a reminder"
        " replaces an automatic one that is due within this time.",
    )
    workflows_consent_lapse: timedelta = Field(
        timedelta(days=30), gt=timedelta(0), description="From the consent request to its lapse (R30)."
    )
    workflows_consent_lapse_notice: timedelta = Field(
        timedelta(days=5),
        ge=timedelta(0),
        description="How long before that the registrar is told that the guardian has not answered. One that"
        " is not after the request is left out.",
    )
    workflows_decline_grace: timedelta = Field(
        timedelta(hours=1),
        ge=timedelta(0),
        description="How long a guardian can take a decline back before the registration ends (R38).",
    )
    workflows_both_guardians_needed: bool = Field(
        False,
        description="Whether the consent of both is needed where two guardians are asked (R39). Otherwise one"
        " is enough, and a decline beside it is shown to customer service.",
    )
    workflows_welcome_delay: timedelta = Field(
        timedelta(days=14),
        gt=timedelta(0),
        description="From the start of the customership to the welcome mail (R26). Whole days count to the "
        "welcome hour of that day, less than a day to the second.",
    )
    workflows_welcome_hour: int = Field(
        9, ge=0, le=23, description="Hour from which the welcome mail is sent, in Helsinki."
    )
    workflows_morning_spread: timedelta = Field(
        timedelta(hours=1),
        ge=timedelta(0),
        le=timedelta(hours=12),
        description="The welcome mails of one morning, and the questions whether help is still needed, are "
        "spread over this time, each registration and customer at a moment of its own.",
    )
    workflows_address_reminder: timedelta = Field(
        timedelta(days=7),
        gt=timedelta(0),
        description="From the start of the customership to the reminder of a registrar whose own address is "
        "on file (R27). One that is not before the welcome mail is left out.",
    )
    workflows_address_patience: timedelta = Field(
        timedelta(days=14),
        ge=timedelta(0),
        description="How much longer the welcome mail waits for a change while a registrar's own address is "
        "on file (R27).",
    )
    workflows_reactivation_lapse: timedelta = Field(
        timedelta(days=30),
        gt=timedelta(0),
        description="How long a registration waits for customer service to activate somebody who is marked "
        "for deletion (R19).",
    )
    workflows_identity_check_lapse: timedelta = Field(
        timedelta(days=30),
        gt=timedelta(0),
        description="How long a registration without a personal identity code waits for customer service to "
        "check the identity (R24).",
    )
    workflows_decision_reminder: timedelta = Field(
        timedelta(days=7),
        gt=timedelta(0),
        description="How long before either deadline customer service is reminded. A reminder due before "
        "the first mail is left out.",
    )
    workflows_email_link_lifetime: timedelta = Field(
        timedelta(days=14),
        gt=timedelta(0),
        description="How long the link that confirms a changed e-mail address works (R14).",
    )
    workflows_customership_link_lifetime: timedelta = Field(
        timedelta(days=365),
        gt=timedelta(0),
        description="How long the link works by which a customer ends their customership or extends a "
        "temporary need (R21).",
    )
    workflows_need_patience: timedelta = Field(
        timedelta(days=14),
        gt=timedelta(0),
        description="How long a temporary customer may take to answer whether help is still needed. "
        "Then the question is repeated once, and after that the registrar is notified (R21).",
    )
    workflows_need_extension: timedelta = Field(
        timedelta(days=183),
        ge=timedelta(days=1),
        description="How long a temporary need goes on if the customer names no day (R21).",
    )
    retention_day: str = Field(
        "01-31",
        pattern=r"^\d{2}-\d{2}$",
        description="The day of the year, MM-DD in Helsinki, on which the data of ended customerships is "
        "erased (R20).",
    )
    retention_years: int = Field(
        2, ge=0, le=5, description="Full years that data is kept after the end of a customership (R20)."
    )
    retention_years_if_lent: int = Field(
        5, ge=0, le=5, description="The same where a disc or a file was ever lent (R20)."
    )
    retention_spread: timedelta = Field(
        timedelta(hours=12),
        ge=timedelta(0),
        # The shortest day has 23 hours.
        lt=timedelta(hours=23),
        description="The erasures of the yearly day are spread over this time from its beginning.",
    )
    retention_override: timedelta | None = Field(
        None,
        ge=timedelta(0),
        description="For demonstrations: time from the end to the erasure, on any day, whatever was lent.",
    )
    workflows_invitation_reminder: timedelta = Field(
        timedelta(days=3),
        gt=timedelta(0),
        description="How long before a registrar's invitation expires the invited person is reminded. "
        "A shorter invitation has no reminder.",
    )
    workflows_message_reminder: timedelta = Field(
        timedelta(days=1),
        gt=timedelta(0),
        description="How long before a message's deadline customer service is reminded of it (R12); once more"
        " when the deadline comes.",
    )
    workflows_message_lapse: timedelta = Field(
        timedelta(days=30),
        gt=timedelta(0),
        description="From a message's deadline until it is closed unanswered, and the sender notified.",
    )
    workflows_feedback_reminder: timedelta = Field(
        timedelta(days=4),
        gt=timedelta(0),
        description="How long before the law's deadline customer service is reminded of feedback on"
        " accessibility.",
    )
    workflows_class_list_patience: timedelta = Field(
        timedelta(hours=24),
        gt=timedelta(0),
        le=PATIENCE,
        description="How long rows of a class list that cannot be decided are retried after it has begun. "
        "Then they are refused, and the uploader is notified.",
    )
    workflows_work_notice: timedelta = Field(
        timedelta(days=3),
        ge=timedelta(0),
        description="How long before its deadline an item of work counts as due soon in the daily mail to"
        " customer service, which counts those and the overdue ones.",
    )
    workflows_reconciliation_age: timedelta = Field(
        timedelta(minutes=2),
        ge=timedelta(0),
        description="How long ago a row must have changed before reconciliation begins a run for it: the "
        "call that stored it may still be running.",
    )
    workflows_invariants_interval: timedelta = Field(
        timedelta(hours=1),
        gt=timedelta(0),
        description="How often each worker with a management port counts what breaks an invariant, as "
        "`liity reconcile` does; after ten minutes if the last count found something.",
    )
    erasure_ledger_dir: Path = Field(
        description="Folder of the erasure ledger, from which erasures are repeated after a restore. It must "
        "outlast the databases, and may be shared by several workers.",
    )
    erasure_ledger_keep: timedelta = Field(
        timedelta(days=400),
        ge=timedelta(days=1),
        le=timedelta(days=3660),
        description="How long entries of the erasure ledger are kept at least; whole months are deleted. It "
        "must be longer than any backup is kept.",
    )
    worker_build_id: str = Field(
        "",
        description="Build ID for Worker Versioning (AUTO_UPGRADE). Without one TEMPORAL_WORKER_BUILD_ID, "
        "which temporal-worker-controller sets; without either the worker is unversioned.",
    )

    @model_validator(mode="after")
    def _reminders_ascend_to_the_lapse(self) -> Self:
        moments = [timedelta(0), *self.workflows_consent_reminders, self.workflows_consent_lapse]
        if any(earlier >= later for earlier, later in pairwise(moments)):
            raise ValueError(
                "LIITY_WORKFLOWS_CONSENT_REMINDERS must ascend and come before LIITY_WORKFLOWS_CONSENT_LAPSE"
            )
        return self

    @field_validator("retention_day")
    @classmethod
    def _is_a_day_of_every_year(cls, day: str) -> str:
        try:
            date.fromisoformat(f"2027-{day}")
        except ValueError:
            raise ValueError("it must be a day that every year has, as MM-DD") from None
        return day

    def retention(self) -> Retention:
        """Retention of the data of ended customerships."""
        month, day = map(int, self.retention_day.split("-"))
        return Retention(
            month=month,
            day=day,
            years=self.retention_years,
            years_if_lent=self.retention_years_if_lent,
            override=self.retention_override,
            spread=self.retention_spread,
        )

    def timetable(self) -> Timetable:
        """The durations that a registration is given."""
        timetable = Timetable(
            welcome_hour=self.workflows_welcome_hour,
            one_timer=True,
            both_guardians_needed=self.workflows_both_guardians_needed,
        )
        for reminder in self.workflows_consent_reminders:
            timetable.consent_reminders.add().FromTimedelta(reminder)
        timetable.reminder_gap.FromTimedelta(self.workflows_consent_reminder_gap)
        timetable.consent_lapse.FromTimedelta(self.workflows_consent_lapse)
        timetable.lapse_notice.FromTimedelta(self.workflows_consent_lapse_notice)
        timetable.decline_grace.FromTimedelta(self.workflows_decline_grace)
        timetable.welcome_delay.FromTimedelta(self.workflows_welcome_delay)
        timetable.morning_spread.FromTimedelta(self.workflows_morning_spread)
        timetable.address_reminder.FromTimedelta(self.workflows_address_reminder)
        timetable.address_patience.FromTimedelta(self.workflows_address_patience)
        timetable.decision_reminder.FromTimedelta(self.workflows_decision_reminder)
        timetable.reactivation_lapse.FromTimedelta(self.workflows_reactivation_lapse)
        timetable.identity_check_lapse.FromTimedelta(self.workflows_identity_check_lapse)
        return timetable
