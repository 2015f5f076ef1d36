"""Command and environment of each process of the local stack."""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from deploy.components import WITH_DATABASE
from deploy.local.certificates import Certificates, certificates_in
from deploy.local.ports import HOST, Ports
from deploy.local.postgres import EmbeddedPostgres
from deploy.local.process import Command
from deploy.local.temporal_server import NAMESPACE, codec_url, temporal_command, ui_origin
from services.runtime.security.keys import read_private_file, write_private_file
from services.runtime.settings import SettingsError

_STACK = "stack.json"

SMTP_HOST = "LIITY_SMTP_HOST"
"""If set, mail goes to this mail server instead of the stack's mailbox."""


class Wiring:
    """Knows all paths and ports, and makes each process's command and settings."""

    def __init__(
        self,
        folder: Path,
        ports: Ports,
        postgres: EmbeddedPostgres,
        certificates: Certificates | None = None,
    ) -> None:
        self.keys_dir = folder / "keys"
        self.mail_dir = folder / "mail"
        self.erasure_ledger_dir = folder / "erasures"
        self.temporal_database = folder / "temporal" / "temporal.db"
        self._ports = ports
        self._postgres = postgres
        self._certificates = certificates

    def command(self, name: str, environment: Mapping[str, str]) -> Command:
        """The command of a component; `environment` is added to that of our own programs."""
        if name == "postgres":
            return Command(
                self._postgres.command(),
                {"PATH": os.environ.get("PATH", "")},
                user=self._postgres.system_user or "",
                # SIGINT: a fast shutdown that does not wait for clients and leaves a clean database.
                stop_signal=signal.SIGINT,
                orphan_signal=signal.SIGINT,
            )
        if name == "temporal":
            return Command(temporal_command(self.temporal_database, self._ports), _environment())
        given = {**_environment(), **environment}
        return Command(
            [sys.executable, "-m", "deploy", "serve", name], given | self._settings_beside(name, given)
        )

    def joint_command(self, names: Sequence[str], environment: Mapping[str, str]) -> Command:
        """The command of several of our programs in one process."""
        given = {**_environment(), **environment}
        own = {
            variable.replace("LIITY_", f"LIITY_{name.upper()}_", 1): value
            for name in names
            for variable, value in self._settings_beside(name, given).items()
        }
        return Command([sys.executable, "-m", "deploy", "serve", *names], given | own)

    def _settings_beside(self, name: str, given: Mapping[str, str]) -> dict[str, str]:
        # What others see of the stack may be given: the address of the pages, and the proxies before them.
        settings = {
            variable: value
            for variable, value in self.settings(name).items()
            if variable not in _GIVEN or variable not in given
        }
        return _without_given_mail_server(settings, given) if name == "notification" else settings

    def settings(self, name: str) -> dict[str, str]:
        """Settings that connect one of our programs to the others."""
        settings = {"LIITY_KEYS_DIR": str(self.keys_dir), "LIITY_WEB_URL": f"http://{HOST}:{self._ports.web}"}
        if name in ("gateway", "codec", "web", *WITH_DATABASE):
            settings["LIITY_LISTEN"] = self.address(name)
        if name in WITH_DATABASE:
            settings["LIITY_DATABASE_URL"] = self._postgres.url(name)
        if name in ("gateway", "worker"):
            settings |= {f"LIITY_{peer.upper()}_TARGET": self.address(peer) for peer in WITH_DATABASE}
            settings |= {
                "LIITY_TEMPORAL_ADDRESS": self.address("temporal"),
                "LIITY_TEMPORAL_NAMESPACE": NAMESPACE,
                # Temporal's own profiles may name other servers.
                "TEMPORAL_CONFIG_FILE": os.devnull,
            }
        return settings | self._own_settings(name) | self._tls_settings(name)

    def _tls_settings(self, name: str) -> dict[str, str]:
        if self._certificates is None:
            return {}
        if name == "web":
            # Plain HTTP for browsers; it calls the gateway as any frontend does.
            return {"LIITY_GATEWAY_CA": str(self._certificates.ca)}
        files = self._certificates.files("smtp" if name == "mailbox" else name)
        ca = str(self._certificates.ca)
        settings = {
            "LIITY_TLS_CA": ca,
            "LIITY_TLS_CERTIFICATE": str(files.certificate),
            "LIITY_TLS_KEY": str(files.key),
        }
        if name in WITH_DATABASE:
            settings["LIITY_DATABASE_TLS_CA"] = ca
        if name in ("gateway", "worker"):
            settings |= {
                "LIITY_TEMPORAL_ADDRESS": self.address("temporal_tls"),
                "TEMPORAL_TLS_SERVER_CA_CERT_PATH": ca,
                "TEMPORAL_TLS_CLIENT_CERT_PATH": str(files.certificate),
                "TEMPORAL_TLS_CLIENT_KEY_PATH": str(files.key),
            }
        if name == "gateway":
            public = self._certificates.files("public")
            settings["LIITY_PUBLIC_TLS_CERTIFICATE"] = str(public.certificate)
            settings["LIITY_PUBLIC_TLS_KEY"] = str(public.key)
        if name == "codec":
            # Plain HTTP for browsers, as Temporal UI does here: the cookie needs one scheme.
            settings["LIITY_GATEWAY_CA"] = ca
        if name == "notification":
            settings |= {"LIITY_SMTP_TLS": "starttls", "LIITY_SMTP_TLS_CA": ca}
        return settings

    def _own_settings(self, name: str) -> dict[str, str]:  # noqa: PLR0911 - one return a component
        match name:
            case "identity":
                return {"LIITY_HETU_ALLOW_ARTIFICIAL": "true"}
            case "codec":
                peers = ("gateway", "identity", "registration")
                return {f"LIITY_{peer.upper()}_TARGET": self.address(peer) for peer in peers} | {
                    "LIITY_CODEC_URL": codec_url(self._ports),
                    "LIITY_CODEC_UI_ORIGINS": json.dumps([ui_origin(self._ports)]),
                }
            case "gateway":
                # It believes the browser's address from the pages alone.
                return {"LIITY_TRUSTED_PROXIES": json.dumps([HOST])}
            case "web":
                return {
                    "LIITY_GATEWAY_TARGET": self.address("gateway"),
                    "LIITY_WEB_MAILBOX_URL": f"http://{self.address('mailbox')}",
                }
            case "notification":
                return {
                    SMTP_HOST: HOST,
                    "LIITY_SMTP_PORT": str(self._ports.smtp),
                    "LIITY_MAIL_FROM": "liity@liity.example",
                }
            case "worker":
                return {"LIITY_ERASURE_LEDGER_DIR": str(self.erasure_ledger_dir)}
            case "mailbox":
                return {
                    "LIITY_MAILBOX_SMTP_LISTEN": self.address("smtp"),
                    "LIITY_MAILBOX_HTTP_LISTEN": self.address("mailbox"),
                    "LIITY_MAILBOX_DIR": str(self.mail_dir),
                }
            case "tls-end":
                return {
                    "LIITY_TLS_END_TEMPORAL_LISTEN": self.address("temporal_tls"),
                    "LIITY_TLS_END_TEMPORAL": self.address("temporal"),
                    "LIITY_TLS_END_POSTGRES_LISTEN": self.address("postgres"),
                    "LIITY_TLS_END_POSTGRES": str(self._postgres.socket),
                }
            case _:
                return {}

    def address(self, name: str) -> str:
        """The address of a component: `host:port`."""
        return f"{HOST}:{getattr(self._ports, name)}"

    @property
    def ca(self) -> Path | None:
        """The CA of the gateway's certificate; None without TLS."""
        return self._certificates.ca if self._certificates else None


