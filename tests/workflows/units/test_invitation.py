"""Somebody is invited to be a registrar: they come, they do not, or it is taken back."""

import re
import uuid
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from liity.identity.v1.registrar_service_pb2 import (
    INVITATION_STATE_ACCEPTED,
    INVITATION_STATE_VOID,
    AcceptInvitationRequest,
    GetInvitationRequest,
    Invitation,
    InviteRegistrarRequest,
)
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.registration.v1.unit_service_pb2 import GetUnitRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER, ROLE_REGISTRAR
from liity.v1.customer_form_pb2 import LANGUAGE_EN
from services.gateway.temporal.units import UnitWorkflows
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import InvitationWorkflowNames as Names
from services.runtime.temporal.search_attributes import DEADLINE, STAGE
from tests.workflows.conftest import World

INVITED = "An invitation to the library's customer management"
REMINDED = "A reminder: your invitation to the library's customer management"
NOT_ACCEPTED = "Kutsua asiakashallintaan ei hyväksytty"
NOT_DELIVERED = "Kutsua asiakashallintaan ei saatu perille"


def address() -> str:
    return f"{uuid.uuid4().hex}@kirjasto.example"


def subjects(world: World, email: str) -> list[str]:
    return [mail["Subject"] for mail in world.mails_to(email)]


