"""Whoever is shown a customer has read them, whatever they have called for (R36)."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import (
    CODE_CHANGE_RENEWED,
    END_REASON_NOT_ENTITLED,
    ConvertToOnlineRequest,
    Customer,
    EndCustomershipRequest,
    SetPersonalIdentityCodeRequest,
    TransferCustomerRequest,
    UndoRemovalRequest,
    UpdateCustomerRequest,
)
from liity.v1.message_service_pb2 import CloseMessageRequest, SendMessageRequest
from tests.system.audit.test_use_log import entries, new_trace
from tests.system.conftest import Api
from tests.system.customers.test_transfer import customer_of
from tests.system.registrations.test_one_person import cd_borrower
from tests.system.support.prepared_calls import CUSTOMERS, MESSAGES, opaque
from tests.system.support.public_api import Gateway, authorization, outcome
from tests.system.support.public_api_facts import Facts
from tests.system.support.registering import adult, save


def edit(customer: Customer, field: str, text: str) -> UpdateCustomerRequest:
    return UpdateCustomerRequest(
        name=customer.name,
        request_id=new_request_id(),
        etag=customer.etag,
        update_mask=FieldMask(paths=[field]),
        form=CustomerForm(**{field: text}),  # type: ignore[arg-type] # a text field, by its name
    )


class Log:
    """Calls, and what they leave in the log of use."""

    def __init__(self, stack: Stack, gateway: Gateway) -> None:
        self._stack = stack
        self._gateway = gateway

    async def send(self, path: str, request: Message, caller: str, refusal: str = "") -> list[Any]:
        """The entries of one call, which is to be refused with a reason if one is given."""
        trace_id = new_trace()
        metadata = [*authorization(self._gateway.token(caller)), ("x-request-id", trace_id)]
        if refusal:
            assert outcome(await self._gateway.refusal_with(path, request, metadata))[1] == refusal
        else:
            await self._gateway.send(path, request, *metadata)
        return [*await entries(self._stack, trace_id)]

    async def actions(self, path: str, request: Message, caller: str, refusal: str = "") -> list[str]:
        return [entry["action"] for entry in await self.send(path, request, caller, refusal)]


@pytest.fixture
def log(stack: Stack, gateway: Gateway) -> Log:
    return Log(stack, gateway)


@pytest.fixture
async def customer(api: Api) -> Customer:
    """An adult of the library, of the test's own."""
    person = adult()
    await save(api.registrar, person)
    return await customer_of(api.registrar, person)


@pytest.mark.parametrize("field", ["additional_information", "email"])
async def test_an_edit_that_shows_what_others_have_written_is_a_read(
    log: Log, customer: Customer, field: str
) -> None:
    path = f"{CUSTOMERS}/UpdateCustomer"
    first = edit(customer, field, f"{new_request_id()}@example.org")
    assert "customer:update" in await log.actions(path, first, "registrar")
    shown = {opaque(customer.name), opaque(customer.registration)}
    stale = edit(customer, field, f"{new_request_id()}@example.org")
    (read,) = await log.send(path, stale, "registrar", "CHANGED_MEANWHILE")
    assert (read["action"], set(read["subject_ids"])) == ("customer:read", shown)
    (read,) = await log.send(path, first, "registrar")
    assert (read["action"], set(read["subject_ids"])) == ("customer:read", shown)
    assert read["for_unit_id"] == customer.name.split("/")[1]


async def test_a_repeated_transfer_shows_the_customer_once_more(log: Log, api: Api, facts: Facts) -> None:
    person = adult()
    await save(api.registrar, person)
    request = TransferCustomerRequest(
        parent=facts.school,
        request_id=new_request_id(),
        personal_identity_code=person.personal_identity_code,
    )
    path = f"{CUSTOMERS}/TransferCustomer"
    assert await log.actions(path, request, "staff") == [
        "customer:transfer",
        "customer:transfer-away",
        "customer:read",
    ]
    assert await log.actions(path, request, "staff") == ["customer:read"]


async def test_what_customer_service_does_is_done_for_the_unit_it_names(
    log: Log, api: Api, customer: Customer
) -> None:
    person = cd_borrower()
    await save(api.registrar, person)
    borrower = await customer_of(api.registrar, person)
    write = SendMessageRequest(
        parent=api.registrar.unit,
        request_id=new_request_id(),
        registration=customer.registration,
        text="Huoltaja kysyy neuvoa.",
    )
    message = (await api.registrar.call(api.registrar.messages.SendMessage, write)).message
    end = EndCustomershipRequest(
        name=customer.name, request_id=new_request_id(), reason=END_REASON_NOT_ENTITLED
    )
    await api.registrar.call(api.registrar.customers.EndCustomership, end)
    requests: dict[str, Message] = {
        f"{CUSTOMERS}/UndoRemoval": UndoRemovalRequest(name=customer.name, request_id=new_request_id()),
        f"{CUSTOMERS}/SetPersonalIdentityCode": SetPersonalIdentityCodeRequest(
            name=customer.name,
            request_id=new_request_id(),
            personal_identity_code=adult().personal_identity_code,
            change=CODE_CHANGE_RENEWED,
        ),
        f"{CUSTOMERS}/ConvertToOnline": ConvertToOnlineRequest(
            name=borrower.name, request_id=new_request_id()
        ),
        f"{MESSAGES}/CloseMessage": CloseMessageRequest(
            name=message.name, request_id=new_request_id(), answer="Neuvo."
        ),
    }
    for path, request in requests.items():
        written = await log.send(path, request, "staff")
        assert written, path
        units = {entry["for_unit_id"] for entry in written}
        assert units == {opaque(api.registrar.unit)}, path
