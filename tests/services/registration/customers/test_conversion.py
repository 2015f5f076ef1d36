"""A CD borrower becomes an online customer (R23)."""

import uuid
from typing import Any

from liity.registration.v1 import customer_service_pb2 as pb
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import Registration
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_REGISTRAR,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    CUSTOMER_KIND_ONLINE,
    RelatedPerson,
)
from liity.v1.customer_service_pb2 import EMAIL_STATE_UNCONFIRMED
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_WELCOMED
from tests.support.registration_forms import child_form
from tests.support.registration_service import Service, refusal, violations


async def cd_borrower(service: Service, unit: Unit, email: str = "") -> pb.Customer:
    return await service.customer(
        unit.unit_id,
        kind=CUSTOMER_KIND_CD_BORROWER,
        credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED,
        email=email,
    )


def asked(customer: pb.Customer, **fields: Any) -> pb.ConvertToOnlineRequest:
    return pb.ConvertToOnlineRequest(
        **{
            "request_id": str(uuid.uuid4()),
            "customer_id": customer.customer_id,
            "unit_id": customer.unit_id,
            "credentials_recipient": CREDENTIALS_RECIPIENT_CUSTOMER,
            **fields,
        }
    )


async def convert(service: Service, request: pb.ConvertToOnlineRequest) -> Registration:
    stub = CustomerServiceStub(service.worker.channel)
    return (await service.worker.call(stub.ConvertToOnline, request)).registration


async def test_the_customer_is_online_and_the_registration_waits_for_the_credentials(
    service: Service, unit: Unit
) -> None:
    customer = await cd_borrower(service, unit)
    request = asked(customer, email="Kuuntelija@Koti.Example")
    registration = await convert(service, request)
    assert registration.registration_id == customer.registration_id
    assert (registration.stage, registration.kind) == (STAGE_ACTIVE, CUSTOMER_KIND_ONLINE)
    converted = await service.get_customer(customer.customer_id)
    assert converted.form.kind == CUSTOMER_KIND_ONLINE
    assert converted.form.email == "Kuuntelija@koti.example"
    assert converted.form.credentials_recipient == CREDENTIALS_RECIPIENT_CUSTOMER
    assert converted.email_state == EMAIL_STATE_UNCONFIRMED
    assert converted.etag != customer.etag
    await service.advance(registration.registration_id, STAGE_WELCOMED)
    assert (await convert(service, request)).stage == STAGE_WELCOMED
    entries = await service.rows(
        "SELECT 1 FROM use_entries WHERE action = 'customer:convert' AND :id = ANY(subject_ids)",
        id=customer.customer_id,
    )
    assert len(entries) == 1


async def test_a_link_to_the_earlier_address_confirms_no_other(service: Service, unit: Unit) -> None:
    form = child_form()
    customer = await service.customer(
        unit.unit_id,
        kind=CUSTOMER_KIND_CD_BORROWER,
        credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED,
        email="",
        related_person=form.related_person,
    )
    request_id = str(uuid.uuid4())
    guardian = {"related_person": RelatedPerson(full_name="Outi", email="uusi@koti.example")}
    await service.update(customer, "related_person", of_request_id=request_id, **guardian)
    await convert(service, asked(customer, email="oma@koti.example"))
    stub = CustomerServiceStub(service.gateway.channel)
    confirm = service.gateway.call(stub.ConfirmEmail, pb.ConfirmEmailRequest(change_request_id=request_id))
    assert await refusal(confirm) == ("FAILED_PRECONDITION", "LINK_VOID")
    assert (await service.get_customer(customer.customer_id)).email_state == EMAIL_STATE_UNCONFIRMED


async def test_a_registration_that_was_completed_begins_anew(service: Service, unit: Unit) -> None:
    customer = await cd_borrower(service, unit, "oma@koti.example")
    await service.advance(customer.registration_id, STAGE_WELCOMED)
    assert (await convert(service, asked(customer))).stage == STAGE_ACTIVE


async def test_what_cannot_be_converted_is_refused(service: Service, unit: Unit) -> None:
    online = await service.customer(unit.unit_id)
    already = convert(service, asked(online))
    assert await refusal(already) == ("FAILED_PRECONDITION", "NOT_A_CD_BORROWER")
    without = await cd_borrower(service, unit)
    assert await violations(convert(service, asked(without))) == {
        "email": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"
    }
    related = asked(without, credentials_recipient=CREDENTIALS_RECIPIENT_RELATED_PERSON)
    assert await violations(convert(service, related)) == {
        "related_person.email": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"
    }
    wrong = asked(without, email="not an address", credentials_recipient=CREDENTIALS_RECIPIENT_REGISTRAR)
    assert await violations(convert(service, wrong)) == {"email": "INVALID_EMAIL"}
    known = await cd_borrower(service, unit, "oma@koti.example")
    another = convert(service, asked(known, email="toinen@koti.example"))
    assert await violations(another) == {"email": "EMAIL_ON_FILE"}
    assert (await service.get_customer(known.customer_id)) == known
