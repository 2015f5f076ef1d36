"""Common calls of system tests through the public API, and counting the mail that results."""

import asyncio
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

import asyncpg
import grpc

import services.notification
from deploy.demo import forms
from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.mailbox.store import Maildir
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal
from liity.v1.consent_service_pb2 import AcceptConsentRequest
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from liity.v1.registration_pb2 import Registration, Stage
from liity.v1.registration_service_pb2 import GetRegistrationRequest, RegisterCustomerRequest
from services.runtime.clock import helsinki_day, now
from services.runtime.temporal.names import RegistrationWorkflowNames
from tests.support.hetu_codes import code
from tests.support.smtp_server import SmtpServer

ResultT = TypeVar("ResultT")

PATIENCE = 90.0
"""Seconds until a test fails: many times what it takes on a busy machine."""

_RANDOM = random.Random()  # noqa: S311 - nobody's secret
_TEMPLATES = Path(next(iter(services.notification.__path__))) / "mail" / "templates"


_codes: set[str] = set()
"""The codes of these tests' persons: of 400 random nine-year-olds two have the same in every third run."""


def adult() -> DemoPerson:
    """An adult online customer with a unique first name and code."""
    return _unique(forms.adult)


def pupil() -> DemoPerson:
    """A nine-year-old whose guardian has not consented, with a unique first name and code."""
    return _unique(forms.pupil)


def namesake(person: DemoPerson) -> DemoPerson:
    """A person with the same name in another spelling, born on the same day."""
    other = adult()
    other.form.first_names = person.form.first_names.upper()
    other.form.last_name = person.form.last_name
    own = person.personal_identity_code
    number = 900 + (int(own[7:10]) + 1) % 100
    birth_date = datetime.strptime(own[:6], "%d%m%y").replace(tzinfo=UTC).date()
    return DemoPerson(code(birth_date, own[6], number), other.form, other.email)


def save_request(unit: str, person: DemoPerson, request_id: str = "") -> RegisterCustomerRequest:
    """A Save of a person, with a new request ID unless one is given."""
    return RegisterCustomerRequest(
        parent=unit,
        request_id=request_id or new_request_id(),
        personal_identity_code=person.personal_identity_code,
        form=person.form,
    )


async def save(client: ApiClient, person: DemoPerson, request_id: str = "") -> Registration:
    """Saves a person in the client's unit; repeats while a part of the system is unavailable."""
    request = save_request(client.unit, person, request_id)
    answer = await persistently(lambda: client.call(client.registrations.RegisterCustomer, request))
    return answer.registration


async def get(client: ApiClient, name: str) -> Registration:
    """A registration."""
    request = GetRegistrationRequest(name=name)
    answer = await persistently(lambda: client.call(client.registrations.GetRegistration, request))
    return answer.registration


async def reaches(
    client: ApiClient, name: str, *stages: Stage.ValueType, patience: float = PATIENCE
) -> Registration:
    """A registration, once it is in one of these stages."""
    return await eventually(lambda: get(client, name), lambda found: found.stage in stages, patience)


def accept_request(token: str, person: DemoPerson) -> AcceptConsentRequest:
    """The guardian's consent."""
    return AcceptConsentRequest(
        token=token,
        request_id=new_request_id(),
        guardian_name=person.form.related_person.full_name,
        wording_version="2026-1",
        language=LANGUAGE_FI,
    )


async def accept(guardian: ApiClient, token: str, person: DemoPerson) -> None:
    """Accepts a consent request as the guardian; repeats while a part of the system is unavailable."""
    request = accept_request(token, person)
    await persistently(lambda: guardian.call(guardian.consents.AcceptConsent, request))


async def persistently(call: Callable[[], Awaitable[ResultT]]) -> ResultT:
    """Repeats a call while it is UNAVAILABLE, as a careful client does; raises every other refusal."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await call()
            except Refusal as refusal:
                if refusal.code is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(0.2)


@dataclass(frozen=True)
class Copy:
    """One copy of a mail, as accepted by a mail server."""

    template: str
    recipient: str
    message_id: str
    text: str


class MailCounter:
    """Counts mails accepted by the stack's mailbox and by servers that replaced it."""

    def __init__(self, stack: Stack) -> None:
        self._maildir = Maildir(stack.folder / "mail")
        self.others: list[SmtpServer] = []
        """Servers that replaced the mailbox."""

    def copies(self, person: DemoPerson, registration: Registration | None = None) -> list[Copy]:
        """Every copy of every mail to a person, or to others about them or the registration."""
        marks = [person.form.first_names]
        if registration is not None:
            # The mail that tells no reference has a link to the registration.
            marks += [registration.reference, registration.name.rpartition("/")[2]]
        return [
            copy
            for copy in self._all()
            if copy.recipient == person.email or any(mark in copy.text for mark in marks)
        ]

    def templates(self, person: DemoPerson, registration: Registration | None = None) -> dict[str, int]:
        """Number of copies by template."""
        return dict(Counter(copy.template for copy in self.copies(person, registration)))

    async def wait_for(
        self, person: DemoPerson, template: str, registration: Registration | None = None
    ) -> Copy:
        """The first copy of a mail, once it has arrived."""

        async def find() -> list[Copy]:
            return [copy for copy in self.copies(person, registration) if copy.template == template]

        return (await eventually(find, bool, PATIENCE))[0]

    def _all(self) -> Iterable[Copy]:
        for mail in self._maildir.sent_to():
            template = template_of_subject(mail.subject)
            yield Copy(template, ",".join(mail.recipients), mail.message_id, mail.text)
        for server in self.others:
            yield from map(copy_of, server.taken)


