"""A message to customer service: who is told, reminded, and told how it ended (R12, R25)."""

import re
import uuid
from datetime import timedelta
from email.message import EmailMessage
from typing import cast

import grpc
import pytest
from temporalio.client import WorkflowExecutionStatus

from deploy.demo.polling import eventually
from liity.registration.v1.message_service_pb2 import StoredMessage
from liity.registration.v1.personal_data_service_pb2 import ErasePersonRequest
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub
from liity.registration.v1.work_service_pb2 import GetWorkItemRequest, WorkItem
from liity.registration.v1.work_service_pb2_grpc import WorkServiceStub
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER
from liity.v1.message_service_pb2 import MESSAGE_CONTEXT_FORM, SendMessageRequest
from services.gateway.api.messages import MessageService
from services.gateway.temporal.messages import MessageWorkflows
from services.runtime.rpc.context import RequestContext, set_current_request
from services.runtime.rpc.errors import Refusal
from services.runtime.security.access import Caller
from services.runtime.temporal.names import MessageWorkflowNames
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, born, child_form
from tests.workflows.messages.messages import ANSWER, WORDS, begun, close, look, sent, written

CUSTOMER_SERVICE = "customer-service@liity.example"
WAITS = "Viesti odottaa asiakaspalvelun vastausta"
REMINDER = "Muistutus: viesti odottaa yhä asiakaspalvelun vastausta"
RECEIVED = "Asiakaspalvelu on saanut viestisi"
ANSWERED = "Asiakaspalvelu on vastannut viestiisi"
ERASED = "Viestisi asiakaspalvelulle on suljettu"
LAPSED = "Viestiisi asiakaspalvelulle ei ole vastattu"


def about(world: World, address: str, message: StoredMessage) -> list[str]:
    """The subjects of the mails to an address that name a message, oldest first."""
    return [mail["Subject"] for mail in mails_about(world, address, message)]


def mails_about(world: World, address: str, message: StoredMessage) -> list[EmailMessage]:
    """The mails to an address that name a message, oldest first."""
    return [mail for mail in world.mails_to(address) if message.reference in text_of(mail)]


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    text: str = body.get_content()
    return text


async def told(world: World, address: str, message: StoredMessage, *subjects: str) -> None:
    """Waits until an address has got these mails about a message."""

    async def found() -> list[str]:
        return about(world, address, message)

    assert await eventually(found, lambda now: len(now) >= len(subjects), 30) == [*subjects]


async def linked_item(world: World, mail: EmailMessage) -> WorkItem:
    """The item that a mail to customer service leads to."""
    [work_item_id] = re.findall(r"/work/([\w-]+)", text_of(mail))
    registration = world.gateway["registration"]
    request = GetWorkItemRequest(work_item_id=work_item_id)
    return (await registration.call(WorkServiceStub(registration.channel).GetWorkItem, request)).work_item


async def test_both_are_told_of_a_message_and_the_sender_of_the_answer(world: World) -> None:
    message, run = await sent(world)
    await told(world, CUSTOMER_SERVICE, message, WAITS)
    await told(world, REGISTRARS_ADDRESS, message, RECEIVED)
    [mail] = mails_about(world, CUSTOMER_SERVICE, message)
    assert (await linked_item(world, mail)).subjects[0].message_id == message.message_id
    await close(world, message)
    await look(world, message)
    await run.result()
    assert about(world, REGISTRARS_ADDRESS, message) == [RECEIVED, ANSWERED]
    assert about(world, CUSTOMER_SERVICE, message) == [WAITS]
    page = f"/units/{world.unit_id}/messages/{message.message_id}"
    assert all(page in text_of(mail) for mail in mails_about(world, REGISTRARS_ADDRESS, message))
    for mail in (*world.mails_to(CUSTOMER_SERVICE), *world.mails_to(REGISTRARS_ADDRESS)):
        assert WORDS not in mail.as_string()
        assert ANSWER not in text_of(mail)


async def test_when_the_sender_has_left_the_unit_is_told_of_the_answer(world: World) -> None:
    unit_id = await world.unit()
    sender, main_user = await world.account(unit_id), await world.account(unit_id, ROLE_MAIN_USER)
    message, run = await sent(world, unit_id=unit_id, account_id=sender.account_id)
    await told(world, sender.email, message, RECEIVED)
    await world.leave(sender, unit_id)
    await close(world, message)
    await look(world, message)
    await run.result()
    assert about(world, sender.email, message) == [RECEIVED]
    assert about(world, main_user.email, message) == [ANSWERED]


