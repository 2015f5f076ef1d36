"""Wrong settings stop the start of each component with one clear line."""

import asyncio
import os
import re
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic_settings import BaseSettings

from deploy.admin.key_files import create_keys
from deploy.components import COMPONENTS, STOP_ORDER
from deploy.local.mailbox.server import MailboxSettings
from deploy.local.tls_proxy import TlsEndSettings
from deploy.web import WebSettings
from services.codec.settings import CodecSettings
from services.gateway.settings import GatewaySettings
from services.identity.settings import IdentitySettings
from services.notification.settings import NotificationSettings
from services.registration.settings import RegistrationSettings
from services.runtime.components import Runner, run_components
from services.runtime.settings import SettingsError, load
from tests.support.program import Program
from workflows.settings import WorkerSettings

_SERVER = {"LIITY_KEYS_DIR": "/keys", "LIITY_LISTEN": "127.0.0.1:0"}
_DATABASE = {"LIITY_DATABASE_URL": "postgresql+asyncpg://liity:hush@127.0.0.1:1/liity"}
_PEERS = {"LIITY_IDENTITY_TARGET": "127.0.0.1:1", "LIITY_REGISTRATION_TARGET": "127.0.0.1:1"}
_NOTIFICATION = {"LIITY_NOTIFICATION_TARGET": "127.0.0.1:1"}

RIGHT: dict[str, tuple[type[BaseSettings], dict[str, str]]] = {
    "identity": (IdentitySettings, _SERVER | _DATABASE),
    "registration": (RegistrationSettings, _SERVER | _DATABASE),
    "notification": (NotificationSettings, _SERVER | _DATABASE | {"LIITY_SMTP_HOST": "127.0.0.1"}),
    "gateway": (GatewaySettings, _SERVER | _PEERS | _NOTIFICATION),
    "codec": (
        CodecSettings,
        _SERVER
        | _PEERS
        | {
            "LIITY_GATEWAY_TARGET": "127.0.0.1:1",
            "LIITY_CODEC_URL": "https://codec.library.example",
            "LIITY_CODEC_UI_ORIGINS": '["https://temporal.library.example"]',
        },
    ),
    "worker": (
        WorkerSettings,
        _PEERS | _NOTIFICATION | {"LIITY_KEYS_DIR": "/keys", "LIITY_ERASURE_LEDGER_DIR": "/erasures"},
    ),
    "web": (WebSettings, _SERVER | {"LIITY_GATEWAY_TARGET": "127.0.0.1:1"}),
    "mailbox": (MailboxSettings, {"LIITY_KEYS_DIR": "/keys", "LIITY_MAILBOX_DIR": "/mail"}),
    "tls-end": (
        TlsEndSettings,
        {
            "LIITY_KEYS_DIR": "/keys",
            "LIITY_TLS_END_TEMPORAL_LISTEN": "127.0.0.1:0",
            "LIITY_TLS_END_TEMPORAL": "127.0.0.1:1",
            "LIITY_TLS_END_POSTGRES_LISTEN": "127.0.0.1:0",
            "LIITY_TLS_END_POSTGRES": "/data/.s.PGSQL.5433",
        },
    ),
}
"""The settings class of each component, and the least it must be given."""

LOCAL = ("mailbox", "tls-end")
"""Components of the local stack, which hold no keys."""