def copy_of(mail: EmailMessage) -> Copy:
    """A mail as accepted by a mail server."""
    body = mail.get_body(("plain",))
    assert body is not None
    return Copy(template_of_subject(mail["Subject"]), mail["To"], mail["Message-ID"], body.get_content())


class WithText(Protocol):
    """A mail's text."""

    @property
    def text(self) -> str:
        """As plain text."""
        ...


def link_token(mail: WithText) -> str:
    """The token of the personal link in a mail."""
    found = re.search(r"/[a-z-]+/([A-Za-z0-9_.~-]{20,})", mail.text)
    assert found is not None
    return found[1]


def template_of_subject(subject: str) -> str:
    """The template a subject belongs to; requests about siblings end with a number."""
    return _SUBJECTS[re.sub(r" \(\d+/\d+\)$", "", subject)]


@asynccontextmanager
async def settings(stack: Stack, environment: Mapping[str, str], *components: str) -> AsyncIterator[None]:
    """Restarts components with other settings in the meantime."""
    before = dict(stack.environment)
    stack.environment |= environment
    try:
        for name in components:
            await stack.restart_component(name)
        yield
    finally:
        stack.environment = before
        for name in components:
            await stack.restart_component(name)


_connections: WeakKeyDictionary[Stack, dict[str, list[asyncpg.Connection]]] = WeakKeyDictionary()
"""Connections to the databases that nobody uses at the moment."""


@asynccontextmanager
async def database(stack: Stack, name: str) -> AsyncIterator[asyncpg.Connection]:
    """A connection to a service's database, kept for the next: opening one costs more than most questions."""
    idle = _connections.setdefault(stack, {}).setdefault(name, [])
    connection = await _living(idle) or await stack.postgres.connect(name, name)
    try:
        yield connection
    finally:
        idle.append(connection)


async def _living(idle: list[asyncpg.Connection]) -> asyncpg.Connection | None:
    """One that its server still answers: the server may have been stopped meanwhile."""
    while idle:
        connection = idle.pop()
        try:
            await connection.execute("ROLLBACK" if connection.is_in_transaction() else "SELECT 1")
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            connection.terminate()
        else:
            return connection
    return None


def forget_connections(stack: Stack) -> None:
    """Closes the kept connections of a stack that has stopped."""
    for idle in _connections.pop(stack, {}).values():
        for connection in idle:
            connection.terminate()


async def workflow_id(stack: Stack, registration: Registration) -> str:
    """The ID of a registration's run."""
    async with database(stack, "registration") as connection:
        person_id: Any = await connection.fetchval(
            "SELECT person_id FROM registrations WHERE registration_id = $1",
            registration.name.rpartition("/")[2],
        )
    return RegistrationWorkflowNames.workflow_id(person_id)


def _unique(kind: Callable[[date, random.Random], DemoPerson]) -> DemoPerson:
    person = kind(_today(), _RANDOM)
    while person.personal_identity_code in _codes:
        person = kind(_today(), _RANDOM)
    _codes.add(person.personal_identity_code)
    person.form.first_names = "Nimi" + "".join(_RANDOM.choices("abdefghijklmnoprstuvyäö", k=16))
    return person


def _today() -> date:
    return helsinki_day(now())


def _subjects() -> Iterable[tuple[str, str]]:
    for path in _TEMPLATES.glob("*.*.md"):
        head = path.read_text("utf-8").partition("\n")[0]
        if head.startswith("# "):
            # One that depends on something is each of its alternatives; a number at the end is left out.
            for subject in re.split(r"\{%.*?%\}", head.removeprefix("# ")):
                if subject and "{{" not in subject:
                    yield subject.strip(), path.name.partition(".")[0]


_SUBJECTS = dict(_subjects())
