"""The steps of a registration, each one business step of idempotent calls.

What is made on the way (links, user names, addresses) stays in the step: it never enters a history.
"""

import asyncio
import uuid
from datetime import UTC, timedelta
from typing import Any

from google.protobuf.message import Message
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from liity.identity.v1.account_service_pb2 import Account, GetAccountRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.credential_service_pb2 import IssueCredentialsRequest
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_CONSENT,
    IssueLinkRequest,
    RedeemLinkRequest,
    VoidLinksRequest,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.identity.v1.person_service_pb2 import RetainPersonRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_SENT,
    AddressUndeliverable,
    ConsentDeclined,
    ConsentGiven,
    ConsentLapsed,
    ConsentOutgrown,
    ConsentReminder,
    ConsentRequest,
    Credentials,
    SendMessageRequest,
    Welcome,
)
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.registration.v1.registration_service_pb2 import (
    ActivateRegistrationRequest,
    AdvanceRegistrationRequest,
    CreateRegistrationRequest,
    EndRegistrationRequest,
    GetMailingDetailsRequest,
    GetRegistrationRequest,
    MailingDetails,
    Registration,
)
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.registration.v1.unit_service_pb2 import BatchGetUnitsRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_REGISTRAR,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CUSTOMER_KIND_ONLINE,
)
from liity.v1.registration_pb2 import (
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_WELCOMED,
    Stage,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    ActivationStep,
    CreatedRegistration,
    EndStep,
    MailStepResult,
    RegistrationStep,
    Timetable,
)
from services.runtime.clock import from_proto_date, helsinki_moment, now
from services.runtime.errors import Refusal, is_permanent, reason_name
from services.runtime.peer import Peer
from workflows.deadlines import lapse_time, welcome_time
from workflows.erasure import Erasure

_AT_ONCE = 2.0
"""Seconds a registrar may be kept waiting for a mail: Save answers after it."""

_SMTP_TIMEOUT = 45.0
"""Seconds a mail may take: longer than the notification service waits for a mail server."""


