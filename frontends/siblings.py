"""Correcting a guardian's address where it stands besides: at siblings, once a person has agreed to it."""

from typing import Protocol, TypeVar

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from frontends.client import Api, new_request_id
from liity.v1.customer_form_pb2 import CustomerForm, RelatedPerson
from liity.v1.customer_service_pb2 import GetCustomerRequest, UpdateCustomerRequest
from liity.v1.registration_service_pb2 import GetRegistrationRequest, UpdateRegistrationRequest

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

_ADDRESS = FieldMask(paths=["related_person.email"])


class Call(Protocol):
    """Calls the gateway; raises its `Refusal`."""

    async def __call__(  # noqa: D102
        self, method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT
    ) -> ResponseT: ...


async def correct_at(api: Api, call: Call, name: str, email: str, *, confirmed: bool) -> None:
    """Corrects the guardian's address of a customer or a registration that waits."""
    form = CustomerForm(related_person=RelatedPerson(email=email))
    if "/registrations/" in name:
        read = await call(api.registrations.GetRegistration, GetRegistrationRequest(name=name))
        await call(
            api.registrations.UpdateRegistration,
            UpdateRegistrationRequest(
                name=name,
                request_id=new_request_id(),
                etag=read.etag,
                update_mask=_ADDRESS,
                form=form,
                guardian_email_confirmed=confirmed,
            ),
        )
        return
    stored = await call(api.customers.GetCustomer, GetCustomerRequest(name=name))
    await call(
        api.customers.UpdateCustomer,
        UpdateCustomerRequest(
            name=name,
            request_id=new_request_id(),
            etag=stored.customer.etag,
            update_mask=_ADDRESS,
            form=form,
            guardian_email_confirmed=confirmed,
        ),
    )
