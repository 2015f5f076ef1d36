"""`RegistrationWorkflow`: one person's registration, from Save to the welcome mail."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError

from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_NOT_WAITING,
    REASON_NOT_WAITING_FOR_CONSENT,
    REASON_PERSON_NOT_FOUND,
    Reason,
)
from liity.v1.registration_pb2 import (
    CONSENT_STATE_OUTGROWN,
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
    Stage,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    ActivationStep,
    CreatedRegistration,
    DeclineConsentRequest,
    EndStep,
    MailStepResult,
    RecordConsentRequest,
    RegistrationStep,
    RegistrationWorkflowInput,
    RegistrationWorkflowResult,
    SaveRequest,
    SaveResponse,
    StageResponse,
    WithdrawRequest,
)
from services.runtime.errors import reason_name
from services.runtime.search_attributes import DEADLINE, REGISTRATION, STAGE, stage_name
from services.runtime.temporal import RegistrationWorkflowNames
from workflows.deadlines import reminder_times, welcome_time
from workflows.registration_activities import RegistrationActivities, first_credentials

_QUICK = timedelta(seconds=15)
"""For a local step: a few calls to services that are there."""

_MAIL = timedelta(minutes=2)
"""For a step that mails: a mail server may take its time."""

_HEARTBEAT = timedelta(seconds=15)
"""Without a sign of life for so long, a step that mails is given to another worker."""

_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1), backoff_coefficient=2, maximum_interval=timedelta(minutes=1)
)
"""Without limit: whatever is away comes back, and until then Temporal UI shows what is tried."""


@workflow.defn(name=RegistrationWorkflowNames.WORKFLOW)
class RegistrationWorkflow:
    """Coordinates one registration.

    Started by the update `save`, which answers once the outcome is decided. While consent is awaited, the
    updates `record_consent`, `decline_consent` and `withdraw` decide it; so do signals of the same names.
    """

    @workflow.init
    def __init__(self, input: RegistrationWorkflowInput) -> None:  # noqa: A002
        self._person_id = input.person_id
        self._saving = ""
        self._created = CreatedRegistration()
        self._registration = Registration()
        self._consent_method = ConsentEvidence.METHOD_UNSPECIFIED
        # Whoever holds it decides the consent: an answer and the deadline may come at the same moment.
        self._deciding = asyncio.Lock()

    @workflow.run
    async def run(self, input: RegistrationWorkflowInput) -> RegistrationWorkflowResult:  # noqa: A002, ARG002
        """Takes care of the customer until the welcome mail, or until the registration ends otherwise."""
        await workflow.wait_condition(lambda: self._created.ByteSize() > 0)
        if self._waits_for_consent:
            await self._await_consent()
            # Side by side: a registrar who cannot be mailed keeps no customer waiting.
            await asyncio.gather(self._tell_how_consent_ended(), self._get_started())
        else:
            await self._get_started()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return RegistrationWorkflowResult(stage=self._registration.stage)

    # The story

    async def _await_consent(self) -> None:
        """Asks the guardian, reminds, and lapses: until someone, or the 15th birthday, decides it."""
        asked = workflow.now()
        lapse = self._registration.deadline.ToDatetime(UTC)
        self._show("Waits for the guardian's consent", lapse)
        await self._mail_guardian(RegistrationActivities.request_consent, "Ask the guardian", lapse)
        for reminder in reminder_times(asked, self._created.timetable):
            if reminder <= workflow.now():
                # The mail before it was long in going out: nobody wants two at once.
                continue
            if await self._decided_by(reminder, "Consent: reminder"):
                return
            await self._mail_guardian(RegistrationActivities.remind_of_consent, "Remind the guardian", lapse)
        if not await self._decided_by(lapse, "Consent: lapse"):
            await self._end(STAGE_LAPSED, self._step())

    async def _decided_by(self, moment: datetime, summary: str) -> bool:
        """Waits for a decision until a moment; on the 15th birthday decides itself (R8)."""
        birthday = self._birthday
        await self._wait_while_awaited(min(moment, birthday), summary)
        if workflow.now() >= birthday:
            await self._activate(ActivationStep(step=self._step()))
        return not self._waits_for_consent

    async def _wait_while_awaited(self, until: datetime, summary: str) -> None:
        remaining = max(until - workflow.now(), timedelta(0))
        try:
            await workflow.wait_condition(
                lambda: not self._waits_for_consent, timeout=remaining, timeout_summary=summary
            )
        except TimeoutError:
            # Someone may be deciding at this very moment: theirs counts.
            async with self._deciding:
                return

    async def _mail_guardian(self, activity: Callable[..., Any], summary: str, lapse: datetime) -> None:
        """Mails the guardian; an answer, or the lapse, is not kept waiting by a mail server that is away."""
        if not self._waits_for_consent:
            return
        mail = workflow.start_activity_method(
            activity,
            self._step(lapse),
            start_to_close_timeout=_MAIL,
            heartbeat_timeout=_HEARTBEAT,
            retry_policy=_RETRY,
            summary=summary,
        )
        try:
            await workflow.wait_condition(
                lambda: mail.done() or not self._waits_for_consent,
                timeout=min(lapse, self._birthday) - workflow.now(),
                timeout_summary="Mail to the guardian",
            )
        except TimeoutError:
            workflow.logger.warning("the guardian could not be mailed in time")
        if not mail.done():
            mail.cancel()
            # How it ends is of no interest; asyncio would log an error nobody has looked at.
            mail.add_done_callback(lambda ended: ended.cancelled() or ended.exception())

    async def _tell_how_consent_ended(self) -> None:
        """Tells the registrar, unless it was a person of the unit who decided."""
        stage = self._registration.stage
        if stage in {STAGE_DECLINED, STAGE_LAPSED}:
            end = EndStep(step=self._step(), stage=stage)
            await self._mail(RegistrationActivities.tell_consent_not_given, end, "Tell the registrar")
        elif self._registration.consent_state == CONSENT_STATE_OUTGROWN:
            await self._mail(RegistrationActivities.tell_consent_outgrown, self._step(), "Tell the registrar")
        elif self._consent_method in {ConsentEvidence.METHOD_LINK, ConsentEvidence.METHOD_OPERATOR}:
            await self._mail(RegistrationActivities.tell_consent_given, self._step(), "Tell the registrar")

    async def _get_started(self) -> None:
        """Of an online customer: credentials now, the welcome two weeks later (R26)."""
        if self._registration.stage not in _CUSTOMER or self._registration.kind != CUSTOMER_KIND_ONLINE:
            return
        if self._created.HasField("welcome_time"):
            welcome = self._created.welcome_time.ToDatetime(UTC)
            self._registration.stage = STAGE_CREDENTIALS_SENT
        else:
            welcome = welcome_time(workflow.now(), self._created.timetable)
            await self._send_credentials(welcome)
        self._show("Waits to send the welcome mail", welcome)
        await workflow.sleep(max(welcome - workflow.now(), timedelta(0)), summary="Welcome mail")
        await self._mail(RegistrationActivities.send_welcome, self._step(), "Send the welcome")
        self._registration.stage = STAGE_WELCOMED
        self._show("Complete", None)

    async def _send_credentials(self, welcome: datetime) -> None:
        self._show("Sends the credentials", None)
        step = self._step(welcome, first_credentials(self._registration.registration_id))
        sent = await self._mail(RegistrationActivities.send_credentials, step, "Send the credentials")
        if sent.delivered:
            self._registration.stage = STAGE_CREDENTIALS_SENT

    # Messages

    @workflow.update(name=RegistrationWorkflowNames.SAVE)
    async def save(self, request: SaveRequest) -> SaveResponse:
        """Stores the registration. Answers with it, or with why there is none."""
        self._saving = request.registration.request_id
        self._created = await workflow.execute_local_activity_method(
            RegistrationActivities.create_registration,
            request.registration,
            start_to_close_timeout=_QUICK,
            retry_policy=_RETRY,
            summary="Store the registration",
        )
        self._registration.CopyFrom(self._created.registration)
        return SaveResponse(registration=self._created.registration, refusal=self._created.refusal)

    @save.validator
    def _save_comes_first(self, request: SaveRequest) -> None:
        """Refuses whoever saves the same person beside the first (R18); leaves nothing in the history."""
        if self._saving in {"", request.registration.request_id}:
            # The first, or the first delivered once more: storing it again gives the same registration.
            return
        stage = self._registration.stage
        if stage in _ENDED:
            raise _refusal(REASON_PERSON_NOT_FOUND)
        if stage not in _CUSTOMER:
            raise _refusal(REASON_BEING_REGISTERED)
        same_unit = self._registration.unit_id == request.registration.unit_id
        raise _refusal(
            REASON_ALREADY_REGISTERED_IN_THIS_UNIT if same_unit else REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT
        )

    @workflow.update(name=RegistrationWorkflowNames.RECORD_CONSENT)
    async def record_consent(self, request: RecordConsentRequest) -> StageResponse:
        """The guardian consents: the customership begins."""
        await self._activate(self._activation(request))
        return self._answer(REASON_NOT_WAITING_FOR_CONSENT, decided=self._registration.stage not in _ENDED)

    @workflow.update(name=RegistrationWorkflowNames.DECLINE_CONSENT)
    async def decline_consent(self, request: DeclineConsentRequest) -> StageResponse:
        """The guardian declines: the registration ends and is erased (R30)."""
        await self._end(STAGE_DECLINED, self._step(event_id=request.request_id), request.link_id)
        decided = self._registration.stage == STAGE_DECLINED
        return self._answer(REASON_NOT_WAITING_FOR_CONSENT, decided=decided)

    @workflow.update(name=RegistrationWorkflowNames.WITHDRAW)
    async def withdraw(self, request: WithdrawRequest) -> StageResponse:
        """The unit withdraws: the registration ends and is erased (R30)."""
        await self._end(STAGE_WITHDRAWN, self._step(event_id=request.request_id))
        return self._answer(REASON_NOT_WAITING, decided=self._registration.stage == STAGE_WITHDRAWN)

    @record_consent.validator
    def _consent_is_awaited(self, request: RecordConsentRequest) -> None:  # noqa: ARG002
        if not self._waits_for_consent:
            raise _refusal(REASON_NOT_WAITING_FOR_CONSENT)

    @decline_consent.validator
    def _consent_is_still_awaited(self, request: DeclineConsentRequest) -> None:  # noqa: ARG002
        if not self._waits_for_consent:
            raise _refusal(REASON_NOT_WAITING_FOR_CONSENT)

    @withdraw.validator
    def _something_waits(self, request: WithdrawRequest) -> None:  # noqa: ARG002
        if not self._waits_for_consent:
            raise _refusal(REASON_NOT_WAITING)

    # A signal has nobody to answer: where nothing waits any more, it changes nothing. It carries no link.

    @workflow.signal(name=RegistrationWorkflowNames.RECORD_CONSENT)
    async def record_consent_by_signal(self, request: RecordConsentRequest) -> None:
        """`record_consent` from Temporal UI or CLI; `{}` is enough."""
        request.link_id = ""
        await self._activate(self._activation(request))

    @workflow.signal(name=RegistrationWorkflowNames.DECLINE_CONSENT)
    async def decline_consent_by_signal(self, request: DeclineConsentRequest) -> None:  # noqa: ARG002
        """`decline_consent` from Temporal UI or CLI; `{}` is enough."""
        await self._end(STAGE_DECLINED, self._step())

    @workflow.signal(name=RegistrationWorkflowNames.WITHDRAW)
    async def withdraw_by_signal(self, request: WithdrawRequest) -> None:  # noqa: ARG002
        """`withdraw` from Temporal UI or CLI; `{}` is enough."""
        await self._end(STAGE_WITHDRAWN, self._step())

    # Steps

    async def _activate(self, activation: ActivationStep) -> None:
        """Begins the customership, if consent is still awaited when it is this one's turn."""
        async with self._deciding:
            if not self._waits_for_consent:
                return
            activated = await workflow.execute_local_activity_method(
                RegistrationActivities.activate_registration,
                activation,
                start_to_close_timeout=_QUICK,
                retry_policy=_RETRY,
                summary="Begin the customership",
            )
            self._consent_method = activation.consent.evidence.method
            self._registration.CopyFrom(activated)

    async def _end(self, stage: Stage.ValueType, step: RegistrationStep, link_id: str = "") -> None:
        """Ends and erases, if consent is still awaited when it is this one's turn."""
        async with self._deciding:
            if not self._waits_for_consent:
                return
            ended = await workflow.execute_local_activity_method(
                RegistrationActivities.end_registration,
                EndStep(step=step, stage=stage, link_id=link_id),
                start_to_close_timeout=_QUICK,
                retry_policy=_RETRY,
                summary="End and erase",
            )
            self._registration.CopyFrom(ended)
            self._show("Ended", None)

    async def _mail(
        self, activity: Callable[..., Any], argument: RegistrationStep | EndStep, summary: str
    ) -> MailStepResult:
        result: MailStepResult = await workflow.execute_activity_method(
            activity,
            argument,
            start_to_close_timeout=_MAIL,
            heartbeat_timeout=_HEARTBEAT,
            retry_policy=_RETRY,
            summary=summary,
        )
        return result

    # What is known

    @property
    def _waits_for_consent(self) -> bool:
        return self._registration.stage == STAGE_WAITING_FOR_CONSENT

    @property
    def _birthday(self) -> datetime:
        """When the customer turns 15, at which consent is needed no more (R8)."""
        return self._created.consent_outgrown_time.ToDatetime(UTC)

    def _step(self, deadline: datetime | None = None, event_id: str = "") -> RegistrationStep:
        step = RegistrationStep(
            registration_id=self._registration.registration_id,
            person_id=self._person_id,
            registrar_account_id=self._registration.registrar_account_id,
            event_id=event_id or str(workflow.uuid4()),
        )
        if deadline:
            step.deadline.FromDatetime(deadline)
        return step

    def _activation(self, request: RecordConsentRequest) -> ActivationStep:
        activation = ActivationStep(step=self._step(event_id=request.request_id), consent=request)
        if not request.HasField("evidence"):
            activation.consent.evidence.method = ConsentEvidence.METHOD_OPERATOR
        return activation

    def _answer(self, otherwise: Reason.ValueType, *, decided: bool) -> StageResponse:
        if not decided:
            raise _refusal(otherwise)
        return StageResponse(registration=self._registration)

    def _show(self, note: str, deadline: datetime | None) -> None:
        """Shows operators, without personal data, what the run waits for and until when."""
        registration = self._registration
        workflow.upsert_search_attributes(
            [
                STAGE.value_set(stage_name(registration.stage)),
                REGISTRATION.value_set(registration.registration_id),
                DEADLINE.value_set(deadline) if deadline else DEADLINE.value_unset(),
            ]
        )
        until = f" until {deadline:%Y-%m-%d %H:%M} UTC" if deadline else ""
        signals = (
            f"\n\nSignals: `{RegistrationWorkflowNames.RECORD_CONSENT}`, "
            f"`{RegistrationWorkflowNames.DECLINE_CONSENT}`, `{RegistrationWorkflowNames.WITHDRAW}`, "
            "each with the body `{}`."
            if self._waits_for_consent
            else ""
        )
        workflow.set_current_details(
            f"**{note}**{until}.\n\nRegistration `{registration.registration_id}`.{signals}"
        )


_ENDED = frozenset({STAGE_DECLINED, STAGE_LAPSED, STAGE_WITHDRAWN})
_CUSTOMER = frozenset({STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED})


def _refusal(reason: Reason.ValueType) -> ApplicationError:
    name = reason_name(reason)
    return ApplicationError(name, type=name, non_retryable=True)
