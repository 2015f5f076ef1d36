"""The caller's own e-mail address: as a guardian's address it is asked about (R40)."""

from liity.identity.v1.account_service_pb2 import BatchGetAccountsRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from services.runtime.rpc.context import current_request
from services.runtime.rpc.peer import Peer
from services.runtime.text.email_addresses import mailbox

_LONGEST_ADDRESS = 254


class CallersAddress:
    """Compares addresses with the address of the caller's account."""

    def __init__(self, identity: Peer) -> None:
        self._identity = identity
        self._accounts = AccountServiceStub(identity.channel)

    async def read(self) -> str:
        """The address; empty if the account is gone."""
        read = BatchGetAccountsRequest(account_ids=[current_request().caller.account_id])
        accounts = (await self._identity.call(self._accounts.BatchGetAccounts, read)).accounts
        return accounts[0].email if accounts else ""

    async def equals(self, address: str) -> bool:
        """Whether an address is of the same mailbox. The account is read only if there is one."""
        is_given = 0 < len(address) <= _LONGEST_ADDRESS
        return is_given and mailbox(address) == mailbox(await self.read())
