"""The demonstration: the main job, shown step by step, through the public API and the mailbox alone."""

import random
import secrets
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from deploy.api_client import ApiClient, new_request_id
from deploy.demo_forms import DemoPerson, adult, pupil
from deploy.eventually import eventually
from deploy.mailbox_client import MailboxClient
from deploy.narration import Narrator, expect, expect_refusal
from deploy.seed import DemoAccount
from liity.v1.consent_service_pb2 import AcceptConsentRequest, DeclineConsentRequest, GetConsentRequestRequest
from liity.v1.credential_service_pb2 import ChoosePasswordRequest
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
    Stage,
)
from liity.v1.registration_service_pb2 import (
    STANDING_NOT_REGISTERED,
    STANDING_REGISTERED_IN_THIS_UNIT,
    CheckPersonalIdentityCodeRequest,
    CheckPersonalIdentityCodeResponse,
    GetRegistrationRequest,
    RegisterCustomerRequest,
)
from services.runtime.clock import HELSINKI, helsinki_day, helsinki_moment

_SECONDS = 30.0
"""How long a step may take that goes on by itself."""

_DRAWS = 5
"""How often another person is made up, should one be registered since an earlier demonstration."""


class Demonstration:
    """Registers an adult and a child. Each run makes up new people, so it can be repeated for ever."""

    def __init__(
        self,
        gateway: str,
        mailbox: str,
        accounts: dict[str, DemoAccount],
        console: Console,
        gateway_ca: Path | None = None,
    ) -> None:
        self._accounts = accounts
        self._narrator = Narrator(console)
        self._mailbox = MailboxClient(mailbox)
        self._registrar = ApiClient(gateway, ca=gateway_ca)
        self._teacher = ApiClient(gateway, ca=gateway_ca)
        self._outsider = ApiClient(gateway, ca=gateway_ca)
        self._random = random.Random()  # noqa: S311 - people are made up, not secrets
        self._today = helsinki_day(datetime.now(UTC))

    async def run(self) -> None:
        """Shows all of it. Raises `StepFailed` at the first step that is not as it should be."""
        try:
            customer = await self._register_adult()
            await self._guard_against_doubles()
            await self._register_child()
            await self._keep_units_apart()
            await self._welcome(customer)
            await self._leave_one_waiting()
        finally:
            for client in (self._registrar, self._teacher, self._outsider):
                await client.close()
        self._narrator.console.print(
            f"\n[bold green]All {self._narrator.steps} steps went as they should.[/]"
            " In Temporal UI every run shows what it waits for:"
            ' try the query [cyan]LiityStage = "WAITING_FOR_CONSENT"[/]'
        )

    async def _register_adult(self) -> str:
        step = self._narrator.step
        self._narrator.chapter("A library registers an adult")
        await self._log_in(self._registrar, "registrar")
        self._adult = await self._find_new_person(self._registrar, adult)
        self._save = RegisterCustomerRequest(
            parent=self._registrar.unit,
            request_id=new_request_id(),
            personal_identity_code=self._adult.personal_identity_code,
            form=self._adult.form,
        )
        async with step("The registrar fills in the form and saves") as taken:
            answer = await self._registrar.call(self._registrar.registrations.RegisterCustomer, self._save)
            expect(answer.registration.stage in _FROM_ACTIVE_ON, _stage_is(answer.registration))
            taken.note(_stage_name(answer.registration.stage))
        async with step("The credentials reach the customer by mail") as taken:
            mail = await self._mailbox.wait_for(self._adult.email, _SECONDS)
            token = mail.link_token
            taken.note(f"“{mail.subject}”")
        await self._choose_password(token, "The customer")
        return answer.registration.name

    async def _guard_against_doubles(self) -> None:
        step = self._narrator.step
        self._narrator.chapter("Nobody is registered twice")
        registrations = self._registrar.registrations
        async with step("The same Save, repeated as after a lost answer, gives the same registration"):
            first = await self._registrar.call(registrations.RegisterCustomer, self._save)
            again = await self._registrar.call(registrations.RegisterCustomer, self._save)
            expect(first.registration.name == again.registration.name, "another registration was made")
        async with step("Saving the same person anew is refused") as taken:
            another = RegisterCustomerRequest()
            another.CopyFrom(self._save)
            another.request_id = new_request_id()
            await expect_refusal(
                self._registrar.call(registrations.RegisterCustomer, another),
                REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
                REASON_BEING_REGISTERED,
            )
            taken.note("ALREADY_EXISTS")
        async with step("Asked by personal identity code, the person is registered in this unit now"):
            answer = await self._check(self._registrar, self._adult)
            expect(answer.standing == STANDING_REGISTERED_IN_THIS_UNIT, "the person is not found")

    async def _register_child(self) -> None:
        step = self._narrator.step
        self._narrator.chapter("A school registers a nine-year-old")
        await self._log_in(self._teacher, "teacher")
        child = await self._find_new_person(self._teacher, pupil)
        async with step("The teacher saves: the guardian's consent is awaited for 30 days") as taken:
            saved = await self._save_child(child)
            expect(PARTY_GUARDIAN in saved.waiting_for, "it does not say that it waits for the guardian")
            taken.note(f"until {_moment(saved.deadline)}")
        self._child_registration = saved.name
        async with step("A personal link reaches the guardian by mail") as taken:
            asked = await self._mailbox.wait_for(child.email, _SECONDS)
            token = asked.link_token
            taken.note(f"“{asked.subject}”")
        async with step("The link shows who registers which child") as taken:
            question = await self._outsider.call(
                self._outsider.consents.GetConsentRequest, GetConsentRequestRequest(token=token)
            )
            expect(question.child_first_names == child.form.first_names, "it names another child")
            expect(
                question.unit_display_name == self._accounts["teacher"].unit_display_name,
                "it names another unit",
            )
            taken.note(f"{question.child_first_names}, {question.unit_display_name}")
        told = {mail.id for mail in await self._mailbox.mails(self._accounts["teacher"].email)}
        async with step("The guardian accepts"):
            await self._outsider.call(
                self._outsider.consents.AcceptConsent,
                AcceptConsentRequest(
                    token=token,
                    request_id=new_request_id(),
                    guardian_name=child.form.related_person.full_name,
                    wording_version=question.wording.version,
                    language=LANGUAGE_FI,
                ),
            )
        async with step("The credentials reach the guardian by mail") as taken:
            mail = await self._mailbox.wait_for(child.email, _SECONDS, lambda mail: mail.id != asked.id)
            taken.note(f"“{mail.subject}”")
        await self._choose_password(mail.link_token, "The guardian")
        async with step("The teacher is told by mail") as taken:
            mail = await self._mailbox.wait_for(
                self._accounts["teacher"].email, _SECONDS, lambda mail: mail.id not in told
            )
            taken.note(f"“{mail.subject}”")
        async with step("The link, used once, opens nothing more"):
            decline = DeclineConsentRequest(token=token, request_id=new_request_id())
            await expect_refusal(
                self._outsider.call(self._outsider.consents.DeclineConsent, decline), REASON_LINK_USED
            )

    async def _keep_units_apart(self) -> None:
        self._narrator.chapter("Units see their own customers only")
        async with self._narrator.step("The library asks for the school's registration") as taken:
            await expect_refusal(
                self._get(self._registrar, self._child_registration),
                REASON_REGISTRATION_NOT_FOUND,
                REASON_UNIT_NOT_FOUND,
            )
            taken.note("NOT_FOUND")

    async def _welcome(self, name: str) -> None:
        step = self._narrator.step
        self._narrator.chapter("The welcome")
        async with step("The registration tells when the welcome mail goes out") as taken:
            registration = await eventually(
                lambda: self._get(self._registrar, name),
                lambda registration: registration.stage in {STAGE_CREDENTIALS_SENT, STAGE_WELCOMED},
                _SECONDS,
            )
            taken.note(_stage_name(registration.stage))
        remaining = registration.deadline.ToDatetime(UTC) - datetime.now(UTC)
        if registration.stage == STAGE_CREDENTIALS_SENT and remaining > timedelta(minutes=1):
            async with step("It keeps the real two weeks") as taken:
                created = helsinki_day(registration.create_time.ToDatetime(UTC))
                due = helsinki_moment(created + timedelta(days=14), 9)
                expect(
                    registration.deadline.ToDatetime(UTC) == due,
                    f"it is due at {_moment(registration.deadline)}, not at 09:00 on the 14th day",
                )
                taken.note(f"due at {_moment(registration.deadline)}")
            self._narrator.console.print(
                "    To see it arrive, start the stack with LIITY_WORKFLOWS_WELCOME_DELAY=PT10S", style="dim"
            )
            return
        async with step("The welcome mail reaches the customer") as taken:
            mail = await self._mailbox.wait_for(
                self._adult.email, _SECONDS + 60, lambda mail: "#" not in mail.text
            )
            taken.note(f"“{mail.subject}”")
        async with step("The registration is complete") as taken:
            await eventually(
                lambda: self._get(self._registrar, name),
                lambda registration: registration.stage == STAGE_WELCOMED,
                _SECONDS,
            )
            taken.note(_stage_name(STAGE_WELCOMED))

    async def _leave_one_waiting(self) -> None:
        self._narrator.chapter("Something to look at")
        child = await self._find_new_person(self._teacher, pupil)
        async with self._narrator.step("Another child is left waiting for a guardian") as taken:
            saved = await self._save_child(child)
            taken.note(f"until {_moment(saved.deadline)}")

    async def _save_child(self, child: DemoPerson) -> Registration:
        request = RegisterCustomerRequest(
            parent=self._teacher.unit,
            request_id=new_request_id(),
            personal_identity_code=child.personal_identity_code,
            form=child.form,
        )
        answer = await self._teacher.call(self._teacher.registrations.RegisterCustomer, request)
        saved = answer.registration
        expect(saved.stage == STAGE_WAITING_FOR_CONSENT, _stage_is(saved))
        return saved

    async def _log_in(self, client: ApiClient, key: str) -> None:
        account = self._accounts[key]
        async with self._narrator.step(f"{account.display_name} logs in") as taken:
            session = await client.log_in(account.email, account.password)
            expect(client.unit == account.unit, "the session names another unit")
            taken.note(session.memberships[0].unit_display_name)

    async def _find_new_person(
        self, client: ApiClient, make_up: Callable[[date, random.Random], DemoPerson]
    ) -> DemoPerson:
        async with self._narrator.step("Is the person registered already?") as taken:
            for _ in range(_DRAWS):
                person = make_up(self._today, self._random)
                answer = await self._check(client, person)
                if answer.standing == STANDING_NOT_REGISTERED:
                    taken.note("not yet")
                    return person
            raise AssertionError("everybody made up seems to be registered")

    async def _choose_password(self, token: str, whose: str) -> None:
        async with self._narrator.step(f"{whose} chooses a password through the mail's link") as taken:
            answer = await self._outsider.call(
                self._outsider.credentials.ChoosePassword,
                ChoosePasswordRequest(
                    token=token, request_id=new_request_id(), password=secrets.token_urlsafe(16)
                ),
            )
            expect(bool(answer.user_name), "there is no user name")
            taken.note(f"user name {answer.user_name}")

    async def _check(self, client: ApiClient, person: DemoPerson) -> CheckPersonalIdentityCodeResponse:
        return await client.call(
            client.registrations.CheckPersonalIdentityCode,
            CheckPersonalIdentityCodeRequest(
                parent=client.unit, personal_identity_code=person.personal_identity_code
            ),
        )

    async def _get(self, client: ApiClient, name: str) -> Registration:
        answer = await client.call(client.registrations.GetRegistration, GetRegistrationRequest(name=name))
        return answer.registration


_FROM_ACTIVE_ON = frozenset({STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED})


def _stage_name(stage: Stage.ValueType) -> str:
    return Stage.Name(stage).removeprefix("STAGE_")


def _stage_is(registration: Registration) -> str:
    return f"its stage is {_stage_name(registration.stage)}"


def _moment(timestamp: Timestamp) -> str:
    return f"{timestamp.ToDatetime(UTC).astimezone(HELSINKI):%-d.%-m.%Y %H:%M} Helsinki time"
