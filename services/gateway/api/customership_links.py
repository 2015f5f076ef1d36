"""`liity.v1.CustomershipLinkService`: the customer's calls, authorised by their link's token alone (R21)."""

import grpc
from google.type.date_pb2 import Date
from typing_extensions import override

from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_CUSTOMERSHIP,
    CheckLinkRequest,
    CheckLinkResponse,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.registration.v1.customer_service_pb2 import (
    Customer,
    EndCustomershipRequest,
    GetCustomerRequest,
)
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import GetRegistrationRequest
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    END_REASON_NEED_ENDED,
    END_REASON_OWN_WISH,
)
from liity.v1.customership_link_service_pb2 import (
    EndOwnCustomershipRequest,
    EndOwnCustomershipResponse,
    ExtendNeedRequest,
    ExtendNeedResponse,
    GetCustomershipLinkRequest,
    GetCustomershipLinkResponse,
)
from liity.v1.customership_link_service_pb2_grpc import CustomershipLinkServiceServicer
from liity.v1.reason_pb2 import REASON_INVALID_DATE, REASON_LINK_VOID
from liity.workflows.v1.need_workflow_pb2 import ExtendRequest
from services.gateway.temporal.removals import RemovalWorkflows
from services.runtime.clock import from_proto_date
from services.runtime.rpc.errors import FieldViolation, failed_precondition, invalid
from services.runtime.rpc.peer import Peer


class CustomershipLinkService(CustomershipLinkServiceServicer):
    """Reads, extends and ends a customership by such a link."""

    def __init__(self, identity: Peer, registration: Peer, workflows: RemovalWorkflows) -> None:
        self._identity = identity
        self._registration = registration
        self._workflows = workflows
        self._links = LinkServiceStub(identity.channel)
        self._customers = CustomerServiceStub(registration.channel)
        self._registrations = RegistrationServiceStub(registration.channel)

    @override
    async def GetCustomershipLink(
        self,
        request: GetCustomershipLinkRequest,
        context: grpc.ServicerContext,
    ) -> GetCustomershipLinkResponse:
        """Reads the customer's name and temporary need."""
        link = await self._check(request.token, "")
        customer = await self._customer(link)
        if customer.state != CUSTOMER_STATE_ACTIVE:
            raise failed_precondition(REASON_LINK_VOID)
        form = customer.form
        return GetCustomershipLinkResponse(
            first_names=form.first_names,
            temporary=form.temporary,
            expected_end_date=form.expected_end_date if form.HasField("expected_end_date") else None,
        )

    @override
    async def ExtendNeed(
        self,
        request: ExtendNeedRequest,
        context: grpc.ServicerContext,
    ) -> ExtendNeedResponse:
        """Extends a temporary customership (R21). Repeating the call is safe."""
        if request.HasField("expected_end_date"):
            _require_day(request.expected_end_date)
        link = await self._check(request.token, request.request_id)
        if not link.subject:
            # This request was carried out before, and the customer has been erased since.
            return ExtendNeedResponse()
        customer = await self._customer(link)
        extend = ExtendRequest(
            request_id=request.request_id,
            customer_id=customer.customer_id,
            expected_end_date=request.expected_end_date if request.HasField("expected_end_date") else None,
            link_id=link.link_id,
        )
        day = await self._workflows.extend_need(extend, customer.unit_id)
        return ExtendNeedResponse(expected_end_date=day)

    @override
    async def EndOwnCustomership(
        self,
        request: EndOwnCustomershipRequest,
        context: grpc.ServicerContext,
    ) -> EndOwnCustomershipResponse:
        """Ends the customership. Repeating the call is safe."""
        link = await self._check(request.token, request.request_id)
        if not link.subject:
            return EndOwnCustomershipResponse()
        customer = await self._customer(link)
        end = EndCustomershipRequest(
            request_id=request.request_id,
            customer_id=customer.customer_id,
            unit_id=customer.unit_id,
            reason=END_REASON_NEED_ENDED if customer.form.temporary else END_REASON_OWN_WISH,
        )
        kept = await self._workflows.end(end, link.link_id)
        return EndOwnCustomershipResponse(erase_time=kept.erase_time)

    async def _check(self, token: str, request_id: str) -> CheckLinkResponse:
        check = CheckLinkRequest(token=token, purpose=LINK_PURPOSE_CUSTOMERSHIP, request_id=request_id)
        return await self._identity.call(self._links.CheckLink, check)

    async def _customer(self, link: CheckLinkResponse) -> Customer:
        """The link's customer as now stored. FAILED_PRECONDITION (LINK_VOID) if the person is no customer."""
        registration = GetRegistrationRequest(registration_id=link.subject)
        found = await self._registration.call(self._registrations.GetRegistration, registration)
        if not found.registration.customer_id:
            raise failed_precondition(REASON_LINK_VOID)
        customer = GetCustomerRequest(customer_id=found.registration.customer_id)
        return (await self._registration.call(self._customers.GetCustomer, customer)).customer


def _require_day(day: Date) -> None:
    """INVALID_ARGUMENT if there is no such day."""
    try:
        from_proto_date(day)
    except ValueError:
        raise invalid([FieldViolation("expected_end_date", REASON_INVALID_DATE)]) from None