_GIVEN = frozenset({"LIITY_WEB_URL", "LIITY_TRUSTED_PROXIES"})
"""Settings of ours that stay as the environment has them."""


def note_stack(folder: Path, ports: Ports, certificates: Certificates | None) -> None:
    """Stores the stack's ports and TLS mode in its folder.

    `gateway` and `gateway_ca` are what frontends read: host:port, and the path of the CA; null without TLS.
    """
    noted = {
        "ports": asdict(ports),
        "tls": certificates is not None,
        "gateway": f"{HOST}:{ports.gateway}",
        "gateway_ca": str(certificates.ca) if certificates else None,
    }
    write_private_file(folder / _STACK, json.dumps(noted))


def last_ports(folder: Path) -> Ports | None:
    """The ports of the last stack started in a folder; None if there was none."""
    path = folder / _STACK
    return Ports(**json.loads(read_private_file(path))["ports"]) if path.exists() else None


def wiring_in(folder: Path) -> Wiring:
    """The wiring of the last stack started in a folder. SettingsError if there was none."""
    folder = folder.absolute()
    if not (folder / _STACK).exists():
        raise SettingsError(f"No stack has been started in {folder}: liity up --state-dir {folder}")
    noted = json.loads(read_private_file(folder / _STACK))
    ports = Ports(**noted["ports"])
    certificates = certificates_in(folder) if noted["tls"] else None
    postgres = EmbeddedPostgres(folder / "postgres", ports.postgres, certificates)
    return Wiring(folder, ports, postgres, certificates)


def _environment() -> dict[str, str]:
    """Our environment without `TEMPORAL_*`, which could lead to another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")}


def _without_given_mail_server(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Our settings without the mail settings that were given, without the mailbox if another server was."""
    another = SMTP_HOST in given
    return {
        name: value
        for name, value in own.items()
        if not (name.startswith("LIITY_SMTP_") and (another or name in given))
        and not (name == "LIITY_MAIL_FROM" and name in given)
    }
