"""The stack as its tests and its supervisor use it."""

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


async def test_the_demonstration_keeps_the_real_two_weeks(
    stack: Stack, accounts: dict[str, DemoAccount]
) -> None:
    console = Console(record=True, width=200)

    await Demonstration(
        f"{HOST}:{stack.ports.gateway}", f"{HOST}:{stack.ports.mailbox}", accounts, console, stack.ca
    ).run()

    assert "✓ It keeps the real two weeks" in console.export_text()
