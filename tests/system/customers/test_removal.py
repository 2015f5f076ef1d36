"""A customership ends by each of its ways, comes back, and is erased until nothing is left (R19 to R21)."""

import subprocess
from collections.abc import Awaitable
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus

from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, ACTOR_KIND_LINK
from liity.v1.customer_form_pb2 import SCHOOL_SUPPORT_INTENSIFIED
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    CUSTOMER_STATE_MARKED_FOR_DELETION,
    END_REASON_NOT_ENTITLED,
    Customer,
    EndCustomershipRequest,
    EndCustomershipResponse,
    GetCustomerRequest,
    SearchCustomersRequest,
    UndoRemovalRequest,
)
from liity.v1.customership_link_service_pb2 import (
    EndOwnCustomershipRequest,
    ExtendNeedRequest,
    GetCustomershipLinkRequest,
)
from liity.v1.registration_pb2 import (
    ACTION_ASK_CUSTOMER_SERVICE,
    ACTION_EDIT,
    ACTION_END_CUSTOMERSHIP,
    ACTION_MARK_PROTECTED,
    ACTION_SEND_CREDENTIALS,
    ACTION_UNDO_REMOVAL,
    PARTY_CUSTOMER_SERVICE,
    STAGE_WAITING_FOR_REACTIVATION,
    Registration,
)
from liity.v1.registration_service_pb2 import ReactivateRequest
from liity.v1.use_log_service_pb2 import ListUsesRequest, Use
from services.runtime.temporal.names import RemovalWorkflowNames
from tests.support.registration_forms import date_from_today
from tests.system.conftest import Api, Liity
from tests.system.privacy.test_erasure import files, vacuum, write_to_disk
from tests.system.support.byte_search import find
from tests.system.support.marked import marked_pupil, marks
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    adult,
    database,
    get,
    link_token,
    save,
    settings,
    workflow_id,
)

WELCOME_SOON = {"LIITY_WORKFLOWS_WELCOME_DELAY": "PT1S"}
ERASED_SOON = {"LIITY_RETENTION_OVERRIDE": "PT2S"}


async def customer(client: ApiClient, registration: Registration) -> Customer:
    request = GetCustomerRequest(name=(await get(client, registration.name)).customer)
    return (await client.call(client.customers.GetCustomer, request)).customer


async def end(client: ApiClient, name: str, request_id: str = "") -> EndCustomershipResponse:
    request = EndCustomershipRequest(
        name=name, request_id=request_id or new_request_id(), reason=END_REASON_NOT_ENTITLED
    )
    return await client.call(client.customers.EndCustomership, request)


async def undo(client: ApiClient, name: str) -> Customer:
    request = UndoRemovalRequest(name=name, request_id=new_request_id())
    return (await client.call(client.customers.UndoRemoval, request)).customer


async def seen_by(client: ApiClient, name: str) -> Customer:
    return (await client.call(client.customers.GetCustomer, GetCustomerRequest(name=name))).customer


async def found(client: ApiClient, person: DemoPerson) -> int:
    request = SearchCustomersRequest(parent=client.unit, query=person.form.first_names)
    return len((await client.call(client.customers.SearchCustomers, request)).customers)


async def uses(api: Api, name: str) -> list[Use]:
    """What the log says of a customer's changes, oldest first."""
    request = ListUsesRequest(subject_id=name.rpartition("/")[2])
    listed = (await api.staff.call(api.staff.uses.ListUses, request)).uses
    return [use for use in reversed(listed) if use.action.startswith("customership:")]


async def refused(call: Awaitable[Any]) -> str:
    with pytest.raises(Refusal) as refusal:
        await call
    return reason_name(refusal.value.reason)


def actions(customer: Customer) -> list[int]:
    return [available.action for available in customer.available_actions]


