"""`liity.v1.CredentialService`: a customer orders a link and chooses a password."""

import contextlib

import grpc
from typing_extensions import override

from liity.identity.v1 import credential_service_pb2 as identity_pb2
from liity.identity.v1.account_service_pb2 import AdmitPasswordOrderRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_PASSWORD, CheckLinkRequest
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.registration.v1.customer_service_pb2 import FindOnlineCustomersRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.v1.credential_service_pb2 import (
    ChoosePasswordRequest,
    ChoosePasswordResponse,
    OrderCustomerPasswordRequest,
    OrderCustomerPasswordResponse,
)
from liity.v1.credential_service_pb2_grpc import CredentialServiceServicer
from liity.workflows.v1.password_order_workflow_pb2 import PasswordOrderWorkflowInput
from services.gateway.temporal.password_resets import PasswordOrderWorkflows
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer


class CredentialService(CredentialServiceServicer):
    """Starts orders, and passes the link's token and the password on to identity."""

    def __init__(self, identity: Peer, registration: Peer, orders: PasswordOrderWorkflows) -> None:
        self._identity = identity
        self._registration = registration
        self._orders = orders
        self._accounts = AccountServiceStub(identity.channel)
        self._links = LinkServiceStub(identity.channel)
        self._credentials = CredentialServiceStub(identity.channel)
        self._customers = CustomerServiceStub(registration.channel)

    @override
    async def OrderCustomerPassword(
        self,
        request: OrderCustomerPasswordRequest,
        context: grpc.ServicerContext,
    ) -> OrderCustomerPasswordResponse:
        """Orders a new link (R42); the result is sent by e-mail only, and nobody is looked up before."""
        typed = request.user_name_or_email
        admit = AdmitPasswordOrderRequest(email=typed)
        admitted = await self._identity.call(self._accounts.AdmitPasswordOrder, admit)
        order = PasswordOrderWorkflowInput(
            request_id=request.request_id,
            email=typed,
            only_without_link=admitted.only_without_link,
            for_customer=True,
        )
        await self._orders.start(order)
        return OrderCustomerPasswordResponse()

    @override
    async def ChoosePassword(
        self,
        request: ChoosePasswordRequest,
        context: grpc.ServicerContext,
    ) -> ChoosePasswordResponse:
        """Sets the password; the link works once."""
        check = CheckLinkRequest(
            token=request.token, purpose=LINK_PURPOSE_PASSWORD, request_id=request.request_id
        )
        link = await self._identity.call(self._links.CheckLink, check)
        choose = identity_pb2.ChoosePasswordRequest(
            request_id=request.request_id,
            link_token=request.token,
            password=request.password,
            own_words=await self._own_words(link.subject),
        )
        response = await self._identity.call(self._credentials.ChoosePassword, choose)
        return ChoosePasswordResponse(user_name=response.user_name)

    async def _own_words(self, person_id: str) -> list[str]:
        """The customer's own words; none while registration is away, as a password can be chosen then too."""
        find = FindOnlineCustomersRequest(person_id=person_id)
        with contextlib.suppress(Refusal):
            found = await self._registration.call(self._customers.FindOnlineCustomers, find)
            return [word for customer in found.customers for word in customer.own_words if word]
        return []
