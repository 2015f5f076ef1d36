"""A unit closes into another one, which takes over all that it has (R41)."""

import json
from typing import Any

from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER
from liity.v1.message_service_pb2 import (
    MESSAGE_STATE_OPEN,
    ListMessagesRequest,
    SendMessageRequest,
)
from liity.v1.registration_pb2 import (
    MISSING_CODE_REASON_NOT_YET_GIVEN,
    STAGE_WAITING_FOR_CONSENT,
    Registration,
)
from liity.v1.registration_service_pb2 import (
    ExplainedEvent,
    ExplainRegistrationRequest,
    ListRegistrationsRequest,
    MissingPersonalIdentityCode,
    RegisterCustomerRequest,
    RemindGuardianRequest,
)
from liity.v1.unit_service_pb2 import (
    CloseUnitRequest,
    GetUnitClosingRequest,
    GetUnitClosingResponse,
    Unit,
)
from liity.v1.use_log_service_pb2 import ListUsesRequest
from tests.support.registration_forms import date_from_today
from tests.system.conftest import Api, Liity
from tests.system.support import class_lists
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    accept,
    adult,
    link_token,
    pupil,
    save_request,
)
from tests.system.units.test_units import create, refused

_ROWS = 6


def child() -> DemoPerson:
    """A child whose guardian is asked, of a unit that is no school."""
    person = pupil()
    person.form.ClearField("school_support")
    return person


async def saved(staff: ApiClient, unit: Unit, request: RegisterCustomerRequest) -> Registration:
    request.parent = unit.name
    return (await staff.call(staff.registrations.RegisterCustomer, request)).registration


def temporary() -> DemoPerson:
    person = adult()
    person.form.temporary = True
    person.form.expected_end_date.CopyFrom(date_from_today(60))
    return person


def without_code(person: DemoPerson) -> RegisterCustomerRequest:
    request = save_request("", person)
    request.missing_personal_identity_code.CopyFrom(
        MissingPersonalIdentityCode(
            birth_date=date_from_today(-365 * 30), reason=MISSING_CODE_REASON_NOT_YET_GIVEN
        )
    )
    return request


async def closing(staff: ApiClient, unit: Unit) -> GetUnitClosingResponse:
    request = GetUnitClosingRequest(name=unit.name)
    return await staff.call(staff.units.GetUnitClosing, request)


async def listed(staff: ApiClient, unit: Unit, **fields: Any) -> dict[str, Registration]:
    """A unit's registrations by their ID."""
    request = ListRegistrationsRequest(parent=unit.name, page_size=100, **fields)
    found = (await staff.call(staff.registrations.ListRegistrations, request)).registrations
    return {each.name.rpartition("/")[2]: each for each in found}


