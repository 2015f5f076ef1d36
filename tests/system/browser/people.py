"""A library and a school of their own, with people, lists and messages for every kind of page.

Other tests put nothing into these units: what their pages show is the same whatever ran before.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import NamedTuple

from deploy.local.ports import HOST
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from liity.identity.v1.account_service_pb2 import AccountMembership
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER, ROLE_REGISTRAR, Role
from liity.v1.feedback_service_pb2 import SendFeedbackRequest
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WAITING_FOR_REACTIVATION
from liity.v1.registration_service_pb2 import VerifyIdentityRequest
from liity.v1.unit_service_pb2 import (
    UNIT_KIND_LIBRARY,
    UNIT_KIND_SCHOOL,
    CreateUnitRequest,
    ListRegistrarsRequest,
    UnitKind,
)
from tests.system.conftest import Api
from tests.system.registrations.test_decisions import mark_for_deletion, register, without_code
from tests.system.support import class_lists
from tests.system.support.accounts import TestAccount, new_account
from tests.system.support.public_api_facts import Facts, create_facts
from tests.system.support.registering import MailCounter, adult, namesake, pupil, reaches, save


class Employed(NamedTuple):
    """Somebody who works for a unit that no other test uses."""

    client: ApiClient
    account: TestAccount


@dataclass(frozen=True)
class People:
    """The units' people."""

    teacher: Employed
    """A main user of the school."""
    registrar: Employed
    facts: Facts
    addresses: dict[str, str]
    """What stands in the places of addresses, by the places; the longest are replaced first."""


@asynccontextmanager
async def create_people(stack: Stack, api: Api) -> AsyncIterator[People]:
    """Creates everything through the public API where it can be; closes the clients at the end."""
    teacher = await _employed(stack, api, "Tammiston koulu", UNIT_KIND_SCHOOL, ROLE_MAIN_USER)
    registrar = await _employed(stack, api, "Tammiston kirjasto", UNIT_KIND_LIBRARY, ROLE_REGISTRAR)
    try:
        facts = await create_facts(
            stack, registrar.client, teacher.client, api.staff, api.anybody, MailCounter(stack)
        )
        addresses = await _addresses(stack, api, registrar.client, teacher.client, facts)
        yield People(teacher, registrar, facts, addresses)
    finally:
        await teacher.client.close()
        await registrar.client.close()


async def _employed(
    stack: Stack, api: Api, unit_name: str, kind: UnitKind.ValueType, role: Role.ValueType
) -> Employed:
    create = CreateUnitRequest(request_id=new_request_id(), display_name=unit_name, kind=kind)
    unit = (await api.staff.call(api.staff.units.CreateUnit, create)).unit.name
    membership = AccountMembership(unit_id=unit.rpartition("/")[2], role=role)
    account = await new_account(stack, memberships=[membership])
    client = ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca)
    await client.log_in(account.email, account.password)
    return Employed(client, account)


async def _addresses(
    stack: Stack, api: Api, registrar: ApiClient, teacher: ApiClient, facts: Facts
) -> dict[str, str]:
    long_named, namesake_of_it = pupil(), pupil()
    for each in (namesake_of_it, long_named):
        each.form.first_names, each.form.last_name = "عبد الرحمن", "Äärimmäisen-Pitkäsukunimi" * 3
        first = await save(teacher, each)
    unknown = await register(registrar, without_code(registrar, adult()))
    feedback = SendFeedbackRequest(request_id=new_request_id(), text="x")
    sent = await api.anybody.call(api.anybody.feedback.SendFeedback, feedback)
    listing = ListRegistrarsRequest(parent=facts.school)
    registrars = (await api.staff.call(api.staff.units.ListRegistrars, listing)).registrars
    one = adult()
    twins = sorted([(await save(registrar, person)).customer for person in (one, namesake(one))])
    listed = await class_lists.register(teacher, class_lists.csv_of([class_lists.pupil_row(1)]))
    await class_lists.done(teacher, listed.class_list.name)
    returned, verified = await _comes_back(stack, registrar), await _verified(api, registrar)
    return {
        "/units/{unit}/registrations/{registration}/reactivate": f"/{returned}/reactivate",
        "/units/{unit}/registrations/{registration}/decided": f"/{verified}/decided",
        **{
            f"/units/{{unit}}/registrations/{{registration}}/{decision}": f"/{unknown.name}/{decision}"
            for decision in ("verify", "link", "reject")
        },
        "/units/{unit}/customers/{customer}/done/{what}": f"/{facts.customer.name}/done/online",
        "/work/{item}/dismiss": f"/work/4-{'-'.join(name.rpartition('/')[2] for name in twins)}/dismiss",
        "/units/{unit}/registrations/{registration}": f"/{first.name}",
        "/units/{unit}/customers/{customer}": f"/{facts.customer.name}",
        "/units/{unit}/messages/{message}": f"/{facts.message.name}",
        "/units/{unit}/classLists/{class_list}": f"/{listed.class_list.name}",
        "/feedback/{feedback}": f"/feedback/{sent.reference.replace('-', '').lower()}",
        "/work/{item}": f"/work/{facts.work_item.rpartition('/')[2]}",
        "/units/{unit}": f"/{facts.school}",
        "/registrars/{registrar}": f"/registrars/{registrars[0].name.rpartition('/')[2]}",
        "/book-tips/{language}": "/book-tips/sv",
        "/how-was-it/{task}": "/how-was-it/registration",
    }


async def _verified(api: Api, registrar: ApiClient) -> str:
    """A registration whose person customer service has found to be who they say (R24)."""
    saved = await register(registrar, without_code(registrar, adult()))
    verify = VerifyIdentityRequest(name=saved.name, request_id=new_request_id())
    await api.staff.call(api.staff.registrations.VerifyIdentity, verify)
    return saved.name


async def _comes_back(stack: Stack, registrar: ApiClient) -> str:
    """A registration of somebody whose customership had ended (R22)."""
    person = adult()
    before = await save(registrar, person)
    await mark_for_deletion(stack, (await reaches(registrar, before.name, STAGE_CREDENTIALS_SENT)).customer)
    again = await save(registrar, person)
    assert again.stage == STAGE_WAITING_FOR_REACTIVATION
    return again.name
