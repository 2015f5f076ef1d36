"""`liity.v1.MessageService`: messages to customer service (R12, R25)."""

import uuid

import grpc
from typing_extensions import override

from liity.registration.v1 import message_service_pb2 as stored_pb2
from liity.registration.v1.message_service_pb2_grpc import MessageServiceStub
from liity.v1.message_service_pb2 import (
    MESSAGE_STATE_OPEN,
    CloseMessageRequest,
    CloseMessageResponse,
    CustomerServiceMessage,
    FindMessageRequest,
    FindMessageResponse,
    GetMessageRequest,
    GetMessageResponse,
    ListMessagesRequest,
    ListMessagesResponse,
    SendMessageRequest,
    SendMessageResponse,
)
from liity.v1.message_service_pb2_grpc import MessageServiceServicer
from liity.v1.reason_pb2 import (
    REASON_CUSTOMER_NOT_FOUND,
    REASON_MESSAGE_NOT_FOUND,
    REASON_REGISTRATION_NOT_FOUND,
)
from liity.v1.registration_pb2 import ACTION_CLOSE_MESSAGE, PARTY_CUSTOMER_SERVICE, AvailableAction
from services.gateway.resource_names import CUSTOMER, MESSAGE, REGISTRATION, UNIT
from services.gateway.temporal.messages import MessageWorkflows
from services.gateway.views import DEFAULT_PAGE, LARGEST_PAGE
from services.runtime.rpc.context import current_request
from services.runtime.rpc.errors import not_found
from services.runtime.rpc.peer import Peer


class MessageService(MessageServiceServicer):
    """Stores messages and answers; a workflow for each mails about it and watches its deadline."""

    def __init__(self, registration: Peer, workflows: MessageWorkflows) -> None:
        self._registration = registration
        self._messages = MessageServiceStub(registration.channel)
        self._workflows = workflows

    @override
    async def SendMessage(
        self,
        request: SendMessageRequest,
        context: grpc.ServicerContext,
    ) -> SendMessageResponse:
        """Sends a message to customer service. A repeated call completes an earlier one that was cut off."""
        unit_id, caller = UNIT.parse_id(request.parent, "parent"), current_request().caller
        create = stored_pb2.CreateMessageRequest(
            message_id=uuid.UUID(request.request_id).hex,
            request_id=request.request_id,
            unit_id=unit_id,
            sender_display_name=caller.display_name,
            text=request.text,
        )
        if request.HasField("registration"):
            of_unit, create.registration_id = REGISTRATION.parse(request.registration)
            if of_unit != unit_id:
                raise not_found(REASON_REGISTRATION_NOT_FOUND)
        elif request.HasField("customer"):
            of_unit, create.customer_id = CUSTOMER.parse(request.customer)
            if of_unit != unit_id:
                raise not_found(REASON_CUSTOMER_NOT_FOUND)
        else:
            create.context = request.context
        # The run starts first and looks for the message: no message is stored without a run.
        await self._workflows.look(create.message_id, unit_id)
        stored = (await self._registration.call(self._messages.CreateMessage, create)).message
        if stored.state == MESSAGE_STATE_OPEN:
            await self._workflows.look(stored.message_id, unit_id)
        return SendMessageResponse(message=_to_public(stored))

    @override
    async def GetMessage(
        self,
        request: GetMessageRequest,
        context: grpc.ServicerContext,
    ) -> GetMessageResponse:
        """Reads a message."""
        unit_id, message_id = MESSAGE.parse(request.name)
        asked = stored_pb2.GetMessageRequest(message_id=message_id)
        stored = (await self._registration.call(self._messages.GetMessage, asked)).message
        if stored.unit_id != unit_id:
            raise not_found(REASON_MESSAGE_NOT_FOUND)
        return GetMessageResponse(message=_to_public(stored))

    @override
    async def ListMessages(
        self,
        request: ListMessagesRequest,
        context: grpc.ServicerContext,
    ) -> ListMessagesResponse:
        """Lists a unit's messages, newest first."""
        asked = stored_pb2.ListMessagesRequest(
            unit_id=UNIT.parse_id(request.parent, "parent"),
            state=request.state,
            page_size=min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE),
            page_token=request.page_token,
        )
        page = await self._registration.call(self._messages.ListMessages, asked)
        return ListMessagesResponse(
            messages=[_to_public(stored) for stored in page.messages], next_page_token=page.next_page_token
        )

    @override
    async def FindMessage(
        self,
        request: FindMessageRequest,
        context: grpc.ServicerContext,
    ) -> FindMessageResponse:
        """Finds a message by its reference."""
        asked = stored_pb2.GetMessageRequest(reference=request.reference)
        stored = (await self._registration.call(self._messages.GetMessage, asked)).message
        return FindMessageResponse(message=_to_public(stored))

    @override
    async def CloseMessage(
        self,
        request: CloseMessageRequest,
        context: grpc.ServicerContext,
    ) -> CloseMessageResponse:
        """Answers and closes a message. A repeated call signals the run if an earlier one did not."""
        unit_id, message_id = MESSAGE.parse(request.name)
        close = stored_pb2.CloseMessageRequest(
            request_id=request.request_id, message_id=message_id, unit_id=unit_id, answer=request.answer
        )
        closed = (await self._registration.call(self._messages.CloseMessage, close)).message
        await self._workflows.look(message_id, unit_id)
        return CloseMessageResponse(message=_to_public(closed))


def _to_public(stored: stored_pb2.StoredMessage) -> CustomerServiceMessage:
    message = CustomerServiceMessage(
        name=MESSAGE.format(stored.unit_id, stored.message_id),
        reference=stored.reference,
        state=stored.state,
        subject=_subject(stored),
        context=stored.context,
        text=stored.text,
        sender_display_name=stored.sender_display_name,
        answer=stored.answer,
        create_time=stored.create_time,
        deadline=stored.deadline,
    )
    if stored.HasField("close_time"):
        message.close_time.CopyFrom(stored.close_time)
    if stored.state == MESSAGE_STATE_OPEN:
        message.available_actions.append(
            AvailableAction(action=ACTION_CLOSE_MESSAGE, parties=[PARTY_CUSTOMER_SERVICE])
        )
    return message


def _subject(stored: stored_pb2.StoredMessage) -> str:
    """The message's customer or registration; empty if it has moved to another unit."""
    if not stored.registration_id or stored.subject_unit_id != stored.unit_id:
        return ""
    if stored.customer_id:
        return CUSTOMER.format(stored.unit_id, stored.customer_id)
    return REGISTRATION.format(stored.unit_id, stored.registration_id)
