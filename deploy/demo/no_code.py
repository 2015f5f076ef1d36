"""Demonstration: registering a person without a personal identity code (R24)."""

from google.type.date_pb2 import Date

from deploy.demo.cast import SECONDS, Cast, moment_text, stage_name
from deploy.demo.forms import DemoPerson, adult
from deploy.demo.narration import expect
from frontends.client import new_request_id
from liity.v1.customer_service_pb2 import CODE_CHANGE_ATTACHED, SetPersonalIdentityCodeRequest
from liity.v1.registration_pb2 import (
    MISSING_CODE_REASON_NOT_YET_GIVEN,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    Registration,
)
from liity.v1.registration_service_pb2 import (
    STANDING_REGISTERED_IN_THIS_UNIT,
    MissingPersonalIdentityCode,
    RegisterCustomerRequest,
    VerifyIdentityRequest,
)


class NoCodeStory:
    """Registers a person who has moved to Finland and has no code yet."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast

    async def tell(self) -> None:
        """Runs all steps; the registrar and customer service must be logged in."""
        self._cast.narrator.chapter("Somebody has no personal identity code yet")
        person = await self._cast.find_new_person(self._cast.registrar, adult)
        waiting = await self._save(person)
        registration = await self._verify(person, waiting)
        await self._attach_code(person, registration)

    async def _save(self, person: DemoPerson) -> Registration:
        registrar = self._cast.registrar
        async with self._cast.narrator.step("The registrar saves the form marked so: it waits") as taken:
            request = RegisterCustomerRequest(
                parent=registrar.unit,
                request_id=new_request_id(),
                missing_personal_identity_code=MissingPersonalIdentityCode(
                    birth_date=Date(year=1970, month=1, day=31), reason=MISSING_CODE_REASON_NOT_YET_GIVEN
                ),
                form=person.form,
            )
            answer = await registrar.call(registrar.registrations.RegisterCustomer, request)
            expect(answer.registration.stage == STAGE_WAITING_FOR_IDENTITY_CHECK, "it does not wait")
            taken.note(f"until {moment_text(answer.registration.deadline)}")
        return answer.registration

    async def _verify(self, person: DemoPerson, waiting: Registration) -> Registration:
        staff, step = self._cast.staff, self._cast.narrator.step
        async with step("Customer service finds it on the work list and claims it"):
            await self._cast.claim(waiting.name)
        async with step("Customer service has made sure who it is") as taken:
            verify = VerifyIdentityRequest(name=waiting.name, request_id=new_request_id())
            answer = await staff.call(staff.registrations.VerifyIdentity, verify)
            taken.note(stage_name(answer.registration.stage))
        async with step("The credentials reach the customer by mail") as taken:
            taken.note(f"“{(await self._cast.mailbox.wait_for(person.email, SECONDS)).subject}”")
        return answer.registration

    async def _attach_code(self, person: DemoPerson, registration: Registration) -> None:
        staff, step = self._cast.staff, self._cast.narrator.step
        async with step("The code comes, and customer service attaches it"):
            attach = SetPersonalIdentityCodeRequest(
                name=registration.customer,
                request_id=new_request_id(),
                personal_identity_code=person.personal_identity_code,
                change=CODE_CHANGE_ATTACHED,
            )
            await staff.call(staff.customers.SetPersonalIdentityCode, attach)
        async with step("From now on the customer is found by it"):
            answer = await self._cast.check(self._cast.registrar, person)
            expect(answer.standing == STANDING_REGISTERED_IN_THIS_UNIT, "the customer is not found")
            expect(answer.customer == registration.customer, "it is another customer")
        self._cast.point_out("the customer who had no code at first", "staff", registration.customer)
