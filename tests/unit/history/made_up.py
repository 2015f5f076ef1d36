"""Made-up histories: calls at given seconds, with or without answers."""

from collections.abc import Mapping

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from liity.v1.consent_service_pb2 import (
    AcceptConsentRequest,
    AcceptConsentResponse,
    DeclineConsentRequest,
    DeclineConsentResponse,
)
from liity.v1.customer_form_pb2 import CustomerForm, RelatedPerson
from liity.v1.customer_service_pb2 import (
    Customer,
    CustomerSummary,
    EndCustomershipRequest,
    EndCustomershipResponse,
    GetCustomerRequest,
    GetCustomerResponse,
    SearchCustomersRequest,
    SearchCustomersResponse,
    TransferCustomerRequest,
    TransferCustomerResponse,
    UndoRemovalRequest,
    UndoRemovalResponse,
    UpdateCustomerRequest,
    UpdateCustomerResponse,
)
from liity.v1.registration_pb2 import (
    STAGE_CREDENTIALS_SENT,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
    Registration,
    Stage,
)
from liity.v1.registration_service_pb2 import (
    CheckPersonalIdentityCodeRequest,
    CheckPersonalIdentityCodeResponse,
    GetRegistrationRequest,
    GetRegistrationResponse,
    ListRegistrationsRequest,
    ListRegistrationsResponse,
    RegisterCustomerRequest,
    RegisterCustomerResponse,
    Standing,
    WithdrawRegistrationRequest,
    WithdrawRegistrationResponse,
)
from tests.support.history.records import Call, Caller, History, Mail, Refused

LIBRARY, SCHOOL = "units/library", "units/school"
LIBRARIAN = Caller("librarian", frozenset({LIBRARY}))
TEACHER = Caller("teacher", frozenset({SCHOOL}))
STAFF = Caller("staff", staff=True)
GUARDIAN = Caller("guardian")

AINO, EINO = "010594Y9032", "020594X903P"
NAMES = {AINO: "Nimiaino", EINO: "Nimieino"}
CODES_OF_STATUS: Mapping[str, grpc.StatusCode] = {
    "CUSTOMER_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "REGISTRATION_NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "CHANGED_MEANWHILE": grpc.StatusCode.ABORTED,
    "CUSTOMER_HAS_ENDED": grpc.StatusCode.FAILED_PRECONDITION,
    "INTERNAL": grpc.StatusCode.INTERNAL,
}
"""Statuses of refusals; ALREADY_EXISTS for others."""


