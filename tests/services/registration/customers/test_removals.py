"""A customership ends and comes back, a need goes on, and who has ended is erased (R19 to R21)."""

import asyncio
import secrets
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.type.date_pb2 import Date
from sqlalchemy import text

from liity.registration.v1 import customer_service_pb2 as pb
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.personal_data_service_pb2 import ErasePersonRequest
from liity.registration.v1.registration_service_pb2 import (
    ConsentEvidence,
    EndRegistrationRequest,
    GetMailingDetailsRequest,
    Registration,
)
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
)
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    CUSTOMER_STATE_MARKED_FOR_DELETION,
    END_REASON_CONSENT_WITHDRAWN,
    END_REASON_NEED_ENDED,
    END_REASON_OWN_WISH,
)
from liity.v1.registration_pb2 import (
    STAGE_CREDENTIALS_SENT,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WELCOMED,
)
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.rpc.errors import Refusal
from tests.services.registration.audit.uses import acting_as, an_account, entries
from tests.support.registration_forms import adult_form, changed, child_form, date_from_today
from tests.support.registration_service import DEADLINE, Service, refusal, violations

UNDECIDED = ("FAILED_PRECONDITION", "REGISTRATION_UNDECIDED")


def stub(service: Service) -> CustomerServiceStub:
    return CustomerServiceStub(service.worker.channel)


def ending(customer: pb.Customer, **fields: Any) -> pb.EndCustomershipRequest:
    given = {"request_id": str(uuid.uuid4()), "unit_id": customer.unit_id, "reason": END_REASON_OWN_WISH}
    return pb.EndCustomershipRequest(customer_id=customer.customer_id, **{**given, **fields})


async def end(service: Service, request: pb.EndCustomershipRequest) -> pb.Customer:
    return (await service.worker.call(stub(service).EndCustomership, request)).customer


async def undo(service: Service, customer_id: str, request_id: str = "") -> pb.Customer:
    request = pb.UndoRemovalRequest(request_id=request_id or str(uuid.uuid4()), customer_id=customer_id)
    return (await service.worker.call(stub(service).UndoRemoval, request)).customer


async def extend(service: Service, customer_id: str, day: Date, request_id: str = "") -> Date:
    request = pb.ExtendNeedRequest(
        request_id=request_id or str(uuid.uuid4()), customer_id=customer_id, expected_end_date=day
    )
    return (await service.worker.call(stub(service).ExtendNeed, request)).expected_end_date


async def report_loan(service: Service, customer_id: str) -> None:
    await service.worker.call(stub(service).ReportLoan, pb.ReportLoanRequest(customer_id=customer_id))


async def erase_if_ended(service: Service, person_id: str) -> list[str]:
    request = ErasePersonRequest(person_id=person_id, only_if_ended=True)
    return list((await service.worker.call(service.data.ErasePerson, request)).registration_ids)


async def saved_anew(service: Service, unit: Unit, customer: pb.Customer, **changes: Any) -> Registration:
    """A registration of somebody who is marked for deletion."""
    form = changed(adult_form(), **changes)
    return (await service.create(unit.unit_id, form, person_id=customer.person_id)).registration


async def temporary(service: Service, unit: Unit) -> pb.Customer:
    return await service.customer(unit.unit_id, temporary=True, expected_end_date=date_from_today(10))


async def test_who_has_ended_is_found_nowhere_but_kept(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id, last_name="Päättyvä")
    before = now()
    ended = await end(service, ending(customer))
    assert ended.state == CUSTOMER_STATE_MARKED_FOR_DELETION
    assert before <= ended.end_time.ToDatetime(before.tzinfo) <= now()
    assert ended.etag == "2"
    assert not (await service.search(unit.unit_id, "päättyvä")).customers
    registration = await service.get(ended.registration_id)
    assert not registration.customer_display_name
    assert registration.stage == STAGE_WELCOMED
    assert not (await service.mailing(ended.registration_id)).HasField("mailing_details")
    asked = GetMailingDetailsRequest(registration_id=ended.registration_id, also_if_ended=True)
    details = await service.worker.call(service.changes.GetMailingDetails, asked)
    assert details.mailing_details.customer_email == customer.form.email
    assert (await service.get_customer(customer.customer_id)).form == customer.form


