"""Many who save the same person at the same moment (R18), and one who saves again and again (R11)."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import cycle, islice
from typing import NamedTuple

import grpc
import pytest

from deploy.demo.forms import DemoPerson
from deploy.local.stack import Stack
from frontends.client import ApiClient
from frontends.refusals import Refusal
from liity.v1.customer_form_pb2 import SCHOOL_SUPPORT_PUPIL_SPECIFIC, SCHOOL_SUPPORT_UNSPECIFIED
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_BEING_REGISTERED,
    Reason,
)
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WAITING_FOR_CONSENT, Registration
from liity.v1.registration_service_pb2 import ListRegistrationsRequest, RegisterCustomerRequest
from tests.system.conftest import Api
from tests.system.support.registering import (
    MailCounter,
    adult,
    database,
    persistently,
    pupil,
    reaches,
    save_request,
)

SAVERS = 50
REPETITIONS = 10


class Race(NamedTuple):
    """How a race ended."""

    winner: Registration
    refused_here: Counter[Reason.ValueType]
    """Why others of the winner's unit were refused."""
    refused_elsewhere: Counter[Reason.ValueType]


async def test_of_fifty_who_save_an_adult_one_succeeds(stack: Stack, api: Api, mails: MailCounter) -> None:
    person = adult()

    race = await _race(api, person)

    assert race.refused_here.keys() <= {REASON_BEING_REGISTERED, REASON_ALREADY_REGISTERED_IN_THIS_UNIT}
    assert race.refused_elsewhere.keys() <= {
        REASON_BEING_REGISTERED,
        REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    }
    assert race.refused_here.total() + race.refused_elsewhere.total() == SAVERS - 1
    await reaches(api.staff, race.winner.name, STAGE_CREDENTIALS_SENT)
    assert mails.templates(person) == {"credentials": 1}
    assert await _found(stack, api, person) == {"customers": 1, "registrations": 1, "listed": 1}


async def test_of_fifty_who_save_a_child_one_succeeds(stack: Stack, api: Api, mails: MailCounter) -> None:
    person = pupil()

    race = await _race(api, person)

    assert race.winner.stage == STAGE_WAITING_FOR_CONSENT
    assert race.refused_here + race.refused_elsewhere == {REASON_BEING_REGISTERED: SAVERS - 1}
    await mails.wait_for(person, "consent_request")
    assert mails.templates(person) == {"consent_request": 1}
    assert await _found(stack, api, person) == {"customers": 0, "registrations": 1, "listed": 1}


@pytest.mark.parametrize(
    ("saver", "make_up", "mail", "customers"),
    [("registrar", adult, "credentials", 1), ("teacher", pupil, "consent_request", 0)],
)
async def test_a_save_repeated_is_one_registration(
    stack: Stack,
    api: Api,
    mails: MailCounter,
    saver: str,
    make_up: Callable[[], DemoPerson],
    mail: str,
    customers: int,
) -> None:
    client: ApiClient = getattr(api, saver)
    person = make_up()
    request = save_request(client.unit, person)

    at_once = await asyncio.gather(*(_send(client, request) for _ in range(REPETITIONS)))
    await mails.wait_for(person, mail)
    in_turn = [await _send(client, request) for _ in range(REPETITIONS)]

    answers = {(answer.name, answer.create_time.ToNanoseconds()) for answer in (*at_once, *in_turn)}
    assert len(answers) == 1
    assert mails.templates(person) == {mail: 1}
    assert await _found(stack, api, person) == {
        "customers": customers,
        "registrations": 1,
        "listed": 1,
    }


async def _race(api: Api, person: DemoPerson) -> Race:
    """Registrars of two units, and staff in both, save the person all at once."""
    library, school = api.registrar.unit, api.teacher.unit
    savers = [(api.registrar, library), (api.teacher, school), (api.staff, library), (api.staff, school)]
    saves = []
    for client, unit in islice(cycle(savers), SAVERS):
        request = save_request(unit, person)
        request.form.school_support = (
            SCHOOL_SUPPORT_PUPIL_SPECIFIC if unit == school else SCHOOL_SUPPORT_UNSPECIFIED
        )
        saves.append((client, request))

    outcomes = await asyncio.gather(*(_send(*one) for one in saves), return_exceptions=True)

    (winner,) = (outcome for outcome in outcomes if isinstance(outcome, Registration))
    here: Counter[Reason.ValueType] = Counter()
    elsewhere: Counter[Reason.ValueType] = Counter()
    for (_, request), refusal in zip(saves, outcomes, strict=True):
        if refusal is winner:
            continue
        assert isinstance(refusal, Refusal)
        assert refusal.code is grpc.StatusCode.ALREADY_EXISTS
        (here if winner.name.startswith(f"{request.parent}/") else elsewhere)[refusal.reason] += 1
    return Race(winner, here, elsewhere)


async def _send(client: ApiClient, request: RegisterCustomerRequest) -> Registration:
    # Fifty at once may be too many for a busy machine: whoever gets no answer in time repeats the call.
    answer = await persistently(
        lambda: client.call(client.registrations.RegisterCustomer, request, timeout=60)
    )
    return answer.registration


async def _found(stack: Stack, api: Api, person: DemoPerson) -> dict[str, int]:
    """How many there are of what there may be one: in the database, and on the units' lists."""
    first_names = person.form.first_names
    async with database(stack, "registration") as connection:
        customers = await connection.fetchval(
            "SELECT count(*) FROM customers WHERE first_names = $1", first_names
        )
        registrations = await connection.fetchval(
            "SELECT count(*) FROM registrations LEFT JOIN customers USING (customer_id)"
            " WHERE $1 IN (form ->> 'first_names', first_names)",
            first_names,
        )
    listed = 0
    for unit in (api.registrar.unit, api.teacher.unit):
        page = await api.staff.call(
            api.staff.registrations.ListRegistrations, ListRegistrationsRequest(parent=unit, page_size=200)
        )
        listed += sum(
            found.customer_display_name.startswith(f"{first_names} ") for found in page.registrations
        )
    return {"customers": customers, "registrations": registrations, "listed": listed}
