"""`liity.v1.FeedbackService`: feedback on accessibility."""

import grpc
from typing_extensions import override

from liity.registration.v1 import feedback_service_pb2 as stored_pb2
from liity.registration.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from liity.v1.feedback_service_pb2 import (
    AnswerFeedbackRequest,
    AnswerFeedbackResponse,
    Feedback,
    GetFeedbackRequest,
    GetFeedbackResponse,
    SendFeedbackRequest,
    SendFeedbackResponse,
)
from liity.v1.feedback_service_pb2_grpc import FeedbackServiceServicer
from liity.v1.registration_pb2 import ACTION_ANSWER_FEEDBACK, PARTY_CUSTOMER_SERVICE, AvailableAction
from services.gateway.resource_names import FEEDBACK
from services.gateway.temporal.feedback import FeedbackWorkflows
from services.runtime.rpc.context import current_request
from services.runtime.rpc.peer import Peer


class FeedbackService(FeedbackServiceServicer):
    """Stores feedback and answers; a workflow for each mails about it and watches its deadline."""

    def __init__(self, registration: Peer, workflows: FeedbackWorkflows) -> None:
        self._registration = registration
        self._feedback = FeedbackServiceStub(registration.channel)
        self._workflows = workflows

    @override
    async def SendFeedback(
        self,
        request: SendFeedbackRequest,
        context: grpc.ServicerContext,
    ) -> SendFeedbackResponse:
        """Stores feedback, then starts its run: reconciliation starts one that is missing."""
        create = stored_pb2.CreateFeedbackRequest(
            request_id=request.request_id,
            sender_name=request.sender_name,
            sender_email=request.sender_email,
            language=current_request().language,
            text=request.text,
        )
        stored = (await self._registration.call(self._feedback.CreateFeedback, create)).feedback
        await self._workflows.look(stored.feedback_id)
        return SendFeedbackResponse(reference=stored.reference, deadline=stored.deadline)

    @override
    async def GetFeedback(
        self,
        request: GetFeedbackRequest,
        context: grpc.ServicerContext,
    ) -> GetFeedbackResponse:
        """Reads feedback."""
        asked = stored_pb2.GetFeedbackRequest(feedback_id=FEEDBACK.parse_id(request.name))
        stored = (await self._registration.call(self._feedback.GetFeedback, asked)).feedback
        return GetFeedbackResponse(feedback=_to_public(stored))

    @override
    async def AnswerFeedback(
        self,
        request: AnswerFeedbackRequest,
        context: grpc.ServicerContext,
    ) -> AnswerFeedbackResponse:
        """Answers feedback. A repeated call signals the run if an earlier one did not."""
        answer = stored_pb2.AnswerFeedbackRequest(
            request_id=request.request_id,
            feedback_id=FEEDBACK.parse_id(request.name),
            answer=request.answer,
        )
        answered = (await self._registration.call(self._feedback.AnswerFeedback, answer)).feedback
        await self._workflows.look(answered.feedback_id)
        return AnswerFeedbackResponse(feedback=_to_public(answered))


def _to_public(stored: stored_pb2.StoredFeedback) -> Feedback:
    feedback = Feedback(
        name=FEEDBACK.format(stored.feedback_id),
        reference=stored.reference,
        sender_name=stored.sender_name,
        sender_email=stored.sender_email,
        language=stored.language,
        text=stored.text,
        answer=stored.answer,
        create_time=stored.create_time,
        deadline=stored.deadline,
    )
    if stored.HasField("answer_time"):
        feedback.answer_time.CopyFrom(stored.answer_time)
    else:
        feedback.available_actions.append(
            AvailableAction(action=ACTION_ANSWER_FEEDBACK, parties=[PARTY_CUSTOMER_SERVICE])
        )
    return feedback
