"""Settings of the notification service."""

from datetime import timedelta
from pathlib import Path
from typing import Literal, Self

from email_validator import EmailNotValidError
from pydantic import Field, SecretStr, field_validator, model_validator

from services.notification.mail.addresses import to_ascii
from services.runtime.data.database import DatabaseSettings
from services.runtime.rpc.server import ServerSettings


class MailSettings(ServerSettings):
    """Settings for rendering and sending mail."""

    mail_from: str = Field(
        "no-reply@liity.example",
        description="The address mail comes from; its domain also names us to mail servers.",
    )
    smtp_host: str = Field(description="Host of the mail server that sends our mail.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Its port (587 is submission, RFC 6409).")
    smtp_username: str | None = Field(None, description="User name, if the server asks for one.")
    smtp_password: SecretStr | None = Field(None, description="Password of the user name.")
    smtp_tls: Literal["starttls-if-offered", "starttls", "tls", "none"] = Field(
        "starttls-if-offered",
        description="How the connection is encrypted. Certificates are verified with starttls and tls only.",
    )
    smtp_tls_ca: Path | None = Field(
        None, description="PEM of the CA of the mail server's certificate, if it is not a public one."
    )
    smtp_timeout: float = Field(10.0, gt=0, le=600, description="Seconds that sending one mail may take.")
    smtp_connections: int = Field(4, ge=1, le=50, description="Mails sent at the same time.")

    mail_patience: timedelta = Field(
        timedelta(days=5),
        gt=timedelta(0),
        description="How long a mail that the mail server refuses temporarily is retried (RFC 5321 4.5.4.1) "
        "before it counts as undeliverable. An unreachable server is retried without limit.",
    )
    mails_per_address: int = Field(
        300, ge=1, description="Most mails to one address per day in Helsinki; others go out the next day."
    )

    @field_validator("mail_from")
    @classmethod
    def _is_an_address(cls, address: str) -> str:
        try:
            return to_ascii(address)
        except EmailNotValidError as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _tls_is_as_meant(self) -> Self:
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("LIITY_SMTP_USERNAME and LIITY_SMTP_PASSWORD go together")
        if self.smtp_password is not None and self.smtp_tls not in {"starttls", "tls"}:
            raise ValueError(
                "a password travels over verified TLS only: LIITY_SMTP_TLS must be starttls or tls"
            )
        if self.smtp_tls_ca is not None and self.smtp_tls not in {"starttls", "tls"}:
            raise ValueError("LIITY_SMTP_TLS_CA verifies nothing unless LIITY_SMTP_TLS is starttls or tls")
        return self

    @property
    def mail_domain(self) -> str:
        """The domain of the sender's address."""
        return self.mail_from.rpartition("@")[2]


class NotificationSettings(MailSettings, DatabaseSettings):
    """Settings of the notification service."""