async def test_a_registrar_ends_it_and_customer_service_brings_it_back(api: Api, mails: MailCounter) -> None:
    person = adult()
    saved = await save(api.registrar, person)
    await mails.wait_for(person, "credentials")
    before = await customer(api.registrar, saved)
    assert actions(before)[:3] == [ACTION_EDIT, ACTION_SEND_CREDENTIALS, ACTION_END_CUSTOMERSHIP]
    request_id = new_request_id()
    ended = await end(api.registrar, before.name, request_id)
    assert await end(api.registrar, before.name, request_id) == ended
    assert ended.end_time.seconds < ended.erase_time.seconds
    await mails.wait_for(person, "customership_ended")
    # The registrar finds nobody any more; customer service still opens it.
    assert await found(api.registrar, person) == 0
    assert await refused(seen_by(api.registrar, before.name)) == "CUSTOMER_NOT_FOUND"
    assert not (await get(api.registrar, saved.name)).customer_display_name
    kept = await seen_by(api.staff, before.name)
    assert kept.state == CUSTOMER_STATE_MARKED_FOR_DELETION
    assert actions(kept) == [ACTION_UNDO_REMOVAL, ACTION_MARK_PROTECTED, ACTION_ASK_CUSTOMER_SERVICE]
    assert list(kept.available_actions[0].parties) == [PARTY_CUSTOMER_SERVICE]
    assert await refused(end(api.registrar, before.name)) == "CUSTOMER_HAS_ENDED"
    assert await refused(undo(api.registrar, before.name)) == "PERMISSION_DENIED"

    returned = await undo(api.staff, before.name)
    assert returned.state == CUSTOMER_STATE_ACTIVE
    assert returned.form == before.form
    await mails.wait_for(person, "removal_undone")
    await mails.wait_for(person, "customership_goes_on")
    assert await found(api.registrar, person) == 1

    async def credentials() -> int:
        return mails.templates(person).get("credentials", 0)

    await eventually(credentials, lambda number: number == 2, PATIENCE)
    assert await refused(undo(api.staff, before.name)) == "CUSTOMER_NOT_ENDED"
    assert [(use.action, use.actor_kind) for use in await uses(api, before.name)] == [
        ("customership:end", ACTOR_KIND_ACCOUNT),
        ("customership:undo", ACTOR_KIND_ACCOUNT),
    ]


