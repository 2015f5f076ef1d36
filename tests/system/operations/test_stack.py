"""The stack as its tests and its supervisor use it."""

import asyncio
import re
from pathlib import Path

import pytest
from rich.console import Console

from deploy.demo.polling import eventually
from deploy.demo.run import Demonstration
from deploy.local.health import worker_polls
from deploy.local.ports import HOST
from deploy.local.process import StackError
from deploy.local.seed import DemoAccount, accounts_path, seed
from deploy.local.stack import Stack
from liity.v1.registration_service_pb2 import ListRegistrationsRequest
from tests.support.program import Program
from tests.support.web_visitor import Visitor
from tests.system.conftest import Api


async def test_secrets_are_readable_by_their_owner_alone(
    stack: Stack, accounts: dict[str, DemoAccount]
) -> None:
    private = [
        accounts_path(stack.folder),
        *stack.keys_dir.glob("*.keyset.json"),
        *stack.keys_dir.glob("service-*"),
        *(stack.folder / "tls").glob("*.key"),
    ]

    assert accounts
    assert len(private) > 8
    assert {path.stat().st_mode & 0o077 for path in private} == {0}
    assert {
        (stack.folder / name).stat().st_mode & 0o077 for name in ("keys", "mail", "logs", "temporal")
    } == {0}


async def test_seeding_again_changes_nothing(stack: Stack, accounts: dict[str, DemoAccount]) -> None:
    assert await seed(stack.folder, stack.keys_dir, stack.ports, stack.certificate("seed")) == accounts


async def test_a_second_start_in_the_same_folder_is_refused(stack: Stack) -> None:
    with pytest.raises(StackError, match="A stack is running already"):
        await Stack(stack.folder, stack.ports).start()


@pytest.mark.parametrize(
    "name",
    [
        *("identity", "registration", "notification", "gateway", "worker"),
        *("codec", "mailbox", "temporal", "postgres", "tls-end"),
    ],
)
async def test_any_component_can_be_killed_and_started(stack: Stack, api: Api, name: str) -> None:
    if name not in stack.components:
        pytest.skip("the component exists over TLS only: run without --plain")
    before = stack.pid(name)

    await stack.kill_component(name)
    assert stack.pid(name) is None
    await stack.start_component(name)

    assert stack.pid(name) not in {None, before}
    await eventually(lambda: worker_polls(stack.ports.temporal, stack.pid("worker")), bool, 30)
    await api.registrar.call(
        api.registrar.registrations.ListRegistrations, ListRegistrationsRequest(parent=api.registrar.unit)
    )


async def test_an_installation_is_validated_with_what_its_own_one_shot_has(
    stack: Stack, accounts: dict[str, DemoAccount], program: Program, tmp_path: Path
) -> None:
    assert accounts
    # Secrets may stand in files; the environment comes before them.
    for name, value in {
        "LIITY_GATEWAY": f"{HOST}:{stack.ports.gateway}",
        "liity_validate_mailbox": f"{HOST}:{stack.ports.mailbox}\n",
        "LIITY_IDENTITY_TARGET": "nowhere:1",
    }.items():
        (tmp_path / name).write_text(value)
    environment = {
        "LIITY_SETTINGS_DIR": str(tmp_path),
        "LIITY_KEYS_DIR": str(stack.keys_dir),
        "LIITY_IDENTITY_TARGET": f"{HOST}:{stack.ports.identity}",
        "LIITY_REGISTRATION_TARGET": f"{HOST}:{stack.ports.registration}",
        "LIITY_VALIDATE_STATE_DIR": str(stack.folder),
    }
    if stack.certificates:
        seed_files = stack.certificates.files("seed")
        environment |= {
            "LIITY_GATEWAY_CA": str(stack.ca),
            "LIITY_TLS_CA": str(stack.ca),
            "LIITY_TLS_CERTIFICATE": str(seed_files.certificate),
            "LIITY_TLS_KEY": str(seed_files.key),
        }

    validated = await asyncio.to_thread(lambda: program("validate", environment=environment))
    assert validated.returncode == 0, validated.stdout + validated.stderr
    assert "steps went as they should" in validated.stdout
    # Without mail it fails.
    (tmp_path / "liity_validate_mailbox").write_text(f"{HOST}:1")
    failed = await asyncio.to_thread(lambda: program("validate", environment=environment))
    assert failed.returncode == 1


async def test_the_demonstration_keeps_the_real_two_weeks_and_names_the_pages_of_its_people(
    stack: Stack, accounts: dict[str, DemoAccount]
) -> None:
    console = Console(record=True, width=200)

    gateway, mailbox = f"{HOST}:{stack.ports.gateway}", f"{HOST}:{stack.ports.mailbox}"
    web = f"http://{HOST}:{stack.ports.web}"
    await Demonstration(gateway, mailbox, web, accounts, console, stack.ca).run()

    told = console.export_text()
    assert "✓ It keeps the real two weeks" in told
    pages = re.findall(r"as (\S+):\n\s+(http\S+)", told)
    assert len(pages) == 4
    passwords = {account.email: account.password for account in accounts.values()}
    for email, address in pages:
        async with Visitor(web) as visitor:
            await visitor.log_in(email, passwords[email])
            assert (await visitor.get(address.removeprefix(web))).status == 200
