"""Customer service is told by one mail a day what in its work list is late, or will be soon."""

import uuid
from datetime import timedelta
from email.message import EmailMessage

from sqlalchemy import text

from liity.registration.v1.customer_service_pb2 import MarkEmailUndeliverableRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from services.runtime.clock import now
from services.runtime.temporal.names import TASK_QUEUE
from services.runtime.temporal.names import WorkDigestWorkflowNames as Names
from tests.workflows.conftest import World, adult_form, born

CUSTOMER_SERVICE = "customer-service@liity.example"
SUBJECT = "Työlistalla on asioita, joiden määräaika on lähellä tai ohi"


async def tell(world: World) -> None:
    """What the schedule does once a day."""
    await world.temporal.execute_workflow(
        Names.WORKFLOW, id=f"{Names.SCHEDULE}-{uuid.uuid4()}", task_queue=TASK_QUEUE
    )


def digests(world: World) -> list[EmailMessage]:
    return [mail for mail in world.mails_to(CUSTOMER_SERVICE) if mail["Subject"] == SUBJECT]


async def undeliverable(world: World, days: int) -> str:
    """A customer whose address has failed some days ago; their name."""
    email = f"{uuid.uuid4().hex}@example.org"
    form = adult_form(email)
    registration, _ = await world.save(form, born(40))
    worker = world.worker["registration"]
    mark = MarkEmailUndeliverableRequest(person_id=registration.person_id, email=email)
    await worker.call(CustomerServiceStub(worker.channel).MarkEmailUndeliverable, mark)
    async with world.engines["registration"].begin() as connection:
        await connection.execute(
            text("UPDATE customers SET undeliverable_since = :since WHERE email = :email"),
            {"since": now() - timedelta(days=days), "email": email},
        )
    return form.last_name


async def nothing_is_due(world: World) -> None:
    """Settles what other tests have left."""
    async with world.engines["registration"].begin() as connection:
        await connection.execute(text("UPDATE customers SET email_state = 1 WHERE email_state = 3"))
        await connection.execute(text("UPDATE registrations SET undeliverable_since = NULL"))


async def test_what_is_due_is_told_in_numbers(world: World) -> None:
    await nothing_is_due(world)
    names = [await undeliverable(world, days) for days in (1, 12, 15, 20)]
    before = len(digests(world))
    await tell(world)
    mail = digests(world)[before]
    body = mail.get_body(("plain",))
    assert body is not None
    assert "- Toimimattomat sähköpostiosoitteet: lähellä 1, ohi 2" in body.get_content().splitlines()
    assert not any(name in mail.as_string() for name in names)
    assert "Viestit asiakaspalvelulle" not in body.get_content()


async def test_what_nobody_settles_is_told_every_day_and_nothing_of_nothing(world: World) -> None:
    await nothing_is_due(world)
    await undeliverable(world, 1)
    before = len(digests(world))
    await tell(world)
    assert len(digests(world)) == before
    await undeliverable(world, 15)
    for _ in range(2):
        await tell(world)
    assert len(digests(world)) == before + 2