async def test_a_consent_is_withdrawn_by_who_gave_it_last_and_only_under_15(
    service: Service, unit: Unit
) -> None:
    no_consent = ("FAILED_PRECONDITION", "NO_CONSENT_TO_WITHDRAW")
    by_link = ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja")

    async def given() -> tuple[pb.Customer, str]:
        waiting = await service.waiting(unit.unit_id)
        active = await service.activate(waiting.registration_id, by_link)
        return await service.get_customer(active.customer_id), waiting.registration_id

    (customer, registration_id), (other, other_id), (grown, grown_id) = [await given() for _ in range(3)]
    async with service.engine.begin() as connection:
        grow = text("UPDATE customers SET birth_date = birth_date - 3650 WHERE customer_id = :id")
        await connection.execute(grow, {"id": grown.customer_id})

    def withdrawal(of: pb.Customer, consent: str) -> pb.EndCustomershipRequest:
        return ending(of, reason=END_REASON_CONSENT_WITHDRAWN, withdrawn_registration_id=consent)

    async def check(of: pb.Customer, consent: str) -> None:
        request = pb.CheckConsentWithdrawalRequest(customer_id=of.customer_id, registration_id=consent)
        await service.gateway.call(service.customers.CheckConsentWithdrawal, request)

    for of, consent in ((customer, other_id), (grown, grown_id)):
        assert await refusal(check(of, consent)) == no_consent
        assert await refusal(end(service, withdrawal(of, consent))) == no_consent
    await check(customer, registration_id)
    withdraw = withdrawal(customer, registration_id)
    ended = await end(service, withdraw)
    # A repetition of the guardian's call is to be answered as the call was.
    await check(customer, registration_id)
    assert ended.state == CUSTOMER_STATE_MARKED_FOR_DELETION
    assert await end(service, withdraw) == ended
    assert (await service.get_customer(other.customer_id)).state == CUSTOMER_STATE_ACTIVE
    async with service.engine.connect() as connection:
        evidence = text("SELECT link_email, withdrawn_at FROM consents WHERE registration_id = :id")
        email, withdrawn_at = (await connection.execute(evidence, {"id": registration_id})).one()
    assert email == child_form().related_person.email
    assert withdrawn_at == ended.end_time.ToDatetime(UTC)
    # Without consent the customership cannot simply go on; after a registrar's own end it can.
    assert await refusal(undo(service, customer.customer_id)) == ("FAILED_PRECONDITION", "CONSENT_WITHDRAWN")
    await end(service, ending(other, reason=END_REASON_CONSENT_WITHDRAWN))
    assert (await undo(service, other.customer_id)).state == CUSTOMER_STATE_ACTIVE


