"""Demonstration: registering an adult and a child, from Save to the welcome mail."""

from datetime import UTC, datetime, timedelta

from deploy.demo.cast import SECONDS, Cast, moment_text, save_request, stage_is, stage_name
from deploy.demo.forms import DemoPerson, adult, pupil
from deploy.demo.narration import expect, expect_refusal
from frontends.client import new_request_id
from liity.v1.consent_service_pb2 import AcceptConsentRequest, DeclineConsentRequest, GetConsentRequestRequest
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    REASON_LINK_USED,
    REASON_REGISTRATION_NOT_FOUND,
    REASON_UNIT_NOT_FOUND,
)
from liity.v1.registration_pb2 import (
    PARTY_GUARDIAN,
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WELCOMED,
    Registration,
)
from liity.v1.registration_service_pb2 import STANDING_REGISTERED_IN_THIS_UNIT, RegisterCustomerRequest
from services.runtime.clock import helsinki_day, helsinki_moment


class RegistrationStory:
    """Registers an adult, who gets the welcome, and two children, one of whom is left waiting."""

    def __init__(self, cast: Cast) -> None:
        self._cast = cast

    async def tell(self) -> None:
        """Runs all steps."""
        customer = await self._register_adult()
        await self._guard_against_doubles()
        await self._register_child()
        await self._keep_units_apart()
        await self._welcome(customer)
        await self._leave_one_waiting()

    async def _register_adult(self) -> str:
        step = self._cast.narrator.step
        self._cast.narrator.chapter("A library registers an adult")
        await self._cast.log_in(self._cast.registrar, "registrar")
        self._adult = await self._cast.find_new_person(self._cast.registrar, adult)
        self._save = save_request(self._cast.registrar, self._adult)
        async with step("The registrar fills in the form and saves") as taken:
            registrar = self._cast.registrar
            answer = await registrar.call(registrar.registrations.RegisterCustomer, self._save)
            expect(answer.registration.stage in _FROM_ACTIVE_ON, stage_is(answer.registration))
            taken.note(stage_name(answer.registration.stage))
        async with step("The credentials reach the customer by mail") as taken:
            mail = await self._cast.mailbox.wait_for(self._adult.email, SECONDS)
            token, self._credentials = mail.link_token, mail.subject
            taken.note(f"“{mail.subject}”")
        await self._cast.choose_password(token, "The customer")
        self._cast.point_out("the adult whom the library registered", "registrar", answer.registration.name)
        return answer.registration.name

    async def _guard_against_doubles(self) -> None:
        step = self._cast.narrator.step
        self._cast.narrator.chapter("Nobody is registered twice")
        registrations = self._cast.registrar.registrations
        async with step("The same Save, repeated as after a lost answer, gives the same registration"):
            first = await self._cast.registrar.call(registrations.RegisterCustomer, self._save)
            again = await self._cast.registrar.call(registrations.RegisterCustomer, self._save)
            expect(first.registration.name == again.registration.name, "another registration was made")
        async with step("Saving the same person anew is refused") as taken:
            another = RegisterCustomerRequest()
            another.CopyFrom(self._save)
            another.request_id = new_request_id()
            await expect_refusal(
                self._cast.registrar.call(registrations.RegisterCustomer, another),
                REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
                REASON_BEING_REGISTERED,
            )
            taken.note("ALREADY_EXISTS")
        async with step("Asked by personal identity code, the person is registered in this unit now"):
            answer = await self._cast.check(self._cast.registrar, self._adult)
            expect(answer.standing == STANDING_REGISTERED_IN_THIS_UNIT, "the person is not found")

    async def _register_child(self) -> None:
        step = self._cast.narrator.step
        self._cast.narrator.chapter("A school registers a nine-year-old")
        await self._cast.log_in(self._cast.teacher, "teacher")
        child = await self._cast.find_new_person(self._cast.teacher, pupil)
        async with step("The teacher saves: the guardian's consent is awaited for 30 days") as taken:
            saved = await self._save_child(child)
            expect(PARTY_GUARDIAN in saved.waiting_for, "it does not say that it waits for the guardian")
            taken.note(f"until {moment_text(saved.deadline)}")
        self._child_registration = saved.name
        async with step("A personal link reaches the guardian by mail") as taken:
            asked = await self._cast.mailbox.wait_for(child.email, SECONDS)
            token = asked.link_token
            taken.note(f"“{asked.subject}”")
        async with step("The link shows who registers which child") as taken:
            question = await self._cast.outsider.call(
                self._cast.outsider.consents.GetConsentRequest, GetConsentRequestRequest(token=token)
            )
            expect(question.child_first_names == child.form.first_names, "it names another child")
            expect(
                question.unit_display_name == self._cast.accounts["teacher"].unit_display_name,
                "it names another unit",
            )
            taken.note(f"{question.child_first_names}, {question.unit_display_name}")
        told = await self._cast.mails_so_far("teacher")
        async with step("The guardian accepts"):
            await self._cast.outsider.call(
                self._cast.outsider.consents.AcceptConsent,
                AcceptConsentRequest(
                    token=token,
                    request_id=new_request_id(),
                    guardian_name=child.form.related_person.full_name,
                    wording_version=question.wording.version,
                    language=LANGUAGE_FI,
                ),
            )
        async with step("The credentials reach the guardian by mail") as taken:
            mail = await self._cast.mailbox.wait_for(
                child.email, SECONDS, lambda mail: "/password/" in mail.text
            )
            taken.note(f"“{mail.subject}”")
        await self._cast.choose_password(mail.link_token, "The guardian")
        async with step("The teacher is told by mail") as taken:
            mail = await self._cast.new_mail("teacher", told)
            taken.note(f"“{mail.subject}”")
        async with step("The link, used once, opens nothing more"):
            decline = DeclineConsentRequest(token=token, request_id=new_request_id())
            outsider = self._cast.outsider
            await expect_refusal(outsider.call(outsider.consents.DeclineConsent, decline), REASON_LINK_USED)

    async def _keep_units_apart(self) -> None:
        self._cast.narrator.chapter("Units see their own customers only")
        async with self._cast.narrator.step("The library asks for the school's registration") as taken:
            await expect_refusal(
                self._cast.get(self._cast.registrar, self._child_registration),
                REASON_REGISTRATION_NOT_FOUND,
                REASON_UNIT_NOT_FOUND,
            )
            taken.note("NOT_FOUND")

    async def _welcome(self, name: str) -> None:
        step = self._cast.narrator.step
        self._cast.narrator.chapter("The welcome")
        async with step("The registration tells when the welcome mail goes out") as taken:
            registration = await self._cast.reaches(
                self._cast.registrar, name, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED
            )
            taken.note(stage_name(registration.stage))
        remaining = registration.deadline.ToDatetime(UTC) - datetime.now(UTC)
        if registration.stage == STAGE_CREDENTIALS_SENT and remaining > timedelta(minutes=1):
            async with step("It keeps the real two weeks") as taken:
                created = helsinki_day(registration.create_time.ToDatetime(UTC))
                morning = helsinki_moment(created + timedelta(days=14), 9)
                expect(
                    morning <= registration.deadline.ToDatetime(UTC) < morning + timedelta(hours=3),
                    f"it is due at {moment_text(registration.deadline)}, not in the morning of the 14th day",
                )
                taken.note(f"due at {moment_text(registration.deadline)}")
            self._cast.narrator.console.print(
                "    To see it arrive, start the stack with LIITY_WORKFLOWS_WELCOME_DELAY=PT10S", style="dim"
            )
            return
        async with step("The welcome mail reaches the customer") as taken:
            mail = await self._cast.mailbox.wait_for(
                self._adult.email, SECONDS + 60, lambda mail: mail.subject != self._credentials
            )
            taken.note(f"“{mail.subject}”")
        async with step("The registration is complete") as taken:
            await self._cast.reaches(self._cast.registrar, name, STAGE_WELCOMED)
            taken.note(stage_name(STAGE_WELCOMED))

    async def _leave_one_waiting(self) -> None:
        self._cast.narrator.chapter("Something to look at")
        child = await self._cast.find_new_person(self._cast.teacher, pupil)
        async with self._cast.narrator.step("Another child is left waiting for a guardian") as taken:
            saved = await self._save_child(child)
            taken.note(f"until {moment_text(saved.deadline)}")
        self._cast.point_out("the child who waits for a guardian", "teacher", saved.name)

    async def _save_child(self, child: DemoPerson) -> Registration:
        saved = await self._cast.save(self._cast.teacher, child)
        expect(saved.stage == STAGE_WAITING_FOR_CONSENT, stage_is(saved))
        return saved


_FROM_ACTIVE_ON = frozenset({STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED})
