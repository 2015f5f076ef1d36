"""Units and their registrars: made, invited, acting for one or several, taken out, closed (R1, R9)."""

import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.mailbox.store import Maildir
from deploy.local.ports import HOST
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal, reason_name
from liity.registration.v1 import unit_service_pb2 as registration_pb2
from liity.v1.auth_service_pb2 import (
    ROLE_MAIN_USER,
    ROLE_REGISTRAR,
    AcceptInvitationRequest,
    ChooseAccountPasswordRequest,
    GetInvitationRequest,
    OrderPasswordRequest,
    RefreshSessionRequest,
    Role,
)
from liity.v1.customer_form_pb2 import LANGUAGE_EN
from liity.v1.registration_service_pb2 import ListRegistrationsRequest
from liity.v1.unit_service_pb2 import (
    UNIT_KIND_HIGHER_EDUCATION,
    UNIT_KIND_LIBRARY,
    UNIT_KIND_OTHER,
    UNIT_KIND_SCHOOL,
    CloseUnitRequest,
    CreateUnitRequest,
    GetUnitRequest,
    InviteRegistrarRequest,
    ListRegistrarsRequest,
    ListUnitsRequest,
    Registrar,
    RemoveRegistrarRequest,
    SetRegistrarRoleRequest,
    Unit,
    UnitKind,
    UpdateUnitRequest,
)
from liity.v1.use_log_service_pb2 import ListUsesRequest
from tests.support.program import Program
from tests.system.conftest import Api, Liity
from tests.system.support.registering import PATIENCE, adult, pupil, save, save_request

PASSWORD = "neljä sanaa on riittävästi"

KINDS = (UNIT_KIND_LIBRARY, UNIT_KIND_SCHOOL, UNIT_KIND_HIGHER_EDUCATION, UNIT_KIND_OTHER)

Client = Callable[[], Awaitable[ApiClient]]


@pytest.fixture
async def client(stack: Stack) -> AsyncIterator[Client]:
    """Makes clients of somebody new."""
    async with AsyncExitStack() as clients:

        async def make() -> ApiClient:
            return await clients.enter_async_context(ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca))

        yield make


async def refused(call: Awaitable[Any]) -> str:
    with pytest.raises(Refusal) as refusal:
        await call
    return f"{refusal.value.code.name} {reason_name(refusal.value.reason)}"


async def create(api: Api, kind: UnitKind.ValueType = UNIT_KIND_LIBRARY, name: str = "Uusi yksikkö") -> Unit:
    request = CreateUnitRequest(request_id=new_request_id(), display_name=name, kind=kind)
    return (await api.staff.call(api.staff.units.CreateUnit, request)).unit


def invitation(unit: str, email: str, role: Role.ValueType = ROLE_REGISTRAR) -> InviteRegistrarRequest:
    return InviteRegistrarRequest(
        parent=unit, request_id=new_request_id(), email=email, language=LANGUAGE_EN, role=role
    )


async def invite(
    inviter: ApiClient, unit: str, email: str, role: Role.ValueType = ROLE_REGISTRAR
) -> Registrar:
    return (await inviter.call(inviter.units.InviteRegistrar, invitation(unit, email, role))).registrar


async def token_mailed_to(stack: Stack, email: str, number: int = 1) -> str:
    """The token of the newest invitation to an address, once there are so many."""

    async def tokens() -> list[str]:
        mails = sorted(Maildir(stack.folder / "mail").sent_to(email), key=lambda mail: mail.id)
        found = [re.search(r"/invitation/([\w.~-]+)", mail.text) for mail in mails]
        return [match[1] for match in found if match]

    return (await eventually(tokens, lambda found: len(found) >= number, PATIENCE))[-1]


async def accept(somebody: ApiClient, token: str, name: str = "Ulla Uusi", password: str = PASSWORD) -> str:
    """Accepts an invitation; gives the unit."""
    request = AcceptInvitationRequest(
        token=token, request_id=new_request_id(), display_name=name, password=password
    )
    return (await somebody.call(somebody.auth.AcceptInvitation, request)).membership.unit


