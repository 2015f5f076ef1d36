"""`RegistrationWorkflow`: one person's registration, from Save to the welcome mail."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import is_cancelled_exception

from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_NOT_WAITING,
    REASON_TOO_MANY_EDITS,
)
from liity.v1.registration_pb2 import STAGE_LINKED, STAGE_WAITING_FOR_REACTIVATION, STAGE_WITHDRAWN
from liity.workflows.v1.registration_workflow_pb2 import (
    Adopt,
    ConvertRequest,
    ConvertResponse,
    CreatedRegistration,
    CustomershipEnded,
    EditRequest,
    EditResponse,
    MakeWayRequest,
    MakeWayResponse,
    Merged,
    Moved,
    RegistrationState,
    RegistrationWorkflowInput,
    RegistrationWorkflowResult,
    Resumed,
    SaveRequest,
    SaveResponse,
    StageResponse,
    WithdrawRequest,
)
from services.runtime.stages import BEGUN, ENDED, WAITING
from services.runtime.temporal.names import RegistrationWorkflowNames
from services.runtime.temporal.search_attributes import KIND, UNIT, kind_name
from workflows.reconciliation.adoption_activities import AdoptionActivities
from workflows.registration.activities import RegistrationActivities, names_guardian
from workflows.registration.consent import ConsentWait
from workflows.registration.decisions import CustomerServiceWait
from workflows.registration.getting_started import GettingStarted
from workflows.registration.state import (
    FOR_CUSTOMER_SERVICE,
    refusal,
)
from workflows.support.actor_context import acts_by_hand
from workflows.support.steps import first_message, quick_step

EDITS_AT_ONCE = 30
"""So many edits of a waiting registration are taken within a minute: no person makes more."""

EDITS_WITHIN = timedelta(minutes=1)


@workflow.defn(name=RegistrationWorkflowNames.WORKFLOW)
class RegistrationWorkflow(CustomerServiceWait, ConsentWait, GettingStarted):
    """Coordinates one registration.

    Started by the update `save`, which answers once the outcome is decided. While customer service is waited
    for, the updates `reactivate`, `verify_identity`, `link_to_customer` and `reject` decide; while consent is
    awaited, `record_consent` and `decline_consent`; `withdraw` ends either wait. So do signals of the same
    names, but for `link_to_customer`.
    """

    @workflow.init
    def __init__(self, input: RegistrationWorkflowInput) -> None:  # noqa: A002
        super().__init__(input.person_id)
        self._saving = ""
        # Whoever holds it stores, or finds, the registration that the run is about.
        self._storing = asyncio.Lock()
        self._begins_anew = False
        self._edit_times: deque[datetime] = deque(maxlen=EDITS_AT_ONCE)
        if input.HasField("state"):
            self._take_up(input.state)

    @workflow.run
    async def run(self, input: RegistrationWorkflowInput) -> RegistrationWorkflowResult:  # noqa: A002, ARG002
        """Takes care of the customer until the welcome mail, or until the registration ends otherwise."""
        if not await first_message(lambda: self._created.ByteSize() > 0):
            return RegistrationWorkflowResult()
        await self._unless_over(self._tell_the_story())
        await workflow.wait_condition(self._is_at_rest)
        while self._begins_anew:
            # While a mail was on its way, or in the very moment in which the run came to its end.
            self._begins_anew, self._over = False, ""
            await self._unless_over(self._tell_the_story())
            await workflow.wait_condition(self._is_at_rest)
        return RegistrationWorkflowResult(stage=self._registration.stage)

    def _is_at_rest(self) -> bool:
        told = self._tellings.all_told()
        return workflow.all_handlers_finished() and (told or self._begins_anew)

    async def _unless_over(self, part: Coroutine[object, object, None]) -> None:
        """Tells a part of the story, until something ends it from outside."""
        story = asyncio.ensure_future(part)
        await workflow.wait_condition(lambda: story.done() or bool(self._over))
        if not story.done():
            story.cancel()
            self._show(self._over, None)
        await asyncio.wait([story])
        error = None if story.cancelled() else story.exception()
        if error is not None and not (self._over and is_cancelled_exception(error)):
            raise error

    async def _tell_the_story(self) -> None:
        awaited = self._registration.stage
        self._returns = self._returns or awaited == STAGE_WAITING_FOR_REACTIVATION
        if awaited in FOR_CUSTOMER_SERVICE:
            await self._await_customer_service(awaited)
            self._tell_how_it_was_decided(awaited)
        await self._await_guardian()

    async def _await_guardian(self) -> None:
        """The guardian's consent, if it is needed, and how a new customer gets started."""
        tells = self._waits_for_consent or self._returns
        if self._waits_for_consent:
            await self._await_consent()
            self._tell_how_consent_ended()
        if self._is_back:
            self._returns = False
            self._tellings.start(self._tell_of_the_return(), "Tell the removal and the previous unit")
        # As a task it begins after what is told: the order in the histories of earlier releases.
        await (asyncio.ensure_future(self._get_started()) if tells else self._get_started())

    @workflow.update(name=RegistrationWorkflowNames.SAVE)
    async def save(self, request: SaveRequest) -> SaveResponse:
        """Stores the registration. Answers with it, or with why there is none."""
        self._saving = request.registration.request_id
        if acts_by_hand():
            # A consent on paper is told by who registers: an operator may only record one as their own.
            request.registration.form.ClearField("paper_consent")
        async with self._storing:
            if self._created.ByteSize() and self._registration.stage not in ENDED:
                return SaveResponse(registration=self._registration, refusal=self._created.refusal)
            # One whose row is there already, as an earlier run stored it, goes on from the row's stage.
            created = await quick_step(
                RegistrationActivities.create_registration, request.registration, "Store the registration"
            )
            if not self._created.ByteSize():
                self._unit_id = self._unit_id or created.registration.unit_id
                self._take(created)
            elif not created.refusal and self._registration.stage in ENDED:
                self._begin_anew(created)
        return SaveResponse(registration=created.registration, refusal=created.refusal)

    @save.validator
    def _save_comes_first(self, request: SaveRequest) -> None:
        """Refuses whoever saves the same person beside the first (R18); leaves nothing in the history."""
        if self._saving in {"", request.registration.request_id}:
            # The first, or the first delivered once more: storing it again gives the same registration.
            return
        stage = self._registration.stage
        if stage in ENDED:
            # Somebody marked for deletion may be saved anew at once; if nothing is kept, the step refuses.
            return
        if stage not in BEGUN:
            raise refusal(REASON_BEING_REGISTERED)
        same_unit = self._unit_id == request.registration.unit_id
        raise refusal(
            REASON_ALREADY_REGISTERED_IN_THIS_UNIT if same_unit else REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT
        )

    @workflow.signal(
        name=RegistrationWorkflowNames.ADOPT,
        description="Sent by reconciliation, not by people: the run goes on from a row that no run knows.",
    )
    async def adopt(self, adopted: Adopt) -> None:
        """Reconciliation has found a row that no run knows: this one goes on from the row's stage."""
        if not (adopted.registration_id and adopted.request_id):
            return
        if self._saving not in {"", adopted.request_id}:
            return
        self._saving = adopted.request_id
        adopted.person_id = self._person_id
        async with self._storing:
            if self._created.ByteSize():
                return
            created = await quick_step(
                AdoptionActivities.adopt_registration, adopted, "Go on with the registration"
            )
            if not created.HasField("registration"):
                self._saving = ""
                return
            self._take(created)
            self._unit_id = self._unit_id or self._registration.unit_id

    @workflow.update(name=RegistrationWorkflowNames.CONVERT)
    async def convert(self, request: ConvertRequest) -> ConvertResponse:
        """A CD borrower becomes an online customer, and gets started as a new one does (R23)."""
        self._saving = self._saving or request.conversion.request_id
        converted = await quick_step(
            RegistrationActivities.convert_to_online, request.conversion, "Make an online customer"
        )
        if not self._created.ByteSize() or not converted.HasField("refused"):
            self._begins_anew = self._created.ByteSize() > 0
            self._unit_id = self._unit_id or converted.created.registration.unit_id
            self._take(converted.created)
        if converted.HasField("refused"):
            return ConvertResponse(refused=converted.refused)
        return ConvertResponse(registration=converted.created.registration)

    @workflow.update(name=RegistrationWorkflowNames.MAKE_WAY)
    async def make_way(self, request: MakeWayRequest) -> MakeWayResponse:  # noqa: ARG002
        """The person is saved anew: if the customership has ended, this run is over (R19)."""
        if self._registration.stage in BEGUN:
            looked = await quick_step(
                RegistrationActivities.look_whether_over, self._step(), "Look whether it has ended"
            )
            self._over = self._over or ("A new registration has taken its place" if looked.over else "")
        return MakeWayResponse()

    @workflow.update(name=RegistrationWorkflowNames.EDIT)
    async def edit(self, request: EditRequest) -> EditResponse:
        """The unit corrects the form while the registration waits (R14)."""
        self._edits += 1
        self._edit_times.append(workflow.now())
        async with self._deciding:
            edited = await quick_step(RegistrationActivities.edit_registration, request, "Correct the form")
        if not edited.HasField("refused") and not edited.updated.HasField("changed_meanwhile"):
            self._created.temporary = edited.updated.temporary
            if names_guardian(request.update):
                self._ask_guardian_anew()
        return edited

    @edit.validator
    def _something_waits_for_it(self, request: EditRequest) -> None:  # noqa: ARG002
        self._require_waiting()
        times = self._edit_times
        if len(times) == EDITS_AT_ONCE and workflow.now() - times[0] < EDITS_WITHIN:
            raise refusal(REASON_TOO_MANY_EDITS)

    @workflow.update(name=RegistrationWorkflowNames.WITHDRAW)
    async def withdraw(self, request: WithdrawRequest) -> StageResponse:
        """The unit withdraws: the registration ends and is erased (R30)."""
        await self._withdraw(request)
        return self._answer(REASON_NOT_WAITING, decided=self._registration.stage == STAGE_WITHDRAWN)

    @withdraw.validator
    def _something_waits(self, request: WithdrawRequest) -> None:  # noqa: ARG002
        self._require_waiting()

    @workflow.signal(name=RegistrationWorkflowNames.WITHDRAW)
    async def withdraw_by_signal(self, request: WithdrawRequest) -> None:
        """`withdraw` from Temporal UI or CLI; `{}` is enough."""
        request.request_id = ""
        await self._withdraw(request)

    async def take_cancellation(self) -> bool:
        """Withdraws a registration that waits, with the erasure; ignored in every other stage."""
        if self._registration.stage in WAITING:
            await self._withdraw(WithdrawRequest())
            return self._registration.stage == STAGE_WITHDRAWN
        return False

    @workflow.signal(
        name=RegistrationWorkflowNames.MOVED,
        description="Sent by other runs, not by people: the person was moved to another unit.",
    )
    def moved(self, moved: Moved) -> None:
        """The person was moved to another unit (R16): operators find the run by it from now on."""
        self._unit_id = moved.unit_id
        workflow.upsert_search_attributes([UNIT.value_set(moved.unit_id)])

    @workflow.signal(
        name=RegistrationWorkflowNames.CUSTOMERSHIP_ENDED,
        description="Sent by other runs, not by people: the run looks whether the customership has ended.",
    )
    async def customership_ended(self, ended: CustomershipEnded) -> None:  # noqa: ARG002
        """The customership has ended (R19): there is nobody to welcome any more."""
        if self._registration.stage in BEGUN and await self._is_so():
            self._over = "The customership has ended"

    @workflow.signal(
        name=RegistrationWorkflowNames.RESUMED,
        description="Sent by other runs, not by people: the customership goes on.",
    )
    async def resumed(self, resumed: Resumed) -> None:
        """The end was undone: the welcome is still to come (R19, R26)."""
        if self._saving and not self._over:
            return
        self._saving = self._saving or resumed.registration_id
        created = await quick_step(
            RegistrationActivities.resume_registration, resumed, "Look how far it had come"
        )
        if created.registration.person_id != self._person_id:
            workflow.logger.warning("signal dropped: the registration is another person's")
            return
        self._begin_anew(created)

    @workflow.signal(
        name=RegistrationWorkflowNames.MERGED,
        description="Sent by other runs, not by people: the run looks whether the customer was merged.",
    )
    async def merged(self, merged: Merged) -> None:  # noqa: ARG002
        """The person was found to be another one, whose own run goes on: this one mails nothing more."""
        if self._registration.stage in (*BEGUN, *WAITING) and await self._is_so():
            self._registration.stage = STAGE_LINKED
            self._over = "Merged into another customer"

    async def _is_so(self) -> bool:
        """Whether nothing more is to come for the registration, as another run says, or an operator."""
        if not workflow.patched("look-whether-it-is-so"):
            return True
        looked = await quick_step(
            RegistrationActivities.look_whether_over, self._step(), "Look whether it has ended"
        )
        return looked.over

    def _require_waiting(self) -> None:
        if self._registration.stage not in WAITING:
            raise refusal(REASON_NOT_WAITING)

    def _begin_anew(self, created: CreatedRegistration) -> None:
        """Goes on with what is saved anew, or goes on again, once this run's story is over."""
        self._begins_anew = self._created.ByteSize() > 0
        self._take(created)
        self._unit_id = self._registration.unit_id
        self._for_the_unit = self._returns = False
        self._guardian_corrections = 0
        kind = kind_name(self._registration.kind)
        workflow.upsert_search_attributes([UNIT.value_set(self._unit_id), KIND.value_set(kind)])

    def _take(self, created: CreatedRegistration) -> None:
        self._created = created
        self._registration.CopyFrom(created.registration)

    def _state(self) -> RegistrationState:
        state = super()._state()
        state.save_request_id = self._saving
        return state

    def _take_up(self, state: RegistrationState) -> None:
        super()._take_up(state)
        self._saving = state.save_request_id

    async def _withdraw(self, request: WithdrawRequest) -> None:
        await self._end(WAITING, STAGE_WITHDRAWN, self._step(event_id=request.request_id))
