"""The whole stack on free ports, and people logged in to it."""

import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from deploy.local.mailbox.client import MailboxClient
from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount, seed
from deploy.local.stack import Stack
from frontends.client import ApiClient
from liity.v1.registration_service_pb2 import ListRegistrationsRequest
from tests.conftest import copy_postgres
from tests.support.ports import free_ports
from tests.support.program import Program
from tests.system.support.leaks import LeakWatch, Traffic, database_folders, watched
from tests.system.support.public_api import Gateway, Stores, changes, connect_temporal, new_rows
from tests.system.support.public_api_facts import Facts, create_facts
from tests.system.support.registering import MailCounter, forget_connections


@dataclass(frozen=True)
class Api:
    """The demo accounts, logged in, and somebody without an account."""

    registrar: ApiClient
    teacher: ApiClient
    staff: ApiClient
    operator: ApiClient
    anybody: ApiClient


_TRAFFIC = Traffic(listening=False)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Tests of this folder are watched, from the set-up of their fixtures on; others are not."""
    _TRAFFIC.listening = Path(__file__).parent in item.path.parents
    _TRAFFIC.test = item.nodeid


@pytest.fixture(scope="session", autouse=True)
def leak_watch() -> Iterator[LeakWatch]:
    """Watches every call that tests make, for the personal data in it."""
    with pytest.MonkeyPatch.context() as patch:
        for opener in ("insecure_channel", "secure_channel"):
            patch.setattr(grpc.aio, opener, watched(getattr(grpc.aio, opener), _TRAFFIC))
        yield LeakWatch(_TRAFFIC)


@pytest.fixture(scope="session")
async def stack(
    tmp_path_factory: pytest.TempPathFactory,
    pytestconfig: pytest.Config,
    leak_watch: LeakWatch,
    postgres_template: Path,
    program: Program,
) -> AsyncIterator[Stack]:
    """The whole stack, over TLS. A component that dies unasked stays dead: then tests fail.

    At the end nothing personal that any test has sent is where it must not be.
    """
    tls = not pytestconfig.getoption("--plain")
    folder = tmp_path_factory.mktemp("stack")
    stack = Stack(folder, free_ports(), restart=False, tls=tls, spawn=program.spawn)
    # All that components can say is searched for leaks.
    stack.environment["LIITY_LOG_LEVEL"] = "DEBUG"
    # A guardian who was asked a moment ago can be reminded.
    stack.environment["LIITY_WORKFLOWS_CONSENT_REMINDER_GAP"] = "PT0S"
    # Most tests of a decline are about its end. Those of taking it back change the setting.
    stack.environment["LIITY_WORKFLOWS_DECLINE_GRACE"] = "PT0S"
    # The stack that begins with nothing is that of the main job in `test_up.py`.
    copy_postgres(postgres_template, stack.folder / "postgres")
    with (stack.folder / "postgres" / "data" / "postgresql.auto.conf").open("a") as settings:
        # Else segments of its log are kept under new names, with their old content, until they are written
        # over: tests of erasure would find by chance what a checkpoint has kept.
        settings.write("wal_recycle = off\n")
    await stack.start()
    leak_watch.stack = stack
    try:
        yield stack
        leaks, folders = await leak_watch.all_leaks(stack), await database_folders(stack)
    finally:
        await stack.stop()
        forget_connections(stack)
    # Only now is everything in the files.
    assert leaks + leak_watch.stored_leaks(stack, folders) == []


@pytest.fixture(scope="session")
async def accounts(stack: Stack) -> dict[str, DemoAccount]:
    """The demo accounts by key: registrar, teacher, staff, operator."""
    return await seed(stack.folder, stack.keys_dir, stack.ports, stack.certificate("seed"))


@pytest.fixture(scope="session")
async def api(stack: Stack, accounts: dict[str, DemoAccount]) -> AsyncIterator[Api]:
    """Everybody who calls the gateway."""
    target = f"{HOST}:{stack.ports.gateway}"
    clients = {key: ApiClient(target, ca=stack.ca) for key in ("anybody", *accounts)}
    try:
        for key, account in accounts.items():
            await clients[key].log_in(account.email, account.password)
        yield Api(**clients)
    finally:
        for client in clients.values():
            await client.close()


Liity = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def liity(stack: Stack, accounts: dict[str, DemoAccount], program: Program) -> Liity:
    """The program, as one of the demo accounts: `liity("staff", "audit", "search")`."""

    def run(account: str, group: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        assert account in accounts
        return program(group, "--state-dir", str(stack.folder), "--as", account, *arguments, typed=typed)

    return run


@pytest.fixture
def remote_liity(stack: Stack, accounts: dict[str, DemoAccount], program: Program) -> Liity:
    """The same on a machine that has no folder of the stack: `remote_liity("staff", "audit", "search")`."""

    def run(account: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        environment = {
            "LIITY_GATEWAY": f"{HOST}:{stack.ports.gateway}",
            "LIITY_EMAIL": accounts[account].email,
            "LIITY_PASSWORD": accounts[account].password,
            **({"LIITY_GATEWAY_CA": str(stack.ca)} if stack.ca else {}),
        }
        return program(*arguments, environment=environment, typed=typed)

    return run


@pytest.fixture
def links(stack: Stack, program: Program) -> Liity:
    """The program, as somebody who has a mailed link: `links("consent", "show", typed=link)`."""

    def run(*arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        tls = ("--gateway-ca", str(stack.ca)) if stack.ca else ()
        gateway = ("--gateway", f"{HOST}:{stack.ports.gateway}", *tls)
        return program("links", *gateway, *arguments, typed=typed)

    return run


@pytest.fixture(scope="module", autouse=True)
async def _nothing_leaks(leak_watch: LeakWatch) -> AsyncIterator[None]:
    """Sees that the tests of a file leave none of their personal data where others look."""
    yield
    if leak_watch.stack is not None:
        assert await leak_watch.new_leaks(leak_watch.stack) == []


@pytest.fixture(autouse=True)
async def _logged_in(request: pytest.FixtureRequest) -> None:
    """Sees that the access tokens a test may take in its hands last until its end."""
    if "api" in request.fixturenames:
        for client in vars(request.getfixturevalue("api")).values():
            await client.renew_session(timedelta(minutes=5))


@pytest.fixture(autouse=True)
async def _whole(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Starts whatever a test of the stack, or its failure, has left stopped."""
    yield
    if "stack" in request.fixturenames:
        stack: Stack = request.getfixturevalue("stack")
        for name in stack.components:
            if stack.pid(name) is None:
                await stack.stop_component(name)
                await stack.start_component(name)


