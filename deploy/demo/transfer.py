"""Demonstration: a school's customer moves to the library (R16)."""

from deploy.demo.cast import SECONDS, Cast, stage_name
from deploy.demo.forms import DemoPerson, young_adult
from deploy.demo.narration import expect, expect_refusal
from frontends.client import new_request_id
from liity.v1.customer_service_pb2 import GetCustomerRequest, TransferCustomerRequest
from liity.v1.reason_pb2 import REASON_CUSTOMER_NOT_FOUND
from liity.v1.registration_pb2 import ACTION_TRANSFER, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED
from liity.v1.registration_service_pb2 import STANDING_REGISTERED_IN_ANOTHER_UNIT


class TransferStory:
    """Registers a person at the school and transfers them to the library."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast

    async def tell(self) -> None:
        """Runs all steps; the registrar and the teacher must be logged in."""
        self._cast.narrator.chapter("A customer moves from the school to the library")
        person, old_name = await self._register_at_school()
        await self._find_elsewhere(person)
        told = await self._cast.mails_so_far("teacher")
        await self._move(person, old_name)
        async with self._cast.narrator.step("The school is told by mail") as taken:
            mail = await self._cast.new_mail("teacher", told)
            taken.note(f"“{mail.subject}”")

    async def _register_at_school(self) -> tuple[DemoPerson, str]:
        person = await self._cast.find_new_person(self._cast.teacher, young_adult)
        async with self._cast.narrator.step("The teacher registers a sixteen-year-old") as taken:
            saved = await self._cast.save(self._cast.teacher, person)
            await self._cast.mailbox.wait_for(person.email, SECONDS)
            registration = await self._cast.reaches(
                self._cast.teacher, saved.name, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED
            )
            taken.note(stage_name(registration.stage))
        return person, registration.customer

    async def _find_elsewhere(self, person: DemoPerson) -> None:
        async with self._cast.narrator.step(
            "The library asks by code, and sees no more than initials"
        ) as taken:
            answer = await self._cast.check(self._cast.registrar, person)
            expect(answer.standing == STANDING_REGISTERED_IN_ANOTHER_UNIT, "the person is not found")
            expect(
                ACTION_TRANSFER in {offered.action for offered in answer.available_actions},
                "no transfer is offered",
            )
            taken.note(answer.recognition)

    async def _move(self, person: DemoPerson, old_name: str) -> None:
        registrar, teacher = self._cast.registrar, self._cast.teacher
        async with self._cast.narrator.step("The registrar moves the customer to the library"):
            request = TransferCustomerRequest(
                parent=registrar.unit,
                request_id=new_request_id(),
                personal_identity_code=person.personal_identity_code,
            )
            moved = await registrar.call(registrar.customers.TransferCustomer, request)
            expect(moved.customer.form.last_name == person.form.last_name, "it is another customer")
        self._cast.point_out("the customer who moved to the library", "registrar", moved.customer.name)
        async with self._cast.narrator.step("The school has lost sight of the customer at once") as taken:
            await expect_refusal(
                teacher.call(teacher.customers.GetCustomer, GetCustomerRequest(name=old_name)),
                REASON_CUSTOMER_NOT_FOUND,
            )
            taken.note("NOT_FOUND")
