"""Registrars of units: invited, accepted, given roles, taken out (R9)."""

import asyncio
import base64
import json
import uuid
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from deploy.demo.polling import eventually
from liity.identity.v1.account_service_pb2 import (
    Account,
    AccountMembership,
    CheckSessionRequest,
    CreateAccountRequest,
    LogInRequest,
    RefreshSessionRequest,
    SessionTokens,
)
from liity.identity.v1.registrar_service_pb2 import (
    INVITATION_STATE_ACCEPTED,
    INVITATION_STATE_EXPIRED,
    INVITATION_STATE_OPEN,
    INVITATION_STATE_VOID,
    AcceptInvitationRequest,
    CheckInvitationRequest,
    GetInvitationRequest,
    Invitation,
    InviteRegistrarRequest,
    IssueInvitationLinkRequest,
    ListRegistrarsRequest,
    Registrar,
    ReleaseUnitRequest,
    RemoveRegistrarRequest,
    SetRegistrarRoleRequest,
    VoidInvitationRequest,
)
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER, ROLE_REGISTRAR, Role
from liity.v1.customer_form_pb2 import LANGUAGE_FI, LANGUAGE_SV
from services.identity.models import Link
from services.runtime.clock import now
from services.runtime.rpc.errors import Refusal, reason_name
from tests.services.conftest import Component, refused

PASSWORD = "neljä sanaa on riittävästi"


def new_id() -> str:
    return uuid.uuid4().hex


def address() -> str:
    return f"{new_id()}@kirjasto.example"


def invite(unit_id: str, email: str, **fields: Any) -> InviteRegistrarRequest:
    given = {
        "request_id": str(uuid.uuid4()),
        "unit_id": unit_id,
        "email": email,
        "role": ROLE_REGISTRAR,
        "language": LANGUAGE_SV,
        "inviter_account_id": "inviter",
    }
    return InviteRegistrarRequest(**(given | fields))


def accept(token: str, **fields: Any) -> AcceptInvitationRequest:
    given = {
        "request_id": str(uuid.uuid4()),
        "link_token": token,
        "display_name": "Ulla Uusi",
        "password": PASSWORD,
    }
    return AcceptInvitationRequest(**(given | fields))


async def invited(identity: Component, unit_id: str, email: str, **fields: Any) -> Invitation:
    invitation: Invitation = (await identity(invite(unit_id, email, **fields))).invitation
    return invitation


async def token_of(identity: Component, invitation: Invitation) -> str:
    issue = IssueInvitationLinkRequest(invitation_id=invitation.invitation_id)
    token: str = (await identity(issue)).link_token
    return token


async def state_of(identity: Component, invitation: Invitation) -> int:
    get = GetInvitationRequest(invitation_id=invitation.invitation_id)
    state: int = (await identity(get)).invitation.state
    return state


async def registrars(identity: Component, unit_id: str) -> list[Registrar]:
    return list((await identity(ListRegistrarsRequest(unit_id=unit_id))).registrars)


async def account(
    identity: Component, *units: str, role: Role.ValueType = ROLE_REGISTRAR, email: str = ""
) -> Account:
    request = CreateAccountRequest(
        request_id=str(uuid.uuid4()),
        email=email or address(),
        display_name="Åsa Öhman",
        password=PASSWORD,
        language=LANGUAGE_FI,
        memberships=[AccountMembership(unit_id=unit, role=role) for unit in units],
    )
    made: Account = (await identity(request)).account
    return made


async def log_in(identity: Component, email: str) -> SessionTokens:
    request = LogInRequest(email=email, password=PASSWORD, caller_address=new_id())
    tokens: SessionTokens = (await identity(request)).tokens
    return tokens


async def session_lives(identity: Component, tokens: SessionTokens) -> bool:
    """Whether both tokens of a session still open anything."""
    payload = tokens.access_token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    refresh = RefreshSessionRequest(refresh_token=tokens.refresh_token, request_id=str(uuid.uuid4()))
    checks = [identity(CheckSessionRequest(session_id=claims["sid"])), identity(refresh)]
    refusals = [answer for answer in [await _outcome(check) for check in checks] if answer]
    assert refusals in ([], ["SESSION_ENDED", "SESSION_ENDED"])
    return not refusals


async def _outcome(call: Any) -> str:
    try:
        await call
    except Refusal as refusal:
        return reason_name(refusal.reason)
    return ""


