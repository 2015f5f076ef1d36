"""The caller's own e-mail address: as a guardian's address it is asked about (R40)."""

from liity.identity.v1.account_service_pb2 import BatchGetAccountsRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.v1.customer_form_pb2 import CustomerForm
from services.runtime.rpc.context import current_request
from services.runtime.rpc.peer import Peer


class CallersAddress:
    """Reads the address of the caller's account."""

    def __init__(self, identity: Peer) -> None:
        self._identity = identity
        self._accounts = AccountServiceStub(identity.channel)

    async def read(self) -> str:
        """The address; empty if the account is gone."""
        read = BatchGetAccountsRequest(account_ids=[current_request().caller.account_id])
        accounts = (await self._identity.call(self._accounts.BatchGetAccounts, read)).accounts
        return accounts[0].email if accounts else ""

    async def read_for(self, form: CustomerForm) -> str:
        """The address if a guardian's may be the same: the account is read only if one is given."""
        given = form.related_person.email or form.other_guardian.email
        return await self.read() if given else ""
