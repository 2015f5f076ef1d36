"""Demonstration: a customership ends, and the customer comes back (R19)."""

from deploy.demo.cast import SECONDS, Cast, moment_text, stage_name
from deploy.demo.forms import DemoPerson, adult
from deploy.demo.narration import expect
from frontends.client import new_request_id
from liity.v1.customer_service_pb2 import (
    END_REASON_OWN_WISH,
    EndCustomershipRequest,
    SearchCustomersRequest,
)
from liity.v1.registration_pb2 import (
    STAGE_CREDENTIALS_SENT,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WELCOMED,
    Registration,
)
from liity.v1.registration_service_pb2 import STANDING_MARKED_FOR_DELETION, ReactivateRequest


class RemovalStory:
    """Ends a library customer's customership and registers the person again."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast

    async def tell(self) -> None:
        """Runs all steps; the registrar and customer service must be logged in."""
        self._cast.narrator.chapter("A customer leaves, and comes back")
        person = await self._cast.find_new_person(self._cast.registrar, adult)
        customer = await self._end(person)
        await self._find_marked(person, customer)
        waiting = await self._save_anew(person)
        await self._reactivate(person, waiting)

    async def _end(self, person: DemoPerson) -> str:
        registrar, step = self._cast.registrar, self._cast.narrator.step
        async with step("The library registers somebody") as taken:
            saved = await self._cast.save(registrar, person)
            registration = await self._cast.reaches(
                registrar, saved.name, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED
            )
            credentials = await self._cast.mailbox.wait_for(person.email, SECONDS)
            taken.note(stage_name(registration.stage))
        async with step("The registrar ends the customership at the customer's wish") as taken:
            ended = await registrar.call(
                registrar.customers.EndCustomership,
                EndCustomershipRequest(
                    name=registration.customer, request_id=new_request_id(), reason=END_REASON_OWN_WISH
                ),
            )
            taken.note(f"erased on {moment_text(ended.erase_time)}")
        async with step("The customer is told by mail") as taken:
            mail = await self._cast.mailbox.wait_for(
                person.email, SECONDS, lambda mail: mail.subject != credentials.subject
            )
            taken.note(f"“{mail.subject}”")
        return registration.customer

    async def _find_marked(self, person: DemoPerson, customer: str) -> None:
        registrar, step = self._cast.registrar, self._cast.narrator.step
        async with step("Search finds nobody, yet the code is in use"):
            search = SearchCustomersRequest(
                parent=registrar.unit,
                query=f"{person.form.first_names} {person.form.last_name}",
                page_size=200,
            )
            found = await registrar.call(registrar.customers.SearchCustomers, search)
            answer = await self._cast.check(registrar, person)
            expect(answer.standing == STANDING_MARKED_FOR_DELETION, "the code is free")
            expect(customer not in {each.name for each in found.customers}, "search finds them")

    async def _save_anew(self, person: DemoPerson) -> Registration:
        async with self._cast.narrator.step("The registrar registers them anew: it waits") as taken:
            waiting = await self._cast.save(self._cast.registrar, person)
            expect(waiting.stage == STAGE_WAITING_FOR_REACTIVATION, "it does not wait")
            taken.note(f"until {moment_text(waiting.deadline)}")
        return waiting

    async def _reactivate(self, person: DemoPerson, waiting: Registration) -> None:
        staff, step = self._cast.staff, self._cast.narrator.step
        so_far = {mail.id for mail in await self._cast.mailbox.mails(person.email)}
        async with step("Customer service finds it on the work list and claims it"):
            await self._cast.claim(waiting.name)
        told = await self._cast.mails_so_far("registrar")
        async with step("Customer service activates the customer") as taken:
            reactivate = ReactivateRequest(name=waiting.name, request_id=new_request_id())
            answer = await staff.call(staff.registrations.Reactivate, reactivate)
            taken.note(stage_name(answer.registration.stage))
        async with step("The registrar is told by mail") as taken:
            taken.note(f"“{(await self._cast.new_mail('registrar', told)).subject}”")
        async with step("The customer gets new credentials by mail") as taken:
            mail = await self._cast.mailbox.wait_for(
                person.email, SECONDS, lambda mail: mail.id not in so_far
            )
            taken.note(f"“{mail.subject}”")