async def reason_of(identity: Component, request: Any) -> str:
    return reason_name((await refused(identity(request))).reason)


async def test_who_is_invited_makes_an_account_and_belongs_to_the_unit(identity: Component) -> None:
    unit_id, email = new_id(), address()
    invitation = await invited(identity, unit_id, f"{email.upper()}", role=ROLE_MAIN_USER)
    assert (invitation.email, invitation.state) == (email, INVITATION_STATE_OPEN)
    [open_one] = await registrars(identity, unit_id)
    assert (open_one.email, open_one.display_name, open_one.role) == (email, "", ROLE_MAIN_USER)
    assert open_one.invitation_expire_time == invitation.expire_time
    token = await token_of(identity, invitation)
    checked = await identity(CheckInvitationRequest(link_token=token))
    assert (checked.invitation, checked.has_account) == (invitation, False)
    request = accept(token)
    for _ in range(2):
        answer = await identity(request)
        assert answer.invitation.state == INVITATION_STATE_ACCEPTED
    [registrar] = await registrars(identity, unit_id)
    assert (registrar.email, registrar.display_name, registrar.role) == (email, "Ulla Uusi", ROLE_MAIN_USER)
    assert not registrar.HasField("invitation_expire_time")
    tokens = await log_in(identity, email)
    assert tokens.account.language == LANGUAGE_SV
    assert list(tokens.account.memberships) == [AccountMembership(unit_id=unit_id, role=ROLE_MAIN_USER)]
    assert await reason_of(identity, accept(token)) == "LINK_USED"
    assert await reason_of(identity, invite(unit_id, email)) == "ALREADY_REGISTRAR"


async def test_an_account_that_is_there_keeps_its_name_and_password(identity: Component) -> None:
    first, second = new_id(), new_id()
    known = await account(identity, first)
    session = await log_in(identity, known.email)
    token = await token_of(identity, await invited(identity, second, known.email))
    assert (await identity(CheckInvitationRequest(link_token=token))).has_account
    for given in ({"password": ""}, {"display_name": ""}, {}):
        assert await reason_of(identity, accept(token, **given)) == "ACCOUNT_EXISTS"
    await identity(accept(token, display_name="", password=""))
    assert await session_lives(identity, session)
    tokens = await log_in(identity, known.email)
    assert tokens.account.display_name == known.display_name
    assert {membership.unit_id for membership in tokens.account.memberships} == {first, second}


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"display_name": " "}, "REQUIRED"),
        ({"password": ""}, "REQUIRED"),
        ({"password": "lyhyt"}, "PASSWORD_TOO_WEAK"),
    ],
)
async def test_what_an_account_lacks_leaves_the_link_usable(
    identity: Component, given: dict[str, str], reason: str
) -> None:
    token = await token_of(identity, await invited(identity, new_id(), address()))
    assert await reason_of(identity, accept(token, **given)) == reason
    await identity(accept(token))


async def test_the_answer_does_not_tell_whether_the_address_has_an_account(identity: Component) -> None:
    known = await account(identity, new_id())
    answers = [await invited(identity, "unit", email) for email in (known.email, address())]
    for answer in answers:
        for field in ("invitation_id", "email", "expire_time"):
            answer.ClearField(field)  # type: ignore[arg-type] # one of its own fields
    assert answers[0] == answers[1]


async def test_a_new_invitation_makes_the_one_before_void(identity: Component) -> None:
    unit_id, email = new_id(), address()
    elsewhere = await invited(identity, new_id(), email)
    first = await invited(identity, unit_id, email)
    request = invite(unit_id, email)
    answers = await asyncio.gather(*(identity(request) for _ in range(5)))
    assert len({answer.invitation.invitation_id for answer in answers}) == 1
    voided = [invitation for answer in answers for invitation in answer.voided_invitation_ids]
    assert voided == [first.invitation_id]
    assert await state_of(identity, first) == INVITATION_STATE_VOID
    assert await state_of(identity, elsewhere) == INVITATION_STATE_OPEN
    assert await reason_of(identity, accept(await token_of(identity, first))) == "LINK_VOID"
    assert [registrar.registrar_id for registrar in await registrars(identity, unit_id)] == [
        answers[0].invitation.invitation_id
    ]
    other_unit = invite(new_id(), email, request_id=request.request_id)
    assert await reason_of(identity, other_unit) == "REQUEST_ID_REUSED"


