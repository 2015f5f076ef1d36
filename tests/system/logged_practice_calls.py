"""Calls about units, registrars, and what becomes of customers: what each leaves in the log of use (R36)."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from deploy.api_client import new_request_id
from deploy.demo_forms import DemoPerson
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER, ROLE_REGISTRAR
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from liity.v1.customer_service_pb2 import (
    CODE_CHANGE_RENEWED,
    CODE_OF_KEPT,
    END_REASON_OWN_WISH,
    ConvertToOnlineRequest,
    Customer,
    EndCustomershipRequest,
    MergeCustomersRequest,
    SetPersonalIdentityCodeRequest,
    UndoRemovalRequest,
)
from liity.v1.registration_pb2 import Registration
from liity.v1.unit_service_pb2 import (
    UNIT_KIND_LIBRARY,
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
    UpdateUnitRequest,
)
from tests.system.logged_calls import CUSTOMERS, Called, World, opaque, person_of, these
from tests.system.registering import adult, namesake, save
from tests.system.test_one_person import cd_borrower
from tests.system.test_transfer import customer_of
from tests.system.test_units import accept, invite, named, token_mailed_to

UNITS = "/liity.v1.UnitService"


def _wrong_parent(request: Any) -> None:
    request.parent = "x"


async def _saved(world: World, person: DemoPerson) -> Customer:
    """A customer of the library, of the test's own."""
    await save(world.api.registrar, person)
    return await customer_of(world.api.registrar, person)


async def _subjects(world: World, customer: Customer, *, with_registration: bool = False) -> set[str]:
    person = await person_of(world.stack, Registration(name=customer.registration))
    registration = {opaque(customer.registration)} if with_registration else set[str]()
    return {opaque(customer.name), person} | registration


async def _end(world: World) -> Called:
    customer = await _saved(world, adult())
    request = EndCustomershipRequest(
        name=customer.name, request_id=new_request_id(), reason=END_REASON_OWN_WISH
    )
    return Called("registrar", request, these(*await _subjects(world, customer)))


async def _undo(world: World) -> Called:
    customer = await _saved(world, adult())
    subjects = these(*await _subjects(world, customer))
    end = EndCustomershipRequest(name=customer.name, request_id=new_request_id(), reason=END_REASON_OWN_WISH)
    await world.api.registrar.call(world.api.registrar.customers.EndCustomership, end)
    request = UndoRemovalRequest(name=customer.name, request_id=new_request_id())
    return Called("staff", request, subjects, entries=2)


async def _set_code(world: World) -> Called:
    customer = await _saved(world, adult())
    request = SetPersonalIdentityCodeRequest(
        name=customer.name,
        request_id=new_request_id(),
        personal_identity_code=adult().personal_identity_code,
        change=CODE_CHANGE_RENEWED,
    )
    subjects = these(*await _subjects(world, customer))
    # The log tells what kind of change it was.
    return Called("staff", request, subjects, entries=2, action="personal-identity-code:renew")


async def _merge(world: World) -> Called:
    person = adult()
    kept, merged = await _saved(world, person), await _saved(world, namesake(person))
    subjects = {
        *await _subjects(world, kept),
        *await _subjects(world, merged, with_registration=True),
    }
    request = MergeCustomersRequest(
        name=kept.name,
        request_id=new_request_id(),
        merged_customer=merged.name,
        personal_identity_code_of=CODE_OF_KEPT,
    )
    return Called("staff", request, these(*subjects), entries=2)


async def _convert(world: World) -> Called:
    customer = await _saved(world, cd_borrower())
    request = ConvertToOnlineRequest(name=customer.name, request_id=new_request_id())
    subjects = these(*await _subjects(world, customer, with_registration=True))
    return Called("staff", request, subjects, entries=2)


async def _new_unit(world: World) -> Unit:
    request = CreateUnitRequest(
        request_id=new_request_id(), display_name="Kirjattava kirjasto", kind=UNIT_KIND_LIBRARY
    )
    return (await world.api.staff.call(world.api.staff.units.CreateUnit, request)).unit


