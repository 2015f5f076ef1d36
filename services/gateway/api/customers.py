"""`liity.v1.CustomerService`: operations on customers by registrars and customer service."""

import uuid

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from typing_extensions import override

from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_EMAIL, CheckLinkRequest, RedeemLinkRequest
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.identity.v1.person_service_pb2 import FindPersonRequest, HasCodeRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1 import customer_service_pb2 as registration_pb2
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.message_service_pb2 import CreateMessageRequest, GetMessageRequest
from liity.registration.v1.message_service_pb2_grpc import MessageServiceStub
from liity.registration.v1.registration_service_pb2 import (
    GetRegistrationRequest,
    LookUpPersonRequest,
    Registrar,
)
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_form_pb2 import CREDENTIALS_RECIPIENT_CUSTOMER, CustomerForm
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    ChangedMeanwhile,
    ConfirmEmailRequest,
    ConfirmEmailResponse,
    ConvertToOnlineRequest,
    ConvertToOnlineResponse,
    CorrectBirthDateRequest,
    CorrectBirthDateResponse,
    Customer,
    EndCustomershipRequest,
    EndCustomershipResponse,
    GetCustomerRequest,
    GetCustomerResponse,
    GetProtectedDetailsRequest,
    GetProtectedDetailsResponse,
    MarkProtectedRequest,
    MarkProtectedResponse,
    MergeCustomersRequest,
    MergeCustomersResponse,
    RemoveProtectionRequest,
    RemoveProtectionResponse,
    SearchCustomersRequest,
    SearchCustomersResponse,
    SendCredentialsRequest,
    SendCredentialsResponse,
    SetPersonalIdentityCodeRequest,
    SetPersonalIdentityCodeResponse,
    TransferCustomerRequest,
    TransferCustomerResponse,
    UndoMergeRequest,
    UndoMergeResponse,
    UndoRemovalRequest,
    UndoRemovalResponse,
    UpdateCustomerRequest,
    UpdateCustomerResponse,
)
from liity.v1.customer_service_pb2_grpc import CustomerServiceServicer
from liity.v1.message_service_pb2 import MESSAGE_CONTEXT_TRANSFER
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_BIRTH_DATE_OF_CODE,
    REASON_CUSTOMER_HAS_ENDED,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_MESSAGE_NOT_FOUND,
    REASON_NOT_REGISTERED,
    REASON_TRANSFER_BY_CUSTOMER_SERVICE,
)
from liity.v1.work_service_pb2 import WORK_ITEM_KIND_POSSIBLE_DUPLICATE
from liity.workflows.v1.address_workflow_pb2 import ChangeAddressResponse
from services.gateway.api.worklist import Claims
from services.gateway.presentation.address_suggestions import address_suggestions
from services.gateway.presentation.available_actions import customer_actions
from services.gateway.presentation.form_notices import form_notices
from services.gateway.presentation.transfer_wish import wish_for_transfer
from services.gateway.resource_names import ALL_UNITS, CUSTOMER, MESSAGE, REGISTRATION, UNIT
from services.gateway.temporal.customers import CustomerWorkflows
from services.gateway.temporal.messages import MessageWorkflows
from services.gateway.temporal.removals import RemovalWorkflows
from services.gateway.use_cases.callers_address import CallersAddress
from services.gateway.use_cases.set_identity_code import CodeChanges
from services.gateway.use_cases.siblings import Siblings, corrects_guardian
from services.gateway.use_recording import UseRecorder
from services.gateway.views import DEFAULT_PAGE, LARGEST_PAGE
from services.runtime.rpc.context import current_request
from services.runtime.rpc.errors import (
    Refusal,
    changed_meanwhile,
    failed_precondition,
    not_found,
    reason_name,
)
from services.runtime.rpc.peer import Peer

_TELLS_OF_A_PERSON = frozenset(
    {
        REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
        REASON_BEING_REGISTERED,
        REASON_CUSTOMER_HAS_ENDED,
        REASON_NOT_REGISTERED,
        REASON_TRANSFER_BY_CUSTOMER_SERVICE,
    }
)
"""Refusals of a transfer that reveal something about the person."""


