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
    bounce_address: str | None = Field(
        None,
        description="The address that gets reports of mail that did not arrive, such as "
        "`bounces@liity.example`. Each mail is sent in the name of an address of its own, "
        "`bounces+TOKEN@liity.example`, which must lead to the same mailbox. Without it they go to the "
        "sender's address.",
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
        description="How long a mail to an address that is put off (RFC 5321 4.5.4.1), for example as its "
        "mailbox is full, is retried before it counts as undeliverable. A server that refuses us, or "
        "cannot be reached, is retried without limit.",
    )
    mail_pause: timedelta = Field(
        timedelta(minutes=1),
        gt=timedelta(0),
        description="How long all mail is held back once the mail server has refused several mails because "
        "of us (quota, reputation, sender). Doubles, up to 16 times as long, while it goes on refusing.",
    )
    mail_again: tuple[timedelta, ...] = Field(
        (timedelta(hours=1), timedelta(hours=6), timedelta(days=1)),
        max_length=10,
        description="How long after it came back because of us (reputation, policy, quota) a mail is sent "
        "again: the first time, the second and so on; after the last it is not.",
    )
    mails_per_address: int = Field(
        300, ge=1, description="Most mails to one address per day in Helsinki; others go out the next day."
    )

    @field_validator("mail_from", "bounce_address")
    @classmethod
    def _is_an_address(cls, address: str | None) -> str | None:
        try:
            return None if address is None else to_ascii(address)
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


class InboxSettings(MailSettings):
    """Settings for collecting reports of mail that did not arrive."""

    bounce_imap_host: str | None = Field(
        None,
        description="Host of the IMAP server with the mailbox of `LIITY_BOUNCE_ADDRESS`. Without it no "
        "reports are collected. The mailbox is for them alone: reports of our mail are deleted when "
        "they are read.",
    )
    bounce_imap_port: int = Field(993, ge=1, le=65535, description="Its port.")
    bounce_imap_tls: Literal["tls", "starttls"] = Field(
        "tls", description="How the connection is encrypted. The certificate is verified."
    )
    bounce_imap_tls_ca: Path | None = Field(
        None, description="PEM of the CA of the IMAP server's certificate, if it is not a public one."
    )
    bounce_imap_username: str | None = Field(None, description="User name of the mailbox.")
    bounce_imap_password: SecretStr | None = Field(None, description="Password of the user name.")
    bounce_imap_folder: str = Field("INBOX", description="The folder that is read.")
    bounce_imap_interval: timedelta = Field(
        timedelta(minutes=1), gt=timedelta(0), description="How often it is read."
    )

    @model_validator(mode="after")
    def _inbox_is_whole(self) -> Self:
        needed = (self.bounce_address, self.bounce_imap_username, self.bounce_imap_password)
        if self.bounce_imap_host is not None and None in needed:
            raise ValueError(
                "LIITY_BOUNCE_IMAP_HOST needs LIITY_BOUNCE_ADDRESS, LIITY_BOUNCE_IMAP_USERNAME and "
                "LIITY_BOUNCE_IMAP_PASSWORD"
            )
        return self


class NotificationSettings(InboxSettings, DatabaseSettings):
    """Settings of the notification service."""
