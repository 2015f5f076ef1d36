"""The files of a trial installation with Docker Compose, checked without Docker."""

import json
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from pydantic_settings import BaseSettings

from deploy.components import COMPONENTS, WITH_DATABASE
from deploy.compose import prepare
from deploy.demo.validate import ValidateSettings
from deploy.liity import COMMANDS
from deploy.topology import MANAGEMENT_PORT, PARTS, callers
from services.runtime.data.database import DatabaseAccess
from services.runtime.management import ManagementSettings
from services.runtime.settings import SettingFiles, load
from services.runtime.temporal.client import TemporalSettings
from tests.unit.runtime.test_settings import RIGHT

FOLDER = Path(prepare.__file__).parent
TEXT = (FOLDER / "compose.yaml").read_text("utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "liity:trial"}
SERVED = {name: service for name, service in OURS.items() if service["command"][0] == "serve"}

_TOLERATED = {
    # Digests are given by who installs: `docs/operating.md`.
    *(("CL-0019", name) for name in SERVICES),
    # Temporal's images write their configuration at the start, and take their password from the environment.
    *(("CL-0007", name) for name in ("temporal", "temporal-ui")),
    *((rule, name) for rule in ("CL-0020", "CL-0021") for name in ("temporal", "temporal-schema")),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files with their secrets."""
    shutil.copytree(FOLDER, tmp_path / "compose", ignore=shutil.ignore_patterns("__pycache__", "secrets"))
    prepare.create(tmp_path / "compose" / "secrets")
    return tmp_path / "compose"


def test_the_file_is_of_the_format() -> None:
    # Its parser knows no merge keys, which Compose resolves first.
    resolved = {name: part for name, part in COMPOSE.items() if not name.startswith("x-")}
    assert set(PyCompose.from_yaml(yaml.safe_dump(resolved)).service_names()) == set(SERVICES)


def test_a_linter_finds_nothing_insecure(folder: Path) -> None:
    command = [Path(sys.executable).with_name("compose-lint"), "check", "--format", "json"]
    linted = subprocess.run([*command, folder / "compose.yaml"], capture_output=True, text=True, check=False)
    found = {(one["rule_id"], one["service"]) for one in findings(json.loads(linted.stdout))}
    assert found
    assert found <= _TOLERATED


def findings(report: Any) -> Iterator[Mapping[str, str]]:
    """All findings, wherever they stand in the linter's report."""
    if isinstance(report, dict):
        if "rule_id" in report and "service" in report:
            yield report
        report = list(report.values())
    if isinstance(report, list):
        for part in report:
            yield from findings(part)


def test_a_linter_finds_nothing_in_the_image() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    linted = subprocess.run([hadolint, FOLDER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (linted.returncode, linted.stdout) == (0, "")


def test_the_image_is_pinned_and_runs_without_root_or_shell() -> None:
    lines = (FOLDER / "Dockerfile").read_text("utf-8").splitlines()
    installs = [line for line in lines if "pip install" in line or "pip --python" in line]
    assert len(installs) == 4
    assert all("--require-hashes" in line or "/build/dist/" in line for line in installs)
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]
    assert 'ENTRYPOINT ["/opt/liity/bin/liity"]' in lines
    copied = {line.split()[1] for line in lines if line.startswith("COPY") and "--from" not in line}
    root = FOLDER.parent.parent
    assert all((root / name).exists() for name in copied)
    assert {"services", "workflows", "frontends", "deploy", "protos"} <= copied


def test_the_package_holds_the_generated_code_and_all_files(tmp_path: Path) -> None:
    hatchling = Path(sys.executable).with_name("hatchling")
    command = [hatchling, "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(command, cwd=FOLDER.parent.parent, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {"liity/v1/auth_service_pb2.py", "liity/v1/comments.json", "buf/validate/validate_pb2.py"} <= held
    root = FOLDER.parent.parent
    for name in ("services", "workflows", "frontends"):
        tracked = subprocess.run(
            ["git", "ls-files", name], cwd=root, check=True, capture_output=True, text=True
        ).stdout.split("\n")
        assert {path for path in tracked if path} <= held


def test_every_component_is_there_once() -> None:
    assert sorted(name for service in SERVED.values() for name in service["command"][1:]) == sorted(
        set(COMPONENTS) - {"tls-end"}
    )
    assert all(service["command"] == ["serve", name] for name, service in SERVED.items())
    commands = {command.name for command in COMMANDS}
    assert {service["command"][0] for service in OURS.values()} <= commands
    migrations = [service["command"] for service in OURS.values() if service["command"][0] == "migrate"]
    assert migrations == [["migrate", name] for name in WITH_DATABASE]


def settings_of(name: str) -> list[type[BaseSettings]]:
    command = OURS[name]["command"]
    match command[0]:
        case "serve":
            return [RIGHT[name][0], ManagementSettings, SettingFiles]
        case "migrate":
            return [DatabaseAccess, SettingFiles]
        case "validate":
            return [ValidateSettings]
        case "temporal":
            return [TemporalSettings]
        case _:
            return []


@pytest.mark.parametrize("name", OURS)
def test_every_setting_is_one_and_all_that_are_needed_are_given(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, classes = OURS[name], settings_of(name)
    given: dict[str, str] = service.get("environment", {})
    known = {f"LIITY_{field}".upper() for one in classes for field in one.model_fields}
    assert set(given) <= known
    files = {secret["target"]: secret["source"] for secret in service.get("secrets", [])}
    assert set(files) <= known
    assert ("LIITY_SETTINGS_DIR" in given) == bool(files)
    (tmp_path / "run").mkdir()
    for target, source in files.items():
        shutil.copy(folder / COMPOSE["secrets"][source]["file"], tmp_path / "run" / target)
    for variable, value in given.items():
        monkeypatch.setenv(variable, str(tmp_path / "run") if variable == "LIITY_SETTINGS_DIR" else value)
    for one in classes:
        load(one)


@pytest.mark.parametrize("name", SERVED)
def test_ports_and_targets_are_those_of_the_table(name: str) -> None:
    service = SERVED[name]
    environment = service["environment"]
    part = PARTS.get(name)
    if part is not None:
        listen = f"0.0.0.0:{part.port}" if part.port else None
        assert environment.get("LIITY_LISTEN") == listen
        assert bool(service.get("ports")) == part.public
        calls = {callee for callee in PARTS if name in callers(callee)}
        targets = {variable for variable in environment if variable.endswith("_TARGET")}
        assert targets == {f"LIITY_{callee.upper()}_TARGET" for callee in calls}
        assert ("LIITY_TEMPORAL_ADDRESS" in environment) == part.temporal
        writable = {volume["target"] for volume in service["volumes"] if not volume.get("read_only")}
        ledger = environment.get("LIITY_ERASURE_LEDGER_DIR")
        assert writable == ({ledger} if part.ledger else set())
    for variable, value in environment.items():
        if variable.endswith("_TARGET"):
            callee = variable.removeprefix("LIITY_").removesuffix("_TARGET").lower()
            assert value == f"{callee}:{PARTS[callee].port}"
    assert environment["LIITY_MANAGEMENT_LISTEN"] == f"0.0.0.0:{MANAGEMENT_PORT}"
    assert f"127.0.0.1:{MANAGEMENT_PORT}/readyz" in service["healthcheck"]["test"][-1]


def test_ports_are_open_on_this_machine_alone() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(re.fullmatch(r"127\.0\.0\.1:(\d+):\1", port) for port in published)
    assert all("outside" in SERVICES[name]["networks"] for name in SERVICES if SERVICES[name].get("ports"))
    assert COMPOSE["networks"]["inside"] == {"internal": True}


@pytest.mark.parametrize("name", SERVICES)
def test_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service["user"].startswith("0")
    assert {"mem_limit", "cpus", "pids_limit", "restart", "logging"} <= set(service)
    assert service["read_only"] or name in {"temporal", "temporal-ui"}
    assert not any(needed not in SERVICES for needed in service.get("depends_on", {}))
    one_shots = {other for other in SERVICES if "healthcheck" not in SERVICES[other]}
    for needed, how in service.get("depends_on", {}).items():
        once = needed in one_shots
        assert how["condition"] == ("service_completed_successfully" if once else "service_healthy")


def test_no_password_stands_in_a_file(folder: Path) -> None:
    made = sorted((folder / "secrets").iterdir())
    assert (folder / "secrets").stat().st_mode & 0o077 == 0
    assert {stat.S_IMODE(path.stat().st_mode) for path in made} == {0o444}
    assert {f"./secrets/{path.name}" for path in made} == {
        *(secret["file"] for secret in COMPOSE["secrets"].values()),
        "./secrets/temporal.env",
    }
    assert {source["file"].removeprefix("./secrets/") for source in COMPOSE["secrets"].values()} == set(
        COMPOSE["secrets"]
    )
    before = {path.name: path.read_text() for path in made}
    prepare.create(folder / "secrets")
    assert {path.name: path.read_text() for path in made} == before
    passwords = {before[name] for name in before if not name.endswith(("_url", ".env"))}
    assert len(passwords) == 8
    assert not re.search(
        r"(?i)(password|pwd)\w*: *[\"']?\w", TEXT.replace("POSTGRES_PASSWORD_FILE: /run", "")
    )
    # The log of use is safe only if its service's role does not own it.
    for name in WITH_DATABASE:
        assert before[f"{name}_url"].startswith(f"postgresql+asyncpg://{name}:{before[name]}@postgres:5432/")
        assert SERVED[name]["secrets"] == [{"source": f"{name}_url", "target": "LIITY_DATABASE_URL"}]


def test_it_is_valid_only_after_all_components_work() -> None:
    validate = SERVICES["validate"]
    assert validate["restart"] == "no"
    assert set(validate["depends_on"]) == {"gateway", "worker", "mailbox"}


def test_everything_that_is_mounted_exists() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                assert (FOLDER / volume["source"]).is_file()
                assert volume["read_only"]
            else:
                assert volume["source"] in COMPOSE["volumes"]
        for secret in service.get("secrets", []):
            assert (secret if isinstance(secret, str) else secret["source"]) in COMPOSE["secrets"]
