"""Messages to customer service: written, found by their reference, answered once (R12, R25)."""

import asyncio
import re
import uuid
from datetime import timedelta
from typing import Any

import pytest

from liity.registration.v1 import message_service_pb2 as pb
from liity.registration.v1.message_service_pb2_grpc import MessageServiceStub
from liity.registration.v1.unit_service_pb2 import Unit
from liity.registration.v1.work_service_pb2 import ClaimWorkItemRequest, GetWorkItemRequest
from liity.registration.v1.work_service_pb2_grpc import WorkServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_REGISTRAR
from liity.v1.message_service_pb2 import (
    MESSAGE_CONTEXT_FORM,
    MESSAGE_CONTEXT_OTHER,
    MESSAGE_STATE_CLOSED,
    MESSAGE_STATE_LAPSED,
    MESSAGE_STATE_OPEN,
)
from services.registration.messages import service as message_service
from services.runtime.clock import now
from services.runtime.rpc.context import set_current_actor
from services.runtime.working_days import working_days_later
from tests.support.registration_service import REGISTRAR, Service, refusal, violations

TEXT = "Asiakas tarvitsee tunnukset\njo tänään."


class Desk:
    """Messages, as the gateway and the worker call them."""

    def __init__(self, service: Service, unit: Unit) -> None:
        self._service = service
        self._stub: Any = MessageServiceStub(service.gateway.channel)
        self._steps: Any = MessageServiceStub(service.worker.channel)
        self.unit = unit

    async def send(self, **fields: Any) -> pb.StoredMessage:
        if not {"registration_id", "customer_id", "context"} & set(fields):
            fields["context"] = MESSAGE_CONTEXT_FORM
        set_current_actor(
            Actor(
                kind=ACTOR_KIND_ACCOUNT,
                account_id=REGISTRAR.account_id,
                role=ROLE_REGISTRAR,
                unit_id=self.unit.unit_id,
            )
        )
        request = {
            "message_id": uuid.uuid4().hex,
            "request_id": str(uuid.uuid4()),
            "unit_id": self.unit.unit_id,
            "sender_display_name": REGISTRAR.display_name,
            "text": TEXT,
            **fields,
        }
        answer = await self._call(self._stub.CreateMessage, pb.CreateMessageRequest(**request))
        return answer.message  # type: ignore[no-any-return]

    async def close(
        self,
        message: pb.StoredMessage,
        answer: str = "Lähetetty.",
        request_id: str = "",
        officer: str = "ac7",
    ) -> pb.StoredMessage:
        set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id=officer, role=ROLE_CUSTOMER_SERVICE))
        request = pb.CloseMessageRequest(
            request_id=request_id or str(uuid.uuid4()),
            message_id=message.message_id,
            unit_id=message.unit_id,
            answer=answer,
        )
        return (await self._call(self._stub.CloseMessage, request)).message  # type: ignore[no-any-return]

    async def find(self, reference: str) -> pb.StoredMessage:
        answer = await self._call(self._stub.GetMessage, pb.GetMessageRequest(reference=reference))
        return answer.message  # type: ignore[no-any-return]

    async def list(self, **fields: Any) -> list[pb.StoredMessage]:
        request = pb.ListMessagesRequest(**{"unit_id": self.unit.unit_id, "page_size": 2, **fields})
        found: list[pb.StoredMessage] = []
        while True:
            page = await self._call(self._stub.ListMessages, request)
            found += page.messages
            request.page_token = page.next_page_token
            if not request.page_token:
                return found

    async def status(self, message: pb.StoredMessage) -> pb.GetMessageStatusResponse:
        request = pb.GetMessageStatusRequest(message_id=message.message_id)
        return await self._service.worker.call(self._steps.GetMessageStatus, request)  # type: ignore[no-any-return]

    async def lapse(self, message: pb.StoredMessage) -> None:
        request = pb.LapseMessageRequest(message_id=message.message_id)
        await self._service.worker.call(self._steps.LapseMessage, request)

    async def _call(self, method: Any, request: Any) -> Any:
        return await self._service.gateway.call(method, request)