async def join(
    stack: Stack, somebody: ApiClient, inviter: ApiClient, unit: str, role: Role.ValueType = ROLE_REGISTRAR
) -> str:
    """Has somebody invited to a unit, who accepts and logs in; gives their address."""
    email = f"{uuid.uuid4().hex}@kirjasto.example"
    await invite(inviter, unit, email, role)
    await accept(somebody, await token_mailed_to(stack, email))
    await somebody.log_in(email, PASSWORD)
    return email


async def registrars(caller: ApiClient, unit: str) -> list[Registrar]:
    request = ListRegistrarsRequest(parent=unit)
    return list((await caller.call(caller.units.ListRegistrars, request)).registrars)


async def named(caller: ApiClient, unit: str, email: str) -> str:
    """The resource name of a registrar."""
    return next(found.name for found in await registrars(caller, unit) if found.email == email)


async def remove(caller: ApiClient, name: str, request_id: str = "") -> None:
    request = RemoveRegistrarRequest(name=name, request_id=request_id or new_request_id())
    await caller.call(caller.units.RemoveRegistrar, request)


async def listing(caller: ApiClient, unit: str) -> list[Any]:
    """What a registrar sees of a unit: any call at all."""
    request = ListRegistrationsRequest(parent=unit)
    return list((await caller.call(caller.registrations.ListRegistrations, request)).registrations)


async def is_logged_out(caller: ApiClient, unit: str) -> bool:
    """Whether neither the access token nor the refresh token opens anything."""
    refresh = RefreshSessionRequest(refresh_token=caller.session.refresh_token, request_id=new_request_id())
    answers = [
        await refused(listing(caller, unit)),
        await refused(caller.call(caller.auth.RefreshSession, refresh)),
    ]
    return answers == ["UNAUTHENTICATED SESSION_ENDED"] * 2


async def test_a_main_user_builds_a_unit_from_an_invitation(stack: Stack, api: Api, client: Client) -> None:
    unit = await create(api)
    main_user, registrar = await client(), await client()
    await join(stack, main_user, api.staff, unit.name, ROLE_MAIN_USER)
    assert [membership.role for membership in main_user.session.memberships] == [ROLE_MAIN_USER]
    get = GetUnitRequest(name=unit.name)
    assert (await main_user.call(main_user.units.GetUnit, get)).unit == unit
    email = await join(stack, registrar, main_user, unit.name)
    registration = await save(registrar, adult())
    assert registration.name.startswith(f"{unit.name}/")
    assert (await registrar.call(registrar.units.GetUnit, get)).unit == unit
    # Who may invite, and whom.
    stranger = f"{uuid.uuid4().hex}@kirjasto.example"
    assert await refused(invite(registrar, unit.name, stranger)) == "PERMISSION_DENIED PERMISSION_DENIED"
    assert await refused(registrars(registrar, unit.name)) == "PERMISSION_DENIED PERMISSION_DENIED"
    answer = await refused(invite(main_user, unit.name, stranger, ROLE_MAIN_USER))
    assert answer == "PERMISSION_DENIED PERMISSION_DENIED"
    for outsider in (api.teacher, api.operator):
        assert (await refused(invite(outsider, unit.name, stranger))).startswith("NOT_FOUND")
    assert await refused(invite(main_user, unit.name, email)) == "ALREADY_EXISTS ALREADY_REGISTRAR"


async def test_the_page_behind_the_link_tells_what_it_invites_to(
    stack: Stack, api: Api, client: Client
) -> None:
    unit, somebody = await create(api, name="Metsälän kirjasto"), await client()
    email = f"{uuid.uuid4().hex}@kirjasto.example"
    request = invitation(unit.name, email)
    answers = [await api.staff.call(api.staff.units.InviteRegistrar, request) for _ in range(2)]
    assert answers[0] == answers[1]
    token = await token_mailed_to(stack, email)
    get = GetInvitationRequest(token=token)
    page = await somebody.call(somebody.auth.GetInvitation, get)
    assert (page.unit_display_name, page.email, page.role) == ("Metsälän kirjasto", email, ROLE_REGISTRAR)
    assert (page.language, page.has_account) == (LANGUAGE_EN, False)
    assert page.expire_time == answers[0].registrar.invitation_expire_time
    assert await refused(accept(somebody, token, password="lyhyt")) == "INVALID_ARGUMENT PASSWORD_TOO_WEAK"
    newer = await invite(api.staff, unit.name, email)
    newest = await token_mailed_to(stack, email, 2)
    assert await refused(somebody.call(somebody.auth.GetInvitation, get)) == "FAILED_PRECONDITION LINK_VOID"
    assert [found.name for found in await registrars(api.staff, unit.name)] == [newer.name]
    await remove(api.staff, newer.name)
    assert await refused(accept(somebody, newest)) == "FAILED_PRECONDITION LINK_VOID"
    assert not await registrars(api.staff, unit.name)


