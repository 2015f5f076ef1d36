"""Feedback on accessibility: stored, limited per caller, answered once, erased after its time."""

import re
import uuid
from datetime import UTC, timedelta
from typing import Any

import pytest

from liity.registration.v1 import feedback_service_pb2 as pb
from liity.registration.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from liity.registration.v1.work_service_pb2 import GetWorkItemRequest
from liity.registration.v1.work_service_pb2_grpc import WorkServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_form_pb2 import LANGUAGE_SV
from services.registration.feedback import service as feedback_service
from services.runtime.clock import HELSINKI
from services.runtime.rpc.context import set_current_actor
from tests.support.registration_service import Service, refusal, violations

TEXT = "Ruudunlukija ei lue\ntaulukon otsikoita."


class Desk:
    """Feedback, as the gateway calls for its callers."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stub: Any = FeedbackServiceStub(service.gateway.channel)

    async def send(self, caller: str = "", **fields: str) -> pb.StoredFeedback:
        set_current_actor(Actor(caller_address=caller or f"2001:db8:{uuid.uuid4().hex[:4]}::1"))
        request = {"request_id": str(uuid.uuid4()), "text": TEXT, **fields}
        create = pb.CreateFeedbackRequest(language=LANGUAGE_SV, **request)
        return (await self._service.gateway.call(self._stub.CreateFeedback, create)).feedback  # type: ignore[no-any-return]

    async def answer(
        self, feedback: pb.StoredFeedback, text: str = "Korjaamme.", **fields: str
    ) -> pb.StoredFeedback:
        set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="ac7", role=ROLE_CUSTOMER_SERVICE))
        given = {"request_id": str(uuid.uuid4()), "feedback_id": feedback.feedback_id, **fields}
        answer = pb.AnswerFeedbackRequest(answer=text, **given)
        return (await self._service.gateway.call(self._stub.AnswerFeedback, answer)).feedback  # type: ignore[no-any-return]

    async def get(self, feedback: pb.StoredFeedback) -> pb.StoredFeedback:
        request = pb.GetFeedbackRequest(feedback_id=feedback.feedback_id)
        return (await self._service.gateway.call(self._stub.GetFeedback, request)).feedback  # type: ignore[no-any-return]

    async def item(self, feedback: pb.StoredFeedback) -> Any:
        work: Any = WorkServiceStub(self._service.gateway.channel)
        request = GetWorkItemRequest(work_item_id=f"55-{feedback.feedback_id}")
        return (await self._service.gateway.call(work.GetWorkItem, request)).work_item


@pytest.fixture
def desk(service: Service) -> Desk:
    return Desk(service)


async def test_feedback_waits_in_the_work_list_for_the_laws_fourteen_days(desk: Desk) -> None:
    feedback = await desk.send(sender_name=" Liisa ", sender_email="<Liisa@KOTI.example>", text=f"  {TEXT}\n")
    assert (feedback.sender_name, feedback.sender_email) == ("Liisa", "Liisa@koti.example")
    assert (feedback.text, feedback.language, feedback.answer) == (TEXT, LANGUAGE_SV, "")
    assert re.fullmatch("P-[2-79AC-FHJ-NP-RTV-Y]{4}-[2-79AC-FHJ-NP-RTV-Y]{4}", feedback.reference)
    # The day on which it comes does not count; the last one counts whole.
    came = feedback.create_time.ToDatetime(UTC).astimezone(HELSINKI)
    deadline = feedback.deadline.ToDatetime(UTC).astimezone(HELSINKI)
    assert (deadline.date() - came.date(), deadline.hour) == (timedelta(days=15), 0)
    item = await desk.item(feedback)
    assert (item.subjects[0].display_name, item.deadline) == (feedback.reference, feedback.deadline)


async def test_feedback_is_answered_once(desk: Desk) -> None:
    feedback, request_id = await desk.send(), str(uuid.uuid4())
    answered = await desk.answer(feedback, request_id=request_id)
    assert answered.answer == "Korjaamme."
    assert await desk.answer(feedback, request_id=request_id) == await desk.get(feedback) == answered
    assert await refusal(desk.answer(feedback)) == ("FAILED_PRECONDITION", "FEEDBACK_ANSWERED")
    assert await refusal(desk.item(feedback)) == ("NOT_FOUND", "WORK_ITEM_NOT_FOUND")


async def test_repeated_feedback_is_stored_once(desk: Desk) -> None:
    request_id = str(uuid.uuid4())
    assert await desk.send(request_id=request_id) == await desk.send(request_id=request_id)
    other = desk.send(request_id=request_id, text="Muuta.")
    assert await refusal(other) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_all_that_is_wrong_is_told_at_once(desk: Desk) -> None:
    wrong = desk.send(sender_name="010516B903X", sender_email="liisa", text="Tunnus 010516B903X ei kelpaa")
    assert await violations(wrong) == {
        "sender_name": "HETU_IN_TEXT",
        "sender_email": "INVALID_EMAIL",
        "text": "HETU_IN_TEXT",
    }
    assert await violations(desk.send(text=" \n ")) == {"text": "REQUIRED"}


async def test_one_network_sends_so_much_a_day(desk: Desk) -> None:
    for _ in range(100):
        await desk.send("192.0.2.7")
    assert await refusal(desk.send("192.0.2.7")) == ("RESOURCE_EXHAUSTED", "TOO_MUCH_FEEDBACK")
    await desk.send("192.0.2.8")


async def test_feedback_is_erased_after_its_time_though_nobody_answers(service: Service, desk: Desk) -> None:
    answered, waiting = await desk.send(), await desk.send()
    await desk.answer(answered)
    await feedback_service.sweep(service.engine, timedelta(hours=1))
    assert await desk.get(answered)
    await feedback_service.sweep(service.engine, timedelta(0))
    assert await refusal(desk.get(answered)) == ("NOT_FOUND", "FEEDBACK_NOT_FOUND")
    assert await desk.get(waiting)
    # As if the deadline had passed long ago.
    await feedback_service.sweep(service.engine, timedelta(days=-16))
    assert await refusal(desk.get(waiting)) == ("NOT_FOUND", "FEEDBACK_NOT_FOUND")