class RegistrationActivities:
    """The steps, over the three services."""

    def __init__(self, identity: Peer, registration: Peer, notification: Peer, timetable: Timetable) -> None:
        self._identity = identity
        self._registration = registration
        self._notification = notification
        self._timetable = timetable
        self._erasure = Erasure(identity, registration, notification)
        self._persons = PersonServiceStub(identity.channel)
        self._accounts = AccountServiceStub(identity.channel)
        self._links = LinkServiceStub(identity.channel)
        self._credentials = CredentialServiceStub(identity.channel)
        self._registrations = RegistrationServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)
        self._notifications = NotificationServiceStub(notification.channel)

    @activity.defn
    async def create_registration(self, request: CreateRegistrationRequest) -> CreatedRegistration:
        """Keeps the person and stores the registration; or says why not, which is an answer.

        Credentials are mailed in the same step if that takes no time: it spares a round of the engine.
        """
        request.consent_deadline.FromDatetime(lapse_time(now(), self._timetable))
        retain = RetainPersonRequest(person_id=request.person_id)
        try:
            await self._identity.call(self._persons.RetainPerson, retain)
            response = await self._registration.call(self._registrations.CreateRegistration, request)
        except Refusal as refusal:
            if is_permanent(refusal.code):
                return CreatedRegistration(refusal=refusal.reason)
            raise
        registration = response.registration
        created = CreatedRegistration(registration=registration, timetable=self._timetable)
        if response.HasField("consent_outgrown_date"):
            birthday = from_proto_date(response.consent_outgrown_date)
            created.consent_outgrown_time.FromDatetime(helsinki_moment(birthday))
        if registration.stage == STAGE_CREDENTIALS_SENT:
            # An earlier try of this step has come so far, but was not heard of.
            created.welcome_time.CopyFrom(registration.deadline)
        begun = registration.stage == STAGE_ACTIVE and registration.kind == CUSTOMER_KIND_ONLINE
        if begun and response.HasField("mailing_details"):
            await self._send_credentials_at_once(created, response.mailing_details)
        return created

    @activity.defn
    async def request_consent(self, step: RegistrationStep) -> MailStepResult:
        """Mails the guardian a link to answer by (R29)."""
        return await self._ask_guardian(step, "consent_request", ConsentRequest)

    @activity.defn
    async def remind_of_consent(self, step: RegistrationStep) -> MailStepResult:
        """Mails the guardian the same link again (R30)."""
        return await self._ask_guardian(step, "consent_reminder", ConsentReminder)

    @activity.defn
    async def activate_registration(self, activation: ActivationStep) -> Registration:
        """Begins the customership, by a consent or because the customer has turned 15 (R8)."""
        step = activation.step
        evidence = activation.consent.evidence if activation.HasField("consent") else None
        await self._redeem_link(step, activation.consent.link_id)
        request = ActivateRegistrationRequest(registration_id=step.registration_id, consent=evidence)
        response = await self._registration.call(self._registrations.ActivateRegistration, request)
        await self._void_links(step)
        return response.registration

    @activity.defn
    async def tell_consent_given(self, step: RegistrationStep) -> MailStepResult:
        """Tells the registrar that the guardian consented."""
        details = await self._mailing_details(step)
        if details is None:
            return MailStepResult()
        content = ConsentGiven(
            child_first_names=details.first_names, unit_display_name=details.unit_display_name
        )
        return await self._tell_registrar(step, "consent given", consent_given=content)

    @activity.defn
    async def tell_consent_outgrown(self, step: RegistrationStep) -> MailStepResult:
        """Tells the registrar that consent is needed no more (R8)."""
        details = await self._mailing_details(step)
        if details is None:
            return MailStepResult()
        content = ConsentOutgrown(
            child_first_names=details.first_names, unit_display_name=details.unit_display_name
        )
        return await self._tell_registrar(step, "consent outgrown", consent_outgrown=content)

    @activity.defn
    async def end_registration(self, end: EndStep) -> Registration:
        """Ends the registration and erases the person everywhere (R30)."""
        step = end.step
        await self._redeem_link(step, end.link_id)
        request = EndRegistrationRequest(registration_id=step.registration_id, stage=end.stage)
        response = await self._registration.call(self._registrations.EndRegistration, request)
        await self._erasure.erase_person(step.person_id)
        return response.registration

    @activity.defn
    async def tell_consent_not_given(self, end: EndStep) -> MailStepResult:
        """Tells the registrar that the guardian declined, or never answered (R30)."""
        step = end.step
        request = GetRegistrationRequest(registration_id=step.registration_id)
        response = await self._registration.call(self._registrations.GetRegistration, request)
        registration = response.registration
        units = BatchGetUnitsRequest(unit_ids=[registration.unit_id])
        unit = (await self._registration.call(self._units.BatchGetUnits, units)).units[0]
        declined = end.stage == STAGE_DECLINED
        content = (ConsentDeclined if declined else ConsentLapsed)(
            unit_display_name=unit.display_name,
            registration_id=registration.registration_id,
            registration_create_time=registration.create_time,
        )
        field = "consent_declined" if declined else "consent_lapsed"
        return await self._tell_registrar(step, "consent not given", **{field: content})

    @activity.defn
    async def send_credentials(self, step: RegistrationStep) -> MailStepResult:
        """Issues the credentials, mails them (R13) and records the stage."""
        details = await self._mailing_details(step)
        if details is None:
            return MailStepResult()
        mail = await self._credentials_mail(step, details)
        result = await self._send_or_tell(step, details, mail)
        if result.delivered:
            await self._advance(step, STAGE_CREDENTIALS_SENT)
        return result

    @activity.defn
    async def send_welcome(self, step: RegistrationStep) -> MailStepResult:
        """Mails the welcome to the address then on file (R26), unless the customership has ended."""
        details = await self._mailing_details(step)
        if details is None:
            return MailStepResult()
        recipient = details.customer_email or (await self._registrar(step)).email
        content = Welcome(first_names=details.first_names)
        mail = self._mail(step, "welcome", recipient, details, welcome=content)
        result = await self._send_or_tell(step, details, mail)
        step.ClearField("deadline")
        await self._advance(step, STAGE_WELCOMED)
        return result

    async def _ask_guardian(
        self, step: RegistrationStep, field: str, content: type[ConsentRequest] | type[ConsentReminder]
    ) -> MailStepResult:
        """Mails the guardian; nothing once the registration has ended."""
        details = await self._mailing_details(step)
        if details is None:
            return MailStepResult()
        asked = content(
            child_first_names=details.first_names,
            unit_display_name=details.unit_display_name,
            link_token=await self._consent_link(step),
            deadline=step.deadline,
        )
        mail = self._mail(step, field, details.related_person_email, details, **{field: asked})
        return await self._send_or_tell(step, details, mail)

    async def _send_credentials_at_once(self, created: CreatedRegistration, details: MailingDetails) -> None:
        """Mails the credentials if all goes well within moments; if not, `send_credentials` will."""
        registration = created.registration
        begun = registration.create_time.ToDatetime(UTC)
        step = RegistrationStep(
            registration_id=registration.registration_id,
            person_id=registration.person_id,
            registrar_account_id=registration.registrar_account_id,
            event_id=first_credentials(registration.registration_id),
        )
        step.deadline.FromDatetime(welcome_time(begun, self._timetable))
        try:
            async with asyncio.timeout(_AT_ONCE):
                if await self._send(await self._credentials_mail(step, details)):
                    await self._advance(step, STAGE_CREDENTIALS_SENT)
                    created.welcome_time.CopyFrom(step.deadline)
        except (Refusal, TimeoutError) as error:
            activity.logger.info("credentials not mailed at once: %s", type(error).__name__)

    async def _credentials_mail(self, step: RegistrationStep, details: MailingDetails) -> SendMessageRequest:
        issue = IssueCredentialsRequest(request_id=_key(step, "issue"), person_id=step.person_id)
        credentials = await self._identity.call(self._credentials.IssueCredentials, issue)
        content = Credentials(
            first_names=details.first_names,
            user_name=credentials.user_name,
            link_token=credentials.link_token,
            expire_time=credentials.expire_time,
        )
        recipient = await self._credentials_recipient(step, details)
        return self._mail(step, "credentials", recipient, details, credentials=content)

    async def _mailing_details(self, step: RegistrationStep) -> MailingDetails | None:
        """To whom mail goes now; nobody once the registration has ended or the customership is gone."""
        request = GetMailingDetailsRequest(registration_id=step.registration_id)
        response = await self._registration.call(self._registrations.GetMailingDetails, request)
        return response.mailing_details if response.HasField("mailing_details") else None

    async def _registrar(self, step: RegistrationStep) -> Account:
        request = GetAccountRequest(account_id=step.registrar_account_id)
        return (await self._identity.call(self._accounts.GetAccount, request)).account

    async def _credentials_recipient(self, step: RegistrationStep, details: MailingDetails) -> str:
        if details.credentials_recipient == CREDENTIALS_RECIPIENT_REGISTRAR:
            return (await self._registrar(step)).email
        if details.credentials_recipient == CREDENTIALS_RECIPIENT_RELATED_PERSON:
            return details.related_person_email
        return details.customer_email

    async def _consent_link(self, step: RegistrationStep) -> str:
        # Keyed by the registration, not the event: a reminder repeats the link of the request.
        request = IssueLinkRequest(
            request_id=str(uuid.uuid5(uuid.UUID(step.registration_id), "consent link")),
            purpose=LINK_PURPOSE_CONSENT,
            subject=step.registration_id,
            expire_time=step.deadline,
        )
        return (await self._identity.call(self._links.IssueLink, request)).token

    async def _redeem_link(self, step: RegistrationStep, link_id: str) -> None:
        """Uses up the link a decision came by, before the decision counts: it works once."""
        if link_id:
            redeem = RedeemLinkRequest(link_id=link_id, request_id=step.event_id)
            await self._identity.call(self._links.RedeemLink, redeem)

    async def _void_links(self, step: RegistrationStep) -> None:
        void = VoidLinksRequest(purpose=LINK_PURPOSE_CONSENT, subject=step.registration_id)
        await self._identity.call(self._links.VoidLinks, void)

    async def _advance(self, step: RegistrationStep, stage: Stage.ValueType) -> None:
        request = AdvanceRegistrationRequest(
            registration_id=step.registration_id,
            stage=stage,
            deadline=step.deadline if step.HasField("deadline") else None,
        )
        await self._registration.call(self._registrations.AdvanceRegistration, request)

    def _mail(
        self,
        step: RegistrationStep,
        name: str,
        recipient: str,
        details: MailingDetails,
        **content: Message,
    ) -> SendMessageRequest:
        return SendMessageRequest(
            request_id=_key(step, name),
            subject_id=step.registration_id,
            recipient_email=recipient,
            language=details.language,
            **content,  # type: ignore[arg-type] # one field of the oneof, by its name
        )

    async def _send_or_tell(
        self, step: RegistrationStep, details: MailingDetails, mail: SendMessageRequest
    ) -> MailStepResult:
        """Sends a mail; if its address does not work, tells the registrar."""
        if await self._send(mail):
            return MailStepResult(delivered=True)
        content = AddressUndeliverable(
            first_names=details.first_names,
            unit_display_name=details.unit_display_name,
            template=mail.WhichOneof("content") or "",
        )
        await self._tell_registrar(step, "address undeliverable", address_undeliverable=content)
        return MailStepResult(delivered=False)

    async def _tell_registrar(self, step: RegistrationStep, name: str, **content: Message) -> MailStepResult:
        registrar = await self._registrar(step)
        mail = SendMessageRequest(
            request_id=_key(step, name),
            subject_id=step.registration_id,
            recipient_email=registrar.email,
            language=registrar.language,
            **content,  # type: ignore[arg-type] # one field of the oneof, by its name
        )
        return MailStepResult(delivered=await self._send(mail))

    async def _send(self, mail: SendMessageRequest) -> bool:
        """Whether a mail server took the mail. What cannot be an address is undeliverable, too."""
        try:
            response = await self._notification.call(
                self._notifications.SendMessage, mail, timeout=_SMTP_TIMEOUT
            )
        except Refusal as refusal:
            if any(violation.field == "recipient_email" for violation in refusal.violations):
                return False
            raise
        return response.delivery.state == DELIVERY_STATE_SENT


