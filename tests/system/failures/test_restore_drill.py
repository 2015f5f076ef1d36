"""Each store goes back to an earlier moment, alone and in pairs, by the steps of docs/operating.md.

What was acknowledged afterwards stands, or is named as lost with whom to tell; nobody erased is back; no mail
comes twice but where the record of mail itself is lost; no run stands still or fails.
"""

import asyncio
import itertools
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from deploy.demo.polling import eventually
from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount, seed
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal
from liity.v1.customer_service_pb2 import (
    END_REASON_OWN_WISH,
    EndCustomershipRequest,
    TransferCustomerRequest,
)
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, Registration
from liity.v1.registration_service_pb2 import GetRegistrationRequest, WithdrawRegistrationRequest
from tests.conftest import Amount, copy_postgres
from tests.support.ports import free_ports
from tests.support.program import Program
from tests.system.support.registering import (
    PATIENCE,
    DemoPerson,
    MailCounter,
    accept,
    adult,
    database,
    link_token,
    pupil,
    reaches,
    save,
)

DATABASES = ("identity", "registration", "notification")
STORES = ("temporal", *DATABASES)
KNOWN_TO_NOBODY = frozenset({"registration", "temporal"})
"""Without both, only identity knows that somebody was saved, and not by whom: docs/operating.md says so."""
RESTORED = [
    frozenset(stores)
    for number in (1, 2)
    for stores in itertools.combinations(STORES, number)
    if frozenset(stores) != KNOWN_TO_NOBODY
]
"""Temporal comes first: `make test` restores it alone."""
ENDED_WRONGLY = {
    WorkflowExecutionStatus.FAILED,
    WorkflowExecutionStatus.TIMED_OUT,
}
_ROUNDS = 6


@dataclass
class Story:
    """What callers were told, before moment A and after it."""

    persons: dict[str, DemoPerson] = field(default_factory=dict)
    """Who was acknowledged, by the registration's name."""
    erased: list[Registration] = field(default_factory=list)
    """Registrations that were withdrawn after moment A."""
    marks: dict[str, list[str]] = field(default_factory=dict)
    """How a command may name somebody who is lost, by the registration's name: the run, the customer."""