WRONG: list[tuple[str, dict[str, str]]] = [
    *((component, {"LIITY_LOG_LEVEL": "LOUD"}) for component in COMPONENTS),
    *((component, {"LIITY_LOG_FORMAT": "xml"}) for component in COMPONENTS),
    *((component, {"LIITY_TLS_CA": "/ca"}) for component in COMPONENTS),
    *((component, {"LIITY_TLS_CERTIFICATE": "/c", "LIITY_TLS_KEY": "/k"}) for component in COMPONENTS),
    ("gateway", {"LIITY_PUBLIC_TLS_CERTIFICATE": "/c"}),
    ("notification", {"LIITY_SMTP_TLS_CA": "/ca"}),
    *((name, {"LIITY_DATABASE_POOL_SIZE": "0"}) for name in ("identity", "registration", "notification")),
    *((name, {"LIITY_DATABASE_URL": "nonsense"}) for name in ("identity", "registration", "notification")),
    ("identity", {"LIITY_DATABASE_URL": "mysql://liity:hush@localhost/liity"}),
    ("registration", {"LIITY_DATABASE_URL": "postgresql://liity:hush@localhost/liity"}),
    ("notification", {"LIITY_DATABASE_URL": "postgresql+asyncpg:hush"}),
    ("identity", {"LIITY_HETU_ALLOW_ARTIFICIAL": "perhaps"}),
    ("identity", {"LIITY_LOGIN_FAILURES_PER_ACCOUNT": "0"}),
    ("identity", {"LIITY_LOGIN_FAILURES_PER_CALLER": "many"}),
    ("identity", {"LIITY_LOGIN_WINDOW": "soon"}),
    ("identity", {"LIITY_ACCESS_TOKEN_LIFETIME": "PT0S"}),
    ("identity", {"LIITY_REFRESH_TOKEN_LIFETIME": "-P1D"}),
    ("identity", {"LIITY_PASSWORD_LINK_LIFETIME": "next year"}),
    ("notification", {"LIITY_MAIL_FROM": "nobody"}),
    ("notification", {"LIITY_SMTP_PORT": "70000"}),
    ("notification", {"LIITY_SMTP_TLS": "perhaps"}),
    ("notification", {"LIITY_SMTP_TIMEOUT": "0"}),
    ("notification", {"LIITY_SMTP_CONNECTIONS": "0"}),
    ("notification", {"LIITY_SMTP_USERNAME": "liity"}),
    ("notification", {"LIITY_SMTP_USERNAME": "u", "LIITY_SMTP_PASSWORD": "hush", "LIITY_SMTP_TLS": "none"}),
    ("codec", {"LIITY_CODEC_URL": "codec.library.example"}),
    ("codec", {"LIITY_CODEC_URL": "https://codec.library.example/"}),
    ("codec", {"LIITY_CODEC_URL": "http://codec.library.example"}),
    ("codec", {"LIITY_CODEC_UI_ORIGINS": "https://temporal.library.example"}),
    ("codec", {"LIITY_CODEC_UI_ORIGINS": "[]"}),
    ("codec", {"LIITY_CODEC_UI_ORIGINS": '["*"]'}),
    ("codec", {"LIITY_CODEC_UI_ORIGINS": '["null"]'}),
    ("codec", {"LIITY_CODEC_UI_ORIGINS": '["https://Temporal.library.example"]'}),
    ("codec", {"LIITY_CODEC_UI_ORIGINS": '["https://"]'}),
    ("codec", {"LIITY_CODEC_UI_ORIGINS": '["https://hush@temporal.library.example"]'}),
    ("worker", {"LIITY_WORKFLOWS_CONSENT_REMINDERS": "sometimes"}),
    ("worker", {"LIITY_WORKFLOWS_CONSENT_REMINDERS": '["P7D", "sometimes"]'}),
    ("worker", {"LIITY_WORKFLOWS_CONSENT_REMINDERS": '["P14D", "P7D"]'}),
    ("worker", {"LIITY_WORKFLOWS_CONSENT_REMINDERS": '["P7D", "P30D"]'}),
    ("worker", {"LIITY_WORKFLOWS_CONSENT_LAPSE": "PT0S"}),
    ("worker", {"LIITY_WORKFLOWS_CONSENT_LAPSE": "P21D"}),
    ("worker", {"LIITY_WORKFLOWS_WELCOME_DELAY": "two weeks"}),
    ("worker", {"LIITY_WORKFLOWS_WELCOME_HOUR": "24"}),
]


Start = Callable[[str, dict[str, str]], subprocess.CompletedProcess[str]]


@pytest.fixture
def start(program: Program) -> Start:
    """Starts a component that cannot start."""
    return lambda component, settings: program("serve", component, environment=settings)


@pytest.fixture(autouse=True)
def _no_settings_of_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("LIITY_"):
            monkeypatch.delenv(name)


