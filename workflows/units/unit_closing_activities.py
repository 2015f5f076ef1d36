"""Activities of a unit's closing."""

from temporalio import activity
from temporalio.service import RPCError, RPCStatusCode

from liity.identity.v1.registrar_service_pb2 import ReleaseUnitRequest
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.registration.v1.unit_service_pb2 import (
    CloseUnitRequest,
    ListUnitPersonsRequest,
    MoveUnitPersonsRequest,
)
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.workflows.v1.need_workflow_pb2 import NeedChanged
from liity.workflows.v1.registration_workflow_pb2 import Moved
from liity.workflows.v1.unit_closing_workflow_pb2 import (
    CloseRequest,
    CloseResponse,
    MoveUnitStep,
    MoveUnitStepResult,
)
from services.runtime.rpc.peer import Peer
from services.runtime.temporal.names import NeedWorkflowNames, RegistrationWorkflowNames
from workflows.support.refusals import answers_refusals

_BATCH = 50
"""Persons that one step moves."""


class UnitClosingActivities:
    """Activities that call registration, identity and Temporal."""

    def __init__(self, identity: Peer, registration: Peer) -> None:
        self._identity = identity
        self._registration = registration
        self._registrars = RegistrarServiceStub(identity.channel)
        self._units = UnitServiceStub(registration.channel)

    @activity.defn
    @answers_refusals(CloseResponse)
    async def close_unit(self, request: CloseRequest) -> CloseResponse:
        """Closes the unit, then removes its registrars. A permanent refusal is returned, not raised."""
        close = CloseUnitRequest(unit_id=request.unit_id, successor_unit_id=request.successor_unit_id)
        closed = await self._registration.call(self._units.CloseUnit, close)
        release = ReleaseUnitRequest(unit_id=request.unit_id)
        released = await self._identity.call(self._registrars.ReleaseUnit, release)
        return CloseResponse(unit=closed.unit, voided_invitation_ids=released.voided_invitation_ids)

    @activity.defn
    async def move_unit_batch(self, step: MoveUnitStep) -> MoveUnitStepResult:
        """Moves the next persons to the successor; once there are none, what leads to no person."""
        following = ListUnitPersonsRequest(unit_id=step.unit_id, page_size=_BATCH)
        found = (await self._registration.call(self._units.ListUnitPersons, following)).persons
        for person in found:
            if person.is_running:
                # Before the move: after a crash the person would not be found again.
                workflow_id = RegistrationWorkflowNames.workflow_id(person.person_id)
                moved = Moved(unit_id=step.successor_unit_id)
                await _signal(workflow_id, RegistrationWorkflowNames.MOVED, moved)
            activity.heartbeat()
        move = MoveUnitPersonsRequest(unit_id=step.unit_id, person_ids=[person.person_id for person in found])
        moved_so_far = await self._registration.call(self._units.MoveUnitPersons, move)
        for person in found:
            if person.is_temporary:
                need = NeedWorkflowNames.workflow_id(person.customer_id)
                await _signal(need, NeedWorkflowNames.CHANGED, NeedChanged())
        return MoveUnitStepResult(moved_persons=moved_so_far.moved_persons, is_done=moved_so_far.is_done)


async def _signal(workflow_id: str, name: str, message: Moved | NeedChanged) -> None:
    """Signals a run, if it runs."""
    try:
        await activity.client().get_workflow_handle(workflow_id).signal(name, message)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
