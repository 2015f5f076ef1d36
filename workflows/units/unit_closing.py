"""`UnitClosingWorkflow`: closes a unit, removes its registrars, and moves all it has to a successor."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow

from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1.actor_pb2 import Actor
from liity.workflows.v1.unit_closing_workflow_pb2 import (
    CloseRequest,
    CloseResponse,
    MoveUnitStep,
    UnitMailStep,
    UnitRegistrars,
)
from services.runtime.rpc.context import current_actor, set_current_actor
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import UnitClosingWorkflowNames
from workflows.support.background_mails import BackgroundMails
from workflows.support.operators import Operated, set_details
from workflows.support.steps import HEARTBEAT, MAIL, QUICK, RETRY, first_message, insist, quick_step
from workflows.units.invitation import withdraw_invitation
from workflows.units.unit_closing_activities import UnitClosingActivities

ResultT = TypeVar("ResultT")

_LATE = timedelta(minutes=2)
"""After the move, how long a Save that began before the closing may still be under way."""


@workflow.defn(name=UnitClosingWorkflowNames.WORKFLOW)
class UnitClosingWorkflow(Operated):
    """Coordinates one closing: two services change, or neither.

    Started by the update `close`, answered once the unit is closed. With a successor, the run then moves all
    that the unit has there (R41), batch by batch: a batch takes what is still in the unit, so that one that
    fails anywhere is repeated.
    """

    def __init__(self) -> None:
        self._answer: CloseResponse | None = None
        self._closed_by: Actor | None = None
        self._registrars = UnitRegistrars()
        self._mails = BackgroundMails()

    @workflow.run
    async def run(self, request: CloseRequest | None = None) -> None:
        """Ends the runs of the unit's open invitations once it is closed, and moves all it has."""
        if request is not None and request.HasField("closed"):
            self._answer = CloseResponse(unit=request.closed)
        if not await first_message(lambda: self._answer is not None, request, self._perform):
            return
        for invitation_id in self._answer.voided_invitation_ids if self._answer else ():
            await withdraw_invitation(invitation_id)
        if self._answer is not None and self._answer.unit.unit_id and self._registrars.account_ids:
            # In the background: a mail server that is away must not delay the move.
            step = UnitMailStep(
                unit_id=self._answer.unit.unit_id,
                successor_unit_id=self._answer.unit.successor_unit_id,
                account_ids=self._registrars.account_ids,
            )
            self._mails.mail(UnitClosingActivities.tell_unit_closed, step, "Notify the unit's registrars")
        if self._answer is not None and self._answer.unit.successor_unit_id:
            if self._closed_by is not None:
                # The log of use says who has moved whom.
                set_current_actor(self._closed_by)
            moved = await self._move(self._answer.unit)
            if workflow.patched("tell-of-unit-closings"):
                self._tell_successor(self._answer.unit, moved)
            await workflow.sleep(_LATE, summary=OperatorText("Wait for Saves under way"))
            await self._move(self._answer.unit)
            set_details(f"**Closed**, all moved to `{self._answer.unit.successor_unit_id}`.")
        await workflow.wait_condition(self._is_at_rest)

    def _is_at_rest(self) -> bool:
        return workflow.all_handlers_finished() and self._mails.all_sent()

    def _tell_successor(self, unit: Unit, moved_persons: int) -> None:
        step = UnitMailStep(
            unit_id=unit.unit_id, successor_unit_id=unit.successor_unit_id, moved_persons=moved_persons
        )
        self._mails.mail(UnitClosingActivities.tell_unit_took_over, step, "Notify the successor's registrars")

    @workflow.update(name=UnitClosingWorkflowNames.CLOSE)
    async def close(self, request: CloseRequest) -> CloseResponse:
        """Closes the unit. Answers with it, or with the refusal."""
        return await self._perform(request)

    async def _perform(self, request: CloseRequest) -> CloseResponse:
        if self._answer is None and workflow.patched("tell-of-unit-closings"):
            # A run that goes on after its end from outside repeats its last task, and the unit may be closed
            # by then.
            listed = await _recorded_step(
                "list-registrars-in-a-task-before",
                UnitClosingActivities.list_registrars,
                request,
                "List the unit's registrars",
            )
            if not self._registrars.account_ids:
                # Of two calls, the later may find nobody any more.
                self._registrars = listed
        # It begins only when Temporal has recorded the registrars, whom nobody finds once the unit is closed.
        answer = await _recorded_step(
            "record-who-is-told-before-the-closing",
            UnitClosingActivities.close_unit,
            request,
            "Close the unit",
        )
        if self._answer is None or not answer.HasField("refused"):
            # A later call for another successor is refused, and stops no move.
            self._answer, self._closed_by = answer, current_actor()
        return answer

    async def _move(self, unit: Unit) -> int:
        """Moves all that the unit has; how many persons have moved so far."""
        step = MoveUnitStep(unit_id=unit.unit_id, successor_unit_id=unit.successor_unit_id)
        moving, moved = "Move the next persons to the successor", 0
        while True:
            set_details(
                f"**Moves all to unit `{unit.successor_unit_id}`**: {moved:,} persons moved.\n\n"
                f"Closed unit `{unit.unit_id}`."
            )
            if workflow.info().is_continue_as_new_suggested():
                await workflow.wait_condition(self._is_at_rest)
                workflow.continue_as_new(CloseRequest(unit_id=unit.unit_id, closed=unit))
            result = await insist(
                lambda: workflow.execute_activity_method(
                    UnitClosingActivities.move_unit_batch,
                    step,
                    start_to_close_timeout=MAIL,
                    heartbeat_timeout=HEARTBEAT,
                    retry_policy=RETRY,
                    summary=OperatorText(moving),
                ),
                moving,
            )
            moved = result.moved_persons
            if result.is_done:
                return moved


async def _recorded_step(
    patch: str, step: Callable[[Any, CloseRequest], Awaitable[ResultT]], request: CloseRequest, summary: str
) -> ResultT:
    """A step that begins once Temporal has recorded all before it. Runs before `patch` took it at once."""
    if not workflow.patched(patch):
        return await quick_step(step, request, summary)
    return await workflow.execute_activity_method(
        step, request, start_to_close_timeout=QUICK, retry_policy=RETRY, summary=OperatorText(summary)
    )
