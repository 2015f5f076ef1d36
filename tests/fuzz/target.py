"""What is attacked: a stack of our own, the RPCs it shows by reflection, and people who may call them."""

import asyncio
import importlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

import liity
from deploy.local.ports import HOST
from deploy.local.process import Spawn, spawn
from deploy.local.seed import DemoAccount, seed
from deploy.local.stack import Stack
from frontends.client import ApiClient
from frontends.refusals import Refusal
from liity.v1.registration_service_pb2 import ListRegistrationsRequest
from services.runtime.security.access import ACCESS, Accounts, Services
from services.runtime.security.service_identity import SERVICES, ServiceIdentity
from tests.fuzz.messages import Known
from tests.support.ports import free_ports
from tests.support.registration_forms import child_form
from tests.system.support.calls import CALLS
from tests.system.support.public_api import Stores, connect_temporal
from tests.system.support.public_api_facts import Facts, create_facts
from tests.system.support.registering import MailCounter, database

SERVERS = ("gateway", "identity", "registration", "notification")
"""The components that serve gRPC."""

_UNTHROTTLED = {
    f"LIITY_{limit}": "1000000"
    for limit in (
        "LOGIN_FAILURES_PER_CALLER",
        "LOGIN_FAILURES_PER_ACCOUNT",
        "LINK_FAILURES_PER_CALLER",
        "PASSWORD_ORDERS_PER_ADDRESS",
        "PASSWORD_ORDERS_PER_CALLER",
        "LOOK_UPS_PER_ACCOUNT",
        "LOOK_UPS_PER_UNIT",
        "CLASS_LIST_ROWS_PER_ACCOUNT",
        "CLASS_LIST_ROWS_PER_UNIT",
        "MAILS_PER_ADDRESS",
        "FEEDBACK_PER_CALLER",
    )
}
"""Limits that would keep an attack from what lies behind them."""

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # An attacker's own limits are no one's protection.
    ("grpc.max_metadata_size", 16 * 1024 * 1024),
    ("grpc.absolute_max_metadata_size", 16 * 1024 * 1024),
    # Each channel its own connection.
    ("grpc.use_local_subchannel_pool", 1),
)


def open_channel(stack: Stack, component: str, **options: int) -> grpc.aio.Channel:
    """A channel to a server of the stack: the one place that knows how such are opened."""
    return grpc.aio.insecure_channel(
        f"{HOST}:{getattr(stack.ports, component)}", options=[*_CHANNEL_OPTIONS, *options.items()]
    )


def open_blocking_channel(stack: Stack, component: str) -> grpc.Channel:
    """The same for reflection's client, which waits."""
    return grpc.insecure_channel(f"{HOST}:{getattr(stack.ports, component)}")


