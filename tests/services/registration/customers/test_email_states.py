"""Whether somebody reads the mail at a customer's address, and whether credentials may go there."""

import uuid

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from liity.registration.v1 import customer_service_pb2 as pb
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1 import customer_form_pb2 as form_pb
from liity.v1.customer_service_pb2 import (
    EMAIL_STATE_CONFIRMED,
    EMAIL_STATE_UNCONFIRMED,
    EMAIL_STATE_UNDELIVERABLE,
)
from tests.support.registration_forms import adult_form, changed, child_form
from tests.support.registration_service import Service, birth_of_child, refusal, violations


@pytest.fixture
async def customer(service: Service, unit: Unit) -> pb.Customer:
    saved = (await service.create(unit.unit_id, adult_form())).registration
    known = await service.look_up(saved.person_id, unit.unit_id)
    return await get(service, known.customer_id)


async def get(service: Service, customer_id: str) -> pb.Customer:
    request = pb.GetCustomerRequest(customer_id=customer_id)
    stub = CustomerServiceStub(service.gateway.channel)
    return (await service.gateway.call(stub.GetCustomer, request)).customer


async def change(service: Service, customer: pb.Customer, **fields: object) -> pb.UpdateCustomerResponse:
    request = pb.UpdateCustomerRequest(
        request_id=str(fields.pop("request_id", uuid.uuid4())),
        customer_id=customer.customer_id,
        unit_id=customer.unit_id,
        etag=(await get(service, customer.customer_id)).etag,
        update_mask=FieldMask(paths=list(fields)),
        form=form_pb.CustomerForm(**fields),  # type: ignore[arg-type]
    )
    stub = CustomerServiceStub(service.worker.channel)
    return await service.worker.call(stub.UpdateCustomer, request)


async def mark(service: Service, customer: pb.Customer, email: str) -> None:
    request = pb.MarkEmailUndeliverableRequest(person_id=customer.person_id, email=email)
    stub = CustomerServiceStub(service.worker.channel)
    await service.worker.call(stub.MarkEmailUndeliverable, request)


async def deliver(service: Service, customer: pb.Customer, email: str) -> None:
    request = pb.MarkEmailDeliveredRequest(person_id=customer.person_id, email=email)
    stub = CustomerServiceStub(service.worker.channel)
    await service.worker.call(stub.MarkEmailDelivered, request)


async def confirm(service: Service, change_request_id: uuid.UUID) -> None:
    request = pb.ConfirmEmailRequest(change_request_id=str(change_request_id))
    await service.gateway.call(CustomerServiceStub(service.gateway.channel).ConfirmEmail, request)


async def order(service: Service, customer: pb.Customer, **fields: object) -> pb.OrderCredentialsResponse:
    request = pb.OrderCredentialsRequest(
        **{  # type: ignore[arg-type]
            "request_id": str(uuid.uuid4()),
            "unit_id": customer.unit_id,
            "recipient": form_pb.CREDENTIALS_RECIPIENT_CUSTOMER,
            **fields,
        },
        customer_id=customer.customer_id,
    )
    stub = CustomerServiceStub(service.worker.channel)
    return await service.worker.call(stub.OrderCredentials, request)


async def test_a_repeated_edit_still_tells_the_address_before(
    service: Service, customer: pb.Customer
) -> None:
    request_id = uuid.uuid4()
    for _ in range(2):
        changed = await change(service, customer, request_id=request_id, email="uusi@koti.example")
        assert changed.HasField("previous_email")
        assert changed.previous_email == "aino.mallikas@koti.example"


async def test_an_edit_of_something_else_tells_none(service: Service, customer: pb.Customer) -> None:
    assert not (await change(service, customer, phone="0401234567")).HasField("previous_email")


