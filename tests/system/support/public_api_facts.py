"""Data for the public API's tests: registrations in each stage, and links of every kind."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from deploy.demo.forms import DemoPerson
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from liity.identity.v1.account_service_pb2 import IssuePasswordLinkRequest, IssuePasswordLinkResponse
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.credential_service_pb2 import IssueCredentialsRequest
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_ACCOUNT_PASSWORD,
    LINK_PURPOSE_CONSENT,
    LINK_PURPOSE_CUSTOMERSHIP,
    LINK_PURPOSE_EMAIL,
    LINK_PURPOSE_INVITATION,
    LINK_PURPOSE_PASSWORD,
    IssueLinkRequest,
    LinkPurpose,
    RedeemLinkRequest,
    VoidLinksRequest,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.identity.v1.registrar_service_pb2 import (
    InviteRegistrarRequest,
    IssueInvitationLinkRequest,
    VoidInvitationRequest,
)
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.v1.auth_service_pb2 import (
    ROLE_REGISTRAR,
    AcceptInvitationRequest,
    ChooseAccountPasswordRequest,
)
from liity.v1.credential_service_pb2 import ChoosePasswordRequest
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from liity.v1.customer_service_pb2 import Customer, GetCustomerRequest
from liity.v1.disclosure_service_pb2 import CreateDisclosureRequest
from liity.v1.message_service_pb2 import CustomerServiceMessage, SendMessageRequest
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, Registration
from liity.v1.registration_service_pb2 import WithdrawRegistrationRequest
from services.runtime.clock import now
from services.runtime.rpc.peer import Peer
from services.runtime.security.service_identity import ServiceIdentity
from tests.system.support.accounts import new_account
from tests.system.support.registering import (
    MailCounter,
    accept,
    adult,
    database,
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
    """Existing data. The library is the registrar's unit, the school the teacher's."""

    library: str
    school: str
    adult: DemoPerson
    """A customer of the library."""
    active: Registration
    """The adult's registration, its credentials sent."""
    customer: Customer
    """The pupil whose guardian has accepted, as a customer."""
    child: DemoPerson
    """A pupil of the school, waiting for consent."""
    waiting: Registration
    given: Registration
    """The registration of the pupil whose guardian has accepted."""
    withdrawn: Registration
    save_request_id: str
    """The request ID of the waiting child's Save."""
    consent: Links
    password: Links
    account_password: Links
    """For an account that is never logged in to."""
    email: Links
    """For addresses that were never changed."""
    customership: Links
    """For customerships that do not exist."""
    invitation: Links
    """For invitations of registrars to the school."""
    newcomer: DemoPerson
    """An adult who was never saved."""
    new_pupil: DemoPerson
    """A child who was never saved."""
    disclosure: str
    """The name of the adult's disclosure."""
    message: CustomerServiceMessage
    """From the school about the waiting child; waits for customer service."""

    @property
    def work_item(self) -> str:
        """The name of the message's work item."""
        return f"workItems/5-{self.message.name.rpartition('/')[2]}"


async def create_facts(
    stack: Stack,
    registrar: ApiClient,
    teacher: ApiClient,
    staff: ApiClient,
    anybody: ApiClient,
    mails: MailCounter,
) -> Facts:
    """Creates all data, through the public API where possible."""
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
    get_customer = GetCustomerRequest(name=given.customer)
    found = await teacher.call(teacher.customers.GetCustomer, get_customer)
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
        email = await _links(stack, identity, LINK_PURPOSE_EMAIL)
        customership = await _links(stack, identity, LINK_PURPOSE_CUSTOMERSHIP)
        invitation = await _invitation_links(identity, anybody, teacher.unit)
    create = CreateDisclosureRequest(request_id=new_request_id(), registration=active.name)
    disclosure = (await staff.call(staff.disclosures.CreateDisclosure, create)).disclosure
    write = SendMessageRequest(
        parent=teacher.unit,
        request_id=new_request_id(),
        registration=waiting.name,
        text="Huoltaja ei ole saanut viestiä.",
    )
    message = (await teacher.call(teacher.messages.SendMessage, write)).message
    return Facts(
        library=registrar.unit,
        school=teacher.unit,
        adult=customer,
        active=active,
        customer=found.customer,
        child=waiting_child,
        waiting=waiting,
        given=given,
        withdrawn=withdrawn,
        save_request_id=save_request_id,
        consent=consent,
        password=password,
        account_password=account_password,
        email=email,
        customership=customership,
        invitation=invitation,
        newcomer=newcomer,
        new_pupil=pupil(),
        disclosure=disclosure.name,
        message=message,
    )


