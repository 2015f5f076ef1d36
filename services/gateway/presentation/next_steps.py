"""The getting-started list for registrars (R28): a pure function of the registration."""

from collections.abc import Iterator, Mapping

from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_REGISTRAR,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CUSTOMER_KIND_CD_BORROWER,
    CredentialsRecipient,
    Language,
)
from liity.v1.getting_started_pb2 import (
    NEXT_STEP_ASK_GUARDIAN,
    NEXT_STEP_BORROW_ON_CD,
    NEXT_STEP_CHANGE_ADDRESS,
    NEXT_STEP_CHECK_DATA,
    NEXT_STEP_CREDENTIALS_TO_CUSTOMER,
    NEXT_STEP_CREDENTIALS_TO_REGISTRAR,
    NEXT_STEP_CREDENTIALS_TO_RELATED_PERSON,
    NEXT_STEP_INTRODUCE_SERVICE,
    NEXT_STEP_SHOW_BOOK_TIPS,
    NEXT_STEP_WAIT_FOR_CUSTOMER_SERVICE,
    GettingStartedStep,
    NextStep,
)
from liity.v1.registration_pb2 import (
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_RECEIVED,
    STAGE_WAITING_FOR_CONSENT,
)
from services.runtime.rpc.texts import next_step_text
from services.runtime.stages import WAITING_FOR_CUSTOMER_SERVICE

_BEGUN = frozenset({STAGE_RECEIVED, STAGE_ACTIVE, STAGE_CREDENTIALS_SENT})
_CREDENTIALS_TO: Mapping[CredentialsRecipient.ValueType, NextStep.ValueType] = {
    CREDENTIALS_RECIPIENT_CUSTOMER: NEXT_STEP_CREDENTIALS_TO_CUSTOMER,
    CREDENTIALS_RECIPIENT_RELATED_PERSON: NEXT_STEP_CREDENTIALS_TO_RELATED_PERSON,
    CREDENTIALS_RECIPIENT_REGISTRAR: NEXT_STEP_CREDENTIALS_TO_REGISTRAR,
}


def getting_started(
    registration: Registration, recipient: CredentialsRecipient.ValueType, language: Language.ValueType
) -> list[GettingStartedStep]:
    """The steps with their texts, in order; none once the registration has ended or is complete."""
    return [
        GettingStartedStep(step=step, text=next_step_text(step, language))
        for step in next_steps(registration, recipient)
    ]


def next_steps(
    registration: Registration, recipient: CredentialsRecipient.ValueType
) -> Iterator[NextStep.ValueType]:
    """The steps; `recipient` is the recipient of the credentials."""
    if registration.stage in WAITING_FOR_CUSTOMER_SERVICE:
        yield NEXT_STEP_WAIT_FOR_CUSTOMER_SERVICE
    elif registration.stage == STAGE_WAITING_FOR_CONSENT:
        yield NEXT_STEP_ASK_GUARDIAN
        yield NEXT_STEP_CHECK_DATA
    elif registration.stage in _BEGUN and registration.kind == CUSTOMER_KIND_CD_BORROWER:
        yield NEXT_STEP_CHECK_DATA
        yield NEXT_STEP_BORROW_ON_CD
        yield NEXT_STEP_SHOW_BOOK_TIPS
    elif registration.stage in _BEGUN:
        yield NEXT_STEP_CHECK_DATA
        if recipient in _CREDENTIALS_TO:
            yield _CREDENTIALS_TO[recipient]
        if recipient == CREDENTIALS_RECIPIENT_REGISTRAR:
            yield NEXT_STEP_CHANGE_ADDRESS
        yield NEXT_STEP_INTRODUCE_SERVICE
        yield NEXT_STEP_SHOW_BOOK_TIPS
