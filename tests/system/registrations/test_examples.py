"""The examples of the pages, run as a reader runs them."""

import os
import subprocess
import sys

import pytest

from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from docs.tables import DOCS


def run(stack: Stack, account: DemoAccount, password: str, *options: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIITY_")} | {
        "LIITY_GATEWAY": f"{HOST}:{stack.ports.gateway}",
        **({"LIITY_GATEWAY_CA": str(stack.ca)} if stack.ca else {}),
        "LIITY_EMAIL": account.email,
        "LIITY_PASSWORD": password,
        "PYTHONIOENCODING": "utf-8",
    }
    example = [sys.executable, str(DOCS / "examples" / "register.py"), *options]
    return subprocess.run(example, env=environment, capture_output=True, encoding="utf-8", check=False)


@pytest.mark.parametrize(
    ("options", "standing", "stage"),
    [
        ((), "STANDING_REGISTERED_IN_THIS_UNIT", "STAGE_CREDENTIALS_SENT, waits for PARTY_SYSTEM"),
        (
            ("--child",),
            "STANDING_BEING_REGISTERED",
            "STAGE_WAITING_FOR_CONSENT, waits for PARTY_GUARDIAN",
        ),
    ],
)
async def test_it_registers_once(
    stack: Stack, accounts: dict[str, DemoAccount], options: tuple[str, ...], standing: str, stage: str
) -> None:
    registrar = accounts["registrar"]
    first, second = (run(stack, registrar, registrar.password, *options) for _ in range(2))
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "STANDING_NOT_REGISTERED" in first.stdout
    assert standing in second.stdout
    assert stage in first.stdout
    assert stage in second.stdout


def test_without_a_password_it_says_what_it_needs() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LIITY_")}
    example = [sys.executable, str(DOCS / "examples" / "register.py")]
    ran = subprocess.run(example, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert ran.returncode == 1
    assert ran.stderr.strip() == "LIITY_EMAIL and LIITY_PASSWORD must name the account that registers"


async def test_it_tells_why_it_is_refused(stack: Stack, accounts: dict[str, DemoAccount]) -> None:
    refused = run(stack, accounts["registrar"], "not the password")
    assert refused.returncode == 1
    assert "reason WRONG_CREDENTIALS, status UNAUTHENTICATED" in refused.stderr