def refusal(component: str, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> str:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        load(RIGHT[component][0])
    return str(error.value)


def loaded_together(*components: str) -> dict[str, BaseSettings]:
    """The settings of components of one process, as each reads them."""
    found: dict[str, BaseSettings] = {}

    def reader(component: str) -> Runner:
        async def read() -> None:
            found[component] = load(RIGHT[component][0])

        return read

    asyncio.run(run_components({name: reader(name) for name in components}, (components,)))
    return found


def test_components_of_one_process_have_values_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    for component in ("identity", "worker"):
        for name, value in RIGHT[component][1].items():
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("LIITY_IDENTITY_KEYS_DIR", "/identity")
    monkeypatch.setenv("LIITY_WORKER_WORKFLOWS_CONSENT_REMINDERS", '["P3D"]')
    found = loaded_together("identity", "worker")
    identity, worker = found["identity"], found["worker"]
    assert isinstance(identity, IdentitySettings)
    assert isinstance(worker, WorkerSettings)
    assert (str(identity.keys_dir), str(worker.keys_dir)) == ("/identity", "/keys")
    assert worker.workflows_consent_reminders == (timedelta(days=3),)
    # Outside of a component, and in another's, the common value holds.
    assert str(load(IdentitySettings).keys_dir) == "/keys"


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"LIITY_KEYS_DIR": "/keys"}, "LIITY_IDENTITY_LISTEN: Field required"),
        ({"LIITY_IDENTITY_DATABASE_POOL_SIZE": "0"}, "LIITY_IDENTITY_DATABASE_POOL_SIZE: "),
    ],
)
def test_what_is_wrong_is_named_with_its_component(
    wrong: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as error:
        loaded_together("identity", "worker")
    assert named in str(error.value)


def test_what_the_environment_lacks_stands_in_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in RIGHT["identity"][1].items():
        if name != "LIITY_DATABASE_URL":
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("LIITY_SETTINGS_DIR", str(tmp_path))
    url = "postgresql+asyncpg://liity:filed@db/identity"  # pragma: allowlist secret
    (tmp_path / "LIITY_DATABASE_URL").write_text(f"{url}\n")
    (tmp_path / "LIITY_LISTEN").write_text("the environment comes first")
    identity = load(IdentitySettings)
    assert identity.database_url == url
    assert identity.listen == "127.0.0.1:0"

    monkeypatch.setenv("LIITY_SETTINGS_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(SettingsError, match="LIITY_SETTINGS_DIR: Path does not point to a directory"):
        load(IdentitySettings)


def test_no_variable_of_one_component_is_a_setting_of_another() -> None:
    fields = {field for settings, _ in RIGHT.values() for field in settings.model_fields}
    for component, (settings, _) in RIGHT.items():
        own = {f"{component.replace('-', '_')}_{field}" for field in settings.model_fields}
        assert not own & fields


def test_a_component_is_served_once(program: Program) -> None:
    run = program("serve", "identity", "identity")
    assert run.returncode == 2
    assert "each component once" in run.stderr


def test_every_component_is_here() -> None:
    assert set(RIGHT) == set(COMPONENTS)


def test_every_component_is_stopped() -> None:
    assert sorted(name for group in STOP_ORDER for name in group) == sorted(COMPONENTS)


@pytest.mark.parametrize("component", RIGHT)
def test_the_least_is_enough(component: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings, least = RIGHT[component]
    for name, value in least.items():
        monkeypatch.setenv(name, value)
    load(settings)


@pytest.mark.parametrize("component", RIGHT)
def test_all_that_is_missing_is_named_in_one_line(component: str, monkeypatch: pytest.MonkeyPatch) -> None:
    line = refusal(component, monkeypatch, {})
    assert "\n" not in line
    assert set(re.findall(r"LIITY_\w+(?=: Field required)", line)) == set(RIGHT[component][1])


@pytest.mark.parametrize(("component", "wrong"), WRONG, ids=str)
def test_what_is_wrong_is_named_in_one_line(
    component: str, wrong: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = refusal(component, monkeypatch, RIGHT[component][1] | wrong)
    assert "\n" not in line
    assert any(name in line for name in wrong), line
    assert "hush" not in line


@pytest.mark.parametrize("component", RIGHT)
def test_each_field_says_what_it_is_for(component: str) -> None:
    fields = RIGHT[component][0].model_fields
    assert [name for name, field in fields.items() if name != "keys_dir" and not field.description] == []


@pytest.mark.parametrize("component", COMPONENTS)
def test_the_program_ends_with_the_line_and_nothing_else(component: str, start: Start) -> None:
    ended = start(component, {})
    assert ended.returncode == 2
    assert ended.stderr.startswith("Wrong settings: LIITY_KEYS_DIR: ")
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == ""


@pytest.mark.parametrize("component", [component for component in COMPONENTS if component not in LOCAL])
def test_without_its_keys_the_program_ends_with_a_line(component: str, start: Start, tmp_path: Path) -> None:
    settings = RIGHT[component][1] | {"LIITY_KEYS_DIR": str(tmp_path / "nowhere")}
    ended = start(component, settings)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert "cannot be read" in ended.stderr
    assert str(tmp_path / "nowhere") in ended.stderr


# The pages call the gateway as any frontend does: without a certificate of their own.
@pytest.mark.parametrize("component", [component for component in COMPONENTS if component != "web"])
def test_without_its_certificate_the_program_ends_with_a_line(
    component: str, start: Start, tmp_path: Path
) -> None:
    create_keys(tmp_path / "keys")
    files = {f"LIITY_TLS_{name}": str(tmp_path / "nowhere") for name in ("CA", "CERTIFICATE", "KEY")}
    ended = start(component, RIGHT[component][1] | {"LIITY_KEYS_DIR": str(tmp_path / "keys")} | files)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"TLS certificate {tmp_path / 'nowhere'} cannot be read: No such file or directory"
    ]


def test_without_the_certificate_for_frontends_the_gateway_ends_with_a_line(
    start: Start, tmp_path: Path
) -> None:
    create_keys(tmp_path / "keys")
    settings = {"LIITY_KEYS_DIR": str(tmp_path / "keys"), "LIITY_TEMPORAL_ADDRESS": "127.0.0.1:1"}
    nowhere = str(tmp_path / "nowhere")
    public = {"LIITY_PUBLIC_TLS_CERTIFICATE": nowhere, "LIITY_PUBLIC_TLS_KEY": nowhere}
    ended = start("gateway", RIGHT["gateway"][1] | settings | public)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"TLS certificate {nowhere} cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize("component", ["gateway", "worker"])
def test_without_its_certificate_for_temporal_the_program_ends_with_a_line(
    component: str, start: Start, tmp_path: Path
) -> None:
    create_keys(tmp_path / "keys")
    nowhere = str(tmp_path / "nowhere")
    settings = {
        "LIITY_KEYS_DIR": str(tmp_path / "keys"),
        "LIITY_TEMPORAL_ADDRESS": "127.0.0.1:1",
        "TEMPORAL_CONFIG_FILE": os.devnull,
        "TEMPORAL_TLS_CLIENT_CERT_PATH": nowhere,
        "TEMPORAL_TLS_CLIENT_KEY_PATH": nowhere,
    }
    ended = start(component, RIGHT[component][1] | settings)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"TLS certificate {nowhere} cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize("component", ["identity", "registration", "notification"])
def test_without_the_ca_of_its_database_the_program_ends_with_a_line(
    component: str, start: Start, tmp_path: Path
) -> None:
    create_keys(tmp_path / "keys")
    ca = {"LIITY_KEYS_DIR": str(tmp_path / "keys"), "LIITY_DATABASE_TLS_CA": str(tmp_path / "nowhere")}
    ended = start(component, RIGHT[component][1] | ca)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        f"TLS CA {tmp_path / 'nowhere'} cannot be read: No such file or directory"
    ]


@pytest.mark.parametrize("component", ["identity", "registration", "notification", "gateway", "codec"])
def test_an_address_that_is_none_ends_with_a_line(component: str, start: Start, tmp_path: Path) -> None:
    create_keys(tmp_path / "keys")
    settings = {"LIITY_KEYS_DIR": str(tmp_path / "keys"), "LIITY_LISTEN": "nonsense"}
    if component == "gateway":
        settings["LIITY_TEMPORAL_ADDRESS"] = "127.0.0.1:1"
    ended = start(component, RIGHT[component][1] | settings)
    assert ended.returncode == 2
    assert "nonsense" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("component", ["gateway", "worker"])
def test_without_temporals_address_the_program_ends_with_a_line(
    component: str, start: Start, tmp_path: Path
) -> None:
    create_keys(tmp_path / "keys")
    settings = {"LIITY_KEYS_DIR": str(tmp_path / "keys"), "TEMPORAL_CONFIG_FILE": os.devnull}
    ended = start(component, RIGHT[component][1] | settings)
    assert ended.returncode == 2
    assert ended.stderr.splitlines() == [
        "LIITY_TEMPORAL_ADDRESS or TEMPORAL_ADDRESS must say where Temporal is"
    ]