class MadeUp:
    """A history that is written down: each call begins at a second, and ends half a second later."""

    def __init__(self) -> None:
        self.history = History()

    def call(
        self,
        moment: float,
        caller: Caller,
        request: Message,
        outcome: Message | str = "",
        about: str = AINO,
        seconds: float = 0.5,
    ) -> None:
        """A call that was answered, refused with a reason, or without a word not answered."""
        refused = None
        if isinstance(outcome, str) and outcome:
            code = CODES_OF_STATUS.get(outcome, grpc.StatusCode.ALREADY_EXISTS)
            refused = Refused(code, outcome)
        answer = None if isinstance(outcome, str) else outcome
        self.history.calls.append(Call(caller, request, about, moment, moment + seconds, answer, refused))

    def mail(
        self,
        moment: float,
        template: str,
        recipient: str = "aino@posti.example",
        message_id: str = "",
        text: str = "Hei, Nimiaino!",
    ) -> None:
        """A mail to and about Aino, with a Message-ID of its own, unless told otherwise."""
        message_id = message_id or f"<{len(self.history.mails)}>"
        self.history.mails.append(Mail(template, recipient, message_id, text, moment))

    def save(
        self,
        moment: float,
        outcome: str | None = None,
        *,
        unit: str = LIBRARY,
        request_id: str = "s1",
        registration: str = "r1",
        text: str = "",
        stage: Stage.ValueType = STAGE_CREDENTIALS_SENT,
        child: bool = False,
        about: str = AINO,
    ) -> None:
        """A Save; answered with the registration unless an outcome is given."""
        form = CustomerForm(first_names=NAMES[about], email="aino@posti.example", additional_information=text)
        if child:
            form.ClearField("email")
            form.related_person.CopyFrom(RelatedPerson(full_name="Outi", email="aino@posti.example"))
        request = RegisterCustomerRequest(
            parent=unit, request_id=request_id, personal_identity_code=about, form=form
        )
        told = told_registration(unit, registration, stage, about)
        answer = RegisterCustomerResponse(registration=told)
        caller = LIBRARIAN if unit == LIBRARY else TEACHER
        self.call(moment, caller, request, answer if outcome is None else outcome, about)

    def read(
        self,
        moment: float,
        stage: Stage.ValueType | None,
        *,
        unit: str = LIBRARY,
        registration: str = "r1",
        about: str = AINO,
        caller: Caller = STAFF,
        seconds: float = 0.5,
    ) -> None:
        """A reading of a registration; not found if no stage is given."""
        request = GetRegistrationRequest(name=f"{unit}/registrations/{registration}")
        outcome: Message | str = "REGISTRATION_NOT_FOUND"
        if stage is not None:
            outcome = GetRegistrationResponse(
                registration=told_registration(unit, registration, stage, about)
            )
        self.call(moment, caller, request, outcome, about, seconds)

    def read_customer(
        self,
        moment: float,
        text: str | None,
        *,
        unit: str = LIBRARY,
        customer: str = "c1",
        caller: Caller = STAFF,
        about: str = AINO,
    ) -> None:
        """A reading of a customer; not found if no text is given."""
        request = GetCustomerRequest(name=f"{unit}/customers/{customer}")
        outcome: Message | str = "CUSTOMER_NOT_FOUND"
        if text is not None:
            outcome = GetCustomerResponse(customer=told_customer(unit, customer, text, about))
        self.call(moment, caller, request, outcome, about)

    def edit(
        self, moment: float, text: str, outcome: str | None = None, *, etag: str, request_id: str
    ) -> None:
        """An edit of the text; answered unless an outcome is given."""
        request = UpdateCustomerRequest(
            name=f"{LIBRARY}/customers/c1",
            request_id=request_id,
            etag=etag,
            update_mask=FieldMask(paths=["additional_information"]),
            form=CustomerForm(additional_information=text),
        )
        answer = UpdateCustomerResponse(customer=told_customer(LIBRARY, "c1", text))
        self.call(moment, LIBRARIAN, request, answer if outcome is None else outcome)

    def transfer(self, moment: float, outcome: str | None = None, *, unit: str = SCHOOL) -> None:
        """A move to a unit; answered unless an outcome is given."""
        request = TransferCustomerRequest(parent=unit, request_id=f"t{moment}", personal_identity_code=AINO)
        answer = TransferCustomerResponse(registration=f"{unit}/registrations/r1")
        caller = LIBRARIAN if unit == LIBRARY else TEACHER
        self.call(moment, caller, request, answer if outcome is None else outcome)

    def withdraw(self, moment: float, outcome: str | None = None) -> None:
        """A withdrawal of the registration; answered unless an outcome is given."""
        request = WithdrawRegistrationRequest(name=f"{LIBRARY}/registrations/r1", request_id=f"w{moment}")
        answer = WithdrawRegistrationResponse(registration=told_registration(LIBRARY, "r1", STAGE_WITHDRAWN))
        self.call(moment, LIBRARIAN, request, answer if outcome is None else outcome)

    def accept(self, moment: float) -> None:
        """The guardian's consent."""
        request = AcceptConsentRequest(token="token", request_id=f"a{moment}")
        self.call(moment, GUARDIAN, request, AcceptConsentResponse())

    def decline(self, moment: float) -> None:
        """The guardian's decline."""
        request = DeclineConsentRequest(token="token", request_id=f"d{moment}")
        self.call(moment, GUARDIAN, request, DeclineConsentResponse())

    def end(self, moment: float, *, request_id: str = "e1", erased: int = 100) -> None:
        """The end of the customership."""
        request = EndCustomershipRequest(name=f"{LIBRARY}/customers/c1", request_id=request_id)
        answer = EndCustomershipResponse()
        answer.erase_time.seconds = erased
        self.call(moment, LIBRARIAN, request, answer)

    def undo(self, moment: float) -> None:
        """The end taken back."""
        request = UndoRemovalRequest(name=f"{LIBRARY}/customers/c1", request_id=f"u{moment}")
        self.call(moment, STAFF, request, UndoRemovalResponse(customer=told_customer(LIBRARY, "c1", "")))

    def list(self, moment: float, *registrations: Registration, caller: Caller = LIBRARIAN) -> None:
        """A page of registrations."""
        (unit,) = caller.units
        page = ListRegistrationsResponse(registrations=registrations)
        self.call(moment, caller, ListRegistrationsRequest(parent=unit), page, about="")

    def check(self, moment: float, standing: Standing.ValueType, caller: Caller = LIBRARIAN) -> None:
        """A look-up of Aino's code."""
        (unit,) = caller.units
        request = CheckPersonalIdentityCodeRequest(parent=unit, personal_identity_code=AINO)
        self.call(moment, caller, request, CheckPersonalIdentityCodeResponse(standing=standing))

    def search(self, moment: float, *customers: str, about: str = AINO) -> None:
        """A search of all units by customer service."""
        found = SearchCustomersResponse(customers=[CustomerSummary(name=name) for name in customers])
        self.call(moment, STAFF, SearchCustomersRequest(parent="units/-"), found, about)

    def whole_adult(self) -> None:
        """All that becomes of an adult who is saved."""
        self.save(1)
        self.read(20, STAGE_WELCOMED)
        self.mail(2, "credentials")
        self.mail(10, "welcome")

    def whole_child(self) -> None:
        """All that becomes of a child whose guardian accepts."""
        self.save(1, child=True, stage=STAGE_WAITING_FOR_CONSENT)
        self.mail(2, "consent_request")
        self.accept(3)
        self.mail(4, "consent_given", "librarian@kirjasto.example")
        self.mail(4, "consent_receipt_given")
        self.mail(5, "credentials")
        self.mail(10, "welcome")
        self.read(20, STAGE_WELCOMED)


def told_registration(
    unit: str, registration: str, stage: Stage.ValueType, about: str = AINO
) -> Registration:
    """A registration as an answer tells it."""
    return Registration(
        name=f"{unit}/registrations/{registration}",
        stage=stage,
        customer_display_name=f"{NAMES[about]} Esimerkki",
    )


def told_customer(unit: str, customer: str, text: str, about: str = AINO) -> Customer:
    """A customer as an answer tells them."""
    form = CustomerForm(first_names=NAMES[about], email="aino@posti.example", additional_information=text)
    return Customer(name=f"{unit}/customers/{customer}", registration=f"{unit}/registrations/r1", form=form)
