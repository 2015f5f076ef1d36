"""Messages to customer service in the world under skipped time."""

import uuid
from typing import Any

from temporalio.client import WorkflowHandle

from liity.registration.v1.message_service_pb2 import (
    CloseMessageRequest,
    CreateMessageRequest,
    StoredMessage,
)
from liity.registration.v1.message_service_pb2_grpc import MessageServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_REGISTRAR
from liity.v1.message_service_pb2 import MESSAGE_CONTEXT_FORM
from services.gateway.temporal.messages import MessageWorkflows
from services.runtime.rpc.context import set_current_actor
from services.runtime.temporal.names import MessageWorkflowNames
from tests.workflows.conftest import World

WORDS, ANSWER = "Koululla on uusi luokka.", "Tervetuloa mukaan."


async def written(
    world: World, message_id: str = "", unit_id: str = "", account_id: str = "", **about: Any
) -> StoredMessage:
    """A message, stored: of the world's registrar, unless somebody of another unit is named."""
    account_id = account_id or world.registrar.account_id
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id=account_id, role=ROLE_REGISTRAR))
    request = CreateMessageRequest(
        message_id=message_id or uuid.uuid4().hex,
        request_id=str(uuid.uuid4()),
        unit_id=unit_id or world.unit_id,
        sender_display_name=world.registrar.display_name,
        text=WORDS,
        **(about or {"context": MESSAGE_CONTEXT_FORM}),
    )
    gateway = world.gateway["registration"]
    return (await gateway.call(MessageServiceStub(gateway.channel).CreateMessage, request)).message


async def sent(world: World, **about: Any) -> tuple[StoredMessage, WorkflowHandle[Any, Any]]:
    """A message and its run."""
    message = await written(world, **about)
    await look(world, message)
    run = world.temporal.get_workflow_handle(MessageWorkflowNames.workflow_id(message.message_id))
    return message, run


async def begun(world: World, message_id: str) -> WorkflowHandle[Any, Any]:
    """The run of a message that is not stored yet."""
    await MessageWorkflows(world.temporal).look(message_id, world.unit_id)
    return world.temporal.get_workflow_handle(MessageWorkflowNames.workflow_id(message_id))


async def look(world: World, message: StoredMessage) -> None:
    await MessageWorkflows(world.temporal).look(message.message_id, message.unit_id)


async def close(world: World, message: StoredMessage) -> None:
    """Customer service answers."""
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="ac7", role=ROLE_CUSTOMER_SERVICE))
    request = CloseMessageRequest(
        request_id=str(uuid.uuid4()), message_id=message.message_id, unit_id=message.unit_id, answer=ANSWER
    )
    gateway = world.gateway["registration"]
    await gateway.call(MessageServiceStub(gateway.channel).CloseMessage, request)