async def test_who_belongs_to_two_units_says_which_one_they_act_for(
    stack: Stack, api: Api, client: Client
) -> None:
    library, school = await create(api), await create(api, UNIT_KIND_SCHOOL, "Uusi koulu")
    registrar = await client()
    email = await join(stack, registrar, api.staff, library.name)
    await invite(api.staff, school.name, email)
    token = await token_mailed_to(stack, email, 2)
    page = await registrar.call(registrar.auth.GetInvitation, GetInvitationRequest(token=token))
    assert page.has_account
    # The link gives a unit, and never another password.
    assert await refused(accept(registrar, token)) == "ALREADY_EXISTS ACCOUNT_EXISTS"
    assert await accept(registrar, token, name="", password="") == school.name
    await registrar.log_in(email, PASSWORD)
    assert {membership.unit for membership in registrar.session.memberships} == {library.name, school.name}
    saved = {
        unit: await registrar.call(registrar.registrations.RegisterCustomer, save_request(unit, person))
        for unit, person in ((library.name, adult()), (school.name, pupil()))
    }
    for unit, answer in saved.items():
        assert [found.name for found in await listing(registrar, unit)] == [answer.registration.name]
    # Taken out of one, they go on with the other.
    await remove(api.staff, await named(api.staff, school.name, email))
    assert await is_logged_out(registrar, library.name)
    await registrar.log_in(email, PASSWORD)
    assert len(await listing(registrar, library.name)) == 1
    assert await refused(listing(registrar, school.name)) == "NOT_FOUND UNIT_NOT_FOUND"


async def test_who_is_taken_out_is_out_with_the_very_next_call(
    stack: Stack, api: Api, client: Client
) -> None:
    unit = await create(api)
    main_user, registrar = await client(), await client()
    main_address = await join(stack, main_user, api.staff, unit.name, ROLE_MAIN_USER)
    email = await join(stack, registrar, main_user, unit.name)
    assert await listing(registrar, unit.name) == []
    name, request_id = await named(main_user, unit.name, email), new_request_id()
    for _ in range(2):
        await remove(main_user, name, request_id)
    assert await is_logged_out(registrar, unit.name)
    assert await refused(remove(main_user, name)) == "NOT_FOUND REGISTRAR_NOT_FOUND"
    own = await named(main_user, unit.name, main_address)
    assert await refused(remove(main_user, own)) == "FAILED_PRECONDITION LAST_MAIN_USER"
    uses = await api.staff.call(
        api.staff.uses.ListUses, ListUsesRequest(unit=unit.name, action="registrar:remove")
    )
    assert name.rpartition("/")[2] in {subject for use in uses.uses for subject in use.subject_ids}
    await remove(api.staff, own)
    assert await is_logged_out(main_user, unit.name)


async def test_a_new_role_counts_at_once(stack: Stack, api: Api, client: Client) -> None:
    unit, registrar = await create(api), await client()
    email = await join(stack, registrar, api.staff, unit.name)
    name = await named(api.staff, unit.name, email)
    request = SetRegistrarRoleRequest(name=name, request_id=new_request_id(), role=ROLE_MAIN_USER)
    answer = await refused(registrar.call(registrar.units.SetRegistrarRole, request))
    assert answer == "PERMISSION_DENIED PERMISSION_DENIED"
    changed = await api.staff.call(api.staff.units.SetRegistrarRole, request)
    assert changed.registrar.role == ROLE_MAIN_USER
    assert await is_logged_out(registrar, unit.name)
    await registrar.log_in(email, PASSWORD)
    assert len(await registrars(registrar, unit.name)) == 1


