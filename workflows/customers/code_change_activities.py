"""Activity of a change of a personal identity code (R24, R34). The code stays in identity."""

from temporalio import activity

from liity.identity.v1.person_service_pb2 import CommitCodeChangeRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.workflows.v1.code_change_workflow_pb2 import ChangeCodeRequest, ChangeCodeResponse
from services.runtime.rpc.peer import Peer
from workflows.support.refusals import answers_refusals


class CodeChangeActivities:
    """An activity that calls identity and registration."""

    def __init__(self, identity: Peer, registration: Peer) -> None:
        self._identity = identity
        self._registration = registration
        self._persons = PersonServiceStub(identity.channel)
        self._customers = CustomerServiceStub(registration.channel)

    @activity.defn
    @answers_refusals(ChangeCodeResponse)
    async def change_code(self, request: ChangeCodeRequest) -> ChangeCodeResponse:
        """Gives the person the code that identity holds. A permanent refusal is returned, not raised.

        Identity decides, by its unique index; the registration service records the decision.
        """
        commit = CommitCodeChangeRequest(request_id=request.record.request_id)
        committed = await self._identity.call(self._persons.CommitCodeChange, commit)
        if not committed.other_person_id:
            await self._registration.call(self._customers.RecordCodeChange, request.record)
        return ChangeCodeResponse(other_person_id=committed.other_person_id)