class Drill:
    """A stack of its own, whose stores are copied and put back."""

    def __init__(
        self, stack: Stack, accounts: dict[str, DemoAccount], program: Program, clients: AsyncExitStack
    ) -> None:
        self.stack = stack
        self._clients = clients
        self.accounts = accounts
        self.program = program
        self.mails = MailCounter(stack)
        self.story = Story()

    async def run(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output of a command of an operator."""
        ended = await self.program.run(*arguments, "--state-dir", str(self.stack.folder))
        return ended.returncode, ended.stdout + ended.stderr

    async def audit(self, *arguments: str) -> str:
        """The output of a command about the log of use, which must succeed."""
        ended = await self.program.run("audit", "--state-dir", str(self.stack.folder), *arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    async def anybody(self) -> ApiClient:
        """Somebody who is not logged in."""
        return await self._clients.enter_async_context(ApiClient(f"{HOST}:{self.stack.ports.gateway}"))

    async def client(self, account: str) -> ApiClient:
        """A demo account, logged in."""
        api = await self.anybody()
        await api.log_in(self.accounts[account].email, self.accounts[account].password)
        return api

    async def copy(self, moment: str) -> None:
        """Copies every store as it is now; the components are stopped meanwhile."""
        await self.stack.stop()
        shutil.copytree(self.stack.folder / "temporal", self._copies(moment))
        await self.stack.start_component("postgres")
        superuser = await self.stack.postgres.connect("postgres", "postgres")
        for name in DATABASES:
            await superuser.execute(f"CREATE DATABASE {moment}_{name} TEMPLATE {name}")
        await superuser.close()
        await self.stack.stop()

    async def put_back(self, moments: dict[str, str]) -> None:
        """Puts each store back to its moment, and starts all."""
        await self.stack.stop()
        temporal = self.stack.folder / "temporal"
        shutil.rmtree(temporal)
        shutil.copytree(self._copies(moments["temporal"]), temporal)
        await self.stack.start_component("postgres")
        superuser = await self.stack.postgres.connect("postgres", "postgres")
        for name in DATABASES:
            await superuser.execute(f"DROP DATABASE {name} WITH (FORCE)")
            await superuser.execute(
                f"CREATE DATABASE {name} TEMPLATE {moments[name]}_{name} OWNER {name}_owner"
            )
        await superuser.close()
        await self.stack.stop()
        await self.stack.start()

    def _copies(self, moment: str) -> Path:
        return self.stack.folder / f"temporal-{moment}"

    async def registered(self, client: ApiClient, person: DemoPerson) -> Registration:
        saved = await save(client, person)
        self.story.persons[saved.name] = person
        async with database(self.stack, "registration") as connection:
            person_id = await connection.fetchval(
                "SELECT person_id FROM registrations WHERE registration_id = $1",
                saved.name.rpartition("/")[2],
            )
        customer = saved.customer.rpartition("/")[2]
        self.story.marks[saved.name] = [
            f"registration/{person_id}",
            *([f"customer/{customer}"] if customer else []),
        ]
        return saved


@pytest.fixture
async def drill(tmp_path: Path, postgres_template: Path, program: Program) -> AsyncIterator[Drill]:
    stack = Stack(tmp_path / "state", free_ports(), restart=False, spawn=program.spawn)
    copy_postgres(postgres_template, stack.folder / "postgres")
    await stack.start()
    try:
        accounts = await seed(stack.folder, stack.keys_dir, stack.ports)
        async with AsyncExitStack() as clients:
            yield Drill(stack, accounts, program, clients)
    finally:
        await stack.stop()


@pytest.mark.timeout(3600)
async def test_what_was_acknowledged_stands_or_is_named(drill: Drill, amount: Amount) -> None:
    kinds = await _before(drill, amount(1, long=10))
    await drill.copy("a")
    await drill.stack.start()
    await _after(drill, kinds)
    anchor = (await drill.audit("--as", "staff", "verify")).split()[-1]
    await drill.copy("n")
    for stores in RESTORED[: amount(1, long=len(RESTORED))]:
        await _restored(drill, stores, anchor)
        await _waits_go_on(drill, kinds["waits"])


async def _before(drill: Drill, each: int) -> dict[str, list[Registration]]:
    """Saves so many of each kind of story; gives them by what becomes of them after moment A."""
    registrar, teacher = await drill.client("registrar"), await drill.client("teacher")
    kinds = {
        kind: [await drill.registered(client, person()) for _ in range(each)]
        for kind, client, person in (
            ("stays", registrar, adult),
            ("ends", registrar, adult),
            ("moves", registrar, adult),
            ("waits", teacher, pupil),
            ("consents", teacher, pupil),
            ("withdraws", teacher, pupil),
        )
    }
    for saved in kinds["stays"] + kinds["ends"] + kinds["moves"]:
        await reaches(registrar, saved.name, STAGE_CREDENTIALS_SENT)
    for saved in kinds["waits"] + kinds["consents"] + kinds["withdraws"]:
        await drill.mails.wait_for(drill.story.persons[saved.name], "consent_request")
    return kinds


async def _after(drill: Drill, kinds: dict[str, list[Registration]]) -> None:
    """What happens after moment A: the rest of each story, and as many new ones."""
    registrar, teacher = await drill.client("registrar"), await drill.client("teacher")
    anybody, persons = await drill.anybody(), drill.story.persons
    adults = [await drill.registered(registrar, adult()) for _ in kinds["stays"]]
    pupils = [await drill.registered(teacher, pupil()) for _ in kinds["waits"]]
    for saved in kinds["consents"]:
        asked = await drill.mails.wait_for(persons[saved.name], "consent_request")
        await accept(anybody, link_token(asked), persons[saved.name])
    for saved in kinds["withdraws"]:
        request = WithdrawRegistrationRequest(name=saved.name, request_id=new_request_id())
        await teacher.call(teacher.registrations.WithdrawRegistration, request)
        drill.story.erased.append(saved)
    for saved in kinds["ends"]:
        end = EndCustomershipRequest(
            name=saved.customer, request_id=new_request_id(), reason=END_REASON_OWN_WISH
        )
        await registrar.call(registrar.customers.EndCustomership, end)
    for saved in kinds["moves"]:
        code = persons[saved.name].personal_identity_code
        move = TransferCustomerRequest(
            parent=teacher.unit, request_id=new_request_id(), personal_identity_code=code
        )
        await teacher.call(teacher.customers.TransferCustomer, move)
    # What is on its way arrives before the copy: afterwards it would look like mail that comes twice.
    for saved in kinds["withdraws"]:
        await eventually(lambda saved=saved: _form(drill, saved), lambda form: form is None, PATIENCE)
    for some, template in (
        (kinds["consents"], "consent_receipt_given"),
        (kinds["consents"], "credentials"),
        (kinds["ends"], "customership_ended"),
        (adults, "credentials"),
        (pupils, "consent_request"),
    ):
        for saved in some:
            await drill.mails.wait_for(persons[saved.name], template)


async def _restored(drill: Drill, stores: frozenset[str], anchor: str) -> None:
    """Restores some stores to moment A, follows the steps, and looks at everybody."""
    sent = _mails(drill)
    await drill.put_back({store: "a" if store in stores else "n" for store in STORES})
    said = ""
    if "registration" in stores:
        await drill.audit("restored", anchor)
    for command in (("erasure", "reapply"), ("reconcile",)):
        for _ in range(_ROUNDS):
            code, told = await drill.run(*command, "--fix")
            said += told
            if code == 0:
                break
            await asyncio.sleep(1)
        # Nobody but a person can find again the code that identity has lost.
        assert code == 0 or (command == ("reconcile",) and "identity" in stores), said
    print(sorted(stores), said)  # noqa: T201 - pytest shows it when the test fails
    for erased in drill.story.erased:
        assert await _form(drill, erased) is None, f"{sorted(stores)}: somebody erased is back"
    staff = await drill.client("staff")
    units = {name.partition("/registrations/")[0] for name in drill.story.persons}
    lost = [
        (name, drill.story.persons[name].form.kind, drill.story.persons[name].form.applicant)
        for name in drill.story.persons.keys() - {erased.name for erased in drill.story.erased}
        if not await _stands(staff, name, units) and not any(mark in said for mark in drill.story.marks[name])
    ]
    assert lost == [], f"{sorted(stores)}: lost, and nobody is told"
    assert await _ended_wrongly(drill) == []
    await drill.audit("--as", "staff", "verify", "--anchor", anchor)
    if "notification" not in stores:
        again = {name: mails - sent[name] for name, mails in _mails(drill).items() if mails - sent[name]}
        assert again == {}, f"{sorted(stores)}: mail has come twice"


async def _waits_go_on(drill: Drill, waiting: list[Registration]) -> None:
    """The guardians who were asked before moment A answer by the link that they have."""
    anybody, teacher = await drill.anybody(), await drill.client("teacher")
    for saved in waiting:
        person = drill.story.persons[saved.name]
        asked = await drill.mails.wait_for(person, "consent_request")
        await accept(anybody, link_token(asked), person)
        await reaches(teacher, saved.name, STAGE_CREDENTIALS_SENT)


async def _stands(staff: ApiClient, name: str, units: set[str]) -> bool:
    """Whether a registration is there, in one of these units: it may have moved."""
    for unit in units:
        try:
            await _get(staff, f"{unit}/registrations/{name.rpartition('/')[2]}")
        except Refusal:
            continue
        return True
    return False


async def _get(client: ApiClient, name: str) -> Registration:
    request = GetRegistrationRequest(name=name)
    return (await client.call(client.registrations.GetRegistration, request)).registration


async def _form(drill: Drill, registration: Registration) -> str | None:
    async with database(drill.stack, "registration") as connection:
        form: str | None = await connection.fetchval(
            "SELECT form::text FROM registrations WHERE registration_id = $1",
            registration.name.rpartition("/")[2],
        )
    return form


def _mails(drill: Drill) -> dict[str, Counter[str]]:
    """The number of mails by template, of each person."""
    return {name: Counter(drill.mails.templates(person)) for name, person in drill.story.persons.items()}


async def _ended_wrongly(drill: Drill) -> list[str]:
    client = await Client.connect(f"{HOST}:{drill.stack.ports.temporal}")
    return [run.id async for run in client.list_workflows() if run.status in ENDED_WRONGLY]
