"""`liity.v1.ConsentService`: the guardian's calls, authorised by the token of their link alone."""

import grpc
from typing_extensions import override

from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_CONSENT,
    AdmitConsentLinkOrderRequest,
    CheckLinkRequest,
    CheckLinkResponse,
    GetConsentLinkRequest,
    GetConsentLinkResponse,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.registration.v1 import registration_service_pb2 as registration_pb2
from liity.registration.v1.customer_service_pb2 import (
    CheckConsentWithdrawalRequest,
    EndCustomershipRequest,
    GetCustomerRequest,
)
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.consent_service_pb2 import (
    CONSENT_REQUEST_STATE_ACCEPTED,
    CONSENT_REQUEST_STATE_ASKED,
    CONSENT_REQUEST_STATE_CONSENT_WITHDRAWN,
    CONSENT_REQUEST_STATE_DECLINED,
    CONSENT_REQUEST_STATE_DISSENTED,
    CONSENT_REQUEST_STATE_EXPIRED,
    CONSENT_REQUEST_STATE_REPLACED,
    AcceptConsentRequest,
    AcceptConsentResponse,
    DeclineConsentRequest,
    DeclineConsentResponse,
    GetConsentRequestRequest,
    GetConsentRequestResponse,
    GetConsentStatusRequest,
    GetConsentStatusResponse,
    ReportWrongRecipientRequest,
    ReportWrongRecipientResponse,
    RequestNewConsentLinkRequest,
    RequestNewConsentLinkResponse,
    TakeBackDeclineRequest,
    TakeBackDeclineResponse,
    WithdrawConsentRequest,
    WithdrawConsentResponse,
)
from liity.v1.consent_service_pb2_grpc import ConsentServiceServicer
from liity.v1.customer_form_pb2 import Language
from liity.v1.customer_service_pb2 import END_REASON_CONSENT_WITHDRAWN
from liity.v1.reason_pb2 import (
    REASON_LINK_EXPIRED,
    REASON_LINK_USED,
    REASON_LINK_VOID,
    REASON_NO_CONSENT_TO_WITHDRAW,
    REASON_NOT_WAITING_FOR_CONSENT,
    REASON_REQUIRED,
    REASON_UNKNOWN_VALUE,
)
from liity.v1.registration_pb2 import (
    CONSENT_STATE_GIVEN,
    GUARDIAN_ANSWER_CONSENTS,
    GUARDIAN_ANSWER_DECLINES,
    GUARDIAN_ANSWER_UNSPECIFIED,
    STAGE_DECLINED,
    STAGE_WAITING_FOR_CONSENT,
    GuardianAnswer,
)
from liity.workflows.v1 import registration_workflow_pb2 as workflow_pb2
from services.gateway.presentation.consent_outcomes import outcome_of
from services.gateway.temporal.registrations import RegistrationWorkflows
from services.gateway.temporal.removals import RemovalWorkflows
from services.runtime.guardians import FIRST_GUARDIAN, OTHER_GUARDIAN
from services.runtime.rpc.context import current_request
from services.runtime.rpc.errors import FieldViolation, Refusal, failed_precondition, invalid
from services.runtime.rpc.peer import Peer

_ENDED = frozenset({REASON_LINK_USED, REASON_LINK_VOID, REASON_LINK_EXPIRED})


