"""`liity up` sends through the mail server that its environment names."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from deploy.local.certificates import certificates_in
from deploy.local.ports import Ports
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.wiring import Wiring
from services.notification.settings import MailSettings
from services.runtime.settings import load

PORTS = Ports()


class MailReader:
    """What notification reads when `liity up` starts it with variables of its own environment."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._monkeypatch = monkeypatch

    def __call__(self, *, tls: bool = False, **given: str) -> MailSettings:
        for name, value in given.items():
            self._monkeypatch.setenv(f"LIITY_{name}", value)
        certificates = certificates_in(self._folder) if tls else None
        (self._folder / "postgres").mkdir(exist_ok=True)
        postgres = EmbeddedPostgres(self._folder / "postgres", PORTS.postgres, certificates)
        wiring = Wiring(self._folder, PORTS, postgres, certificates)
        environment: Mapping[str, str] = wiring.command("notification", {}).environment
        for name, value in environment.items():
            if name.startswith("LIITY_"):
                self._monkeypatch.setenv(name, value)
        return load(MailSettings)


@pytest.fixture
def mail_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MailReader:
    return MailReader(tmp_path, monkeypatch)


def test_mail_goes_to_the_mailbox(mail_settings: MailReader) -> None:
    settings = mail_settings()
    assert (settings.smtp_host, settings.smtp_port) == ("127.0.0.1", PORTS.smtp)
    assert settings.mail_from == "liity@liity.example"


@pytest.mark.parametrize("tls", [False, True])
def test_a_mail_server_that_is_given_stands(mail_settings: MailReader, tls: bool) -> None:
    settings = mail_settings(
        tls=tls,
        SMTP_HOST="smtp.example",
        SMTP_USERNAME="aino",
        SMTP_PASSWORD="not a secret",  # pragma: allowlist secret
        SMTP_TLS="tls",
        MAIL_FROM="aino@smtp.example",
    )
    assert (settings.smtp_host, settings.smtp_port, settings.smtp_tls) == ("smtp.example", 587, "tls")
    assert settings.smtp_tls_ca is None
    assert settings.mail_from == "aino@smtp.example"


def test_what_is_given_beside_the_mailbox_stands(mail_settings: MailReader) -> None:
    settings = mail_settings(SMTP_TIMEOUT="3", SMTP_PORT="2525")
    assert (settings.smtp_host, settings.smtp_port, settings.smtp_timeout) == ("127.0.0.1", 2525, 3)