async def customership_link(stack: Stack, registration: str) -> str:
    """The token of a link to the customership of a registration, as mail has it."""
    async with _identity(stack) as identity:
        issue = IssueLinkRequest(
            request_id=new_request_id(),
            purpose=LINK_PURPOSE_CUSTOMERSHIP,
            subject=registration.rpartition("/")[2],
        )
        issue.expire_time.FromDatetime(now() + timedelta(days=1))
        return (await identity.call(LinkServiceStub(identity.channel).IssueLink, issue)).token


@asynccontextmanager
async def _identity(stack: Stack) -> AsyncIterator[Peer]:
    """Identity, called as by the worker."""
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
    void = await issued()
    stop = VoidLinksRequest(purpose=LINK_PURPOSE_ACCOUNT_PASSWORD, subject=void.account_id)
    await identity.call(LinkServiceStub(identity.channel).VoidLinks, stop)
    good = await issued()
    return Links(
        good=good.link_token,
        used=used.link_token,
        void=void.link_token,
        expired=await _expired_link(identity, LINK_PURPOSE_ACCOUNT_PASSWORD, good.account_id),
    )


async def _links(stack: Stack, identity: Peer, purpose: LinkPurpose.ValueType) -> Links:
    """Links for one purpose, each with a subject of its own."""
    stub = LinkServiceStub(identity.channel)
    subjects = {state: uuid.uuid4().hex for state in ("good", "used", "void")}
    requests = {state: str(uuid.uuid4()) for state in subjects}
    tokens = {}
    for state, subject in subjects.items():
        issue = IssueLinkRequest(request_id=requests[state], purpose=purpose, subject=subject)
        issue.expire_time.FromDatetime(now() + timedelta(days=1))
        tokens[state] = (await identity.call(stub.IssueLink, issue)).token
    async with database(stack, "identity") as connection:
        link_id = await connection.fetchval("SELECT link_id FROM links WHERE subject = $1", subjects["used"])
    redeem = RedeemLinkRequest(link_id=link_id, request_id=str(uuid.uuid4()))
    await identity.call(stub.RedeemLink, redeem)
    await identity.call(stub.VoidLinks, VoidLinksRequest(purpose=purpose, subject=subjects["void"]))
    return Links(**tokens, expired=await _expired_link(identity, purpose, uuid.uuid4().hex))


async def _invitation_links(identity: Peer, anybody: ApiClient, unit: str) -> Links:
    """Invites persons without an account."""
    stub = RegistrarServiceStub(identity.channel)

    async def invited() -> tuple[str, str]:
        invite = InviteRegistrarRequest(
            request_id=str(uuid.uuid4()),
            unit_id=unit.rpartition("/")[2],
            email=f"{uuid.uuid4().hex}@koulu.example",
            role=ROLE_REGISTRAR,
            language=LANGUAGE_FI,
            inviter_account_id="none",
        )
        invitation_id = (await identity.call(stub.InviteRegistrar, invite)).invitation.invitation_id
        issue = IssueInvitationLinkRequest(invitation_id=invitation_id)
        return invitation_id, (await identity.call(stub.IssueInvitationLink, issue)).link_token

    (good_id, good), (_, used), (void_id, void) = [await invited() for _ in range(3)]
    accept = AcceptInvitationRequest(
        token=used, request_id=new_request_id(), display_name="Ulla Uusi", password="kolme sanaa riittää"
    )
    await anybody.call(anybody.auth.AcceptInvitation, accept)
    await identity.call(stub.VoidInvitation, VoidInvitationRequest(invitation_id=void_id))
    expired = await _expired_link(identity, LINK_PURPOSE_INVITATION, good_id)
    return Links(good=good, used=used, void=void, expired=expired)


async def _expired_link(identity: Peer, purpose: LinkPurpose.ValueType, subject: str) -> str:
    request = IssueLinkRequest(request_id=str(uuid.uuid4()), purpose=purpose, subject=subject)
    request.expire_time.FromDatetime(now() - timedelta(seconds=1))
    return (await identity.call(LinkServiceStub(identity.channel).IssueLink, request)).token
