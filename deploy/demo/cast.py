"""The accounts of the demonstration and their common actions: log in, look up, save, read mail."""

import random
import secrets
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

from google.protobuf.timestamp_pb2 import Timestamp

from deploy.demo.forms import DemoPerson
from deploy.demo.narration import Narrator, expect
from deploy.demo.polling import eventually
from deploy.local.mailbox.client import Mail, MailboxClient
from deploy.local.seed import DemoAccount
from frontends.client import ApiClient, new_request_id
from liity.v1.credential_service_pb2 import ChoosePasswordRequest
from liity.v1.registration_pb2 import Registration, Stage
from liity.v1.registration_service_pb2 import (
    STANDING_NOT_REGISTERED,
    CheckPersonalIdentityCodeRequest,
    CheckPersonalIdentityCodeResponse,
    GetRegistrationRequest,
    RegisterCustomerRequest,
)
from liity.v1.work_service_pb2 import ClaimWorkItemRequest, ListWorkItemsRequest
from services.runtime.clock import HELSINKI, helsinki_day

SECONDS = 30.0
"""How long to wait for a background step."""

_DRAWS = 5
"""How many persons to try, as some may be registered since an earlier demonstration."""


class Cast:
    """A library's registrar, a school's teacher, customer service, and a caller without an account."""

    def __init__(
        self,
        gateway: str,
        mailbox: str,
        accounts: dict[str, DemoAccount],
        narrator: Narrator,
        gateway_ca: Path | None = None,
    ) -> None:
        self.accounts = accounts
        self.narrator = narrator
        self.mailbox = MailboxClient(mailbox)
        self.registrar = ApiClient(gateway, ca=gateway_ca)
        self.teacher = ApiClient(gateway, ca=gateway_ca)
        self.staff = ApiClient(gateway, ca=gateway_ca)
        self.outsider = ApiClient(gateway, ca=gateway_ca)
        self.pages: list[tuple[str, str, str]] = []
        """Pages to look at: who is on them, the key of the account that sees them, and their addresses."""
        self.today = helsinki_day(datetime.now(UTC))
        self._random = random.Random()  # noqa: S311 - people are made up, not secrets

    def point_out(self, who: str, account: str, page: str) -> None:
        """Remembers a page of the demonstration's people, and the demo account that sees it."""
        self.pages.append((who, account, page))

    async def close(self) -> None:
        """Closes the connections."""
        for client in (self.registrar, self.teacher, self.staff, self.outsider):
            await client.close()

    async def log_in(self, client: ApiClient, key: str) -> None:
        """Logs in one of the demo accounts."""
        account = self.accounts[key]
        async with self.narrator.step(f"{account.display_name} logs in") as taken:
            session = await client.log_in(account.email, account.password)
            if account.unit:
                expect(client.unit == account.unit, "the session names another unit")
                taken.note(session.memberships[0].unit_display_name)

    async def find_new_person(
        self, client: ApiClient, make_up: Callable[[date, random.Random], DemoPerson]
    ) -> DemoPerson:
        """Makes up a person who is not registered yet."""
        async with self.narrator.step("Is the person registered already?") as taken:
            for _ in range(_DRAWS):
                person = make_up(self.today, self._random)
                answer = await self.check(client, person)
                if answer.standing == STANDING_NOT_REGISTERED:
                    taken.note("not yet")
                    return person
            raise AssertionError("everybody made up seems to be registered")

    async def choose_password(self, token: str, whose: str) -> None:
        """Chooses a password by the link in a credentials mail."""
        async with self.narrator.step(f"{whose} chooses a password through the mail's link") as taken:
            answer = await self.outsider.call(
                self.outsider.credentials.ChoosePassword,
                ChoosePasswordRequest(
                    token=token, request_id=new_request_id(), password=secrets.token_urlsafe(16)
                ),
            )
            expect(bool(answer.user_name), "there is no user name")
            taken.note(f"user name {answer.user_name}")

    async def check(self, client: ApiClient, person: DemoPerson) -> CheckPersonalIdentityCodeResponse:
        """The person's standing, as the client's unit sees it (R10)."""
        return await client.call(
            client.registrations.CheckPersonalIdentityCode,
            CheckPersonalIdentityCodeRequest(
                parent=client.unit, personal_identity_code=person.personal_identity_code
            ),
        )

    async def save(self, client: ApiClient, person: DemoPerson) -> Registration:
        """Saves the person's form for the client's unit."""
        answer = await client.call(client.registrations.RegisterCustomer, save_request(client, person))
        return answer.registration

    async def get(self, client: ApiClient, name: str) -> Registration:
        """Gets a registration as the client."""
        answer = await client.call(client.registrations.GetRegistration, GetRegistrationRequest(name=name))
        return answer.registration

    async def reaches(self, client: ApiClient, name: str, *stages: Stage.ValueType) -> Registration:
        """Waits until a registration is in one of the stages."""
        return await eventually(
            lambda: self.get(client, name), lambda registration: registration.stage in stages, SECONDS
        )

    async def claim(self, subject: str) -> None:
        """Claims the registration's work item for customer service (R19, R24)."""
        request = ListWorkItemsRequest(page_size=200)
        while True:
            page = await self.staff.call(self.staff.work.ListWorkItems, request)
            for item in page.work_items:
                if subject in {about.name for about in item.subjects}:
                    claim = ClaimWorkItemRequest(name=item.name, request_id=new_request_id())
                    await self.staff.call(self.staff.work.ClaimWorkItem, claim)
                    return
            if not page.next_page_token:
                raise LookupError("it is not on the work list")
            request.page_token = page.next_page_token

    async def mails_so_far(self, key: str) -> frozenset[str]:
        """IDs of the mails that a demo account has received."""
        return frozenset(mail.id for mail in await self.mailbox.mails(self.accounts[key].email))

    async def new_mail(self, key: str, so_far: frozenset[str]) -> Mail:
        """Waits for a demo account's next mail."""
        return await self.mailbox.wait_for(
            self.accounts[key].email, SECONDS, lambda mail: mail.id not in so_far
        )


def save_request(client: ApiClient, person: DemoPerson) -> RegisterCustomerRequest:
    """The Save request of a person for the client's unit."""
    return RegisterCustomerRequest(
        parent=client.unit,
        request_id=new_request_id(),
        personal_identity_code=person.personal_identity_code,
        form=person.form,
    )


def stage_name(stage: Stage.ValueType) -> str:
    """The stage's name without the prefix `STAGE_`."""
    return Stage.Name(stage).removeprefix("STAGE_")


def stage_is(registration: Registration) -> str:
    """The reason of a failed step: the unexpected stage."""
    return f"its stage is {stage_name(registration.stage)}"


def moment_text(timestamp: Timestamp) -> str:
    """A moment as written in Finland."""
    return f"{timestamp.ToDatetime(UTC).astimezone(HELSINKI):%-d.%-m.%Y %H:%M} Helsinki time"
