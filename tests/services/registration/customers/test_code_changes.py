"""A person was given a code: the birth date follows it, and the log tells what happened (R24, R34)."""

import uuid

import pytest
from google.type.date_pb2 import Date

from liity.registration.v1 import customer_service_pb2 as pb
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1.customer_service_pb2 import (
    CODE_CHANGE_ATTACHED,
    CODE_CHANGE_CORRECTED,
    CODE_CHANGE_RENEWED,
    CUSTOMER_STATE_MARKED_FOR_DELETION,
    CodeChange,
)
from tests.services.registration.registrations.test_decisions import unidentified
from tests.support.registration_service import Service, birth_of_child, refusal, violations


def asked(
    customer: pb.Customer, change: CodeChange.ValueType, request_id: str = ""
) -> pb.RecordCodeChangeRequest:
    return pb.RecordCodeChangeRequest(
        request_id=request_id or str(uuid.uuid4()),
        customer_id=customer.customer_id,
        change=change,
        birth_date=Date(year=1981, month=2, day=3),
    )


async def record(service: Service, request: pb.RecordCodeChangeRequest) -> pb.Customer:
    return (await service.worker.call(service.customers.RecordCodeChange, request)).customer


@pytest.mark.parametrize(
    ("change", "action"),
    [
        (CODE_CHANGE_ATTACHED, "personal-identity-code:attach"),
        (CODE_CHANGE_CORRECTED, "personal-identity-code:correct"),
        (CODE_CHANGE_RENEWED, "personal-identity-code:renew"),
    ],
)
async def test_a_change_is_recorded_once(
    service: Service, unit: Unit, change: CodeChange.ValueType, action: str
) -> None:
    customer = await service.customer(unit.unit_id)
    request = asked(customer, change)
    changed = await record(service, request)
    assert await record(service, request) == changed
    assert changed.etag != customer.etag
    assert (changed.customer_id, changed.person_id, changed.form) == (
        customer.customer_id,
        customer.person_id,
        customer.form,
    )
    (row,) = await service.rows(
        "SELECT birth_date::text FROM customers WHERE customer_id = :id", id=customer.customer_id
    )
    assert row["birth_date"] == "1981-02-03"
    entries = await service.rows(
        "SELECT 1 FROM use_entries WHERE action = :action AND :id = ANY(subject_ids)",
        action=action,
        id=customer.customer_id,
    )
    assert len(entries) == 1


async def test_it_is_recorded_whatever_has_become_of_the_customer(service: Service, unit: Unit) -> None:
    """Identity has changed the code already."""
    customer = await service.customer(unit.unit_id)
    async with service.engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE customers SET state = 2 WHERE customer_id = $1", (customer.customer_id,)
        )
    changed = await record(service, asked(customer, CODE_CHANGE_RENEWED))
    assert changed.state == CUSTOMER_STATE_MARKED_FOR_DELETION
    assert changed.etag != customer.etag


async def test_one_who_is_gone_is_refused_and_another_ones_call(service: Service, unit: Unit) -> None:
    customer, second = await service.customer(unit.unit_id), await service.customer(unit.unit_id)
    request = asked(customer, CODE_CHANGE_ATTACHED)
    await record(service, request)
    reused = asked(second, CODE_CHANGE_ATTACHED, request.request_id)
    assert await refusal(record(service, reused)) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    gone = asked(pb.Customer(customer_id="none"), CODE_CHANGE_ATTACHED)
    assert await refusal(record(service, gone)) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")


async def test_a_wrong_date_of_birth_without_a_code_is_corrected_unless_consent_would_change(
    service: Service, unit: Unit
) -> None:
    def correction(born: Date, **whose: str) -> pb.CorrectBirthDateRequest:
        return pb.CorrectBirthDateRequest(
            request_id=str(uuid.uuid4()), unit_id=unit.unit_id, birth_date=born, **whose
        )

    async def correct(request: pb.CorrectBirthDateRequest) -> None:
        await service.gateway.call(service.customers.CorrectBirthDate, request)

    customer, other_day = await service.customer(unit.unit_id), Date(year=1985, month=7, day=16)
    of_customer = correction(other_day, customer_id=customer.customer_id)
    for _ in range(2):
        await correct(of_customer)
    (row,) = await service.rows(
        "SELECT birth_date::text FROM customers WHERE customer_id = :id", id=customer.customer_id
    )
    assert row["birth_date"] == "1985-07-16"
    entries = await service.rows(
        "SELECT 1 FROM use_entries WHERE action = 'customer:correct-birth-date' AND :id = ANY(subject_ids)",
        id=customer.customer_id,
    )
    assert len(entries) == 1
    # Nobody has consented to the customership of a child.
    changes_consent = ("FAILED_PRECONDITION", "BIRTH_DATE_CHANGES_CONSENT")
    assert (
        await refusal(correct(correction(birth_of_child(), customer_id=customer.customer_id)))
        == changes_consent
    )

    waiting = await unidentified(service, unit)
    await correct(correction(other_day, registration_id=waiting.registration_id))
    of_waiting = correction(birth_of_child(), registration_id=waiting.registration_id)
    assert await refusal(correct(of_waiting)) == changes_consent
    with_code = await service.waiting(unit.unit_id)
    of_code = correction(birth_of_child(), registration_id=with_code.registration_id)
    assert await refusal(correct(of_code)) == ("FAILED_PRECONDITION", "BIRTH_DATE_OF_CODE")
    future = correction(Date(year=2999, month=1, day=1), customer_id=customer.customer_id)
    assert await violations(correct(future)) == {"birth_date": "DATE_IN_FUTURE"}
    elsewhere = correction(other_day, customer_id=(await service.customer(unit.unit_id)).customer_id)
    elsewhere.unit_id = (await service.unit("Toinen kirjasto")).unit_id
    assert await refusal(correct(elsewhere)) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")