class CustomerService(CustomerServiceServicer):
    """Reads, edits, searches, transfers, merges and removes customers, and sends their credentials."""

    def __init__(
        self,
        identity: Peer,
        registration: Peer,
        workflows: CustomerWorkflows,
        removals: RemovalWorkflows,
        message_workflows: MessageWorkflows,
        uses: UseRecorder,
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._workflows = workflows
        self._claims = Claims(registration)
        self._codes = CodeChanges(identity, registration, workflows, uses)
        self._removals = removals
        self._message_workflows = message_workflows
        self._messages = MessageServiceStub(registration.channel)
        self._uses = uses
        self._own_address = CallersAddress(identity)
        self._siblings = Siblings(registration)
        self._persons = PersonServiceStub(identity.channel)
        self._links = LinkServiceStub(identity.channel)
        self._customers = CustomerServiceStub(registration.channel)
        self._registrations = RegistrationServiceStub(registration.channel)

    @override
    async def GetCustomer(
        self,
        request: GetCustomerRequest,
        context: grpc.ServicerContext,
    ) -> GetCustomerResponse:
        """Reads a customer."""
        return GetCustomerResponse(customer=_to_public(await self._get(request.name)))

    @override
    async def UpdateCustomer(
        self,
        request: UpdateCustomerRequest,
        context: grpc.ServicerContext,
    ) -> UpdateCustomerResponse:
        """Changes fields of a customer (R14)."""
        unit_id, customer_id = CUSTOMER.parse(request.name)
        update = registration_pb2.UpdateCustomerRequest(
            request_id=request.request_id,
            customer_id=customer_id,
            unit_id=unit_id,
            etag=request.etag,
            update_mask=request.update_mask,
            form=request.form,
            registrars_email=""
            if request.guardian_email_confirmed
            else await self._own_address.read_for(request.form),
            guardian_email_confirmed=request.guardian_email_confirmed,
        )
        await self._claims.require_customer_unclaimed_by_others(update.customer_id)
        before = await self._form_with_guardian(update)
        updated: registration_pb2.UpdateCustomerResponse | ChangeAddressResponse
        if _has_consequences(request.update_mask):
            # A workflow makes such an edit, so that its mails to both addresses and its timer are not lost.
            account_id = current_request().caller.account_id
            updated = await self._workflows.change_address(update, account_id)
            customer = await self._read(request.name)
        else:
            updated = await self._registration.call(self._customers.UpdateCustomer, update)
            customer = _to_public(updated.customer)
            if updated.repeated or updated.HasField("changed_meanwhile"):
                await self._record_read(customer)
        if updated.HasField("changed_meanwhile"):
            raise changed_meanwhile(ChangedMeanwhile(customer=customer, changed=updated.changed_meanwhile))
        same_address = await self._siblings.with_address_of(before, request.form, unit_id, customer_id)
        return UpdateCustomerResponse(
            customer=customer,
            same_address=same_address,
            notices=form_notices(request.form, current_request(), request.update_mask.paths),
        )

    async def _form_with_guardian(self, update: registration_pb2.UpdateCustomerRequest) -> CustomerForm:
        """The form before an edit that may change the guardian's address; empty for others."""
        if not corrects_guardian(update.update_mask):
            return CustomerForm()
        read = registration_pb2.GetCustomerRequest(customer_id=update.customer_id)
        try:
            customer = (await self._registration.call(self._customers.GetCustomer, read)).customer
        except Refusal as refusal:
            # The edit tells it better.
            if refusal.reason != REASON_CUSTOMER_NOT_FOUND:
                raise
            return CustomerForm()
        return customer.form if customer.unit_id == update.unit_id else CustomerForm()

    @override
    async def SearchCustomers(
        self,
        request: SearchCustomersRequest,
        context: grpc.ServicerContext,
    ) -> SearchCustomersResponse:
        """Lists customers of a unit, or of all for customer service, all or by name (R15)."""
        search = registration_pb2.SearchCustomersRequest(
            unit_id="" if request.parent == ALL_UNITS else UNIT.parse_id(request.parent, "parent"),
            query=request.query,
            need_ends_before_date=(
                request.need_ends_before_date if request.HasField("need_ends_before_date") else None
            ),
            undeliverable=request.undeliverable,
            not_welcomed=request.not_welcomed,
            page_size=min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE),
            page_token=request.page_token,
        )
        found = await self._registration.call(self._customers.SearchCustomers, search)
        return SearchCustomersResponse(customers=found.customers, next_page_token=found.next_page_token)

    @override
    async def TransferCustomer(
        self,
        request: TransferCustomerRequest,
        context: grpc.ServicerContext,
    ) -> TransferCustomerResponse:
        """Transfers a person to this unit (R16)."""
        unit_id = UNIT.parse_id(request.parent, "parent")
        caller = current_request().caller
        person_id = ""
        try:
            person_id = await self._to_transfer(request, unit_id)
            # Before a run is started that could only end with the refusal.
            check = registration_pb2.CheckTransferRequest(
                request_id=request.request_id, person_id=person_id, unit_id=unit_id
            )
            await self._registration.call(self._customers.CheckTransfer, check)
            moved = await self._workflows.transfer(
                registration_pb2.TransferCustomerRequest(
                    request_id=request.request_id,
                    person_id=person_id,
                    unit_id=unit_id,
                    registrar=Registrar(account_id=caller.account_id, display_name=caller.display_name),
                )
            )
        except Refusal as refusal:
            if refusal.reason == REASON_TRANSFER_BY_CUSTOMER_SERVICE:
                await self._ask_for_transfer(request.request_id, unit_id, person_id)
            if refusal.reason in _TELLS_OF_A_PERSON:
                # A transfer refused for one of these reasons is a look-up by personal identity code (R36).
                await self._uses.record(
                    "customer:look-up", current_request(), None, reason_name(refusal.reason)
                )
            raise
        response = TransferCustomerResponse(registration=REGISTRATION.format(unit_id, moved.registration_id))
        if moved.customer_id:
            try:
                response.customer.CopyFrom(await self._read(CUSTOMER.format(unit_id, moved.customer_id)))
            except Refusal as refusal:
                # The transfer was made, but a later transfer or removal has hidden the customer since.
                if refusal.reason != REASON_CUSTOMER_NOT_FOUND:
                    raise
        return response

    @override
    async def SendCredentials(
        self,
        request: SendCredentialsRequest,
        context: grpc.ServicerContext,
    ) -> SendCredentialsResponse:
        """Sends credentials anew (R17)."""
        unit_id, customer_id = CUSTOMER.parse(request.name)
        order = registration_pb2.OrderCredentialsRequest(
            request_id=request.request_id,
            customer_id=customer_id,
            unit_id=unit_id,
            recipient=request.recipient or CREDENTIALS_RECIPIENT_CUSTOMER,
        )
        await self._claims.require_customer_unclaimed_by_others(customer_id)
        await self._workflows.send_credentials(order, current_request().caller.account_id)
        return SendCredentialsResponse()

    @override
    async def ConfirmEmail(
        self,
        request: ConfirmEmailRequest,
        context: grpc.ServicerContext,
    ) -> ConfirmEmailResponse:
        """Confirms a changed address by the link mailed to it (R14)."""
        check = CheckLinkRequest(
            token=request.token, purpose=LINK_PURPOSE_EMAIL, request_id=request.request_id
        )
        link = await self._identity.call(self._links.CheckLink, check)
        if not link.subject:
            # This request confirmed the address before, and the customer has been erased since.
            return ConfirmEmailResponse()
        confirm = registration_pb2.ConfirmEmailRequest(change_request_id=link.issue_request_id)
        await self._registration.call(self._customers.ConfirmEmail, confirm)
        # Redeemed last: a caller who is cut off before this can use the link again.
        redeem = RedeemLinkRequest(link_id=link.link_id, request_id=request.request_id)
        await self._identity.call(self._links.RedeemLink, redeem)
        return ConfirmEmailResponse()

    @override
    async def EndCustomership(
        self,
        request: EndCustomershipRequest,
        context: grpc.ServicerContext,
    ) -> EndCustomershipResponse:
        """Ends a customership (R19)."""
        unit_id, customer_id = CUSTOMER.parse(request.name)
        kept = await self._removals.end(
            registration_pb2.EndCustomershipRequest(
                request_id=request.request_id,
                customer_id=customer_id,
                unit_id=unit_id,
                reason=request.reason,
            )
        )
        return EndCustomershipResponse(end_time=kept.end_time, erase_time=kept.erase_time)

    @override
    async def UndoRemoval(
        self,
        request: UndoRemovalRequest,
        context: grpc.ServicerContext,
    ) -> UndoRemovalResponse:
        """Undoes a removal (R19)."""
        unit_id, customer_id = CUSTOMER.parse(request.name)
        # Checked before a run starts: the customer is of this unit.
        await self._get(request.name)
        await self._claims.require_customer_unclaimed_by_others(customer_id)
        await self._removals.undo(customer_id, unit_id, request.request_id)
        return UndoRemovalResponse(customer=await self._read(request.name))

    @override
    async def SetPersonalIdentityCode(
        self,
        request: SetPersonalIdentityCodeRequest,
        context: grpc.ServicerContext,
    ) -> SetPersonalIdentityCodeResponse:
        """Attaches or replaces a personal identity code (R24, R34)."""
        stored = await self._get(request.name)
        if stored.state != CUSTOMER_STATE_ACTIVE:
            raise failed_precondition(REASON_CUSTOMER_HAS_ENDED)
        await self._claims.require_customer_unclaimed_by_others(stored.customer_id)
        await self._codes.change(stored, request)
        return SetPersonalIdentityCodeResponse(customer=await self._read(request.name))

    @override
    async def CorrectBirthDate(
        self,
        request: CorrectBirthDateRequest,
        context: grpc.ServicerContext,
    ) -> CorrectBirthDateResponse:
        """Corrects the date of birth of a person without a personal identity code (R24)."""
        correct = registration_pb2.CorrectBirthDateRequest(
            request_id=request.request_id, birth_date=request.birth_date
        )
        if REGISTRATION.matches(request.name):
            correct.unit_id, correct.registration_id = REGISTRATION.parse(request.name)
        else:
            stored = await self._get(request.name)
            correct.unit_id, correct.customer_id = stored.unit_id, stored.customer_id
            await self._claims.require_customer_unclaimed_by_others(stored.customer_id)
            find = HasCodeRequest(person_id=stored.person_id)
            if (await self._identity.call(self._persons.HasCode, find)).has_code:
                raise failed_precondition(REASON_BIRTH_DATE_OF_CODE)
        await self._registration.call(self._customers.CorrectBirthDate, correct)
        return CorrectBirthDateResponse(birth_date=request.birth_date)

    @override
    async def MergeCustomers(
        self,
        request: MergeCustomersRequest,
        context: grpc.ServicerContext,
    ) -> MergeCustomersResponse:
        """Merges two customers into one (R24, R34)."""
        unit_id, customer_id = CUSTOMER.parse(request.name)
        merged_unit_id, merged_customer_id = CUSTOMER.parse(request.merged_customer, "merged_customer")
        caller = current_request().caller
        merge = registration_pb2.MergeCustomersRequest(
            request_id=request.request_id,
            customer_id=customer_id,
            unit_id=unit_id,
            merged_customer_id=merged_customer_id,
            merged_unit_id=merged_unit_id,
            merger=Registrar(account_id=caller.account_id, display_name=caller.display_name),
        )
        # Checked before a run starts: the customer exists.
        await self._get(request.name)
        pair = sorted((customer_id, merged_customer_id))
        await self._claims.require_unclaimed_by_others(WORK_ITEM_KIND_POSSIBLE_DUPLICATE, *pair)
        await self._workflows.merge(merge, request.personal_identity_code_of)
        return MergeCustomersResponse(customer=await self._read(request.name))

    @override
    async def UndoMerge(self, request: UndoMergeRequest, context: grpc.ServicerContext) -> UndoMergeResponse:
        """Takes a merge back (R43)."""
        unit_id, customer_id = CUSTOMER.parse(request.name)
        _, merged_customer_id = CUSTOMER.parse(request.merged_customer, "merged_customer")
        # Checked before a run starts: the customer exists.
        await self._get(request.name)
        undone = await self._workflows.undo_merge(
            registration_pb2.UndoMergeRequest(
                request_id=request.request_id,
                customer_id=customer_id,
                unit_id=unit_id,
                merged_customer_id=merged_customer_id,
            )
        )
        restored = CUSTOMER.format(undone.merged_unit_id, merged_customer_id)
        return UndoMergeResponse(customer=await self._read(request.name), restored=await self._read(restored))

    @override
    async def ConvertToOnline(
        self,
        request: ConvertToOnlineRequest,
        context: grpc.ServicerContext,
    ) -> ConvertToOnlineResponse:
        """Converts a CD borrower to an online customer (R23)."""
        stored = await self._get(request.name)
        conversion = registration_pb2.ConvertToOnlineRequest(
            request_id=request.request_id,
            customer_id=stored.customer_id,
            unit_id=stored.unit_id,
            email=request.email,
            credentials_recipient=request.credentials_recipient or CREDENTIALS_RECIPIENT_CUSTOMER,
        )
        await self._workflows.convert_to_online(stored.person_id, conversion)
        return ConvertToOnlineResponse(customer=await self._read(request.name))

    @override
    async def MarkProtected(
        self,
        request: MarkProtectedRequest,
        context: grpc.ServicerContext,
    ) -> MarkProtectedResponse:
        """Marks a person as protected (R37)."""
        mark = registration_pb2.MarkProtectedRequest(person=_person_of_unit(request.name))
        await self._registration.call(self._customers.MarkProtected, mark)
        return MarkProtectedResponse()

    @override
    async def RemoveProtection(
        self,
        request: RemoveProtectionRequest,
        context: grpc.ServicerContext,
    ) -> RemoveProtectionResponse:
        """Takes the mark of a protected person back (R37)."""
        remove = registration_pb2.RemoveProtectionRequest(person=_person_of_unit(request.name))
        await self._registration.call(self._customers.RemoveProtection, remove)
        return RemoveProtectionResponse()

    @override
    async def GetProtectedDetails(
        self,
        request: GetProtectedDetailsRequest,
        context: grpc.ServicerContext,
    ) -> GetProtectedDetailsResponse:
        """Reads what is withheld of a protected person, for a reason (R37)."""
        asked = registration_pb2.GetProtectedDetailsRequest(reason=request.reason)
        if request.HasField("name"):
            asked.person.CopyFrom(_person_of_unit(request.name))
        else:
            find = FindPersonRequest(personal_identity_code=request.personal_identity_code)
            asked.person_id = (await self._identity.call(self._persons.FindPerson, find)).person_id
            if not asked.person_id:
                raise not_found(REASON_NOT_REGISTERED)
        found = await self._registration.call(self._customers.GetProtectedDetails, asked)
        return GetProtectedDetailsResponse(details=found.details)

    async def _to_transfer(self, request: TransferCustomerRequest, unit_id: str) -> str:
        """The person to move: by their code or, for customer service, by the unit's wish (R37)."""
        if not request.message:
            return await self._look_up(request.personal_identity_code, unit_id)
        of_unit, message_id = MESSAGE.parse(request.message, "message")
        if of_unit != unit_id or ROLE_CUSTOMER_SERVICE not in current_request().caller.roles:
            raise not_found(REASON_MESSAGE_NOT_FOUND)
        asked = GetMessageRequest(message_id=message_id)
        message = (await self._registration.call(self._messages.GetMessage, asked)).message
        if message.unit_id != unit_id or message.context != MESSAGE_CONTEXT_TRANSFER:
            raise not_found(REASON_MESSAGE_NOT_FOUND)
        of_person = GetRegistrationRequest(registration_id=message.registration_id)
        found = await self._registration.call(self._registrations.GetRegistration, of_person)
        person_id = found.registration.person_id
        if not person_id:
            raise not_found(REASON_MESSAGE_NOT_FOUND)
        current_request().subjects.add(person_id)
        return person_id

    async def _ask_for_transfer(self, request_id: str, unit_id: str, person_id: str) -> None:
        """Puts the unit's wish into the work list of customer service, as a message (R37)."""
        create = CreateMessageRequest(
            message_id=uuid.uuid5(uuid.UUID(request_id), f"transfer {unit_id}").hex,
            request_id=str(uuid.uuid5(uuid.UUID(request_id), f"transfer {unit_id}")),
            unit_id=unit_id,
            sender_display_name=current_request().caller.display_name,
            transferred_person_id=person_id,
            text=wish_for_transfer(current_request().language),
        )
        # As of every message: the run starts first, so that no message is stored without a run.
        await self._message_workflows.look(create.message_id, unit_id)
        stored = (await self._registration.call(self._messages.CreateMessage, create)).message
        await self._message_workflows.look(stored.message_id, unit_id)

    async def _look_up(self, code: str, unit_id: str) -> str:
        """The person with a code. NOT_FOUND (NOT_REGISTERED) if nobody has it, INVALID_ARGUMENT if invalid.

        Known or unknown, it counts as a look-up: RESOURCE_EXHAUSTED (TOO_MANY_LOOK_UPS) after too many.
        """
        find = FindPersonRequest(personal_identity_code=code)
        person_id = (await self._identity.call(self._persons.FindPerson, find)).person_id
        if person_id:
            current_request().subjects.add(person_id)
        look_up = LookUpPersonRequest(person_id=person_id, unit_id=unit_id)
        await self._registration.call(self._registrations.LookUpPerson, look_up)
        if not person_id:
            raise not_found(REASON_NOT_REGISTERED)
        return person_id

    async def _read(self, name: str) -> Customer:
        """Reads a customer after a workflow's change, and records the read (R36).

        The run may have made the change for an earlier call: then its log entry does not cover this answer.
        """
        customer = _to_public(await self._get(name))
        await self._record_read(customer)
        return customer

    async def _record_read(self, customer: Customer) -> None:
        """Records that a customer is shown without an entry of a change (R36)."""
        await self._uses.record("customer:read", current_request(), customer, "OK")

    async def _get(self, name: str) -> registration_pb2.Customer:
        unit_id, customer_id = CUSTOMER.parse(name)
        request = registration_pb2.GetCustomerRequest(customer_id=customer_id)
        customer = (await self._registration.call(self._customers.GetCustomer, request)).customer
        hidden = (
            customer.state != CUSTOMER_STATE_ACTIVE
            and ROLE_CUSTOMER_SERVICE not in current_request().caller.roles
        )
        if customer.unit_id != unit_id or hidden:
            raise not_found(REASON_CUSTOMER_NOT_FOUND)
        return customer


