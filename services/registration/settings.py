"""Settings of the registration service."""

from datetime import timedelta
from typing import Self

from pydantic import Field, model_validator

from services.registration.audit.anomaly_rules import SuspicionRules
from services.registration.worklist.items import Patience
from services.runtime.data.database import DatabaseSettings
from services.runtime.rpc.server import ServerSettings


class RegistrationSettings(ServerSettings, DatabaseSettings):
    """Settings of the registration service, prefix `LIITY_`.

    The rules for suspicious use count look-ups by personal identity code, per account and day in Helsinki.
    """

    look_ups_per_account: int = Field(
        default=200,
        ge=1,
        description="Look-ups by personal identity code per account and window; a Save refused because the "
        "person is known counts as one, and so does every transfer.",
    )
    look_ups_per_unit: int = Field(
        default=1000, ge=1, description="The same per unit, by all its registrars together."
    )
    look_up_window: timedelta = Field(
        default=timedelta(hours=1), gt=timedelta(0), description="Window over which look-ups are counted."
    )
    class_list_rows_per_account: int = Field(
        default=6000,
        ge=1,
        description="Rows of class lists per account and window, checked or registered; they do not count as "
        "look-ups. The longest list has 1,000: it is checked a few times before it is registered.",
    )
    class_list_rows_per_unit: int = Field(
        default=20_000, ge=1, description="The same per unit, by all its registrars together."
    )
    class_list_window: timedelta = Field(
        default=timedelta(hours=24),
        gt=timedelta(0),
        description="Window over which rows of class lists are counted.",
    )
    class_list_lifetime: timedelta = Field(
        default=timedelta(days=90),
        gt=timedelta(0),
        description="How long a class list and its result are kept after the upload.",
    )
    own_data_attempts: int = Field(
        default=5,
        ge=1,
        description="Wrong dates of birth by which a customer's own link may be tried in a day: then the data"
        " is shown to nobody by it until the day is over.",
    )
    suspicion_empty_look_ups: int = Field(
        20, ge=0, description="Look-ups a day that found nobody: more than this is shown as suspicious."
    )
    suspicion_outside_hours: int = Field(
        5, ge=0, description="Look-ups a day outside working hours: more than this is shown as suspicious."
    )
    suspicion_opens: int = Field(6, ge=0, le=23, description="Hour at which working hours begin in Helsinki.")
    suspicion_closes: int = Field(
        20,
        ge=1,
        le=24,
        description="Hour at which working hours end. Saturdays, Sundays and public holidays have none"
        " (R46).",
    )
    suspicion_unusual_number: int = Field(
        50, ge=0, description="Look-ups a day that are never unusual, whatever the account's habits."
    )
    suspicion_unusual_factor: int = Field(
        5,
        ge=1,
        description="Multiple of an account's usual number a day: more than this is shown as suspicious. The"
        " usual number is its mean over the days of the last four weeks on which it made any look-up.",
    )

    work_claim_lifetime: timedelta = Field(
        default=timedelta(hours=4),
        gt=timedelta(0),
        description="How long an officer's claim of a work item lasts unless it is renewed.",
    )
    work_mail_days: int = Field(
        14,
        ge=1,
        le=365,
        description="Days in which customer service aims to settle undeliverable mail. Later, the item"
        " stays in the work list, overdue.",
    )
    work_duplicate_days: int = Field(
        30, ge=1, le=365, description="The same for two customers who may be one person."
    )
    message_answer_days: int = Field(
        5, ge=1, le=100, description="Working days in which customer service aims to answer a message (R12)."
    )
    message_retention: timedelta = Field(
        default=timedelta(days=365),
        gt=timedelta(0),
        description="How long a message is kept after it is closed, unless the person is erased earlier.",
    )
    feedback_per_caller: int = Field(
        default=100,
        ge=1,
        description="Feedback on accessibility per network address and day: a town's schools share one.",
    )
    feedback_retention: timedelta = Field(
        default=timedelta(days=365),
        gt=timedelta(0),
        description="How long feedback on accessibility is kept after it is answered, or after its deadline"
        " if nobody answers.",
    )

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> Self:
        if self.suspicion_opens >= self.suspicion_closes:
            raise ValueError("LIITY_SUSPICION_OPENS must come before LIITY_SUSPICION_CLOSES")
        return self

    def work_patience(self) -> Patience:
        """How long work items without a deadline of their own may wait."""
        return Patience(
            mail_patience=timedelta(days=self.work_mail_days),
            duplicate_patience=timedelta(days=self.work_duplicate_days),
        )

    def suspicion_rules(self) -> SuspicionRules:
        """The thresholds of the rules for suspicious use."""
        return SuspicionRules(
            empty_look_ups=self.suspicion_empty_look_ups,
            outside_hours=self.suspicion_outside_hours,
            opens=self.suspicion_opens,
            closes=self.suspicion_closes,
            unusual_number=self.suspicion_unusual_number,
            unusual_factor=self.suspicion_unusual_factor,
        )
