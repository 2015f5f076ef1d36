"""A frontend's way through the API: log in, check a code, register, read back.

    LIITY_EMAIL=… LIITY_PASSWORD=… python docs/examples/register.py [--child]

Over TLS if LIITY_GATEWAY_CA names a file: the PEM of the CA of the gateway's certificate.
It needs nothing of Liity but the code that is generated from its contracts, and `grpcio-status`.
"""

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar, cast

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, Help, RetryInfo
from grpc_status import rpc_status

from liity.v1.auth_service_pb2 import LogInRequest
from liity.v1.auth_service_pb2_grpc import AuthServiceStub
from liity.v1.customer_form_pb2 import (
    APPLICANT_GUARDIAN,
    APPLICANT_SELF,
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CUSTOMER_KIND_ONLINE,
    LANGUAGE_FI,
    CustomerForm,
    PostalAddress,
    RelatedPerson,
)
from liity.v1.registration_pb2 import Party, Stage
from liity.v1.registration_service_pb2 import (
    STANDING_NOT_REGISTERED,
    CheckPersonalIdentityCodeRequest,
    GetRegistrationRequest,
    RegisterCustomerRequest,
    Standing,
)
from liity.v1.registration_service_pb2_grpc import RegistrationServiceStub

MessageT = TypeVar("MessageT", bound=Message)

TIMEOUT = 15.0
"""Seconds. A Save answers in a fraction of one; when a part of the system restarts it may take ten."""

ADDRESS = PostalAddress(
    street_address="Esimerkkikatu 1", postcode="00100", post_office="Helsinki", municipality="Helsinki"
)

# Artificial codes, as published for testing: only these and their like may stand in tests and examples.

ADULT = (
    "010594Y9032",
    CustomerForm(
        first_names="Aada",
        last_name="Esimerkki",
        address=ADDRESS,
        email="aada@posti.example",
        language=LANGUAGE_FI,
        entitlement_declared=True,
        kind=CUSTOMER_KIND_ONLINE,
        applicant=APPLICANT_SELF,
        terms_accepted=True,
        credentials_recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
    ),
)

CHILD = (
    "010516B903X",
    CustomerForm(
        first_names="Onni",
        last_name="Esimerkki",
        address=ADDRESS,
        language=LANGUAGE_FI,
        entitlement_declared=True,
        kind=CUSTOMER_KIND_ONLINE,
        applicant=APPLICANT_GUARDIAN,
        related_person=RelatedPerson(full_name="Outi Esimerkki", email="outi@posti.example", relation="äiti"),
        terms_accepted=True,
        credentials_recipient=CREDENTIALS_RECIPIENT_RELATED_PERSON,
    ),
)


def open_channel(gateway: str) -> grpc.Channel:
    """A channel to the gateway, over TLS if told whom to trust."""
    ca = os.environ.get("LIITY_GATEWAY_CA")
    if ca is None:
        return grpc.insecure_channel(gateway)
    return grpc.secure_channel(gateway, grpc.ssl_channel_credentials(Path(ca).read_bytes()))


def register(channel: grpc.Channel, code: str, form: CustomerForm) -> None:
    """Registers a person in the caller's unit, unless that has been done."""
    language = ("accept-language", "en")

    log_in = LogInRequest(email=os.environ["LIITY_EMAIL"], password=os.environ["LIITY_PASSWORD"])
    session = AuthServiceStub(channel).LogIn(log_in, metadata=(language,), timeout=TIMEOUT).session
    metadata = (language, ("authorization", f"Bearer {session.access_token}"))
    unit = session.memberships[0].unit
    print(f"{session.display_name} acts for {session.memberships[0].unit_display_name}")

    registrations = RegistrationServiceStub(channel)
    check = CheckPersonalIdentityCodeRequest(parent=unit, personal_identity_code=code)
    known = registrations.CheckPersonalIdentityCode(check, metadata=metadata, timeout=TIMEOUT)
    print(f"The person is {Standing.Name(known.standing)}")

    name = known.registration
    if known.standing == STANDING_NOT_REGISTERED:
        # One ID for this Save: who repeats the call after a lost answer repeats the ID too.
        save = RegisterCustomerRequest(
            parent=unit, request_id=str(uuid.uuid4()), personal_identity_code=code, form=form
        )
        saved = registrations.RegisterCustomer(save, metadata=metadata, timeout=TIMEOUT)
        name = saved.registration.name
        print(f"Saved as {name}")

    if name:
        answer = registrations.GetRegistration(
            GetRegistrationRequest(name=name), metadata=metadata, timeout=TIMEOUT
        )
        found = answer.registration
        waiting_for = ", ".join(Party.Name(party) for party in found.waiting_for) or "nobody"
        print(f"{found.customer_display_name}: {Stage.Name(found.stage)}, waits for {waiting_for}")
        if found.HasField("deadline"):
            print(f"until {found.deadline.ToJsonString()}")


def explanation(error: grpc.RpcError) -> Iterator[str]:
    """What a refused call says: its reason, each wrong field, when to come back, who can help."""
    status = rpc_status.from_call(cast(grpc.Call, error))
    if status is None:
        # Not an answer of Liity's: nobody listens there, or the deadline has passed.
        yield f"{error.code().name}: {error.details()}"
        return
    yield status.message
    for detail in status.details:
        if info := _unpacked(detail, ErrorInfo()):
            yield f"  reason {info.reason}, status {error.code().name}"
        elif bad_request := _unpacked(detail, BadRequest()):
            for field in bad_request.field_violations:
                yield f"  {field.field}: {field.reason}. {field.description}"
        elif retry := _unpacked(detail, RetryInfo()):
            yield f"  again in {retry.retry_delay.ToSeconds()} s"
        elif contact := _unpacked(detail, Help()):
            yield "  " + ", ".join(link.url for link in contact.links)


def _unpacked(detail: Any, message: MessageT) -> MessageT | None:
    return message if detail.Unpack(message) else None


if __name__ == "__main__":
    if not {"LIITY_EMAIL", "LIITY_PASSWORD"} <= os.environ.keys():
        sys.exit("LIITY_EMAIL and LIITY_PASSWORD must name the account that registers")
    gateway = os.environ.get("LIITY_GATEWAY", "127.0.0.1:7400")
    with open_channel(gateway) as its_channel:
        try:
            register(its_channel, *(CHILD if "--child" in sys.argv else ADULT))
        except grpc.RpcError as refused:
            sys.exit("\n".join(explanation(refused)))