def _invitation(unit: str) -> InviteRegistrarRequest:
    return InviteRegistrarRequest(
        parent=unit,
        request_id=new_request_id(),
        email=f"{uuid.uuid4().hex}@kirjasto.example",
        language=LANGUAGE_FI,
        role=ROLE_REGISTRAR,
    )


async def _invited(world: World) -> Registrar:
    """An open invitation to a unit of the test's own."""
    invitation = _invitation((await _new_unit(world)).name)
    return (await world.api.staff.call(world.api.staff.units.InviteRegistrar, invitation)).registrar


async def _named_registrars(answer: Any) -> set[str]:
    return {opaque(registrar.name) for registrar in answer.registrars}


async def _named_registrar(answer: Any) -> set[str]:
    return {opaque(answer.registrar.name)}


async def _create_unit(_world: World) -> Called:
    request = CreateUnitRequest(
        request_id=new_request_id(), display_name="Kirjattava kirjasto", kind=UNIT_KIND_LIBRARY
    )
    return Called("staff", request, these())


async def _get_unit(world: World) -> Called:
    return Called("teacher", GetUnitRequest(name=world.facts.school), these())


async def _list_units(_world: World) -> Called:
    return Called("staff", ListUnitsRequest(page_size=2), these())


async def _update_unit(world: World) -> Called:
    unit = await _new_unit(world)
    request = UpdateUnitRequest(
        name=unit.name,
        request_id=new_request_id(),
        etag=unit.etag,
        update_mask=FieldMask(paths=["display_name"]),
        display_name="Toinen nimi",
    )
    return Called("staff", request, these())


async def _close_unit(world: World) -> Called:
    unit = await _new_unit(world)
    return Called("staff", CloseUnitRequest(name=unit.name, request_id=new_request_id()), these())


async def _invite(world: World) -> Called:
    return Called("staff", _invitation((await _new_unit(world)).name), _named_registrar)


async def _list_registrars(world: World) -> Called:
    request = ListRegistrarsRequest(parent=world.facts.school)
    return Called("staff", request, _named_registrars, _wrong_parent)


async def _remove(world: World) -> Called:
    registrar = await _invited(world)
    request = RemoveRegistrarRequest(name=registrar.name, request_id=new_request_id())
    return Called("staff", request, these(opaque(registrar.name)))


async def _set_role(world: World) -> Called:
    unit, email = (await _new_unit(world)).name, f"{uuid.uuid4().hex}@kirjasto.example"
    await invite(world.api.staff, unit, email)
    await accept(world.api.anybody, await token_mailed_to(world.stack, email))
    request = SetRegistrarRoleRequest(
        name=await named(world.api.staff, unit, email), request_id=new_request_id(), role=ROLE_MAIN_USER
    )
    return Called("staff", request, _named_registrar)


PRACTICE_CALLS: dict[str, Callable[[World], Awaitable[Called]]] = {
    f"{CUSTOMERS}/EndCustomership": _end,
    f"{CUSTOMERS}/UndoRemoval": _undo,
    f"{CUSTOMERS}/SetPersonalIdentityCode": _set_code,
    f"{CUSTOMERS}/MergeCustomers": _merge,
    f"{CUSTOMERS}/ConvertToOnline": _convert,
    f"{UNITS}/CreateUnit": _create_unit,
    f"{UNITS}/GetUnit": _get_unit,
    f"{UNITS}/ListUnits": _list_units,
    f"{UNITS}/UpdateUnit": _update_unit,
    f"{UNITS}/CloseUnit": _close_unit,
    f"{UNITS}/InviteRegistrar": _invite,
    f"{UNITS}/ListRegistrars": _list_registrars,
    f"{UNITS}/SetRegistrarRole": _set_role,
    f"{UNITS}/RemoveRegistrar": _remove,
}
"""By path, as `CALLS`."""