async def test_only_the_address_on_file_can_be_undeliverable(service: Service, customer: pb.Customer) -> None:
    await mark(service, customer, "toinen@koti.example")
    assert (await get(service, customer.customer_id)).email_state == EMAIL_STATE_UNCONFIRMED
    await mark(service, customer, customer.form.email)
    assert (await get(service, customer.customer_id)).email_state == EMAIL_STATE_UNDELIVERABLE
    await change(service, customer, email="uusi@koti.example")
    assert (await get(service, customer.customer_id)).email_state == EMAIL_STATE_UNCONFIRMED


async def test_an_address_is_undeliverable_in_any_letters_of_case(service: Service, unit: Unit) -> None:
    """Case 40: mail that comes back shows at all siblings, in two units as in one; a tag may be at fault."""
    name = uuid.uuid4().hex
    other = await service.unit("Toinen koulu")
    refused = {}
    for unit_id, email, is_refused in (
        (unit.unit_id, f"{name}@posti.example", True),
        (other.unit_id, f"{name.upper()}@Posti.Example", True),
        (unit.unit_id, f"{name}+lapsi@posti.example", False),
    ):
        asked = changed(child_form(), related_person__email=email)
        helped = changed(adult_form(), related_person=asked.related_person)
        for form, born in (
            (changed(adult_form(), email=email), {}),
            (helped, {}),
            (asked, {"birth_date": birth_of_child()}),
        ):
            registration = (await service.create(unit_id, form, **born)).registration
            refused[registration.registration_id] = is_refused
            person_id = registration.person_id

    async def told() -> dict[str, bool]:
        return {each: (await service.mailing(each)).mailing_details.was_refused for each in refused}

    stub = CustomerServiceStub(service.worker.channel)
    bounced = pb.MarkEmailUndeliverableRequest(person_id=person_id, email=f"{name.title()}@posti.example")
    await service.worker.call(stub.MarkEmailUndeliverable, bounced)
    assert await told() == refused
    taken = pb.MarkEmailDeliveredRequest(person_id=person_id, email=f"{name}@POSTI.example")
    await service.worker.call(stub.MarkEmailDelivered, taken)
    assert not any((await told()).values())


async def test_an_address_that_takes_mail_after_all_is_undeliverable_no_more(
    service: Service, customer: pb.Customer
) -> None:
    await mark(service, customer, customer.form.email)
    assert (await service.mailing(customer.registration_id)).mailing_details.was_refused
    await deliver(service, customer, "toinen@koti.example")
    assert (await get(service, customer.customer_id)).email_state == EMAIL_STATE_UNDELIVERABLE
    await deliver(service, customer, customer.form.email)
    assert (await get(service, customer.customer_id)).email_state == EMAIL_STATE_UNCONFIRMED
    assert not (await service.mailing(customer.registration_id)).mailing_details.was_refused