async def open_socket(stack: Stack, component: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare connection to a server of the stack."""
    return await asyncio.open_connection(HOST, getattr(stack.ports, component))


@dataclass(frozen=True, eq=False)
class Rpc:
    """An RPC, and who serves it."""

    component: str
    path: str
    method: MethodDescriptor

    def valid(self, facts: Facts | None) -> list[bytes]:
        """Requests that the tests of the public API know to be right."""
        known = CALLS.get(self.path)
        return [] if known is None or facts is None else [known.right(facts).SerializeToString()]


@dataclass
class Target:
    """A running stack, and what an attacker could know of it."""

    stack: Stack
    accounts: Mapping[str, DemoAccount]
    clients: Mapping[str, ApiClient]
    rpcs: Sequence[Rpc]
    stores: Stores
    facts: Facts | None = None
    known: Known = field(default_factory=dict)
    channels: dict[str, grpc.aio.Channel] = field(default_factory=dict)
    _identities: dict[str, ServiceIdentity] = field(default_factory=dict)

    def allowed(self, rpc: Rpc) -> list[str]:
        """Who may call an RPC: accounts, or components; the empty name for nobody in particular."""
        rule = ACCESS.get(rpc.path)
        if isinstance(rule, Accounts):
            return list(self.accounts)
        return sorted(rule.names) if isinstance(rule, Services) else [""]

    def strangers(self, rpc: Rpc) -> list[str]:
        """Who may not."""
        allowed = self.allowed(rpc)
        if "" in allowed:
            return []
        if rpc.component == "gateway":
            return [""]
        return ["", *(name for name in SERVICES if name not in allowed)]

    def token(self, rpc: Rpc, caller: str) -> str:
        """The token of an account at the gateway, of a component at the other servers."""
        if rpc.component == "gateway":
            return self.clients[caller].session.access_token
        identity = self._identities.setdefault(caller, ServiceIdentity(caller, self.stack.keys_dir))
        return identity.token(rpc.component)

    async def stay_logged_in(self) -> None:
        """Renews the accounts' sessions where that is due."""
        for key, client in self.clients.items():
            unit = self.accounts[key].unit or self.accounts["registrar"].unit
            try:
                await client.call(
                    client.registrations.ListRegistrations, ListRegistrationsRequest(parent=unit)
                )
            except Refusal as refusal:
                # Operators see no unit; their session is renewed all the same. An attack with the rights to
                # it, such as on somebody's role, ends sessions.
                if refusal.code is grpc.StatusCode.UNAUTHENTICATED:
                    await client.log_in(self.accounts[key].email, self.accounts[key].password)
                elif refusal.code is not grpc.StatusCode.NOT_FOUND:
                    raise

    def pids(self) -> dict[str, int | None]:
        """The process of each server."""
        return {name: self.stack.pid(name) for name in SERVERS}

    def memory(self) -> dict[str, int]:
        """The resident bytes of each server."""
        return {name: psutil.Process(pid).memory_info().rss for name, pid in self.pids().items() if pid}

    def log_sizes(self) -> dict[str, int]:
        """How much each component has logged so far."""
        return {path.name: path.stat().st_size for path in self.stack.logs.iterdir()}


@asynccontextmanager
async def running_target(folder: Path, *, facts: bool = True, spawn: Spawn = spawn) -> AsyncIterator[Target]:
    """A stack in a folder, its servers' RPCs found, and people logged in.

    Without `facts` the folder is one of an earlier run, whose facts it holds.
    """
    stack = Stack(folder, free_ports(), restart=False, spawn=spawn)
    stack.environment |= _UNTHROTTLED
    await stack.start()
    clients: dict[str, ApiClient] = {}
    channels: dict[str, grpc.aio.Channel] = {}
    try:
        accounts = await seed(stack.folder, stack.keys_dir, stack.ports)
        for key, account in accounts.items():
            clients[key] = ApiClient(f"{HOST}:{stack.ports.gateway}")
            await clients[key].log_in(account.email, account.password)
        channels |= {name: open_channel(stack, name) for name in SERVERS}
        rpcs = [rpc for name in SERVERS for rpc in await asyncio.to_thread(_rpcs_of, stack, name)]
        target = Target(
            stack, accounts, clients, rpcs, Stores(stack, await connect_temporal(stack)), channels=channels
        )
        if facts:
            anybody = clients["anybody"] = ApiClient(f"{HOST}:{stack.ports.gateway}")
            target.facts = await create_facts(
                stack,
                clients["registrar"],
                clients["teacher"],
                clients["staff"],
                anybody,
                MailCounter(stack),
            )
            await anybody.close()
            del clients["anybody"]
            target.known = await _known(target, target.facts)
        yield target
    finally:
        for client in clients.values():
            await client.close()
        for channel in channels.values():
            await channel.close()
        await stack.stop()


def _rpcs_of(stack: Stack, component: str) -> list[Rpc]:
    """Every unary RPC of ours that a server shows by reflection."""
    with open_blocking_channel(stack, component) as channel:
        names = ProtoReflectionDescriptorDatabase(channel).get_services()
    pool = _contracts()
    return [
        Rpc(component, f"/{service}/{method.name}", method)
        for service in sorted(names)
        if service.startswith("liity.")
        for method in pool.FindServiceByName(service).methods
    ]


def _contracts() -> descriptor_pool.DescriptorPool:
    """Every contract that there is code of."""
    folder = Path(next(iter(liity.__path__)))
    for path in folder.rglob("*_service_pb2.py"):
        importlib.import_module(".".join(("liity", *path.relative_to(folder).with_suffix("").parts)))
    return descriptor_pool.Default()


async def _known(target: Target, facts: Facts) -> dict[str, list[str]]:
    """What fields may hold that means something: gathered from everything stored, by the column's name."""
    known: dict[str, set[str]] = {}
    for name in ("identity", "registration", "notification"):
        async with database(target.stack, name) as connection:
            columns = await connection.fetch(
                "SELECT table_name, column_name FROM information_schema.columns"
                " WHERE table_schema = 'public' AND data_type IN ('text', 'character varying', 'uuid')"
            )
            for table, column in columns:
                values = await connection.fetch(f'SELECT DISTINCT "{column}"::text FROM "{table}" LIMIT 20')  # noqa: S608
                known.setdefault(column, set()).update(record[0] for record in values if record[0])
    people = (facts.adult, facts.child, facts.newcomer, facts.new_pupil)
    texts = {
        "parent": [facts.library, facts.school],
        "name": [facts.active.name, facts.waiting.name, facts.given.name, facts.withdrawn.name],
        "personal_identity_code": [person.personal_identity_code for person in people],
        "token": [*vars(facts.consent).values(), *vars(facts.password).values()],
        "email": [account.email for account in target.accounts.values()],
        "wording_version": ["2026-1"],
        "account_ids": sorted(known.get("account_id", ())),
        "unit_ids": sorted(known.get("unit_id", ())),
        "subject_ids": sorted(known.get("registration_id", ())),
        "postcode": [child_form().address.postcode],
        "country_code": ["FI", "SE", ""],
    }
    return {name: sorted({*known.get(name, ()), *texts.get(name, ())}) for name in {*known, *texts}}
