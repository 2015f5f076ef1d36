"""Activity of a unit's closing."""

from temporalio import activity

from liity.identity.v1.registrar_service_pb2 import ReleaseUnitRequest
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.registration.v1.unit_service_pb2 import CloseUnitRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.workflows.v1.unit_closing_workflow_pb2 import CloseRequest, CloseResponse
from services.runtime.rpc.peer import Peer
from workflows.support.refusals import answers_refusals


class UnitClosingActivities:
    """An activity that calls registration and identity."""

    def __init__(self, identity: Peer, registration: Peer) -> None:
        self._identity = identity
        self._registration = registration
        self._registrars = RegistrarServiceStub(identity.channel)
        self._units = UnitServiceStub(registration.channel)

    @activity.defn
    @answers_refusals(CloseResponse)
    async def close_unit(self, request: CloseRequest) -> CloseResponse:
        """Closes the unit, then removes its registrars. A permanent refusal is returned, not raised."""
        close = CloseUnitRequest(unit_id=request.unit_id)
        closed = await self._registration.call(self._units.CloseUnit, close)
        release = ReleaseUnitRequest(unit_id=request.unit_id)
        released = await self._identity.call(self._registrars.ReleaseUnit, release)
        return CloseResponse(unit=closed.unit, voided_invitation_ids=released.voided_invitation_ids)