async def test_a_child_without_an_address_is_mailed_at_the_guardians(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    await service.activate(waiting.registration_id, None)
    child = await get(service, (await service.get(waiting.registration_id)).customer_id)
    guardian = child.form.related_person.email
    assert (child.form.email, child.email_state) == ("", EMAIL_STATE_UNCONFIRMED)
    await mark(service, child, guardian)
    assert (await get(service, child.customer_id)).email_state == EMAIL_STATE_UNDELIVERABLE
    await deliver(service, child, guardian)
    assert (await get(service, child.customer_id)).email_state == EMAIL_STATE_UNCONFIRMED
    await mark(service, child, guardian)
    related = form_pb.RelatedPerson()
    related.CopyFrom(child.form.related_person)
    related.email = "toimiva@koti.example"
    await change(service, child, related_person=related)
    assert (await get(service, child.customer_id)).email_state == EMAIL_STATE_UNCONFIRMED


async def test_a_change_confirms_its_own_address(service: Service, customer: pb.Customer) -> None:
    first, second = uuid.uuid4(), uuid.uuid4()
    await change(service, customer, request_id=first, email="uusi@koti.example")
    await change(service, customer, request_id=second, email="uusin@koti.example")
    await change(service, customer, phone="0401234567")
    assert await refusal(confirm(service, first)) == ("FAILED_PRECONDITION", "LINK_VOID")
    assert await refusal(confirm(service, uuid.uuid4())) == ("NOT_FOUND", "LINK_INVALID")
    for _ in range(2):
        await confirm(service, second)
    stored = await get(service, customer.customer_id)
    assert stored.email_state == EMAIL_STATE_CONFIRMED
    uses = await service.rows(
        "SELECT 1 FROM use_entries WHERE action = 'customer:confirm-email'"
        " AND subject_ids @> ARRAY[:customer]::varchar[]",
        customer=customer.customer_id,
    )
    assert len(uses) == 1


async def awaited(service: Service, change_request_id: uuid.UUID) -> bool:
    request = pb.CheckEmailConfirmationRequest(change_request_id=str(change_request_id))
    stub = CustomerServiceStub(service.worker.channel)
    return (await service.worker.call(stub.CheckEmailConfirmation, request)).is_awaited


async def test_a_confirmation_is_awaited_until_given_or_in_vain(
    service: Service, customer: pb.Customer
) -> None:
    first, again, other = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    assert not await awaited(service, first)
    await change(service, customer, request_id=first, email="uusi@koti.example")
    assert await awaited(service, first)
    await change(service, customer, phone="0401234567")
    assert await awaited(service, first)
    await change(service, customer, request_id=other, email="uusin@koti.example")
    await change(service, customer, request_id=again, email="uusi@koti.example")
    # The first link confirms no later change, even back to its own address.
    assert [await awaited(service, one) for one in (first, other, again)] == [False, False, True]
    await mark(service, customer, "uusi@koti.example")
    assert not await awaited(service, again)
    await deliver(service, customer, "uusi@koti.example")
    assert await awaited(service, again)
    await confirm(service, again)
    assert not await awaited(service, again)
    await change(service, customer, request_id=(last := uuid.uuid4()), email="viimeisin@koti.example")
    async with service.engine.begin() as connection:
        statement = "UPDATE customers SET state = 2 WHERE customer_id = $1"
        await connection.exec_driver_sql(statement, (customer.customer_id,))
    assert not await awaited(service, last)


async def test_an_order_of_credentials_is_written_down_once(service: Service, customer: pb.Customer) -> None:
    request_id = str(uuid.uuid4())
    for _ in range(2):
        ordered = await order(service, customer, request_id=request_id)
        assert (ordered.person_id, ordered.registration_id) == (customer.person_id, customer.registration_id)
    uses = await service.rows(
        "SELECT 1 FROM use_entries WHERE action = 'credentials:send'"
        " AND subject_ids @> ARRAY[:customer]::varchar[]",
        customer=customer.customer_id,
    )
    assert len(uses) == 1


async def test_credentials_that_cannot_be_sent_are_refused(
    service: Service, unit: Unit, customer: pb.Customer
) -> None:
    related = order(service, customer, recipient=form_pb.CREDENTIALS_RECIPIENT_RELATED_PERSON)
    assert await violations(related) == {"recipient": "CREDENTIALS_RECIPIENT_WITHOUT_EMAIL"}
    assert await refusal(order(service, customer, unit_id="another")) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")
    form = adult_form()
    form.kind = form_pb.CUSTOMER_KIND_CD_BORROWER
    form.credentials_recipient = form_pb.CREDENTIALS_RECIPIENT_UNSPECIFIED
    saved = (await service.create(unit.unit_id, form)).registration
    borrower = await get(service, (await service.look_up(saved.person_id, unit.unit_id)).customer_id)
    assert await violations(order(service, borrower)) == {"name": "CREDENTIALS_NOT_FOR_CD_BORROWER"}
    async with service.engine.begin() as connection:
        statement = "UPDATE customers SET state = 2 WHERE customer_id = $1"
        await connection.exec_driver_sql(statement, (customer.customer_id,))
    assert await refusal(order(service, customer)) == ("FAILED_PRECONDITION", "CUSTOMER_HAS_ENDED")
    assert not (await service.mailing(customer.registration_id)).HasField("mailing_details")
