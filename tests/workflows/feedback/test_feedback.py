"""The 14 days in which feedback on accessibility is to be answered: who is told, reminded and answered."""

import uuid
from datetime import UTC
from email.message import EmailMessage

from temporalio.client import WorkflowExecutionStatus

from deploy.demo.polling import eventually
from liity.registration.v1.feedback_service_pb2 import StoredFeedback
from tests.workflows.conftest import World
from tests.workflows.feedback.feedback import ANSWER, WORDS, answer, look, sent
from tests.workflows.messages.test_message import CUSTOMER_SERVICE, linked_item, text_of

WAITS = "Saavutettavuuspalaute odottaa vastausta"
REMINDER = "Muistutus: saavutettavuuspalautteeseen ei ole vastattu"
OVERDUE = "Myöhässä: saavutettavuuspalautteeseen ei ole vastattu lain määräajassa"
RECEIVED = "We have received your feedback on accessibility"
LATE = "Our answer to your feedback on accessibility is late"
ANSWERED = "Answer to your feedback on accessibility"


def mails(world: World, address: str, feedback: StoredFeedback) -> list[EmailMessage]:
    return [mail for mail in world.mails_to(address) if feedback.reference in text_of(mail)]


async def told(world: World, address: str, feedback: StoredFeedback, *subjects: str) -> None:
    """Waits until an address has got these mails about feedback."""

    async def found() -> list[str]:
        return [mail["Subject"] for mail in mails(world, address, feedback)]

    assert await eventually(found, lambda now: len(now) >= len(subjects), 30) == [*subjects]


async def test_the_answer_is_mailed_and_customer_service_gets_no_words(world: World) -> None:
    address = f"{uuid.uuid4().hex}@koti.example"
    feedback, run = await sent(world, address)
    await told(world, CUSTOMER_SERVICE, feedback, WAITS)
    [mail] = mails(world, CUSTOMER_SERVICE, feedback)
    assert (await linked_item(world, mail)).subjects[0].feedback_id == feedback.feedback_id
    await told(world, address, feedback, RECEIVED)
    await answer(world, feedback)
    for _ in range(2):
        # A run that is started again mails nobody twice.
        await look(world, feedback)
        await run.result()
    await told(world, address, feedback, RECEIVED, ANSWERED)
    received, answered = mails(world, address, feedback)
    assert ANSWER in text_of(answered)
    assert all(WORDS not in text_of(mail) for mail in (received, *mails(world, CUSTOMER_SERVICE, feedback)))


async def test_what_nobody_answers_is_reminded_of_and_escalated_at_the_deadline(world: World) -> None:
    address = f"{uuid.uuid4().hex}@koti.example"
    feedback, run = await sent(world, address)
    await told(world, CUSTOMER_SERVICE, feedback, WAITS)
    await told(world, address, feedback, RECEIVED)
    deadline = feedback.deadline.ToDatetime(UTC)
    await world.skip(run, deadline - await world.environment.get_current_time(run))
    await told(world, CUSTOMER_SERVICE, feedback, WAITS, REMINDER, OVERDUE)
    await told(world, address, feedback, RECEIVED, LATE)
    # Answered late, and nobody tells the run: it finds the answer a month later.
    await answer(world, feedback)
    await world.skip_to_end(run)
    assert (await run.describe()).status == WorkflowExecutionStatus.COMPLETED
    await told(world, CUSTOMER_SERVICE, feedback, WAITS, REMINDER, OVERDUE)
    await told(world, address, feedback, RECEIVED, LATE, ANSWERED)


async def test_who_gives_no_address_gets_no_mail_and_what_is_erased_ends(world: World) -> None:
    feedback, run = await sent(world)
    await told(world, CUSTOMER_SERVICE, feedback, WAITS)
    await world.change(
        "registration", "DELETE FROM feedback WHERE feedback_id = :id", id=feedback.feedback_id
    )
    await look(world, feedback)
    await run.result()
    await told(world, CUSTOMER_SERVICE, feedback, WAITS)
