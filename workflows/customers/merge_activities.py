"""Activities of a merge (R24, R34)."""

from temporalio import activity

from liity.identity.v1 import person_service_pb2 as identity_pb2
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1.customer_service_pb2 import CheckMergeRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.workflows.v1.merge_workflow_pb2 import MergeRequest, MergeResponse
from services.runtime.rpc.peer import Peer
from workflows.support.refusals import answers_refusals


class MergeActivities:
    """Activities that call identity and registration."""

    def __init__(self, identity: Peer, registration: Peer) -> None:
        self._identity = identity
        self._registration = registration
        self._persons = PersonServiceStub(identity.channel)
        self._customers = CustomerServiceStub(registration.channel)

    @activity.defn
    @answers_refusals(MergeResponse)
    async def merge_customers(self, request: MergeRequest) -> MergeResponse:
        """Merges two customers and their persons. A permanent refusal is returned, not raised.

        Both services first check that they can. The registration service decides; identity follows. Until it
        has, a Save by the merged person's code is put off.
        """
        merge = request.merge
        check = CheckMergeRequest(merge=merge)
        persons = await self._registration.call(self._customers.CheckMerge, check)
        which = {"person_id": persons.person_id, "merged_person_id": persons.merged_person_id}
        check_codes = identity_pb2.CheckMergeRequest(**which, code_of=request.code_of)
        checked = await self._identity.call(self._persons.CheckMerge, check_codes)
        if checked.HasField("birth_date"):
            merge.birth_date.CopyFrom(checked.birth_date)
        merged = await self._registration.call(self._customers.MergeCustomers, merge)
        persons_merge = identity_pb2.MergePersonsRequest(**which, code_of=request.code_of)
        await self._identity.call(self._persons.MergePersons, persons_merge)
        return MergeResponse(merged=merged)