async def test_customer_service_is_reminded_and_in_the_end_the_sender_is_told(world: World) -> None:
    message, run = await sent(world)
    await told(world, CUSTOMER_SERVICE, message, WAITS)
    await world.skip_to_end(run)
    await run.result()
    assert about(world, CUSTOMER_SERVICE, message) == [WAITS, REMINDER, REMINDER]
    assert about(world, REGISTRARS_ADDRESS, message) == [RECEIVED, LAPSED]
    # An answer to it comes too late.
    (stored,) = await world.rows(
        "registration", "SELECT state FROM messages WHERE message_id = :id", id=message.message_id
    )
    assert stored["state"] == 3


async def test_an_answer_that_nobody_tells_of_is_found_at_the_reminder(world: World) -> None:
    message, run = await sent(world)
    await told(world, CUSTOMER_SERVICE, message, WAITS)
    await close(world, message)
    await world.skip_to_end(run)
    await run.result()
    assert about(world, CUSTOMER_SERVICE, message) == [WAITS]
    assert about(world, REGISTRARS_ADDRESS, message) == [RECEIVED, ANSWERED]


async def test_a_run_that_is_started_again_mails_nobody_twice(world: World) -> None:
    message, run = await sent(world)
    await told(world, REGISTRARS_ADDRESS, message, RECEIVED)
    await close(world, message)
    for _ in range(2):
        await look(world, message)
        await run.result()
    assert about(world, REGISTRARS_ADDRESS, message) == [RECEIVED, ANSWERED]
    assert about(world, CUSTOMER_SERVICE, message) == [WAITS]


async def test_an_answer_before_its_run_began_is_told_by_the_run_that_it_starts(world: World) -> None:
    message = await written(world)
    await close(world, message)
    await look(world, message)
    await world.temporal.get_workflow_handle(MessageWorkflowNames.workflow_id(message.message_id)).result()
    assert about(world, REGISTRARS_ADDRESS, message) == [ANSWERED]
    assert about(world, CUSTOMER_SERVICE, message) == []


async def test_an_operator_may_have_it_look_and_nothing_else_comes_of_that(world: World) -> None:
    message, run = await sent(world)
    await told(world, CUSTOMER_SERVICE, message, WAITS)
    await run.signal(MessageWorkflowNames.CLOSED, {})
    await world.skip(run, timedelta(hours=1))
    assert (await run.describe()).status == WorkflowExecutionStatus.RUNNING
    await close(world, message)
    await run.signal(MessageWorkflowNames.CLOSED, {})
    await run.result()
    assert about(world, REGISTRARS_ADDRESS, message) == [RECEIVED, ANSWERED]


async def test_with_the_person_it_is_about_a_message_is_gone_and_its_sender_is_told(world: World) -> None:
    registration, _ = await world.save(child_form(f"{uuid.uuid4().hex}@example.org"), born(9))
    message, run = await sent(world, registration_id=registration.registration_id)
    await told(world, CUSTOMER_SERVICE, message, WAITS)
    worker = world.worker["registration"]
    erase = ErasePersonRequest(person_id=registration.person_id)
    await worker.call(PersonalDataServiceStub(worker.channel).ErasePerson, erase)
    await world.skip_to_end(run)
    await run.result()
    assert about(world, CUSTOMER_SERVICE, message) == [WAITS]
    assert about(world, REGISTRARS_ADDRESS, message) == [RECEIVED, ERASED]
    # There is no page of it any more.
    assert "/messages/" not in text_of(mails_about(world, REGISTRARS_ADDRESS, message)[1])


async def test_a_message_that_is_stored_while_its_sender_dies_is_seen_to(world: World) -> None:
    message_id = uuid.uuid4().hex
    run = await begun(world, message_id)
    message = await written(world, message_id)
    await world.skip(run, timedelta(minutes=11))
    await told(world, CUSTOMER_SERVICE, message, WAITS)
    await told(world, REGISTRARS_ADDRESS, message, RECEIVED)


async def test_a_message_that_is_refused_leaves_no_run_and_no_mail(world: World) -> None:
    caller = Caller(account_id=world.registrar.account_id, display_name=world.registrar.display_name)
    set_current_request(RequestContext(caller))
    gateway = MessageService(world.gateway["registration"], MessageWorkflows(world.temporal))
    # It has a run all the same: no message is stored before its run begins.
    request = SendMessageRequest(
        parent=f"units/{world.unit_id}", request_id=str(uuid.uuid4()), context=MESSAGE_CONTEXT_FORM, text=" "
    )
    with pytest.raises(Refusal):
        await gateway.SendMessage(request, cast(grpc.ServicerContext, None))
    message_id = uuid.UUID(request.request_id).hex
    run = world.temporal.get_workflow_handle(MessageWorkflowNames.workflow_id(message_id))
    mails = len(world.mails_to(CUSTOMER_SERVICE))
    await world.skip_to_end(run)
    await run.result()
    assert len(world.mails_to(CUSTOMER_SERVICE)) == mails