@pytest.fixture
def mails(stack: Stack) -> MailCounter:
    """Counts the mail."""
    return MailCounter(stack)


@pytest.fixture(scope="session")
def mailbox(stack: Stack) -> MailboxClient:
    """The stack's mailbox."""
    return MailboxClient(f"{HOST}:{stack.ports.mailbox}")


@pytest.fixture(scope="session")
async def gateway(stack: Stack, api: Api) -> AsyncIterator[Gateway]:
    """The gateway, to be called wrongly."""
    clients = {
        "registrar": api.registrar,
        "teacher": api.teacher,
        "staff": api.staff,
        "operator": api.operator,
    }
    gateway = Gateway(stack.channel("gateway"), clients)
    yield gateway
    await gateway.close()


@pytest.fixture(scope="session")
async def facts(stack: Stack, api: Api) -> Facts:
    """Registrations in each state, and links of every kind."""
    return await create_facts(stack, api.registrar, api.teacher, api.staff, api.anybody, MailCounter(stack))


@pytest.fixture(scope="session")
async def stores(stack: Stack) -> Stores:
    """The three databases and Temporal."""
    return Stores(stack, await connect_temporal(stack))


@pytest.fixture
async def nothing_stored(stores: Stores, facts: Facts, api: Api) -> AsyncIterator[None]:
    """Sees that a test changes nothing that is stored."""
    for client in (api.registrar, api.teacher, api.staff):
        # Sessions that are about to end are renewed now, not while the test runs.
        listing = ListRegistrationsRequest(parent=facts.library if client is api.registrar else facts.school)
        await client.call(client.registrations.ListRegistrations, listing)
    before = await stores.contents()
    yield
    after = await stores.contents(changed_since=True)
    assert changes(before, after) == {}, new_rows(before, after)


@pytest.fixture
async def forgiven(stores: Stores) -> AsyncIterator[None]:
    """Forgets what was counted before a test, and what the test has had counted."""
    await stores.forget_attempts()
    yield
    await stores.forget_attempts()
