"""Activities of a merge, and of taking it back (R24, R34, R43)."""

from temporalio import activity

from liity.identity.v1 import person_service_pb2 as identity_pb2
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1.customer_service_pb2 import CheckMergeRequest, UndoMergeRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.workflows.v1.merge_undo_workflow_pb2 import MergeUndoResponse
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
        persons_merge = identity_pb2.MergePersonsRequest(
            **which,
            code_of=request.code_of,
            # Links mailed for the merged customer must not act for the other one.
            registration_ids=merged.registration_ids,
            undo_expire_time=merged.undo_expire_time if merged.HasField("undo_expire_time") else None,
        )
        await self._identity.call(self._persons.MergePersons, persons_merge)
        return MergeResponse(merged=merged)

    @activity.defn
    @answers_refusals(MergeUndoResponse)
    async def undo_merge(self, request: UndoMergeRequest) -> MergeUndoResponse:
        """Takes a merge back. A permanent refusal is returned, not raised.

        Both services first check that they can. The registration service decides; identity follows.
        """
        check = UndoMergeRequest()
        check.CopyFrom(request)
        check.validate_only = True
        persons = await self._registration.call(self._customers.UndoMerge, check)
        undo = identity_pb2.UndoMergePersonsRequest(
            person_id=persons.person_id, merged_person_id=persons.merged_person_id, validate_only=True
        )
        await self._identity.call(self._persons.UndoMergePersons, undo)
        undone = await self._registration.call(self._customers.UndoMerge, request)
        undo.validate_only = False
        await self._identity.call(self._persons.UndoMergePersons, undo)
        return MergeUndoResponse(undone=undone)
