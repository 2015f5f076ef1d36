"""The rows of which more is to come are listed by kind, a page at a time."""

import secrets
from datetime import timedelta

from liity.registration.v1 import reconciliation_service_pb2 as pb
from liity.registration.v1.personal_data_service_pb2 import ForgetPersonRequest
from liity.registration.v1.reconciliation_service_pb2_grpc import ReconciliationServiceStub
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1 import registration_pb2 as life
from liity.v1.customer_form_pb2 import CREDENTIALS_RECIPIENT_UNSPECIFIED, CUSTOMER_KIND_CD_BORROWER
from services.runtime.clock import now
from tests.support.registration_forms import adult_form, changed
from tests.support.registration_service import DEADLINE, Service, refusal, timestamp

REGISTRATION = pb.UNFINISHED_KIND_REGISTRATION


async def listed(
    service: Service, kind: pb.UnfinishedKind.ValueType = REGISTRATION, page_size: int = 500
) -> dict[str, pb.Unfinished]:
    """All rows of a kind, page by page."""
    stub, rows = ReconciliationServiceStub(service.worker.channel), {}
    request = pb.ListUnfinishedRequest(
        kind=kind,
        changed_before=timestamp(now() + timedelta(minutes=1)),
        changed_since=timestamp(now() - timedelta(hours=1)),
        page_size=page_size,
    )
    while True:
        page = await service.worker.call(stub.ListUnfinished, request)
        assert len(page.rows) <= page_size
        rows |= {row.row_id: row for row in page.rows}
        if not page.next_page_token:
            return rows
        request.page_token = page.next_page_token


async def test_a_registration_is_listed_as_long_as_more_is_to_come_of_it(
    service: Service, unit: Unit
) -> None:
    made = (await service.create(unit.unit_id, adult_form())).registration
    waiting = await service.waiting(unit.unit_id)
    rows = await listed(service, page_size=1)
    assert rows[made.registration_id].person_id == made.person_id
    assert rows[waiting.registration_id].stage == life.STAGE_WAITING_FOR_CONSENT
    await service.advance(made.registration_id, life.STAGE_CREDENTIALS_SENT, DEADLINE)
    assert (await listed(service))[made.registration_id].stage == life.STAGE_CREDENTIALS_SENT
    await service.advance(made.registration_id, life.STAGE_WELCOMED)
    await service.end(waiting.registration_id, life.STAGE_LAPSED)
    assert not {made.registration_id, waiting.registration_id} & set(await listed(service))


async def test_a_cd_borrower_is_a_kind_of_their_own(service: Service, unit: Unit) -> None:
    form = changed(
        adult_form(),
        kind=CUSTOMER_KIND_CD_BORROWER,
        credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED,
    )
    made = (await service.create(unit.unit_id, form)).registration
    assert made.registration_id not in await listed(service)
    assert made.registration_id in await listed(service, pb.UNFINISHED_KIND_CD_BORROWER)


async def test_of_an_erased_person_nothing_more_is_to_come(service: Service, unit: Unit) -> None:
    online = (await service.create(unit.unit_id, adult_form())).registration
    borrower_form = changed(
        adult_form(),
        kind=CUSTOMER_KIND_CD_BORROWER,
        credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED,
    )
    borrower = (await service.create(unit.unit_id, borrower_form)).registration
    for registration in (online, borrower):
        assert await service.erase(registration.person_id) == [registration.registration_id]
        forget = ForgetPersonRequest(person_id=registration.person_id)
        await service.worker.call(service.data.ForgetPerson, forget)
    for kind in (REGISTRATION, pb.UNFINISHED_KIND_CD_BORROWER):
        assert not {online.registration_id, borrower.registration_id} & set(await listed(service, kind))


async def test_a_young_row_is_left_out(service: Service, unit: Unit) -> None:
    made = (await service.create(unit.unit_id, adult_form())).registration
    stub = ReconciliationServiceStub(service.worker.channel)
    request = pb.ListUnfinishedRequest(
        kind=REGISTRATION, changed_before=timestamp(now() - timedelta(minutes=1)), page_size=500
    )
    page = await service.worker.call(stub.ListUnfinished, request)
    assert made.registration_id not in {row.row_id for row in page.rows}


async def test_what_is_at_rest_is_given_to_no_run(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    stub = ReconciliationServiceStub(service.worker.channel)
    request = pb.GetUnfinishedRegistrationRequest(registration_id=waiting.registration_id)
    found = await service.worker.call(stub.GetUnfinishedRegistration, request)
    assert found.registration.deadline == waiting.deadline
    assert found.consent_outgrown_date.year > now().year
    await service.end(waiting.registration_id, life.STAGE_LAPSED)
    asked = service.worker.call(stub.GetUnfinishedRegistration, request)
    assert await refusal(asked) == ("NOT_FOUND", "REGISTRATION_NOT_FOUND")


async def test_what_is_not_there_is_told(service: Service, unit: Unit) -> None:
    made = (await service.create(unit.unit_id, adult_form())).registration
    lost, gone = secrets.token_hex(16), secrets.token_hex(16)
    stub = ReconciliationServiceStub(service.worker.channel)
    request = pb.ListMissingRequest(
        registration_ids=[made.registration_id, lost], customer_ids=[made.customer_id, gone]
    )
    missing = await service.worker.call(stub.ListMissing, request)
    assert (list(missing.registration_ids), list(missing.customer_ids)) == ([lost], [gone])


async def test_all_customers_are_listed_with_their_persons(service: Service, unit: Unit) -> None:
    made = [(await service.create(unit.unit_id, adult_form())).registration for _ in range(3)]
    stub = ReconciliationServiceStub(service.worker.channel)
    request = pb.ListCustomerPersonsRequest(page_size=2)
    found = []
    while True:
        page = await service.worker.call(stub.ListCustomerPersons, request)
        found += [(one.person_id, one.customer_id, one.unit_id) for one in page.customers]
        if not page.next_page_token:
            break
        request.page_token = page.next_page_token
    assert found == sorted(found)
    assert {(one.person_id, one.customer_id, unit.unit_id) for one in made} <= set(found)