async def test_a_registration_that_goes_on_is_complete_with_the_end(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    await service.advance(customer.registration_id, STAGE_CREDENTIALS_SENT, DEADLINE)
    await end(service, ending(customer))
    registration = await service.get(customer.registration_id)
    assert registration.stage == STAGE_WELCOMED
    assert not registration.HasField("deadline")


async def test_of_two_who_end_it_at_once_one_does(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    requests = [ending(customer) for _ in range(2)]
    answers = await asyncio.gather(*(end(service, each) for each in requests), return_exceptions=True)
    [refused] = [answer for answer in answers if isinstance(answer, Exception)]
    assert "CUSTOMER_HAS_ENDED" in str(refused)
    # Whoever did repeats it, and gets the same answer; the log tells of one end.
    outcomes = zip(requests, answers, strict=True)
    [done] = [request for request, answer in outcomes if not isinstance(answer, Exception)]
    assert (await end(service, done)).etag == "2"
    found = await entries(service, customer.customer_id)
    assert [entry["action"] for entry in found].count("customership:end") == 1


async def test_the_end_is_undone(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id, last_name="Palaava")
    await end(service, ending(customer))
    request_id = str(uuid.uuid4())
    returned = await undo(service, customer.customer_id, request_id)
    assert (returned.state, returned.etag) == (CUSTOMER_STATE_ACTIVE, "3")
    assert not returned.HasField("end_time")
    assert returned.registration_id == customer.registration_id
    assert await undo(service, customer.customer_id, request_id) == returned
    assert len((await service.search(unit.unit_id, "palaava")).customers) == 1
    found = await entries(service, customer.person_id)
    assert [entry["action"] for entry in found][-2:] == ["customership:end", "customership:undo"]


async def test_what_was_under_way_goes_on_after_an_undo(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    await service.advance(customer.registration_id, STAGE_CREDENTIALS_SENT, DEADLINE)
    for _ in range(2):
        await end(service, ending(customer))
        request = pb.UndoRemovalRequest(request_id=str(uuid.uuid4()), customer_id=customer.customer_id)
        for _ in range(2):
            undone = await service.worker.call(stub(service).UndoRemoval, request)
            assert undone.resumed_registration_id == customer.registration_id
        registration = await service.get(customer.registration_id)
        assert registration.stage == STAGE_CREDENTIALS_SENT
        assert registration.deadline.ToDatetime(UTC) == DEADLINE
    await service.advance(customer.registration_id, STAGE_WELCOMED)
    await end(service, ending(customer))
    request = pb.UndoRemovalRequest(request_id=str(uuid.uuid4()), customer_id=customer.customer_id)
    assert not (await service.worker.call(stub(service).UndoRemoval, request)).resumed_registration_id


async def test_what_is_repeated_too_late_changes_nothing(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    first = ending(customer)
    await end(service, first)
    undone = str(uuid.uuid4())
    await undo(service, customer.customer_id, undone)
    assert await refusal(end(service, first)) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    await end(service, ending(customer))
    assert await refusal(undo(service, customer.customer_id, undone)) == (
        "ALREADY_EXISTS",
        "REQUEST_ID_REUSED",
    )
    assert await refusal(end(service, first)) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")


async def test_what_cannot_be_done_says_why(service: Service, unit: Unit) -> None:
    customer, other = await service.customer(unit.unit_id), await service.unit("Toinen kirjasto")
    nobody = pb.Customer(customer_id=secrets.token_hex(16), unit_id=unit.unit_id)
    foreign = ending(customer, unit_id=other.unit_id)
    assert await refusal(end(service, ending(nobody))) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")
    assert await refusal(end(service, foreign)) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")
    assert await refusal(undo(service, nobody.customer_id)) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")
    assert await refusal(undo(service, customer.customer_id)) == (
        "FAILED_PRECONDITION",
        "CUSTOMER_NOT_ENDED",
    )
    # The customer's own link names no unit.
    assert (await end(service, ending(customer, unit_id=""))).state == CUSTOMER_STATE_MARKED_FOR_DELETION


async def test_the_log_and_the_record_tell_who_has_ended_it(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    actor = an_account("ac7", unit_id=unit.unit_id)
    await acting_as(actor, end(service, ending(customer, reason=END_REASON_NEED_ENDED)))
    [entry] = [
        entry
        for entry in await entries(service, customer.customer_id)
        if entry["action"] == "customership:end"
    ]
    assert (entry["account_id"], entry["for_unit_id"]) == ("ac7", unit.unit_id)
    assert set(entry["subject_ids"]) == {customer.customer_id, customer.person_id}
    sections = {section.kind: section for section in (await service.export(customer.person_id)).sections}
    [removal] = sections["removals"].records
    assert removal["ended_by"] == "ACTOR_KIND_ACCOUNT"
    assert removal["reason"] == "END_REASON_NEED_ENDED"


async def test_to_whom_something_was_lent_is_remembered(service: Service, unit: Unit) -> None:
    online = await service.customer(unit.unit_id)
    assert not online.lent
    borrower = await service.customer(
        unit.unit_id,
        kind=CUSTOMER_KIND_CD_BORROWER,
        credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED,
    )
    assert borrower.lent
    for _ in range(2):
        await report_loan(service, online.customer_id)
    assert (await end(service, ending(online))).lent
    found = await entries(service, online.customer_id)
    assert [entry["action"] for entry in found].count("customer:report-loan") == 1
    # Of a CD borrower whom a release before has saved, the kind tells it.
    async with service.engine.begin() as connection:
        statement = text("UPDATE customers SET lent = false WHERE customer_id = :id")
        await connection.execute(statement, {"id": borrower.customer_id})
    assert (await end(service, ending(borrower))).lent
    assert await refusal(report_loan(service, secrets.token_hex(16))) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")


@pytest.mark.parametrize("lent_before", [True, False])
async def test_a_return_by_a_new_registration_forgets_no_loan(
    service: Service, unit: Unit, lent_before: bool
) -> None:
    disc = {
        "kind": CUSTOMER_KIND_CD_BORROWER,
        "credentials_recipient": CREDENTIALS_RECIPIENT_UNSPECIFIED,
    }
    customer = await service.customer(unit.unit_id, **(disc if lent_before else {}))
    await end(service, ending(customer))
    back = await saved_anew(service, unit, customer, **({} if lent_before else disc))
    await service.approve(back.registration_id)
    assert (await service.get_customer(customer.customer_id)).lent


async def test_a_return_by_a_new_registration_tells_nobody_of_a_loan(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    await end(service, ending(customer))
    await service.approve((await saved_anew(service, unit, customer)).registration_id)
    assert not (await service.get_customer(customer.customer_id)).lent


async def test_the_record_tells_that_a_new_registration_has_undone_the_end(
    service: Service, unit: Unit
) -> None:
    customer = await service.customer(unit.unit_id)
    for number in (1, 2):
        await end(service, ending(customer))
        back = await saved_anew(service, unit, customer)
        before = now()
        await service.approve(back.registration_id)
        sections = {section.kind: section for section in (await service.export(customer.person_id)).sections}
        undone = [datetime.fromisoformat(removal["undone_at"]) for removal in sections["removals"].records]
        assert len(undone) == number
        assert undone == sorted(undone)
        assert undone[-1] >= before


async def test_nobody_is_brought_back_beside_a_registration_that_waits(service: Service, unit: Unit) -> None:
    customer, other = await service.customer(unit.unit_id), await service.unit("Toinen kirjasto")
    await end(service, ending(customer))
    back = await saved_anew(service, other, customer)
    assert await refusal(undo(service, customer.customer_id)) == UNDECIDED
    reject = EndRegistrationRequest(registration_id=back.registration_id, stage=STAGE_REJECTED)
    await service.worker.call(service.changes.EndRegistration, reject)
    returned = await undo(service, customer.customer_id)
    assert (returned.state, returned.unit_id) == (CUSTOMER_STATE_ACTIVE, unit.unit_id)


async def test_an_older_form_replaces_nobodys_data(service: Service, unit: Unit) -> None:
    customer, other = await service.customer(unit.unit_id), await service.unit("Toinen kirjasto")
    await end(service, ending(customer))
    back = await saved_anew(service, other, customer, last_name="Vanhanen")
    async with service.engine.begin() as connection:
        statement = text("UPDATE customers SET state = :s, ended_at = NULL WHERE customer_id = :c")
        await connection.execute(statement, {"s": CUSTOMER_STATE_ACTIVE, "c": customer.customer_id})
    assert await refusal(service.approve(back.registration_id)) == (
        "FAILED_PRECONDITION",
        "CUSTOMER_NOT_ENDED",
    )
    stored = await service.get_customer(customer.customer_id)
    assert (stored.form, stored.unit_id) == (customer.form, unit.unit_id)


async def test_of_an_undo_and_a_reactivation_at_once_one_counts(service: Service, unit: Unit) -> None:
    other = await service.unit("Toinen kirjasto")
    for _ in range(10):
        customer = await service.customer(unit.unit_id)
        await end(service, ending(customer))
        back = await saved_anew(service, other, customer)
        undone, _ = await asyncio.gather(
            undo(service, customer.customer_id),
            service.approve(back.registration_id),
            return_exceptions=True,
        )
        assert isinstance(undone, Refusal)
        stored = await service.get_customer(customer.customer_id)
        assert (stored.state, stored.unit_id, stored.etag) == (CUSTOMER_STATE_ACTIVE, other.unit_id, "3")


async def test_of_an_undo_and_a_new_registration_at_once_one_counts(service: Service, unit: Unit) -> None:
    other = await service.unit("Toinen kirjasto")

    async def undo_later(customer_id: str, seconds: float) -> pb.Customer:
        await asyncio.sleep(seconds)
        return await undo(service, customer_id)

    for number in range(12):
        customer = await service.customer(unit.unit_id)
        await end(service, ending(customer))
        # A Save takes longer: so that now the one, now the other comes first.
        answers = await asyncio.gather(
            undo_later(customer.customer_id, number * 0.005),
            saved_anew(service, other, customer),
            return_exceptions=True,
        )
        refused = [answer for answer in answers if isinstance(answer, Refusal)]
        assert len(refused) == 1, answers
        waits = await service.rows(
            "SELECT 1 FROM registrations WHERE person_id = :p AND stage = :s",
            p=customer.person_id,
            s=STAGE_WAITING_FOR_REACTIVATION,
        )
        state = (await service.get_customer(customer.customer_id)).state
        assert state == (CUSTOMER_STATE_MARKED_FOR_DELETION if waits else CUSTOMER_STATE_ACTIVE)


async def test_a_temporary_need_goes_on(service: Service, unit: Unit) -> None:
    customer = await temporary(service, unit)
    request_id, day = str(uuid.uuid4()), date_from_today(200)
    assert await extend(service, customer.customer_id, day, request_id) == day
    # A repetition changes nothing more.
    assert await extend(service, customer.customer_id, date_from_today(300), request_id) == day
    stored = await service.get_customer(customer.customer_id)
    assert (stored.form.expected_end_date, stored.etag) == (day, "2")
    updated = await service.update(customer, "last_name", last_name="Uusinimi")
    assert updated.changed_meanwhile == FieldMask(paths=["expected_end_date"])
    assert [entry["action"] for entry in await entries(service, customer.customer_id)][-1] == (
        "customership:extend"
    )


async def test_a_need_that_cannot_go_on_says_why(service: Service, unit: Unit) -> None:
    customer, lasting = await temporary(service, unit), await service.customer(unit.unit_id)
    soon = date_from_today(20)
    today = to_proto_date(helsinki_day(now()))
    assert await violations(extend(service, customer.customer_id, today)) == {
        "expected_end_date": "DATE_NOT_IN_FUTURE"
    }
    no_day = Date(year=2030, month=2, day=30)
    assert await violations(extend(service, customer.customer_id, no_day)) == {
        "expected_end_date": "INVALID_DATE"
    }
    assert await refusal(extend(service, lasting.customer_id, soon)) == (
        "FAILED_PRECONDITION",
        "NEED_NOT_TEMPORARY",
    )
    assert await refusal(extend(service, secrets.token_hex(16), soon)) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")
    await end(service, ending(customer))
    assert await refusal(extend(service, customer.customer_id, soon)) == (
        "FAILED_PRECONDITION",
        "CUSTOMER_HAS_ENDED",
    )


async def test_whoever_is_a_customer_is_not_erased(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    assert await refusal(erase_if_ended(service, customer.person_id)) == (
        "FAILED_PRECONDITION",
        "CUSTOMER_NOT_ENDED",
    )
    await end(service, ending(customer))
    assert await erase_if_ended(service, customer.person_id) == [customer.registration_id]
    assert await erase_if_ended(service, customer.person_id) == [customer.registration_id]
    assert await refusal(service.get_customer(customer.customer_id)) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")
    found = await entries(service, customer.customer_id)
    assert [entry["action"] for entry in found].count("customership:erase") == 1


@pytest.mark.parametrize("stage", [STAGE_WAITING_FOR_REACTIVATION, STAGE_WAITING_FOR_CONSENT])
async def test_a_registration_that_waits_for_a_decision_puts_the_erasure_off(
    service: Service, unit: Unit, stage: int
) -> None:
    customer = await service.customer(unit.unit_id)
    # It can come only once the one before is complete.
    await end(service, ending(customer))
    waiting = await service.waiting(unit.unit_id)
    async with service.engine.begin() as connection:
        statement = text("UPDATE registrations SET person_id = :p, stage = :s WHERE registration_id = :r")
        changes = {"p": customer.person_id, "s": stage, "r": waiting.registration_id}
        await connection.execute(statement, changes)
    assert await refusal(erase_if_ended(service, customer.person_id)) == UNDECIDED
    assert (await service.get_customer(customer.customer_id)).form == customer.form


async def test_a_repeated_erasure_spares_who_was_registered_anew(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    await end(service, ending(customer))
    await erase_if_ended(service, customer.person_id)
    await service.forget(customer.person_id)
    waiting = await service.waiting(unit.unit_id)
    async with service.engine.begin() as connection:
        statement = text("UPDATE registrations SET person_id = :p WHERE registration_id = :r")
        await connection.execute(statement, {"p": customer.person_id, "r": waiting.registration_id})
    assert await refusal(erase_if_ended(service, customer.person_id)) == UNDECIDED
    assert (await service.get(waiting.registration_id)).stage == STAGE_WAITING_FOR_CONSENT


async def test_nobody_is_saved_while_they_are_being_erased(service: Service, unit: Unit) -> None:
    customer = await service.customer(unit.unit_id)
    await end(service, ending(customer))
    await erase_if_ended(service, customer.person_id)
    saving = service.create(unit.unit_id, adult_form(), person_id=customer.person_id)
    assert await refusal(saving) == ("UNAVAILABLE", "UNAVAILABLE")
    await service.forget(customer.person_id)
    saved = await service.create(unit.unit_id, changed(adult_form()), person_id=customer.person_id)
    assert saved.registration.customer_id
