"""What the tests of the public API meet: registrations in each state, and links of every kind."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from deploy.api_client import ApiClient, new_request_id
from deploy.demo_forms import DemoPerson
from deploy.ports import HOST
from deploy.stack import Stack
from liity.identity.v1.account_service_pb2 import IssuePasswordLinkRequest, IssuePasswordLinkResponse
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.credential_service_pb2 import IssueCredentialsRequest
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_ACCOUNT_PASSWORD,
    LINK_PURPOSE_CONSENT,
    LINK_PURPOSE_PASSWORD,
    IssueLinkRequest,
    LinkPurpose,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.v1.auth_service_pb2 import ChooseAccountPasswordRequest
from liity.v1.credential_service_pb2 import ChoosePasswordRequest
from liity.v1.disclosure_service_pb2 import CreateDisclosureRequest
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, Registration
from liity.v1.registration_service_pb2 import WithdrawRegistrationRequest
from services.runtime.clock import now
from services.runtime.peer import Peer
from services.runtime.service_identity import ServiceIdentity
from tests.system.accounts import new_account
from tests.system.registering import (
    MailCounter,
    accept,
    adult,
    link_token,
    pupil,
    reaches,
    save,
    workflow_id,
)


@dataclass(frozen=True)
class Links:
    """The tokens of links for one purpose."""

    good: str
    used: str
    void: str
    expired: str


@dataclass(frozen=True)
class Facts:
    """What there is. The library is the registrar's unit, the school the teacher's."""

    library: str
    school: str
    adult: DemoPerson
    """A customer of the library."""
    active: Registration
    """The adult's, its credentials sent."""
    child: DemoPerson
    """A pupil of the school, waiting for consent."""
    waiting: Registration
    given: Registration
    """A pupil's whose guardian has accepted."""
    withdrawn: Registration
    save_request_id: str
    """What the waiting child was saved with."""
    consent: Links
    password: Links
    account_password: Links
    """Of an account that nobody logs in to."""
    newcomer: DemoPerson
    """An adult nobody has saved."""
    new_pupil: DemoPerson
    """A child nobody has saved."""
    disclosure: str
    """The name of the adult's."""


async def create_facts(
    stack: Stack,
    registrar: ApiClient,
    teacher: ApiClient,
    staff: ApiClient,
    anybody: ApiClient,
    mails: MailCounter,
) -> Facts:
    """Makes it all, through the public API as far as that goes."""
    customer, waiting_child, consenting, leaving, newcomer = adult(), pupil(), pupil(), pupil(), adult()
    save_request_id = new_request_id()
    active = await save(registrar, customer)
    waiting = await save(teacher, waiting_child, save_request_id)
    given = await save(teacher, consenting)
    withdrawn = await save(teacher, leaving)

    async def token(person: DemoPerson, template: str) -> str:
        return link_token(await mails.wait_for(person, template))

    used, void = await token(consenting, "consent_request"), await token(leaving, "consent_request")
    await accept(anybody, used, consenting)
    withdraw = WithdrawRegistrationRequest(name=withdrawn.name, request_id=new_request_id())
    await teacher.call(teacher.registrations.WithdrawRegistration, withdraw)
    used_password = await token(consenting, "credentials")
    choose = ChoosePasswordRequest(
        token=used_password, request_id=new_request_id(), password="kolme sanaa riittää"
    )
    await anybody.call(anybody.credentials.ChoosePassword, choose)
    void_password = await token(customer, "credentials")
    active = await reaches(registrar, active.name, STAGE_CREDENTIALS_SENT)
    given = await reaches(teacher, given.name, STAGE_CREDENTIALS_SENT)
    person_id = (await workflow_id(stack, active)).rpartition("/")[2]
    async with _identity(stack) as identity:
        issue = IssueCredentialsRequest(request_id=new_request_id(), person_id=person_id)
        credentials = await identity.call(CredentialServiceStub(identity.channel).IssueCredentials, issue)
        password = Links(
            good=credentials.link_token,
            used=used_password,
            void=void_password,
            expired=await _expired_link(identity, LINK_PURPOSE_PASSWORD, person_id),
        )
        consent = Links(
            good=await token(waiting_child, "consent_request"),
            used=used,
            void=void,
            expired=await _expired_link(identity, LINK_PURPOSE_CONSENT, waiting.name.rpartition("/")[2]),
        )
        account_password = await _account_links(identity, anybody, (await new_account(stack)).email)
    create = CreateDisclosureRequest(request_id=new_request_id(), registration=active.name)
    disclosure = (await staff.call(staff.disclosures.CreateDisclosure, create)).disclosure
    return Facts(
        library=registrar.unit,
        school=teacher.unit,
        adult=customer,
        active=active,
        child=waiting_child,
        waiting=waiting,
        given=given,
        withdrawn=withdrawn,
        save_request_id=save_request_id,
        consent=consent,
        password=password,
        account_password=account_password,
        newcomer=newcomer,
        new_pupil=pupil(),
        disclosure=disclosure.name,
    )


@asynccontextmanager
async def _identity(stack: Stack) -> AsyncIterator[Peer]:
    """Identity, as the worker calls it."""
    worker = ServiceIdentity("worker", stack.keys_dir, stack.certificate("worker"))
    peer = Peer("identity", f"{HOST}:{stack.ports.identity}", worker)
    try:
        yield peer
    finally:
        await peer.close()


async def _account_links(identity: Peer, anybody: ApiClient, email: str) -> Links:
    stub = AccountServiceStub(identity.channel)

    async def issued() -> IssuePasswordLinkResponse:
        issue = IssuePasswordLinkRequest(request_id=str(uuid.uuid4()), email=email)
        return await identity.call(stub.IssuePasswordLink, issue)

    used = await issued()
    choose = ChooseAccountPasswordRequest(
        token=used.link_token, request_id=new_request_id(), password="kolme sanaa riittää"
    )
    await anybody.call(anybody.auth.ChooseAccountPassword, choose)
    void, good = await issued(), await issued()
    return Links(
        good=good.link_token,
        used=used.link_token,
        void=void.link_token,
        expired=await _expired_link(identity, LINK_PURPOSE_ACCOUNT_PASSWORD, good.account_id),
    )


async def _expired_link(identity: Peer, purpose: LinkPurpose.ValueType, subject: str) -> str:
    request = IssueLinkRequest(request_id=str(uuid.uuid4()), purpose=purpose, subject=subject)
    request.expire_time.FromDatetime(now() - timedelta(seconds=1))
    return (await identity.call(LinkServiceStub(identity.channel).IssueLink, request)).token
