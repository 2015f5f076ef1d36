"""Class lists, as the gateway stores, starts and reads them."""

import uuid
from datetime import date
from email.message import EmailMessage
from typing import Any

from temporalio.client import WorkflowHandle

from liity.registration.v1 import class_list_service_pb2 as pb
from liity.registration.v1.class_list_service_pb2_grpc import ClassListServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, ACTOR_KIND_SYSTEM, Actor
from liity.v1.customer_form_pb2 import CustomerForm
from liity.workflows.v1.class_list_workflow_pb2 import ClassListInput
from services.gateway.temporal.class_lists import ClassListWorkflows
from services.runtime.clock import to_proto_date
from services.runtime.rpc.context import set_current_actor
from services.runtime.temporal.names import ClassListWorkflowNames
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, adult_form, born

DONE = "Luettelon rekisteröinti on valmis"
CANCELLED = "Luettelon rekisteröinti peruutettiin"


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


class Lists:
    """Class lists, as the gateway stores, starts and reads them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._registration = world.gateway["registration"]
        self._stub = ClassListServiceStub(self._registration.channel)
        self.workflows = ClassListWorkflows(world.temporal)

    async def row(self, number: int, form: CustomerForm, birth_date: date) -> pb.ClassListRow:
        person_id = await self._world.person(birth_date)
        return pb.ClassListRow(
            row_number=number, person_id=person_id, birth_date=to_proto_date(birth_date), form=form
        )

    async def adults(self, count: int) -> list[pb.ClassListRow]:
        numbers = range(2, count + 2)
        return [await self.row(number, adult_form(address()), born(40, number)) for number in numbers]

    async def store(
        self, rows: list[pb.ClassListRow], account_id: str = "", unit_id: str = "", class_list_id: str = ""
    ) -> ClassListInput:
        registrar = self._world.registrar
        request = pb.CreateClassListRequest(
            class_list_id=class_list_id or uuid.uuid4().hex,
            unit_id=unit_id or self._world.unit_id,
            registrar=registrar,
            rows=rows,
        )
        request.registrar.account_id = account_id or registrar.account_id
        await self._registration.call(self._stub.CreateClassList, request)
        return ClassListInput(
            class_list_id=request.class_list_id,
            unit_id=request.unit_id,
            account_id=request.registrar.account_id,
        )

    async def start(self, of: ClassListInput) -> WorkflowHandle[Any, Any]:
        """Starts a list's run on behalf of who uploaded it."""
        set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id=of.account_id, unit_id=of.unit_id))
        await self.workflows.start(of)
        set_current_actor(Actor(kind=ACTOR_KIND_SYSTEM))
        return self.handle(of)

    async def run(self, of: ClassListInput) -> WorkflowHandle[Any, Any]:
        """Starts a list's run, and waits for its end."""
        handle = await self.start(of)
        await handle.result()
        return handle

    def handle(self, of: ClassListInput) -> WorkflowHandle[Any, Any]:
        workflow_id = ClassListWorkflowNames.workflow_id(of.class_list_id)
        return self._world.temporal.get_workflow_handle(workflow_id)

    async def get(self, of: ClassListInput) -> pb.ClassList:
        request = pb.GetClassListRequest(class_list_id=of.class_list_id)
        return (await self._registration.call(self._stub.GetClassList, request)).class_list

    async def outcomes(self, of: ClassListInput) -> dict[int, pb.RowOutcome]:
        request = pb.ListOutcomesRequest(class_list_id=of.class_list_id)
        answer = await self._registration.call(self._stub.ListOutcomes, request)
        return {outcome.row_number: outcome for outcome in answer.outcomes}

    def told(self, of: ClassListInput, email: str = REGISTRARS_ADDRESS) -> list[str]:
        """The texts of the mails that tell of a list's end."""
        texts = [_text(mail) for mail in self._world.mails_to(email) if mail["Subject"] in {DONE, CANCELLED}]
        return [text for text in texts if of.class_list_id in text]


def _text(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    text: str = body.get_content()
    return text
