"""Creates the demonstration's units and accounts. Idempotent."""

import json
import secrets
import string
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.local.ports import HOST, Ports
from liity.identity.v1.account_service_pb2 import AccountMembership, CreateAccountRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.registration.v1.unit_service_pb2 import (
    UNIT_KIND_LIBRARY,
    UNIT_KIND_SCHOOL,
    CreateUnitRequest,
    UnitKind,
)
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.auth_service_pb2 import (
    ROLE_CUSTOMER_SERVICE,
    ROLE_MAIN_USER,
    ROLE_OPERATOR,
    ROLE_REGISTRAR,
    Role,
)
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from services.runtime.rpc.peer import Peer
from services.runtime.security.keys import read_private_file, write_private_file
from services.runtime.security.service_identity import ServiceIdentity
from services.runtime.security.tls import Certificate
from services.runtime.settings import SettingsError

_REQUESTS = uuid.UUID("5a1c1f5e-3f0b-4b7e-9f43-6f7d2a4d9c10")


@dataclass(frozen=True)
class DemoUnit:
    """A unit of the demonstration."""

    key: str
    display_name: str
    kind: UnitKind.ValueType


@dataclass(frozen=True)
class DemoAccount:
    """An account of the demonstration."""

    key: str
    email: str
    display_name: str
    password: str
    unit: str = ""
    """Name of its unit, `units/{unit}`; empty for customer service and operators."""
    unit_display_name: str = ""


LIBRARY = DemoUnit("library", "Esimerkkilän kirjasto", UNIT_KIND_LIBRARY)
SCHOOL = DemoUnit("school", "Esimerkkilän koulu", UNIT_KIND_SCHOOL)

_PEOPLE: tuple[tuple[str, str, str, DemoUnit | None, Role.ValueType], ...] = (
    ("registrar", "rekisteroija@kirjasto.example", "Riitta Rekisteröijä", LIBRARY, ROLE_REGISTRAR),
    ("teacher", "opettaja@koulu.example", "Olli Opettaja", SCHOOL, ROLE_MAIN_USER),
    ("staff", "asiakaspalvelu@liity.example", "Aino Asiakaspalvelija", None, ROLE_CUSTOMER_SERVICE),
    ("operator", "yllapito@liity.example", "Yrjö Ylläpitäjä", None, ROLE_OPERATOR),
)


def accounts_path(folder: Path) -> Path:
    """Path of the file with a stack's demo accounts and their passwords: JSON, a `DemoAccount` by key.

    Frontends read `email` and `password` of it.
    """
    return folder / "demo-accounts.json"


def read_accounts(folder: Path) -> dict[str, DemoAccount]:
    """A stack's demo accounts by key: `registrar`, `teacher`, `staff`, `operator`.

    SettingsError if there are none.
    """
    path = accounts_path(folder)
    if not path.exists():
        raise SettingsError(f"There are no demo accounts in {folder}: `liity up` makes them")
    return {key: DemoAccount(**account) for key, account in json.loads(read_private_file(path)).items()}


def new_password() -> str:
    """A random password of letters alone: digits among them can read as dates, which are refused as weak."""
    return "".join(secrets.choice(string.ascii_lowercase) for _ in range(20))


async def seed(
    folder: Path, keys_dir: Path, ports: Ports, certificate: Certificate | None = None
) -> dict[str, DemoAccount]:
    """Creates missing units and accounts on the local stack; parameters as `seed_at`."""
    targets = f"{HOST}:{ports.identity}", f"{HOST}:{ports.registration}"
    return await seed_at(folder, keys_dir, *targets, certificate)


async def seed_at(
    folder: Path,
    keys_dir: Path,
    identity_target: str,
    registration_target: str,
    certificate: Certificate | None = None,
) -> dict[str, DemoAccount]:
    """Creates missing units and accounts; each new password is random, and kept in `folder`.

    With TLS, `certificate` is that of `seed`.
    """
    known = read_accounts(folder) if accounts_path(folder).exists() else {}
    passwords = {key: known[key].password if key in known else new_password() for key, *_ in _PEOPLE}
    identity = ServiceIdentity("seed", keys_dir, certificate)
    registration_peer = Peer("registration", registration_target, identity)
    identity_peer = Peer("identity", identity_target, identity)
    try:
        units = {unit.key: await _create_unit(registration_peer, unit) for unit in (LIBRARY, SCHOOL)}
        accounts = {
            key: DemoAccount(
                key,
                email,
                name,
                passwords[key],
                f"units/{units[unit.key]}" if unit else "",
                unit.display_name if unit else "",
            )
            for key, email, name, unit, _ in _PEOPLE
        }
        # Store passwords before use: after an interrupted start, the next one goes on with the same ones.
        write_private_file(
            accounts_path(folder),
            json.dumps({key: asdict(account) for key, account in accounts.items()}, indent=2),
        )
        for key, _, _, unit, role in _PEOPLE:
            await _create_account(identity_peer, accounts[key], units[unit.key] if unit else "", role)
    finally:
        await registration_peer.close()
        await identity_peer.close()
    return accounts


async def _create_unit(peer: Peer, unit: DemoUnit) -> str:
    request = CreateUnitRequest(
        request_id=_request_id(unit.key), display_name=unit.display_name, kind=unit.kind
    )
    answer = await peer.call(UnitServiceStub(peer.channel).CreateUnit, request)
    return answer.unit.unit_id


async def _create_account(peer: Peer, account: DemoAccount, unit_id: str, role: Role.ValueType) -> None:
    request = CreateAccountRequest(
        request_id=_request_id(account.key),
        email=account.email,
        display_name=account.display_name,
        password=account.password,
        language=LANGUAGE_FI,
        roles=() if unit_id else (role,),
        memberships=(AccountMembership(unit_id=unit_id, role=role),) if unit_id else (),
    )
    await peer.call(AccountServiceStub(peer.channel).CreateAccount, request)


def _request_id(key: str) -> str:
    return str(uuid.uuid5(_REQUESTS, key))
