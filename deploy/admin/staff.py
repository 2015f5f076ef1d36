"""Creating accounts of customer service and operators."""

from pydantic import Field

from liity.identity.v1.account_service_pb2 import Account, CreateAccountRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from services.runtime.rpc.peer import Peer
from services.runtime.security.service_identity import ServiceIdentity
from services.runtime.security.tls import component_certificate
from services.runtime.settings import RuntimeSettings, load


class StaffSettings(RuntimeSettings):
    """Settings of the command, prefix `LIITY_`."""

    identity_target: str = Field(description="host:port of the identity service.")


async def create_staff(request: CreateAccountRequest) -> Account:
    """Creates an account by the service identity `seed`. SettingsError if a setting is missing."""
    settings = load(StaffSettings)
    seed = ServiceIdentity("seed", settings.keys_dir, component_certificate("seed", settings))
    identity = Peer("identity", settings.identity_target, seed)
    try:
        stub = AccountServiceStub(identity.channel)
        return (await identity.call(stub.CreateAccount, request)).account
    finally:
        await identity.close()