@pytest.mark.usefixtures("forgiven")
async def test_a_new_password_ends_the_session_with_the_very_next_call(
    stack: Stack, api: Api, client: Client
) -> None:
    unit, registrar, thief = await create(api), await client(), await client()
    email = await join(stack, registrar, api.staff, unit.name)
    await thief.log_in(email, PASSWORD)
    order = OrderPasswordRequest(email=email, request_id=new_request_id())
    await registrar.call(registrar.auth.OrderPassword, order)

    async def links() -> list[str]:
        texts = [mail.text for mail in Maildir(stack.folder / "mail").sent_to(email)]
        return [match[1] for text in texts if (match := re.search(r"/account-password/([\w.~-]+)", text))]

    (token,) = await eventually(links, bool, PATIENCE)
    assert await listing(thief, unit.name) == []
    choose = ChooseAccountPasswordRequest(
        token=token, request_id=new_request_id(), password="viisi sanaa on vielä parempi"
    )
    await registrar.call(registrar.auth.ChooseAccountPassword, choose)
    assert await is_logged_out(thief, unit.name)


@pytest.mark.parametrize("kind", KINDS)
async def test_schools_register_with_the_school_s_fields_and_others_without(
    api: Api, kind: UnitKind.ValueType
) -> None:
    unit = await create(api, kind)

    async def saved(person: DemoPerson) -> None:
        await api.staff.call(api.staff.registrations.RegisterCustomer, save_request(unit.name, person))

    without, within = adult(), pupil()
    if kind == UNIT_KIND_SCHOOL:
        assert await refused(saved(without)) == "INVALID_ARGUMENT SCHOOL_SUPPORT_REQUIRED"
        await saved(within)
    else:
        assert await refused(saved(within)) == "INVALID_ARGUMENT SCHOOL_SUPPORT_NOT_ALLOWED"
        await saved(without)


async def test_units_are_listed_and_changed(api: Api) -> None:
    mark = f"Zz{uuid.uuid4().hex[:10]}"
    units = [await create(api, name=f"{mark} {name}") for name in ("Äijälä", "Aalto", "Zorro")]

    async def found(**fields: Any) -> list[str]:
        names, request = [], ListUnitsRequest(query=mark.lower(), **fields)
        while True:
            page = await api.staff.call(api.staff.units.ListUnits, request)
            names += [unit.display_name.removeprefix(f"{mark} ") for unit in page.units]
            request.page_token = page.next_page_token
            if not page.next_page_token:
                return names

    assert await found() == await found(page_size=1) == ["Aalto", "Zorro", "Äijälä"]

    def change(unit: Unit, request_id: str, name: str) -> UpdateUnitRequest:
        mask = FieldMask(paths=["display_name"])
        return UpdateUnitRequest(
            name=unit.name, etag=unit.etag, update_mask=mask, display_name=name, request_id=request_id
        )

    request = change(units[0], new_request_id(), f"{mark} Öljylä")
    changed = [(await api.staff.call(api.staff.units.UpdateUnit, request)).unit for _ in range(2)]
    assert changed[0] == changed[1]
    assert (changed[0].display_name, changed[0].kind) == (f"{mark} Öljylä", UNIT_KIND_LIBRARY)
    late = change(units[0], new_request_id(), f"{mark} Myöhästynyt")
    assert await refused(api.staff.call(api.staff.units.UpdateUnit, late)) == "ABORTED CHANGED_MEANWHILE"
    assert await found() == ["Aalto", "Zorro", "Öljylä"]
    close = CloseUnitRequest(name=units[1].name, request_id=new_request_id())
    await api.staff.call(api.staff.units.CloseUnit, close)
    assert (await found(), await found(show_closed=True)) == (
        ["Zorro", "Öljylä"],
        ["Aalto", "Zorro", "Öljylä"],
    )
    again = change(units[1], new_request_id(), "Auki")
    assert (
        await refused(api.staff.call(api.staff.units.UpdateUnit, again)) == "FAILED_PRECONDITION UNIT_CLOSED"
    )