class ConsentService(ConsentServiceServicer):
    """Reads and answers consent requests."""

    def __init__(
        self,
        identity: Peer,
        registration: Peer,
        workflows: RegistrationWorkflows,
        removals: RemovalWorkflows,
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._links = LinkServiceStub(identity.channel)
        self._registrations = RegistrationServiceStub(registration.channel)
        self._customers = CustomerServiceStub(registration.channel)
        self._workflows = workflows
        self._removals = removals

    @override
    async def GetConsentStatus(
        self,
        request: GetConsentStatusRequest,
        context: grpc.ServicerContext,
    ) -> GetConsentStatusResponse:
        """Tells what became of the request."""
        return await self._status(request.token)

    async def _status(self, token: str) -> GetConsentStatusResponse:
        check = GetConsentLinkRequest(token=token)
        link = await self._identity.call(self._links.GetConsentLink, check)
        status = GetConsentStatusResponse(state=link.state, state_time=link.state_time)
        if link.state == CONSENT_REQUEST_STATE_ACCEPTED and link.subject:
            _tell_of_two(status, await self._get_registration(link.subject), link.guardian)
            return status
        if link.state != CONSENT_REQUEST_STATE_ASKED:
            return status
        registration = await self._get_registration(link.subject)
        if registration.other_guardian_asked:
            _tell_one_of_two(status, registration, link)
        elif registration.HasField("decline_time"):
            status.state = CONSENT_REQUEST_STATE_DECLINED
            status.state_time.CopyFrom(registration.decline_time)
            status.take_back_deadline.CopyFrom(registration.decline_end_time)
        else:
            status.deadline.CopyFrom(link.expire_time)
        return status

    @override
    async def GetConsentRequest(
        self,
        request: GetConsentRequestRequest,
        context: grpc.ServicerContext,
    ) -> GetConsentRequestResponse:
        """Reads the consent request, in the language of the call."""
        link = await self._check_link(request.token, "")
        asked = await self._asked(link.subject, current_request().language)
        return GetConsentRequestResponse(
            child_first_names=asked.child_first_names,
            unit_display_name=asked.unit_display_name,
            deadline=asked.deadline,
            wording=asked.wording,
        )

    @override
    async def RequestNewConsentLink(
        self,
        request: RequestNewConsentLinkRequest,
        context: grpc.ServicerContext,
    ) -> RequestNewConsentLinkResponse:
        """Mails the valid link to the guardian's address on file, if consent is awaited still."""
        order = AdmitConsentLinkOrderRequest(token=request.token)
        link = (await self._identity.call(self._links.AdmitConsentLinkOrder, order)).link
        if link.subject and link.state in {CONSENT_REQUEST_STATE_EXPIRED, CONSENT_REQUEST_STATE_REPLACED}:
            registration = await self._get_registration(link.subject)
            # Who was taken off the form is asked no more (R39).
            is_asked = link.guardian == FIRST_GUARDIAN or registration.other_guardian_asked
            if registration.stage == STAGE_WAITING_FOR_CONSENT and is_asked:
                await self._send_link(registration.person_id, request.request_id, link.guardian)
        return RequestNewConsentLinkResponse()

    @override
    async def ReportWrongRecipient(
        self,
        request: ReportWrongRecipientRequest,
        context: grpc.ServicerContext,
    ) -> ReportWrongRecipientResponse:
        """Marks the guardian's address as wrong. Repeating the call is safe."""
        link = await self._check_link(request.token, request.request_id)
        if link.subject:
            registration = await self._get_registration(link.subject)
            _require_waiting(registration)
            report = workflow_pb2.ReportWrongRecipientRequest(
                request_id=request.request_id, link_id=link.link_id, guardian=link.guardian
            )
            await self._workflows.report_wrong_recipient(registration.person_id, report)
        return ReportWrongRecipientResponse()

    @override
    async def AcceptConsent(
        self,
        request: AcceptConsentRequest,
        context: grpc.ServicerContext,
    ) -> AcceptConsentResponse:
        """Gives the consent. Repeating the call is safe."""
        if not _shows_something(request.guardian_name):
            raise invalid([FieldViolation("guardian_name", REASON_REQUIRED)])
        link = await self._check_link(request.token, request.request_id)
        if not link.subject:
            # This answer was recorded before, and the registration has been erased since.
            return AcceptConsentResponse()
        registration = await self._acceptable(request, link.subject)
        given = registration.consent_state == CONSENT_STATE_GIVEN
        evidence = ConsentEvidence(
            method=ConsentEvidence.METHOD_LINK,
            guardian_name=request.guardian_name,
            wording_version=request.wording_version,
            wording_language=request.language,
        )
        consent = workflow_pb2.RecordConsentRequest(
            request_id=request.request_id,
            evidence=evidence,
            link_id=link.link_id,
            guardian=link.guardian,
        )
        try:
            # Also if it is stored: Temporal may have lost the update before the run knew of it.
            await self._workflows.record_consent(registration.person_id, consent)
        except Refusal as refusal:
            if not (given and refusal.reason == REASON_NOT_WAITING_FOR_CONSENT):
                raise
        return AcceptConsentResponse()

    @override
    async def DeclineConsent(
        self,
        request: DeclineConsentRequest,
        context: grpc.ServicerContext,
    ) -> DeclineConsentResponse:
        """Declines the consent. Repeating the call is safe."""
        try:
            link = await self._check_link(request.token, request.request_id)
        except Refusal as refusal:
            if refusal.reason == REASON_LINK_VOID and await self._has_declined_or_dissents(request):
                return DeclineConsentResponse()
            raise
        if not link.subject:
            return DeclineConsentResponse()
        registration = await self._get_registration(link.subject)
        if registration.stage == STAGE_DECLINED:
            return DeclineConsentResponse()
        _require_waiting(registration)
        decline = workflow_pb2.DeclineConsentRequest(
            request_id=request.request_id, link_id=link.link_id, guardian=link.guardian
        )
        # Also if a decline is stored: Temporal may have lost the update before the run knew of it.
        declined = await self._workflows.decline_consent(registration.person_id, decline)
        until = declined.decline_end_time if declined.HasField("decline_end_time") else None
        return DeclineConsentResponse(take_back_deadline=until)

    @override
    async def TakeBackDecline(
        self,
        request: TakeBackDeclineRequest,
        context: grpc.ServicerContext,
    ) -> TakeBackDeclineResponse:
        """Takes a decline back. Repeating the call is safe."""
        link = await self._check_link(request.token, request.request_id)
        if not link.subject:
            # Another answer was recorded by this request, and the registration has been erased since.
            raise failed_precondition(REASON_NOT_WAITING_FOR_CONSENT)
        registration = await self._get_registration(link.subject)
        _require_waiting(registration)
        take_back = workflow_pb2.TakeBackDeclineRequest(request_id=request.request_id, guardian=link.guardian)
        await self._workflows.take_back_decline(registration.person_id, take_back)
        return TakeBackDeclineResponse()

    @override
    async def WithdrawConsent(
        self,
        request: WithdrawConsentRequest,
        context: grpc.ServicerContext,
    ) -> WithdrawConsentResponse:
        """Withdraws a consent that was given: the customership ends. Repeating the call is safe."""
        check = GetConsentLinkRequest(token=request.token)
        link = await self._identity.call(self._links.GetConsentLink, check)
        if link.state == CONSENT_REQUEST_STATE_CONSENT_WITHDRAWN:
            return WithdrawConsentResponse()
        if link.state != CONSENT_REQUEST_STATE_ACCEPTED or not link.subject:
            raise failed_precondition(REASON_NO_CONSENT_TO_WITHDRAW)
        registration = await self._get_registration(link.subject)
        if not registration.customer_id:
            raise failed_precondition(REASON_NO_CONSENT_TO_WITHDRAW)
        # Before a run is started that could only end with the refusal.
        check_withdrawal = CheckConsentWithdrawalRequest(
            customer_id=registration.customer_id, registration_id=link.subject, guardian=link.guardian
        )
        await self._registration.call(self._customers.CheckConsentWithdrawal, check_withdrawal)
        get = GetCustomerRequest(customer_id=registration.customer_id)
        customer = (await self._registration.call(self._customers.GetCustomer, get)).customer
        end = EndCustomershipRequest(
            request_id=request.request_id,
            customer_id=customer.customer_id,
            unit_id=customer.unit_id,
            reason=END_REASON_CONSENT_WITHDRAWN,
            withdrawn_registration_id=link.subject,
            withdrawn_guardian=link.guardian,
        )
        kept = await self._removals.end(end, link.link_id)
        return WithdrawConsentResponse(erase_time=kept.erase_time)

    async def _has_declined_or_dissents(self, request: DeclineConsentRequest) -> bool:
        """Whether the registration has ended for a decline by the guardian of this link.

        If it has become a customership by the other guardian's consent, the decline is recorded as a dissent.
        """
        get = GetConsentLinkRequest(token=request.token)
        link = await self._identity.call(self._links.GetConsentLink, get)
        if link.state != CONSENT_REQUEST_STATE_ACCEPTED or not link.subject:
            return link.state == CONSENT_REQUEST_STATE_DECLINED
        registration = await self._get_registration(link.subject)
        if not _rests_on_other(registration, link.guardian):
            return False
        if _answer_of(registration, link.guardian) != GUARDIAN_ANSWER_DECLINES:
            dissent = workflow_pb2.DissentRequest(
                request_id=request.request_id, registration_id=link.subject, guardian=link.guardian
            )
            await self._workflows.dissent(registration, dissent)
        return True

    async def _send_link(self, person_id: str, request_id: str, guardian: int) -> None:
        send = workflow_pb2.SendConsentLinkRequest(request_id=request_id, guardian=guardian)
        try:
            await self._workflows.send_consent_link(person_id, send)
        except Refusal as refusal:
            # Answered meanwhile.
            if refusal.reason != REASON_NOT_WAITING_FOR_CONSENT:
                raise

    async def _check_link(self, token: str, request_id: str) -> CheckLinkResponse:
        """A link that may answer. The refusal of one that may not tells what was answered, and when (R38)."""
        check = CheckLinkRequest(token=token, purpose=LINK_PURPOSE_CONSENT, request_id=request_id)
        try:
            return await self._identity.call(self._links.CheckLink, check)
        except Refusal as refusal:
            if refusal.reason not in _ENDED:
                raise
            status = await self._status(token)
            told = outcome_of(status, current_request().language)
            raise Refusal(refusal.code, refusal.reason, detail=status, told=told) from None

    async def _get_registration(self, registration_id: str) -> Registration:
        request = registration_pb2.GetRegistrationRequest(registration_id=registration_id)
        response = await self._registration.call(self._registrations.GetRegistration, request)
        return response.registration

    async def _acceptable(self, request: AcceptConsentRequest, registration_id: str) -> Registration:
        """A registration whose consent is given, or is awaited in the wording of the request.

        FAILED_PRECONDITION (NOT_WAITING_FOR_CONSENT) if it is neither; INVALID_ARGUMENT for another wording.
        """
        registration = await self._get_registration(registration_id)
        if registration.consent_state == CONSENT_STATE_GIVEN:
            return registration
        _require_waiting(registration)
        try:
            asked = await self._asked(registration_id, request.language)
        except Refusal as refusal:
            if refusal.reason != REASON_NOT_WAITING_FOR_CONSENT:
                raise
            # Answered between the two readings: perhaps by the call that this one repeats.
            registration = await self._get_registration(registration_id)
            if registration.consent_state != CONSENT_STATE_GIVEN:
                raise
            return registration
        if asked.wording.version != request.wording_version:
            raise invalid([FieldViolation("wording_version", REASON_UNKNOWN_VALUE)])
        return registration

    async def _asked(
        self, registration_id: str, language: Language.ValueType
    ) -> registration_pb2.GetConsentRequestResponse:
        request = registration_pb2.GetConsentRequestRequest(
            registration_id=registration_id, language=language
        )
        return await self._registration.call(self._registrations.GetConsentRequest, request)


def _answer_of(registration: Registration, guardian: int) -> GuardianAnswer.ValueType:
    given = (state.answer for state in registration.guardians if state.guardian == guardian)
    return next(given, GUARDIAN_ANSWER_UNSPECIFIED)


def _rests_on_other(registration: Registration, guardian: int) -> bool:
    """Whether the customership rests on the other guardian's consent alone (R39)."""
    consenting = {
        state.guardian for state in registration.guardians if state.answer == GUARDIAN_ANSWER_CONSENTS
    }
    return bool(registration.customer_id and consenting) and guardian not in consenting


def _tell_of_two(status: GetConsentStatusResponse, registration: Registration, guardian: int) -> None:
    """What one of two guardians is told of the consent that was given."""
    if not _rests_on_other(registration, guardian):
        return
    status.given_by_other_guardian = True
    for state in registration.guardians:
        if state.guardian == guardian and state.answer == GUARDIAN_ANSWER_DECLINES:
            status.state = CONSENT_REQUEST_STATE_DISSENTED
            status.state_time.CopyFrom(state.answer_time)


def _tell_one_of_two(
    status: GetConsentStatusResponse, registration: Registration, link: GetConsentLinkResponse
) -> None:
    """What one of two guardians is told while consent is awaited."""
    other = FIRST_GUARDIAN + OTHER_GUARDIAN - link.guardian
    other_declines = _answer_of(registration, other) == GUARDIAN_ANSWER_DECLINES
    status.other_guardian_can_decide = not (registration.both_guardians_needed or other_declines)
    given = next((state for state in registration.guardians if state.guardian == link.guardian), None)
    if given is None or not given.answer:
        status.deadline.CopyFrom(link.expire_time)
        return
    status.state_time.CopyFrom(given.answer_time)
    if given.answer == GUARDIAN_ANSWER_CONSENTS:
        status.state = CONSENT_REQUEST_STATE_ACCEPTED
        status.waits_for_other_guardian = True
        return
    status.state = CONSENT_REQUEST_STATE_DECLINED
    ends = registration.HasField("decline_end_time")
    status.take_back_deadline.CopyFrom(registration.decline_end_time if ends else link.expire_time)


def _require_waiting(registration: Registration) -> None:
    if registration.stage != STAGE_WAITING_FOR_CONSENT:
        raise failed_precondition(REASON_NOT_WAITING_FOR_CONSENT)


def _shows_something(text: str) -> bool:
    """Whether a text has a visible character: the guardian's name is evidence (R31)."""
    return any(character.isprintable() and not character.isspace() for character in text)