async def test_of_two_invited_at_once_one_invitation_is_open(identity: Component) -> None:
    unit_id, email = new_id(), address()
    await asyncio.gather(*(invited(identity, unit_id, email) for _ in range(6)))
    assert len(await registrars(identity, unit_id)) == 1


async def test_an_invitation_expires(identity: Component, identity_engine: AsyncEngine) -> None:
    unit_id = new_id()
    invitation = await invited(identity, unit_id, address())
    async with identity_engine.begin() as connection:
        of_invitation = Link.subject == invitation.invitation_id
        await connection.execute(update(Link).where(of_invitation).values(expires_at=now()))
    assert await state_of(identity, invitation) == INVITATION_STATE_EXPIRED
    assert await registrars(identity, unit_id) == []
    assert await reason_of(identity, accept(await token_of(identity, invitation))) == "LINK_EXPIRED"


async def test_an_invitation_taken_back_opens_nothing(identity: Component) -> None:
    unit_id = new_id()
    by_id, removed = [await invited(identity, unit_id, address()) for _ in range(2)]
    await identity(VoidInvitationRequest(invitation_id=by_id.invitation_id))
    remove = RemoveRegistrarRequest(
        request_id=str(uuid.uuid4()), unit_id=unit_id, registrar_id=removed.invitation_id
    )
    for _ in range(2):
        assert (await identity(remove)).invitation
    for invitation in (by_id, removed):
        assert await state_of(identity, invitation) == INVITATION_STATE_VOID
        assert await reason_of(identity, accept(await token_of(identity, invitation))) == "LINK_VOID"
    assert await registrars(identity, unit_id) == []


async def test_an_invitation_accepted_in_the_very_moment_is_not_taken_back(
    identity: Component, identity_engine: AsyncEngine
) -> None:
    unit_id = new_id()
    invitation = await invited(identity, unit_id, address())
    remove = RemoveRegistrarRequest(
        request_id=str(uuid.uuid4()), unit_id=unit_id, registrar_id=invitation.invitation_id
    )
    async with identity_engine.connect() as accepting:
        # An acceptance that has used the link up and is not committed yet.
        of_invitation = Link.subject == invitation.invitation_id
        await accepting.execute(update(Link).where(of_invitation).values(used_at=now()))
        removing = asyncio.create_task(refused(identity(remove)))
        await eventually(partial(_somebody_waits, accepting), bool, 10)
        await accepting.commit()
        assert reason_name((await removing).reason) == "INVITATION_ACCEPTED"
    assert await state_of(identity, invitation) == INVITATION_STATE_ACCEPTED


