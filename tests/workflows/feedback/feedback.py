"""Feedback on accessibility in the world under skipped time."""

import uuid
from typing import Any

from temporalio.client import WorkflowHandle

from liity.registration.v1.feedback_service_pb2 import (
    AnswerFeedbackRequest,
    CreateFeedbackRequest,
    StoredFeedback,
)
from liity.registration.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_form_pb2 import LANGUAGE_EN
from services.gateway.temporal.feedback import FeedbackWorkflows
from services.runtime.rpc.context import set_current_actor
from services.runtime.temporal.names import FeedbackWorkflowNames
from tests.workflows.conftest import World

WORDS, ANSWER = "The table has no headings.", "We have added the headings."


async def written(world: World, email: str = "") -> StoredFeedback:
    """Feedback, stored, from somebody with or without an address."""
    set_current_actor(Actor(caller_address=f"2001:db8:{uuid.uuid4().hex[:4]}::1"))
    request = CreateFeedbackRequest(
        request_id=str(uuid.uuid4()), sender_email=email, language=LANGUAGE_EN, text=WORDS
    )
    gateway = world.gateway["registration"]
    return (await gateway.call(FeedbackServiceStub(gateway.channel).CreateFeedback, request)).feedback


async def sent(world: World, email: str = "") -> tuple[StoredFeedback, WorkflowHandle[Any, Any]]:
    """Feedback and its run."""
    feedback = await written(world, email)
    await look(world, feedback)
    workflow_id = FeedbackWorkflowNames.workflow_id(feedback.feedback_id)
    return feedback, world.temporal.get_workflow_handle(workflow_id)


async def look(world: World, feedback: StoredFeedback) -> None:
    await FeedbackWorkflows(world.temporal).look(feedback.feedback_id)


async def answer(world: World, feedback: StoredFeedback) -> None:
    """Customer service answers."""
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="ac7", role=ROLE_CUSTOMER_SERVICE))
    request = AnswerFeedbackRequest(
        request_id=str(uuid.uuid4()), feedback_id=feedback.feedback_id, answer=ANSWER
    )
    gateway = world.gateway["registration"]
    await gateway.call(FeedbackServiceStub(gateway.channel).AnswerFeedback, request)
