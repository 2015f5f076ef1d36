"""Units, their registrars, customer service and guardians, all recorded."""

import random
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from deploy.local.mailbox.store import Maildir
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from frontends.client import ApiClient
from liity.identity.v1.account_service_pb2 import AccountMembership
from liity.registration.v1.unit_service_pb2 import (
    UNIT_KIND_LIBRARY,
    UNIT_KIND_SCHOOL,
    CreateUnitRequest,
    UnitKind,
)
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_REGISTRAR
from services.runtime.rpc.peer import Peer
from services.runtime.security.service_identity import ServiceIdentity
from tests.support.history.records import Caller, History
from tests.system.failures.chaos.recording import Mailbox, Recording
from tests.system.support.accounts import new_account

_KINDS = {"kirjasto": UNIT_KIND_LIBRARY, "koulu": UNIT_KIND_SCHOOL, "yhdistys": UNIT_KIND_LIBRARY}
_REGISTRARS = 2


@dataclass(frozen=True)
class Unit:
    """A unit and those who register for it."""

    name: str
    """`units/{unit}`."""
    school: bool
    registrars: list[Recording]


@dataclass
class People:
    """Everybody who calls, and what becomes of it."""

    units: list[Unit]
    staff: Recording
    guardians: Recording
    mailbox: Mailbox
    history: History
    codes: dict[str, str] = field(default_factory=dict)
    """First names of everybody saved, by personal identity code."""

    def registrar(self, unit: Unit, chance: random.Random) -> Recording:
        """Any registrar of a unit."""
        return chance.choice(unit.registrars)

    def unit(self, name: str) -> Unit:
        """The unit of a resource's name."""
        return next(unit for unit in self.units if name.startswith(f"{unit.name}/") or name == unit.name)


@asynccontextmanager
async def people_of(stack: Stack, history: History) -> AsyncIterator[People]:
    """Creates units and accounts of their own for a run, and logs all in."""
    async with AsyncExitStack() as closing:

        async def recording(caller: Caller, *roles: int, unit: str = "") -> Recording:
            client = ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca)
            closing.push_async_callback(client.close)
            if unit or roles:
                member = [AccountMembership(unit_id=unit, role=ROLE_REGISTRAR)] if unit else []
                account = await new_account(stack, *roles, memberships=member)  # type: ignore[arg-type]
                await client.log_in(account.email, account.password)
            return Recording(history, caller, client)

        units = []
        for place, kind in _KINDS.items():
            unit_id = await _create_unit(stack, f"Kaaoksen {place}", kind)
            name = f"units/{unit_id}"
            registrars = [
                await recording(Caller(f"{place} {number}", frozenset({name})), unit=unit_id)
                for number in range(_REGISTRARS)
            ]
            units.append(Unit(name, kind == UNIT_KIND_SCHOOL, registrars))
        yield People(
            units,
            await recording(Caller("customer service", staff=True), ROLE_CUSTOMER_SERVICE),
            await recording(Caller("guardians")),
            Mailbox(history, Maildir(stack.folder / "mail")),
            history,
        )


async def _create_unit(stack: Stack, display_name: str, kind: UnitKind.ValueType) -> str:
    seed = ServiceIdentity("seed", stack.keys_dir, stack.certificate("seed"))
    peer = Peer("registration", f"{HOST}:{stack.ports.registration}", seed)
    request = CreateUnitRequest(request_id=str(uuid.uuid4()), display_name=display_name, kind=kind)
    try:
        return (await peer.call(UnitServiceStub(peer.channel).CreateUnit, request)).unit.unit_id
    finally:
        await peer.close()
