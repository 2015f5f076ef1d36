"""Settings of identity."""

from datetime import timedelta

from pydantic import Field

from services.runtime.data.database import DatabaseSettings
from services.runtime.rpc.server import ServerSettings


class IdentitySettings(ServerSettings, DatabaseSettings):
    """Settings of identity beyond the common ones. Durations are ISO 8601, as in PT15M or P30D."""

    hetu_allow_artificial: bool = Field(
        default=False,
        description="Accept artificial personal identity codes (900 to 999): for tests only (R33).",
    )
    login_failures_per_account: int = Field(
        default=5,
        ge=1,
        description="Failed log-ins per account and window before it is throttled. The right password still "
        "works from a network where the account has logged in before.",
    )
    login_failures_per_place: int = Field(
        default=20,
        ge=1,
        description="Failed log-ins per account and network address, per window, before log-ins to the "
        "account are refused from there.",
    )
    login_failures_per_caller: int = Field(
        default=200,
        ge=1,
        description="Failed log-ins per network address and window before it is throttled: a town's schools "
        "share one.",
    )
    login_window: timedelta = Field(
        default=timedelta(minutes=15), gt=timedelta(0), description="How long failed log-ins are counted."
    )
    suspicious_lock_outs: int = Field(
        default=2,
        ge=0,
        description="Lock-outs of an account per day above which it is shown as suspicious.",
    )
    link_failures_per_caller: int = Field(
        default=100,
        ge=1,
        description="Invalid link tokens per network address and window before it is throttled.",
    )
    link_window: timedelta = Field(
        default=timedelta(minutes=15),
        gt=timedelta(0),
        description="How long invalid link tokens are counted.",
    )
    password_orders_per_address: int = Field(
        default=5,
        ge=1,
        description="Orders of a new password per e-mail address or user name and window that are all mailed "
        "(R22, R42). Later ones are mailed only if no earlier link works.",
    )
    password_orders_per_caller: int = Field(
        default=500,
        ge=1,
        description="Orders of a new password per network address and window (R22): a town's schools share "
        "one.",
    )
    password_order_window: timedelta = Field(
        default=timedelta(hours=1), gt=timedelta(0), description="How long orders are counted."
    )
    consent_link_orders_per_link: int = Field(
        default=3, ge=1, description="Orders of a guardian's link anew per old link and window (R29)."
    )
    consent_link_orders_per_caller: int = Field(
        default=500, ge=1, description="Orders of a guardian's link anew per network address and window."
    )
    consent_link_order_window: timedelta = Field(
        default=timedelta(days=1),
        gt=timedelta(0),
        description="How long orders of a guardian's link anew are counted.",
    )
    access_token_lifetime: timedelta = Field(
        default=timedelta(minutes=10), gt=timedelta(0), description="How long an access token is good for."
    )
    refresh_token_lifetime: timedelta = Field(
        default=timedelta(days=14), gt=timedelta(0), description="How long a session lives unused."
    )
    refresh_token_grace: timedelta = Field(
        default=timedelta(minutes=1),
        ge=timedelta(0),
        description="How long after its first use a refresh token still gives the same successor: two tabs "
        "renew at once. Used later, it ends the session.",
    )
    password_link_lifetime: timedelta = Field(
        default=timedelta(days=30),
        gt=timedelta(0),
        description="How long a customer's link to choose a password works.",
    )
    password_link_reminder: timedelta = Field(
        default=timedelta(days=7),
        ge=timedelta(0),
        description="How long before an unused link ends the customer is reminded of it, if they never "
        "chose a password (R13). A shorter link has no reminder.",
    )
    password_order_lifetime: timedelta = Field(
        default=timedelta(hours=1),
        gt=timedelta(0),
        description="How long the link of an ordered password works (R22).",
    )
    password_reminder_age: timedelta = Field(
        default=timedelta(days=365),
        gt=timedelta(0),
        description="Age of a registrar's or staff's password at which they are reminded to change it (R22).",
    )
    invitation_lifetime: timedelta = Field(
        default=timedelta(days=14),
        gt=timedelta(0),
        description="How long an invitation to be a registrar can be accepted.",
    )