@pytest.fixture
def desk(service: Service, unit: Unit) -> Desk:
    return Desk(service, unit)


async def test_a_message_has_a_reference_that_is_found_however_it_is_typed(desk: Desk) -> None:
    message = await desk.send()
    assert re.fullmatch("L-[2-79AC-FHJ-NP-RTV-Y]{4}-[2-79AC-FHJ-NP-RTV-Y]{4}", message.reference)
    assert message.state == MESSAGE_STATE_OPEN
    assert message.deadline.ToDatetime() == working_days_later(
        message.create_time.ToDatetime(tzinfo=now().tzinfo), 5
    ).replace(tzinfo=None)
    for typed in (message.reference, message.reference.lower(), message.reference[2:].replace("-", " ")):
        assert await desk.find(typed) == message
    assert await refusal(desk.find("L-7K3M-92Q")) == ("NOT_FOUND", "MESSAGE_NOT_FOUND")


async def test_a_code_in_the_text_is_refused_and_not_stored(service: Service, desk: Desk) -> None:
    code = "010594Y9032"
    assert await violations(desk.send(text=f"Hetu on {code}.")) == {"text": "HETU_IN_TEXT"}
    message = await desk.send()
    assert await violations(desk.close(message, answer=f"Katso {code}")) == {"answer": "HETU_IN_TEXT"}
    assert code not in await service.everything_stored()


async def test_nothing_but_spaces_is_no_message(desk: Desk) -> None:
    assert await violations(desk.send(text=" \n ")) == {"text": "REQUIRED"}


async def test_the_same_message_again_is_the_same_message(desk: Desk) -> None:
    request_id = str(uuid.uuid4())
    first = await desk.send(request_id=request_id)
    assert await desk.send(request_id=request_id.upper()) == first
    reused = await refusal(desk.send(request_id=request_id, text="Muuta asiaa."))
    assert reused == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    assert await desk.list() == [first]


async def test_a_message_is_about_somebody_of_the_unit_alone(service: Service, desk: Desk) -> None:
    waiting = await service.waiting(desk.unit.unit_id)
    customer = await service.customer(desk.unit.unit_id)
    about = await desk.send(registration_id=waiting.registration_id)
    assert (about.registration_id, about.customer_id) == (waiting.registration_id, "")
    about = await desk.send(customer_id=customer.customer_id)
    assert about.customer_id == customer.customer_id
    elsewhere = (await service.unit("Toinen kirjasto")).unit_id
    strange = await service.waiting(elsewhere)
    stranger = await service.customer(elsewhere)
    refused = await refusal(desk.send(registration_id=strange.registration_id))
    assert refused == ("NOT_FOUND", "REGISTRATION_NOT_FOUND")
    refused = await refusal(desk.send(customer_id=stranger.customer_id))
    assert refused == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")
    refused = await refusal(desk.send(unit_id="nowhere"))
    assert refused == ("NOT_FOUND", "UNIT_NOT_FOUND")


async def test_a_unit_reads_its_own_newest_first(desk: Desk) -> None:
    sent = [await desk.send(context=MESSAGE_CONTEXT_OTHER) for _ in range(5)]
    closed = await desk.close(sent[1])
    found = await desk.list()
    assert [message.message_id for message in found] == [message.message_id for message in reversed(sent)]
    assert await desk.list(state=MESSAGE_STATE_CLOSED) == [closed]
    assert len(await desk.list(state=MESSAGE_STATE_OPEN)) == 4
    assert await refusal(desk.list(page_token="none of ours")) == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_a_message_is_answered_once(desk: Desk) -> None:
    message, request_id = await desk.send(), str(uuid.uuid4())
    closed = await desk.close(message, request_id=request_id)
    assert (closed.state, closed.answer) == (MESSAGE_STATE_CLOSED, "Lähetetty.")
    assert await desk.close(message, answer="Muuta.", request_id=request_id) == closed
    assert await refusal(desk.close(message)) == ("FAILED_PRECONDITION", "MESSAGE_CLOSED")
    message.unit_id = "another"
    assert await refusal(desk.close(message)) == ("NOT_FOUND", "MESSAGE_NOT_FOUND")


