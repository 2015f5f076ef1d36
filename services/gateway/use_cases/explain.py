"""Gathers the data of an explanation from three services and Temporal."""

from datetime import datetime

from liity.identity.v1.account_service_pb2 import BatchGetAccountsRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.credential_service_pb2 import GetCredentialStateRequest, GetCredentialStateResponse
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.notification.v1.notification_service_pb2 import Delivery, ListDeliveriesRequest
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.registration.v1.history_service_pb2 import GetHistoryRequest, GetHistoryResponse
from liity.registration.v1.history_service_pb2_grpc import HistoryServiceStub
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.registration_service_pb2 import ExplainRegistrationResponse
from services.gateway.presentation.explanation import Explanation
from services.gateway.presentation.explanation_texts import Words
from services.gateway.resource_names import CUSTOMER, REGISTRATION
from services.gateway.temporal.removals import RemovalWorkflows
from services.runtime.clock import now
from services.runtime.rpc.context import current_request
from services.runtime.rpc.peer import Peer
from services.runtime.stages import JOINED

_MOST_ACCOUNTS = 200
"""The most accounts that identity returns at once."""


class Explaining:
    """Explains registrations and customers."""

    def __init__(
        self, identity: Peer, registration: Peer, notification: Peer, removals: RemovalWorkflows
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._notification = notification
        self._removals = removals
        self._accounts = AccountServiceStub(identity.channel)
        self._credentials = CredentialServiceStub(identity.channel)
        self._histories = HistoryServiceStub(registration.channel)
        self._notifications = NotificationServiceStub(notification.channel)

    async def explain(self, name: str) -> ExplainRegistrationResponse:
        """The explanation, in the language of the call."""
        history = await self._registration.call(self._histories.GetHistory, _asked(name))
        return Explanation(
            history=history,
            deliveries=await self._deliveries(history),
            credentials=await self._credential_state(history.registration.person_id),
            names=await self._names(history),
            words=Words(current_request().language),
            now=now(),
            erase_time=await self._erase_time(history),
        ).tell()

    async def _deliveries(self, history: GetHistoryResponse) -> list[Delivery]:
        """The registration's mail; of a linked registration also its customer's."""
        registration = history.registration
        subjects = [registration.registration_id]
        if registration.stage in JOINED and registration.customer_id:
            of_customer = GetHistoryRequest(
                unit_id=registration.unit_id, customer_id=registration.customer_id
            )
            own = await self._registration.call(self._histories.GetHistory, of_customer)
            subjects.append(own.registration.registration_id)
        found: list[Delivery] = []
        for subject_id in dict.fromkeys(subjects):
            request = ListDeliveriesRequest(subject_id=subject_id)
            found += (await self._notification.call(self._notifications.ListDeliveries, request)).deliveries
        return found

    async def _credential_state(self, person_id: str) -> GetCredentialStateResponse:
        if not person_id:
            # Erased: there are no credentials any more.
            return GetCredentialStateResponse()
        request = GetCredentialStateRequest(person_id=person_id)
        return await self._identity.call(self._credentials.GetCredentialState, request)

    async def _erase_time(self, history: GetHistoryResponse) -> datetime | None:
        if history.customership.state != CUSTOMER_STATE_MARKED_FOR_DELETION:
            return None
        return await self._removals.erase_time(history.registration.customer_id)

    async def _names(self, history: GetHistoryResponse) -> dict[str, str]:
        wanted = sorted({change.account_id for change in history.changes} - {""})
        if not wanted:
            return {}
        request = BatchGetAccountsRequest(account_ids=wanted[:_MOST_ACCOUNTS])
        found = await self._identity.call(self._accounts.BatchGetAccounts, request)
        return {account.account_id: account.display_name for account in found.accounts}


def _asked(name: str) -> GetHistoryRequest:
    if CUSTOMER.matches(name):
        unit_id, customer_id = CUSTOMER.parse(name)
        return GetHistoryRequest(unit_id=unit_id, customer_id=customer_id)
    unit_id, registration_id = REGISTRATION.parse(name)
    return GetHistoryRequest(unit_id=unit_id, registration_id=registration_id)
