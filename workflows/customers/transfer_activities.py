"""Activities of a transfer to another unit (R16)."""

from temporalio import activity

from liity.identity.v1.account_service_pb2 import Account
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_PASSWORD, VoidLinksRequest
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.notification.v1.notification_service_pb2 import RegistrationNotice
from liity.registration.v1.customer_service_pb2 import TransferCustomerRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.unit_service_pb2 import BatchGetUnitsRequest, Unit
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult, RegistrationStep
from liity.workflows.v1.transfer_workflow_pb2 import TransferResponse, TransferStep
from services.runtime.rpc.peer import Peer
from workflows.mail.notifier import Mailing
from workflows.support.refusals import answers_refusals


class TransferActivities:
    """Activities that call the three services."""

    def __init__(self, identity: Peer, registration: Peer, mailing: Mailing) -> None:
        self._identity = identity
        self._links = LinkServiceStub(identity.channel)
        self._registration = registration
        self._mailing = mailing
        self._customers = CustomerServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)

    @activity.defn
    @answers_refusals(TransferResponse)
    async def transfer_customer(self, request: TransferCustomerRequest) -> TransferResponse:
        """Moves the person. A permanent refusal is returned, not raised.

        A password link that was mailed to a registrar of the previous unit is void from then on.
        """
        moved = await self._registration.call(self._customers.TransferCustomer, request)
        void = VoidLinksRequest(
            purpose=LINK_PURPOSE_PASSWORD, subject=request.person_id, only_to_registrar=True
        )
        await self._identity.call(self._links.VoidLinks, void)
        return TransferResponse(moved=moved)

    @activity.defn
    async def tell_previous_unit(self, transfer: TransferStep) -> MailStepResult:
        """Notifies the previous unit, without naming the person."""
        moved = transfer.moved
        unit, content, responsible = await self._previous(transfer)
        step = RegistrationStep(registration_id=moved.registration_id, event_id=transfer.event_id)
        if not responsible and unit.HasField("close_time"):
            # A closed unit has nobody to notify. For an open unit without people, customer service is
            # notified.
            return MailStepResult()
        return await self._mailing.tell_all(
            step, responsible, "moved to another unit", moved_to_another_unit=content
        )

    @activity.defn
    async def tell_unit_of_merge(self, transfer: TransferStep) -> MailStepResult:
        """Notifies the merged customer's registrar of a merge within the unit, without naming the person."""
        _, content, responsible = await self._previous(transfer)
        step = RegistrationStep(registration_id=transfer.moved.registration_id, event_id=transfer.event_id)
        return await self._mailing.tell_each(step, responsible, "customers merged", customers_merged=content)

    async def _previous(self, transfer: TransferStep) -> tuple[Unit, RegistrationNotice, list[Account]]:
        """The unit before, what it is told, and who."""
        moved = transfer.moved
        units = BatchGetUnitsRequest(unit_ids=[moved.previous_unit_id])
        unit = (await self._registration.call(self._units.BatchGetUnits, units)).units[0]
        content = RegistrationNotice(
            unit_display_name=unit.display_name,
            registration_id=moved.registration_id,
            registration_create_time=moved.registration_create_time,
        )
        responsible = await self._mailing.responsible(
            moved.previous_unit_id, moved.previous_registrar_account_id
        )
        return unit, content, responsible
