"""`liity audit` against the running stack."""

import os
import subprocess
import sys
from collections.abc import Callable

import pytest

from deploy.ports import HOST
from deploy.seed import DemoAccount
from deploy.stack import Stack
from liity.v1.registration_service_pb2 import GetRegistrationRequest
from tests.system.conftest import Api
from tests.system.registering import adult, save

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cli(stack: Stack, accounts: dict[str, DemoAccount]) -> Cli:
    def run(account: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("LIITY_")}
        where = {
            "LIITY_GATEWAY": f"{HOST}:{stack.ports.gateway}",
            **({"LIITY_GATEWAY_CA": str(stack.ca)} if stack.ca else {}),
            "LIITY_EMAIL": accounts[account].email,
            "LIITY_PASSWORD": accounts[account].password,
        }
        return subprocess.run(
            [sys.executable, "-m", "deploy", "audit", *arguments],
            env=environment | where,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


async def test_customer_service_searches_the_log(
    api: Api, cli: Cli, accounts: dict[str, DemoAccount]
) -> None:
    saved = await save(api.registrar, adult())
    await api.registrar.call(
        api.registrar.registrations.GetRegistration, GetRegistrationRequest(name=saved.name)
    )
    subject = saved.name.rpartition("/")[2]

    found = cli("staff", "search", "--subject", subject)

    assert found.returncode == 0, found.stderr
    lines = [line for line in found.stdout.splitlines() if accounts["registrar"].display_name in line]
    assert ["registration:read" in line for line in lines] == [True, False]
    assert "registration:create" in lines[1]


async def test_a_registrar_does_not(api: Api, cli: Cli) -> None:
    refused = cli("registrar", "search")
    assert refused.returncode == 1
    assert "(PERMISSION_DENIED)" in refused.stderr


async def test_suspicions_are_shown(api: Api, cli: Cli) -> None:
    shown = cli("staff", "suspicions", "--since", "2026-01-01", "--json")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip().startswith("[")