_WITH_CONSEQUENCES = frozenset({"email", "related_person", "temporary", "expected_end_date"})


def _has_consequences(mask: FieldMask) -> bool:
    """Whether an edit may change the address for mail, or the day of the mail about a temporary need."""
    return any(path.partition(".")[0] in _WITH_CONSEQUENCES for path in mask.paths)


def _person_of_unit(name: str) -> registration_pb2.PersonOfUnit:
    """Who a name of a customer, registration or message leads to."""
    if CUSTOMER.matches(name):
        unit_id, customer_id = CUSTOMER.parse(name)
        return registration_pb2.PersonOfUnit(unit_id=unit_id, customer_id=customer_id)
    if MESSAGE.matches(name):
        unit_id, message_id = MESSAGE.parse(name)
        return registration_pb2.PersonOfUnit(unit_id=unit_id, message_id=message_id)
    unit_id, registration_id = REGISTRATION.parse(name)
    return registration_pb2.PersonOfUnit(unit_id=unit_id, registration_id=registration_id)


def _to_public(stored: registration_pb2.Customer) -> Customer:
    """A customer in the public API's form."""
    customer = Customer(
        name=CUSTOMER.format(stored.unit_id, stored.customer_id),
        etag=stored.etag,
        state=stored.state,
        form=stored.form,
        email_state=stored.email_state,
        create_time=stored.create_time,
        update_time=stored.update_time,
        registration=REGISTRATION.format(stored.unit_id, stored.registration_id)
        if stored.registration_id
        else "",
        available_actions=customer_actions(
            stored.form.kind,
            active=stored.state == CUSTOMER_STATE_ACTIVE,
            protected=stored.form.protected_person,
        ),
        merged_customers=stored.merged_customers,
    )
    customer.address_suggestions.extend(address_suggestions(customer.form))
    for merged in customer.merged_customers:
        merged.name = CUSTOMER.format(*merged.name.split("/"))
    if stored.HasField("end_time"):
        customer.end_time.CopyFrom(stored.end_time)
    return customer