def first_credentials(registration_id: str) -> str:
    """The event of a registration's first credentials, however many steps try to mail them."""
    return str(uuid.uuid5(uuid.UUID(registration_id), "first credentials"))


def _key(step: RegistrationStep, name: str) -> str:
    """The idempotency key of one thing a step does."""
    return str(uuid.uuid5(uuid.UUID(step.event_id), name))


class RefusalInterceptor(Interceptor):
    """Turns a service's refusal into a failure Temporal understands: permanent ones are not retried."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wraps every activity."""
        return _RefusalInbound(next)


class HeartbeatInterceptor(Interceptor):
    """Lets Temporal see that a step still runs: then one whose worker has died is soon tried by another."""

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wraps every activity."""
        return _HeartbeatInbound(next)


class _HeartbeatInbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401
        timeout = activity.info().heartbeat_timeout
        if not timeout:
            return await super().execute_activity(input)
        beating = asyncio.create_task(_beat(timeout / 3))
        try:
            return await super().execute_activity(input)
        finally:
            beating.cancel()


async def _beat(interval: timedelta) -> None:
    while True:
        await asyncio.sleep(interval.total_seconds())
        activity.heartbeat()


class _RefusalInbound(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401
        try:
            return await super().execute_activity(input)
        except Refusal as refusal:
            raise ApplicationError(
                refusal.summary,
                type=reason_name(refusal.reason),
                non_retryable=is_permanent(refusal.code),
                next_retry_delay=_later_than_retries(refusal.retry_after),
            ) from None


def _later_than_retries(retry_after: timedelta | None) -> timedelta | None:
    """When a service wants to be asked again, if the step would otherwise be tried before."""
    policy = activity.info().retry_policy
    longest = policy.maximum_interval if policy else None
    return retry_after if retry_after and longest and retry_after > longest else None