async def test_who_has_ended_comes_back_by_another_units_registration(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    person = adult()
    saved = await save(api.registrar, person)
    before = await customer(api.registrar, saved)
    await end(api.registrar, before.name)
    await mails.wait_for(person, "customership_ended")
    customer_id = before.name.rpartition("/")[2]
    temporal = await connect_temporal(stack)
    removal = temporal.get_workflow_handle(RemovalWorkflowNames.workflow_id(customer_id))

    async def status() -> WorkflowExecutionStatus | None:
        return (await removal.describe()).status

    assert await status() == WorkflowExecutionStatus.RUNNING

    person.form.school_support = SCHOOL_SUPPORT_INTENSIFIED
    again = await save(api.teacher, person)
    assert again.stage == STAGE_WAITING_FOR_REACTIVATION
    assert await refused(undo(api.staff, before.name)) == "REGISTRATION_UNDECIDED"
    reactivate = ReactivateRequest(name=again.name, request_id=new_request_id())
    active = (await api.staff.call(api.staff.registrations.Reactivate, reactivate)).registration
    assert active.customer == f"{api.teacher.unit}/customers/{customer_id}"
    # Nothing waits to erase a customer.
    await eventually(status, lambda found: found == WorkflowExecutionStatus.COMPLETED, PATIENCE)
    moved = await mails.wait_for(person, "moved_to_another_unit", saved)
    assert moved.recipient == "rekisteroija@kirjasto.example"
    assert await found(api.registrar, person) == 0
    assert await found(api.teacher, person) == 1


async def test_a_customer_extends_the_need_and_ends_it_by_the_mailed_link(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    person = adult()
    person.form.temporary = True
    person.form.expected_end_date.CopyFrom(date_from_today(30))
    async with settings(stack, WELCOME_SOON, "worker"):
        saved = await save(api.registrar, person)
        token = link_token(await mails.wait_for(person, "welcome"))
    links, anybody = api.anybody.customership_links, api.anybody
    opened = await anybody.call(links.GetCustomershipLink, GetCustomershipLinkRequest(token=token))
    assert opened.first_names == person.form.first_names
    assert opened.temporary
    assert opened.expected_end_date == date_from_today(30)
    extend = ExtendNeedRequest(
        token=token, request_id=new_request_id(), expected_end_date=date_from_today(60)
    )
    for _ in range(2):
        answer = await anybody.call(links.ExtendNeed, extend)
        assert answer.expected_end_date == date_from_today(60)
    known = await customer(api.registrar, saved)
    assert known.form.expected_end_date == date_from_today(60)
    # It answers once.
    own = EndOwnCustomershipRequest(token=token, request_id=new_request_id())
    assert await refused(anybody.call(links.EndOwnCustomership, own)) == "LINK_USED"
    assert [(use.action, use.actor_kind) for use in await uses(api, known.name)] == [
        ("customership:extend", ACTOR_KIND_LINK)
    ]


async def test_of_who_has_ended_it_nothing_is_left_in_any_file(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    person, staying = marked_pupil(with_consent=True), marked_pupil()
    await save(api.teacher, staying)
    async with settings(stack, WELCOME_SOON | ERASED_SOON, "worker"):
        saved = await save(api.teacher, person)
        token = link_token(await mails.wait_for(person, "welcome"))
        person_id = (await workflow_id(stack, saved)).rpartition("/")[2]
        async with database(stack, "identity") as connection:
            user_name = await connection.fetchval(
                "SELECT user_name FROM credentials WHERE person_id = $1", person_id
            )
        await write_to_disk(stack)
        # What is there is found: else finding nothing would prove nothing.
        assert {mark for mark, _ in find(marks(person), files(stack.folder))} == marks(person)
        own = EndOwnCustomershipRequest(token=token, request_id=new_request_id())
        links, anybody = api.anybody.customership_links, api.anybody
        await anybody.call(links.EndOwnCustomership, own)
        await mails.wait_for(person, "customership_ended")

        async def still_known() -> int:
            async with database(stack, "registration") as connection:
                statement = "SELECT 1 FROM registrations WHERE person_id = $1"
                return len(await connection.fetch(statement, person_id))

        await eventually(still_known, lambda rows: rows == 0, PATIENCE)
        # Whose answer was lost may repeat it.
        await anybody.call(links.EndOwnCustomership, own)
    await vacuum(stack)
    after = files(stack.folder)
    personal = marks(person) | {person.personal_identity_code, user_name, token}
    assert find(personal, after) == []
    assert {mark for mark, _ in find(marks(staying), after)} == marks(staying)
    # The same person is registered as new.
    assert (await save(api.teacher, person)).name != saved.name


async def test_it_ends_and_comes_back_from_the_command_line(api: Api, remote_liity: Liity) -> None:
    person = adult()
    name = (await customer(api.registrar, await save(api.registrar, person))).name

    def liity(account: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return remote_liity(account, "customers", *arguments, typed=typed)

    wrong = liity("registrar", "end", name, "--reason", "whim", "--yes")
    assert wrong.returncode == 2
    assert "own-wish" in wrong.stderr
    asked = liity("registrar", "end", name, "--reason", "own-wish", typed="n\n")
    assert (asked.returncode, "Only customer service" in asked.stdout) == (1, True)
    ended = liity("registrar", "end", name.rpartition("/")[2], "--reason", "own-wish", "--yes")
    assert "The data is kept until the end of" in ended.stdout, ended.stderr
    returned = liity("staff", "undo-removal", name, "--json")
    assert "CUSTOMER_STATE_ACTIVE" in returned.stdout, returned.stderr
