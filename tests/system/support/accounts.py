"""Accounts on the stack, created by a test for its own use."""

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.local.ports import HOST
from deploy.local.stack import Stack
from liity.identity.v1.account_service_pb2 import AccountMembership, CreateAccountRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.v1.auth_service_pb2 import Role
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from services.runtime.rpc.peer import Peer
from services.runtime.security.service_identity import ServiceIdentity


@dataclass(frozen=True)
class TestAccount:
    """An account that can log in."""

    __test__ = False

    email: str
    password: str


async def new_account(
    stack: Stack, *roles: Role.ValueType, memberships: Sequence[AccountMembership] = ()
) -> TestAccount:
    """Creates an account, as an operator does when setting up the system; of no unit, unless given."""
    account = TestAccount(f"{uuid.uuid4().hex}@kirjasto.example", secrets.token_urlsafe(16))
    seed = ServiceIdentity("seed", stack.keys_dir, stack.certificate("seed"))
    identity = Peer("identity", f"{HOST}:{stack.ports.identity}", seed)
    request = CreateAccountRequest(
        request_id=str(uuid.uuid4()),
        email=account.email,
        display_name="Tilda Testaaja",
        password=account.password,
        language=LANGUAGE_FI,
        roles=roles,
        memberships=memberships,
    )
    try:
        await identity.call(AccountServiceStub(identity.channel).CreateAccount, request)
    finally:
        await identity.close()
    return account
