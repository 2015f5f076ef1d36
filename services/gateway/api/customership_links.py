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
from liity.registration.v1 import use_log_service_pb2 as use_log_pb2
from liity.registration.v1.customer_service_pb2 import (
    CheckBirthDateRequest,
    Customer,
    EndCustomershipRequest,
    GetCustomerRequest,
    UpdateCustomerRequest,
    UpdateCustomerResponse,
)
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import GetRegistrationRequest
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.registration.v1.unit_service_pb2 import BatchGetUnitsRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceStub
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    END_REASON_NEED_ENDED,
    END_REASON_OWN_WISH,
    ChangedMeanwhile,
)
from liity.v1.customership_link_service_pb2 import (
    EndOwnCustomershipRequest,
    EndOwnCustomershipResponse,
    ExtendNeedRequest,
    ExtendNeedResponse,
    GetCustomershipLinkRequest,
    GetCustomershipLinkResponse,
    GetOwnContactDataRequest,
    GetOwnContactDataResponse,
    ListOwnUsesRequest,
    ListOwnUsesResponse,
    OwnUse,
    UpdateOwnContactDataRequest,
    UpdateOwnContactDataResponse,
)
from liity.v1.customership_link_service_pb2_grpc import CustomershipLinkServiceServicer
from liity.v1.reason_pb2 import REASON_INVALID_DATE, REASON_LINK_VOID, REASON_UNKNOWN_VALUE
from liity.workflows.v1.address_workflow_pb2 import ChangeAddressResponse
from liity.workflows.v1.need_workflow_pb2 import ExtendRequest
from services.gateway.presentation.address_suggestions import address_suggestions
from services.gateway.temporal.customers import CustomerWorkflows
from services.gateway.temporal.removals import RemovalWorkflows
from services.gateway.views import DEFAULT_PAGE, LARGEST_PAGE
from services.runtime.clock import from_proto_date
from services.runtime.rpc.errors import FieldViolation, changed_meanwhile, failed_precondition, invalid
from services.runtime.rpc.peer import Peer

_OWN_FIELDS = frozenset({"address", "email", "phone", "language"})
"""What customers may correct themselves: who they are and what entitles them is the registrar's to change."""


class CustomershipLinkService(CustomershipLinkServiceServicer):
    """Reads, corrects, extends and ends a customership by such a link."""

    def __init__(
        self, identity: Peer, registration: Peer, workflows: RemovalWorkflows, customers: CustomerWorkflows
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._workflows = workflows
        self._customer_workflows = customers
        self._uses = UseLogServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)
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
            _require_day(request.expected_end_date, "expected_end_date")
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

    @override
    async def GetOwnContactData(
        self,
        request: GetOwnContactDataRequest,
        context: grpc.ServicerContext,
    ) -> GetOwnContactDataResponse:
        """Reads the customer's own contact data."""
        customer = await self._own(request.token, request.birth_date)
        form, own = customer.form, CustomerForm()
        for field in ("first_names", "last_name", "email", "phone", "language"):
            setattr(own, field, getattr(form, field))
        if form.HasField("address"):
            own.address.CopyFrom(form.address)
        own.protected_person = form.protected_person
        return GetOwnContactDataResponse(form=own, etag=customer.etag)

    @override
    async def UpdateOwnContactData(
        self,
        request: UpdateOwnContactDataRequest,
        context: grpc.ServicerContext,
    ) -> UpdateOwnContactDataResponse:
        """Corrects the customer's own contact data (R14). Repeating the call is safe."""
        fields = {path.partition(".")[0] for path in request.update_mask.paths}
        if not fields or not fields <= _OWN_FIELDS:
            raise invalid([FieldViolation("update_mask", REASON_UNKNOWN_VALUE)])
        customer = await self._own(request.token, request.birth_date)
        update = UpdateCustomerRequest(
            request_id=request.request_id,
            customer_id=customer.customer_id,
            unit_id=customer.unit_id,
            etag=request.etag,
            update_mask=request.update_mask,
            form=request.form,
        )
        updated: UpdateCustomerResponse | ChangeAddressResponse
        if "email" in fields:
            # A workflow makes such an edit, so that its mails to both addresses are not lost.
            updated = await self._customer_workflows.change_address(update, "")
        else:
            updated = await self._registration.call(self._customers.UpdateCustomer, update)
        if updated.HasField("changed_meanwhile"):
            raise changed_meanwhile(ChangedMeanwhile(changed=updated.changed_meanwhile))
        return UpdateOwnContactDataResponse(
            address_suggestions=address_suggestions(request.form) if "email" in fields else ()
        )

    @override
    async def ListOwnUses(
        self,
        request: ListOwnUsesRequest,
        context: grpc.ServicerContext,
    ) -> ListOwnUsesResponse:
        """Lists who has looked at or changed the customer's data, by role and unit: never by name."""
        customer = await self._own(request.token, request.birth_date)
        search = use_log_pb2.ListUsesRequest(
            subject_id=customer.person_id,
            page_size=min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE),
            page_token=request.page_token,
        )
        found = await self._registration.call(self._uses.ListUses, search)
        unit_ids = sorted({use.unit.removeprefix("units/") for use in found.uses} - {""})
        names: dict[str, str] = {}
        # The mail with the link may have gone to the very person from whom a unit must be kept (R37).
        if unit_ids and not customer.form.protected_person:
            units = await self._registration.call(
                self._units.BatchGetUnits, BatchGetUnitsRequest(unit_ids=unit_ids)
            )
            names = {unit.unit_id: unit.display_name for unit in units.units}
        uses = [
            OwnUse(
                time=use.time,
                role=use.role,
                unit_display_name=names.get(use.unit.removeprefix("units/"), ""),
                action=use.action,
            )
            for use in found.uses
        ]
        return ListOwnUsesResponse(uses=uses, next_page_token=found.next_page_token)

    async def _own(self, token: str, birth_date: Date) -> Customer:
        """The link's customer, for who knows their date of birth."""
        _require_day(birth_date, "birth_date")
        customer = await self._customer(await self._check(token, ""))
        if customer.state != CUSTOMER_STATE_ACTIVE:
            raise failed_precondition(REASON_LINK_VOID)
        check = CheckBirthDateRequest(customer_id=customer.customer_id, birth_date=birth_date)
        await self._registration.call(self._customers.CheckBirthDate, check)
        return customer

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


def _require_day(day: Date, field: str) -> None:
    """INVALID_ARGUMENT if there is no such day."""
    try:
        from_proto_date(day)
    except ValueError:
        raise invalid([FieldViolation(field, REASON_INVALID_DATE)]) from None