async def test_of_two_officers_who_answer_at_once_one_does(desk: Desk) -> None:
    message = await desk.send()

    async def answered(officer: str) -> str:
        try:
            return (await desk.close(message, officer, officer=officer)).answer
        except Exception as refused:  # noqa: BLE001 - told below
            return str(refused)

    told = await asyncio.gather(
        *(asyncio.create_task(answered(officer)) for officer in ("ac7", "ac8", "ac9"))
    )
    assert len([answer for answer in told if "MESSAGE_CLOSED" in answer]) == 2
    assert (await desk.find(message.reference)).answer in told


async def test_a_message_is_work_until_it_is_closed(service: Service, desk: Desk) -> None:
    waiting = await service.waiting(desk.unit.unit_id)
    message = await desk.send(registration_id=waiting.registration_id)
    stub: Any = WorkServiceStub(service.gateway.channel)
    asked = GetWorkItemRequest(work_item_id=f"5-{message.message_id}")
    item = (await service.gateway.call(stub.GetWorkItem, asked)).work_item
    assert [subject.display_name for subject in item.subjects] == [message.reference, "Eetu Ilmari Mallikas"]
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="ac8", role=ROLE_CUSTOMER_SERVICE))
    claim = ClaimWorkItemRequest(
        request_id=str(uuid.uuid4()), work_item_id=item.work_item_id, display_name="Veikko"
    )
    await service.gateway.call(stub.ClaimWorkItem, claim)
    assert await refusal(desk.close(message)) == ("FAILED_PRECONDITION", "CLAIMED_BY_ANOTHER")
    await desk.close(message, officer="ac8")
    gone = await refusal(service.gateway.call(stub.GetWorkItem, asked))
    assert gone == ("NOT_FOUND", "WORK_ITEM_NOT_FOUND")


async def test_its_workflow_is_told_none_of_its_words(service: Service, desk: Desk) -> None:
    waiting = await service.waiting(desk.unit.unit_id)
    about = await desk.send(registration_id=waiting.registration_id)
    nobody = await desk.send()
    status = (await desk.status(about)).status
    assert (status.reference, status.sender_account_id) == (about.reference, REGISTRAR.account_id)
    assert status.subject_id == waiting.registration_id
    assert (await desk.status(nobody)).status.subject_id == nobody.message_id
    assert TEXT.encode() not in status.SerializeToString()


async def test_one_that_nobody_answers_lapses_and_an_answer_stays(desk: Desk) -> None:
    forgotten, answered = await desk.send(), await desk.send()
    await desk.close(answered)
    for message, state in ((forgotten, MESSAGE_STATE_LAPSED), (answered, MESSAGE_STATE_CLOSED)):
        await desk.lapse(message)
        assert (await desk.status(message)).status.state == state


async def test_a_message_goes_with_the_person_it_is_about(service: Service, desk: Desk) -> None:
    waiting = await service.waiting(desk.unit.unit_id)
    mark = uuid.uuid4().hex
    message = await desk.send(registration_id=waiting.registration_id, text=f"Asia {mark}")
    kept = await desk.send()
    told = {section.kind: section for section in (await service.export(waiting.person_id)).sections}
    assert mark in str(told["messages"])
    await service.erase(waiting.person_id)
    assert not (await desk.status(message)).HasField("status")
    assert mark not in await service.everything_stored()
    assert (await desk.status(kept)).HasField("status")


async def test_what_was_closed_long_ago_is_forgotten(service: Service, desk: Desk) -> None:
    closed, waiting = await desk.send(), await desk.send()
    await desk.close(closed)
    await message_service.sweep(service.engine, timedelta(hours=1))
    assert (await desk.status(closed)).HasField("status")
    await message_service.sweep(service.engine, timedelta(0))
    assert not (await desk.status(closed)).HasField("status")
    assert (await desk.status(waiting)).HasField("status")