async def test_a_closed_unit_registers_nobody_any_more(stack: Stack, api: Api, client: Client) -> None:
    unit, registrar, invited = await create(api), await client(), await client()
    await join(stack, registrar, api.staff, unit.name)
    kept = await save(registrar, adult())
    email = f"{uuid.uuid4().hex}@kirjasto.example"
    inviting = invitation(unit.name, email)
    await api.staff.call(api.staff.units.InviteRegistrar, inviting)
    token = await token_mailed_to(stack, email)
    close = CloseUnitRequest(name=unit.name, request_id=new_request_id())
    for _ in range(2):
        closed = (await api.staff.call(api.staff.units.CloseUnit, close)).unit
        assert closed.HasField("close_time")
    assert await is_logged_out(registrar, unit.name)
    assert await refused(accept(invited, token)) == "FAILED_PRECONDITION LINK_VOID"
    assert not await registrars(api.staff, unit.name)
    request = save_request(unit.name, adult())
    saving = api.staff.call(api.staff.registrations.RegisterCustomer, request)
    assert await refused(saving) == "FAILED_PRECONDITION UNIT_CLOSED"
    assert await refused(invite(api.staff, unit.name, email)) == "FAILED_PRECONDITION UNIT_CLOSED"
    # Nor does a repeated call say that somebody is invited.
    repeated = api.staff.call(api.staff.units.InviteRegistrar, inviting)
    assert await refused(repeated) == "FAILED_PRECONDITION UNIT_CLOSED"
    # Its customers stay until they are moved.
    assert [found.name for found in await listing(api.staff, unit.name)] == [kept.name]


async def test_the_program_does_what_customer_service_and_main_users_do(
    stack: Stack, api: Api, liity: Liity
) -> None:
    made = json.loads(
        liity("staff", "units", "create", "Ohjelman koulu", "--kind", "school", "--yes", "--json").stdout
    )
    unit = made["name"]
    # One of the same name is asked about.
    again = liity("staff", "units", "create", "Ohjelman KOULU", "--kind", "school", typed="n\n")
    assert again.returncode == 1
    assert "a unit of this name already" in again.stdout + again.stderr
    assert len(json.loads(liity("staff", "units", "list", "ohjelman koulu", "--json").stdout)) == 1
    confirmed = liity("staff", "units", "create", "Ohjelman KOULU", "--kind", "school", typed="y\n")
    assert confirmed.returncode == 0
    edited = liity("staff", "units", "edit", unit, "--name", "Ohjelman opisto", "--kind", "higher-education")
    assert "HIGHER_EDUCATION" in edited.stdout
    assert "Ohjelman opisto" in liity("staff", "units", "list", "ohjelman").stdout
    email = f"{uuid.uuid4().hex}@opisto.example"
    sent = liity("staff", "registrars", "invite", email, "--unit", unit, "--role", "main-user", "--json")
    assert json.loads(sent.stdout)[0]["role"] == "ROLE_MAIN_USER"
    await accept(api.anybody, await token_mailed_to(stack, email))
    (main_user,) = json.loads(liity("staff", "registrars", "list", "--unit", unit, "--json").stdout)
    assert main_user["email"] == email
    changed = liity("staff", "registrars", "role", main_user["name"], "--role", "registrar")
    assert "MAIN_USER" not in changed.stdout
    assert liity("staff", "registrars", "remove", main_user["name"]).returncode == 0
    refusal = liity("staff", "registrars", "remove", main_user["name"])
    assert refusal.returncode != 0
    assert "REGISTRAR_NOT_FOUND" in refusal.stderr
    closed = liity("staff", "units", "close", unit, "--yes", "--json")
    assert "closeTime" in json.loads(closed.stdout)


async def test_whoever_installs_the_system_makes_the_first_account(
    stack: Stack, client: Client, program: Program
) -> None:
    email, somebody = f"{uuid.uuid4().hex}@liity.example", await client()
    environment = {
        "LIITY_KEYS_DIR": str(stack.keys_dir),
        "LIITY_IDENTITY_TARGET": f"{HOST}:{stack.ports.identity}",
    }
    if stack.certificates is not None:
        files = stack.certificates.files("seed")
        environment |= {
            "LIITY_TLS_CA": str(files.ca),
            "LIITY_TLS_CERTIFICATE": str(files.certificate),
            "LIITY_TLS_KEY": str(files.key),
        }
    made = program(
        *("staff", "create", email, "--name", "Aada Asiakaspalvelija"),
        environment=environment,
        typed=f"{PASSWORD}\n{PASSWORD}\n",
    )
    assert made.returncode == 0, made.stderr
    await somebody.log_in(email, PASSWORD)
    assert (await somebody.call(somebody.units.ListUnits, ListUnitsRequest(page_size=1))).units


def test_the_two_contracts_know_the_same_kinds() -> None:
    assert dict(UnitKind.items()) == dict(registration_pb2.UnitKind.items())
