"""Every sweep and list of identity goes by an index, however many rows there are."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1 import account_service_pb2 as accounts_pb
from liity.identity.v1 import credential_service_pb2 as credentials_pb
from liity.identity.v1 import link_service_pb2 as links_pb
from liity.identity.v1 import person_service_pb2 as persons_pb
from liity.identity.v1 import registrar_service_pb2 as registrars_pb
from services.identity import cleanup
from services.identity.credentials.unused_links import UnusedLinks
from services.identity.links.tokens import SealedIds
from services.identity.models import Base, limits
from services.identity.server import SERVICES, compose
from services.identity.settings import IdentitySettings
from services.runtime.clock import now
from services.runtime.data.rate_limits import sweep_limits
from services.runtime.rpc.errors import Refusal
from tests.conftest import running_postgres
from tests.services.conftest import Component, running
from tests.support.query_plans import Plans, filled
from tests.support.registration_service import timestamp

FILLING = {
    # Most passwords were chosen lately, or of their age somebody was reminded.
    "accounts": {
        "email": "'a' || n || '@koulu.example'",
        "password_chosen_at": "CASE WHEN n % 1000 = 0 THEN now() - interval '2 years' ELSE now() END",
        "roles": "'{1}'",
    },
    "persons": {
        "retained_at": "CASE WHEN n % 1000 = 0 THEN NULL ELSE now() END",
        "hetu_index": "sha256(n::text::bytea)",
    },
    "code_changes": {"committed_at": "now()"},
    "invitations": {"unit_id": "'un' || 1 + n % 1000"},
    "links": {
        "purpose": "CASE WHEN n % 1000 = 500 THEN 10 ELSE 2 END",
        "notices": "0",
        "subject": "'pe' || n",
        "used_at": "CASE WHEN n % 500 = 0 THEN NULL ELSE now() END",
    },
    "lock_outs": {
        "day": "current_date - (n % 90)::int",
        "number": "CASE WHEN n % 1000 = 7 THEN 9 ELSE 1 END",
    },
    "memberships": {"unit_id": "'un' || 1 + n % 1000"},
}


async def _unused_links(engine: AsyncEngine) -> None:
    # No link is of somebody with credentials: nothing is sealed.
    await UnusedLinks(engine, cast(SealedIds, None), timedelta(days=7)).due(20, "")


SWEEPS: dict[str, Callable[[AsyncEngine], Awaitable[None]]] = {
    "identity": cleanup.sweep,
    "unused links": _unused_links,
    "limits": lambda engine: sweep_limits(engine, limits),
}


@pytest.fixture(scope="module")
async def engine(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[AsyncEngine]:
    async with (
        running_postgres(tmp_path_factory.mktemp("postgres")) as server,
        filled(server, "identity", Base.metadata, FILLING, {"known_keys"}) as engine,
    ):
        yield engine


@pytest.fixture(scope="module")
async def identity(engine: AsyncEngine, keys_dir: Path) -> AsyncIterator[Component]:
    settings = IdentitySettings.model_validate(
        {"listen": "", "database_url": "postgresql+asyncpg://unused", "keys_dir": keys_dir}
    )
    async with running("identity", compose(settings, engine), keys_dir, SERVICES) as identity:
        yield identity


CALLS: list[Message] = [
    accounts_pb.BatchGetAccountsRequest(account_ids=["ac7", "ac8"]),
    accounts_pb.ListAccountsRequest(unit_id="un7"),
    accounts_pb.FindAccountRequest(email="a7@koulu.example"),
    accounts_pb.ListAgedPasswordsRequest(page_size=50),
    accounts_pb.ListLockOutsRequest(start_time=timestamp(now() - timedelta(days=7))),
    credentials_pb.FindUserNameRequest(user_name="us7"),
    credentials_pb.GetCredentialStateRequest(person_id="pe7"),
    credentials_pb.ListUnusedPasswordLinksRequest(page_size=50),
    links_pb.VoidLinksRequest(purpose=links_pb.LINK_PURPOSE_CONSENT, subject="su7"),
    persons_pb.BatchReleasePersonsRequest(person_ids=["pe7", "pe8"]),
    persons_pb.ListMissingPersonsRequest(person_ids=["pe7", "pe8"]),
    persons_pb.ExportPersonRequest(person_id="pe7", subject_ids=["su7", "su8"]),
    persons_pb.ErasePersonRequest(person_id="pe9", subject_ids=["su9"]),
    registrars_pb.ListOpenInvitationsRequest(made_before=timestamp(now()), page_size=50),
    registrars_pb.ListRegistrarsRequest(unit_id="un7"),
    registrars_pb.ReleaseUnitRequest(unit_id="un8"),
]


@pytest.mark.parametrize("request_", CALLS, ids=lambda call: call.DESCRIPTOR.name)
async def test_every_list_goes_by_an_index(
    engine: AsyncEngine, identity: Component, request_: Message
) -> None:
    plans = Plans(engine)
    # What is not there is looked for as well.
    with plans.watching(), suppress(Refusal):
        await identity(request_)
    assert await plans.wrong() == []


@pytest.mark.parametrize("sweep", SWEEPS)
async def test_every_sweep_goes_by_an_index(engine: AsyncEngine, sweep: str) -> None:
    plans = Plans(engine)
    with plans.watching():
        await SWEEPS[sweep](engine)
    assert await plans.wrong() == []
