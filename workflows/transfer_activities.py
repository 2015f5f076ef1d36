"""The steps of a transfer to another unit (R16)."""

from temporalio import activity

from liity.identity.v1.account_service_pb2 import Account, ListAccountsRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.notification.v1.notification_service_pb2 import MovedToAnotherUnit
from liity.registration.v1.customer_service_pb2 import TransferCustomerRequest, TransferCustomerResponse
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.unit_service_pb2 import BatchGetUnitsRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult, RegistrationStep
from liity.workflows.v1.transfer_workflow_pb2 import TransferResponse, TransferStep
from services.runtime.errors import Refusal, is_permanent
from services.runtime.peer import Peer
from services.runtime.refused import to_refused
from workflows.mailing import Mailing, main_users


class TransferActivities:
    """The steps, over the three services."""

    def __init__(self, identity: Peer, registration: Peer, mailing: Mailing) -> None:
        self._identity = identity
        self._registration = registration
        self._mailing = mailing
        self._accounts = AccountServiceStub(identity.channel)
        self._customers = CustomerServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)

    @activity.defn
    async def transfer_customer(self, request: TransferCustomerRequest) -> TransferResponse:
        """Moves the person; or says why not, which is an answer."""
        try:
            moved = await self._registration.call(self._customers.TransferCustomer, request)
        except Refusal as refusal:
            if is_permanent(refusal.code):
                return TransferResponse(refused=to_refused(refusal))
            raise
        return TransferResponse(moved=moved)

    @activity.defn
    async def tell_previous_unit(self, transfer: TransferStep) -> MailStepResult:
        """Tells the unit that has lost sight of the person, without naming them."""
        moved = transfer.moved
        units = BatchGetUnitsRequest(unit_ids=[moved.previous_unit_id])
        unit = (await self._registration.call(self._units.BatchGetUnits, units)).units[0]
        content = MovedToAnotherUnit(
            unit_display_name=unit.display_name,
            registration_id=moved.registration_id,
            registration_create_time=moved.registration_create_time,
        )
        step = RegistrationStep(registration_id=moved.registration_id, event_id=transfer.event_id)
        told = MailStepResult()
        for account in await self._whom_to_tell(moved):
            name = f"moved to another unit {account.account_id}"
            sent = await self._mailing.tell(step, account, name, moved_to_another_unit=content)
            told.delivered |= sent.delivered
        if not told.delivered:
            activity.logger.warning("nobody of unit %s could be told of a transfer", moved.previous_unit_id)
        return told

    async def _whom_to_tell(self, moved: TransferCustomerResponse) -> list[Account]:
        """The registrar, if still of the unit; else its main users; else all its registrars."""
        request = ListAccountsRequest(unit_id=moved.previous_unit_id)
        accounts = list((await self._identity.call(self._accounts.ListAccounts, request)).accounts)
        registrar = [
            account for account in accounts if account.account_id == moved.previous_registrar_account_id
        ]
        return registrar or main_users(accounts, moved.previous_unit_id) or accounts