async def _somebody_waits(holding: AsyncConnection) -> bool:
    """Whether anybody waits for what a connection holds."""
    waits = text("SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
    return bool(await holding.scalar(waits))


async def test_of_an_acceptance_and_a_removal_at_once_one_succeeds(identity: Component) -> None:
    unit_id = new_id()
    for _ in range(8):
        invitation = await invited(identity, unit_id, address())
        acceptance = accept(await token_of(identity, invitation))
        remove = RemoveRegistrarRequest(
            request_id=str(uuid.uuid4()), unit_id=unit_id, registrar_id=invitation.invitation_id
        )
        outcomes = await asyncio.gather(_outcome(identity(acceptance)), _outcome(identity(remove)))
        assert outcomes in (["", "INVITATION_ACCEPTED"], ["LINK_VOID", ""])
        accepted = await state_of(identity, invitation) == INVITATION_STATE_ACCEPTED
        assert accepted == (outcomes[0] == "")


async def test_who_is_taken_out_loses_the_unit_and_their_sessions(identity: Component) -> None:
    unit_id, other_unit = new_id(), new_id()
    leaving, staying = await account(identity, unit_id, other_unit), await account(identity, unit_id)
    sessions = [await log_in(identity, somebody.email) for somebody in (leaving, leaving, staying)]
    remove = RemoveRegistrarRequest(
        request_id=str(uuid.uuid4()), unit_id=unit_id, registrar_id=leaving.account_id
    )
    for _ in range(2):
        assert not (await identity(remove)).invitation
    assert [await session_lives(identity, tokens) for tokens in sessions] == [False, False, True]
    assert [registrar.registrar_id for registrar in await registrars(identity, unit_id)] == [
        staying.account_id
    ]
    tokens = await log_in(identity, leaving.email)
    assert [membership.unit_id for membership in tokens.account.memberships] == [other_unit]
    remove.registrar_id = staying.account_id
    assert await reason_of(identity, remove) == "REQUEST_ID_REUSED"
    remove.request_id, remove.registrar_id = str(uuid.uuid4()), leaving.account_id
    assert await reason_of(identity, remove) == "REGISTRAR_NOT_FOUND"


async def test_the_last_main_user_stays_unless_customer_service_removes_them(identity: Component) -> None:
    unit_id = new_id()
    pair = [await account(identity, unit_id, role=ROLE_MAIN_USER) for _ in range(2)]
    removals = [
        RemoveRegistrarRequest(
            request_id=str(uuid.uuid4()),
            unit_id=unit_id,
            registrar_id=main_user.account_id,
            keep_last_main_user=True,
        )
        for main_user in pair
    ]
    outcomes = await asyncio.gather(*(_outcome(identity(removal)) for removal in removals))
    assert sorted(outcomes) == ["", "LAST_MAIN_USER"]
    [last] = await registrars(identity, unit_id)
    removal = RemoveRegistrarRequest(
        request_id=str(uuid.uuid4()), unit_id=unit_id, registrar_id=last.registrar_id
    )
    await identity(removal)
    assert await registrars(identity, unit_id) == []


def role_change(unit_id: str, registrar_id: str, role: Role.ValueType) -> SetRegistrarRoleRequest:
    return SetRegistrarRoleRequest(
        request_id=str(uuid.uuid4()), unit_id=unit_id, registrar_id=registrar_id, role=role
    )


async def test_a_new_role_ends_the_sessions_with_the_old_one(identity: Component) -> None:
    unit_id = new_id()
    known = await account(identity, unit_id)
    session = await log_in(identity, known.email)

    def set_role(role: Role.ValueType, registrar_id: str = known.account_id) -> SetRegistrarRoleRequest:
        return role_change(unit_id, registrar_id, role)

    await identity(set_role(ROLE_REGISTRAR))
    assert await session_lives(identity, session)
    session = await log_in(identity, known.email)
    assert (await identity(set_role(ROLE_MAIN_USER))).registrar.role == ROLE_MAIN_USER
    assert not await session_lives(identity, session)
    assert (await log_in(identity, known.email)).account.memberships[0].role == ROLE_MAIN_USER
    assert await reason_of(identity, set_role(ROLE_MAIN_USER, "nobody")) == "REGISTRAR_NOT_FOUND"


async def test_a_late_repetition_leaves_a_later_role_alone(identity: Component) -> None:
    unit_id = new_id()
    known = await account(identity, unit_id)
    promotion = role_change(unit_id, known.account_id, ROLE_MAIN_USER)
    for _ in range(2):
        assert (await identity(promotion)).registrar.role == ROLE_MAIN_USER
    await identity(role_change(unit_id, known.account_id, ROLE_REGISTRAR))
    session = await log_in(identity, known.email)
    assert (await identity(promotion)).registrar.role == ROLE_REGISTRAR
    assert await session_lives(identity, session)
    [registrar] = await registrars(identity, unit_id)
    assert registrar.role == ROLE_REGISTRAR
    promotion.role = ROLE_REGISTRAR
    assert await reason_of(identity, promotion) == "REQUEST_ID_REUSED"


async def test_a_unit_released_has_no_registrars_and_no_invitations(identity: Component) -> None:
    unit_id, other_unit = new_id(), new_id()
    known = await account(identity, unit_id, other_unit)
    session = await log_in(identity, known.email)
    invitation = await invited(identity, unit_id, address())
    accepting = await token_of(identity, await invited(identity, unit_id, address()))
    accepted, released = await asyncio.gather(
        _outcome(identity(accept(accepting))), identity(ReleaseUnitRequest(unit_id=unit_id))
    )
    assert accepted in {"", "LINK_VOID"}
    assert invitation.invitation_id in released.voided_invitation_ids
    assert await registrars(identity, unit_id) == []
    assert not await session_lives(identity, session)
    assert not (await identity(ReleaseUnitRequest(unit_id=unit_id))).voided_invitation_ids
    assert [kept.registrar_id for kept in await registrars(identity, other_unit)] == [known.account_id]