async def test_all_that_a_closed_unit_has_moves_to_its_successor(
    stack: Stack, api: Api, liity: Liity
) -> None:
    staff, mails = api.staff, MailCounter(stack)
    closed, successor, another = [await create(api, name=name) for name in ("Vanha Ala", "Uusi Ylä", "Muu")]
    family, borrower = child(), adult()
    borrower.form.kind = CUSTOMER_KIND_CD_BORROWER
    borrower.form.ClearField("credentials_recipient")
    requests = [save_request("", person) for person in (adult(), borrower, temporary(), family)]
    begun = [await saved(staff, closed, request) for request in (*requests, without_code(adult()))]
    waits = begun[3]
    asked = await mails.wait_for(family, "consent_request", waits)
    assert closed.display_name in asked.text
    send = SendMessageRequest(
        parent=closed.name, request_id=new_request_id(), registration=begun[0].name, text="Mikä kirja?"
    )
    await staff.call(staff.messages.SendMessage, send)
    before = await closing(staff, closed)
    assert (before.moved_persons, _left(before)) == (0, (3, 1, 1, 1, 1, 0))

    rows = class_lists.csv_of([class_lists.adult_row(number) for number in range(_ROWS)])
    a_list = (await class_lists.register(staff, rows, unit=closed.name)).class_list
    done = liity("staff", "units", "close", closed.name, "--successor", successor.name, "--yes", "--json")
    assert json.loads(done.stdout)["successor"] == successor.name
    await _other_successors_are_refused(staff, closed, successor, another)

    after = await eventually(
        lambda: closing(staff, closed), lambda found: found.HasField("move_end_time"), PATIENCE
    )
    assert _left(after) == (0, 0, 0, 0, 0, 0)
    assert after.moved_persons >= len(begun)
    moved_list = f"{successor.name}/classLists/{a_list.name.rpartition('/')[2]}"
    counts = (await class_lists.done(staff, moved_list)).counts
    assert (counts.registered, counts.refused) == (_ROWS, 0)
    there = await eventually(
        lambda: listed(staff, successor), lambda found: len(found) == len(begun) + _ROWS, PATIENCE
    )
    assert {each.name.rpartition("/")[2] for each in begun} <= there.keys()
    assert not await listed(staff, closed)
    found = await staff.call(
        staff.messages.ListMessages, ListMessagesRequest(parent=successor.name, state=MESSAGE_STATE_OPEN)
    )
    assert [each.text for each in found.messages] == ["Mikä kirja?"]

    mine = there[waits.name.rpartition("/")[2]]
    assert (mine.stage, mine.deadline) == (STAGE_WAITING_FOR_CONSENT, waits.deadline)
    await _the_wait_goes_on(api, mails, family, mine, link_token(asked), successor)
    for unit, action in ((closed, "customer:transfer-away"), (successor, "customer:transfer")):
        uses = ListUsesRequest(subject_id=mine.name.rpartition("/")[2], action=action)
        entries = (await staff.call(staff.uses.ListUses, uses)).uses
        assert [(entry.unit, entry.role) for entry in entries] == [(unit.name, ROLE_CUSTOMER_SERVICE)]


def _left(found: GetUnitClosingResponse) -> tuple[int, ...]:
    return (
        found.customers,
        found.waiting_for_consent,
        found.waiting_for_customer_service,
        found.temporary_needs,
        found.open_messages,
        found.unfinished_class_lists,
    )


async def _other_successors_are_refused(
    staff: ApiClient, closed: Unit, successor: Unit, another: Unit
) -> None:
    async def close(unit: Unit, other: str) -> Unit:
        request = CloseUnitRequest(name=unit.name, request_id=new_request_id(), successor=other)
        return (await staff.call(staff.units.CloseUnit, request)).unit

    assert (await close(closed, successor.name)).successor == successor.name
    assert await refused(close(closed, another.name)) == "FAILED_PRECONDITION UNIT_HAS_SUCCESSOR"
    assert await refused(close(another, closed.name)) == "FAILED_PRECONDITION UNIT_CLOSED"
    assert await refused(close(another, "units/none")) == "NOT_FOUND UNIT_NOT_FOUND"
    assert await refused(close(another, another.name)) == "INVALID_ARGUMENT UNKNOWN_VALUE"


async def _the_wait_goes_on(
    api: Api, mails: MailCounter, family: DemoPerson, mine: Registration, token: str, successor: Unit
) -> None:
    """The guardian's mail speaks of the new unit, and the link that was mailed before stays good."""
    staff = api.staff
    remind = RemindGuardianRequest(name=mine.name, request_id=new_request_id())
    await staff.call(staff.registrations.RemindGuardian, remind)
    reminder = await mails.wait_for(family, "consent_reminder", mine)
    assert successor.display_name in reminder.text
    await accept(api.anybody, token, family)
    await mails.wait_for(family, "credentials", mine)
    assert mails.templates(family, mine)["consent_request"] == 1
    explain = ExplainRegistrationRequest(name=mine.name)
    explained = await staff.call(staff.registrations.ExplainRegistration, explain)
    assert [event.kind for event in explained.events].count(ExplainedEvent.KIND_MOVED) == 1