def token_in(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    found = re.search(r"/invitation/([\w.~-]+)", body.get_content())
    assert found is not None
    return found[1]


class Inviting:
    """A unit and its main user, who invites."""

    def __init__(self, world: World, unit_id: str, inviter_id: str, inviter_email: str) -> None:
        self.world = world
        self.unit_id = unit_id
        self.inviter_email = inviter_email
        self.workflows = UnitWorkflows(world.temporal)
        self._inviter_id = inviter_id
        self._identity = world.gateway["identity"]
        self._registrars = RegistrarServiceStub(self._identity.channel)

    async def invite(self, email: str, request_id: str = "") -> tuple[Invitation, WorkflowHandle[Any, Any]]:
        """Invites; gives the invitation and its run."""
        request = InviteRegistrarRequest(
            request_id=request_id or str(uuid.uuid4()),
            unit_id=self.unit_id,
            email=email,
            role=ROLE_REGISTRAR,
            language=LANGUAGE_EN,
            inviter_account_id=self._inviter_id,
        )
        invitation = await self.workflows.invite(request)
        workflow_id = Names.workflow_id(invitation.invitation_id)
        return invitation, self.world.temporal.get_workflow_handle(workflow_id)

    async def accept(self, token: str, *, told: bool = True) -> None:
        """Accepts, as the gateway does; its run may not get to know."""
        request = AcceptInvitationRequest(
            request_id=str(uuid.uuid4()),
            link_token=token,
            display_name="Ulla Uusi",
            password="neljä sanaa on riittävästi",
        )
        accepted = await self._identity.call(self._registrars.AcceptInvitation, request)
        if told:
            await self.workflows.invitation_accepted(accepted.invitation.invitation_id)

    async def state(self, invitation: Invitation) -> int:
        """Where an invitation stands now."""
        request = GetInvitationRequest(invitation_id=invitation.invitation_id)
        return (await self._identity.call(self._registrars.GetInvitation, request)).invitation.state


@pytest.fixture
async def inviting(world: World) -> Inviting:
    unit_id = await world.unit("Uusi kirjasto")
    inviter = await world.account(unit_id, ROLE_MAIN_USER)
    return Inviting(world, unit_id, inviter.account_id, inviter.email)


async def until_mailed(world: World, run: WorkflowHandle[Any, Any]) -> None:
    """Lets the first mail go out."""
    await world.skip(run, timedelta(hours=1))


async def test_who_comes_is_neither_reminded_nor_told_of(world: World, inviting: Inviting) -> None:
    email = address()
    invitation, run = await inviting.invite(email)
    await until_mailed(world, run)
    described = await run.describe()
    assert described.typed_search_attributes[STAGE] == "WAITING_FOR_ACCEPTANCE"
    end = invitation.expire_time.ToDatetime(described.typed_search_attributes[DEADLINE].tzinfo)
    assert abs(described.typed_search_attributes[DEADLINE] - end) < timedelta(seconds=1)
    (mail,) = world.mails_to(email)
    await inviting.accept(token_in(mail))
    await run.result()
    assert subjects(world, email) == [INVITED]
    assert not subjects(world, inviting.inviter_email)
    assert await inviting.state(invitation) == INVITATION_STATE_ACCEPTED


async def test_who_does_not_come_is_reminded_once_and_the_inviter_is_told(
    world: World, inviting: Inviting
) -> None:
    email = address()
    invitation, run = await inviting.invite(email)
    await world.skip(run, timedelta(days=12))
    assert subjects(world, email) == [INVITED, REMINDED]
    first, second = map(token_in, world.mails_to(email))
    assert first == second
    assert not subjects(world, inviting.inviter_email)
    await world.skip_to_end(run)
    await run.result()
    assert subjects(world, email) == [INVITED, REMINDED]
    (told,) = world.mails_to(inviting.inviter_email)
    body = told.get_body(("plain",))
    assert body is not None
    assert told["Subject"] == NOT_ACCEPTED
    assert email in body.get_content()
    assert await inviting.state(invitation) == INVITATION_STATE_VOID


async def test_an_acceptance_that_the_run_was_not_told_of_is_found(world: World, inviting: Inviting) -> None:
    email = address()
    invitation, run = await inviting.invite(email)
    await until_mailed(world, run)
    (mail,) = world.mails_to(email)
    await inviting.accept(token_in(mail), told=False)
    await world.skip_to_end(run)
    await run.result()
    assert subjects(world, email) == [INVITED]
    assert not subjects(world, inviting.inviter_email)
    assert await inviting.state(invitation) == INVITATION_STATE_ACCEPTED


async def test_an_operator_takes_it_back_with_an_empty_message(world: World, inviting: Inviting) -> None:
    email = address()
    invitation, run = await inviting.invite(email)
    await until_mailed(world, run)
    await run.signal(Names.WITHDRAW, {"no such field": 1})
    await run.signal(Names.WITHDRAW, {})
    await run.result()
    assert await inviting.state(invitation) == INVITATION_STATE_VOID
    assert not subjects(world, inviting.inviter_email)


async def test_a_newer_invitation_ends_the_run_of_the_one_before(world: World, inviting: Inviting) -> None:
    email = address()
    first, first_run = await inviting.invite(email)
    second, _ = await inviting.invite(email)
    await first_run.result()
    assert await inviting.state(first) == INVITATION_STATE_VOID
    assert await inviting.state(second) != INVITATION_STATE_VOID
    assert not subjects(world, inviting.inviter_email)


async def test_an_invitation_repeated_is_one_run_and_one_mail(world: World, inviting: Inviting) -> None:
    email, request_id = address(), str(uuid.uuid4())
    (first, run), (second, again) = [await inviting.invite(email, request_id) for _ in range(2)]
    assert first == second
    assert (await run.describe()).run_id == (await again.describe()).run_id
    await until_mailed(world, run)
    assert subjects(world, email) == [INVITED]


async def test_an_address_that_takes_no_mail_ends_the_invitation(world: World, inviting: Inviting) -> None:
    email = f"{uuid.uuid4().hex}@nowhere.example"
    world.smtp.unknown.add(email)
    invitation, run = await inviting.invite(email)
    await run.result()
    assert await inviting.state(invitation) == INVITATION_STATE_VOID
    assert subjects(world, inviting.inviter_email) == [NOT_DELIVERED]


async def test_a_unit_that_closes_takes_its_invitations_back(world: World, inviting: Inviting) -> None:
    invitation, run = await inviting.invite(address())
    closed = [await inviting.workflows.close(inviting.unit_id, str(uuid.uuid4())) for _ in range(2)]
    assert closed[0] == closed[1]
    assert closed[0].HasField("close_time")
    await run.result()
    assert await inviting.state(invitation) == INVITATION_STATE_VOID
    assert not {NOT_ACCEPTED, NOT_DELIVERED} & set(subjects(world, inviting.inviter_email))
    with pytest.raises(Refusal, match="UNIT_CLOSED"):
        await inviting.invite(address())
    with pytest.raises(Refusal, match="UNIT_NOT_FOUND"):
        await inviting.workflows.close("nosuchunit", str(uuid.uuid4()))
    registration = world.gateway["registration"]
    stub = UnitServiceStub(registration.channel)
    stored = await registration.call(stub.GetUnit, GetUnitRequest(unit_id=inviting.unit_id))
    assert stored.unit == closed[0]
