"""What a registrar does next for a customer (R28)."""

import pytest

from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_REGISTRAR,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    CUSTOMER_KIND_ONLINE,
    LANGUAGE_EN,
    LANGUAGE_FI,
    LANGUAGE_SV,
    CredentialsRecipient,
    CustomerKind,
)
from liity.v1.getting_started_pb2 import NextStep
from liity.v1.registration_pb2 import (
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_LINKED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
    Stage,
)
from services.gateway.presentation.next_steps import getting_started, next_steps
from services.runtime.rpc.texts import next_step_text

ONLINE, CD = CUSTOMER_KIND_ONLINE, CUSTOMER_KIND_CD_BORROWER
CUSTOMER, RELATED = CREDENTIALS_RECIPIENT_CUSTOMER, CREDENTIALS_RECIPIENT_RELATED_PERSON
REGISTRAR, NOBODY = CREDENTIALS_RECIPIENT_REGISTRAR, CREDENTIALS_RECIPIENT_UNSPECIFIED

TABLE = [
    (STAGE_WAITING_FOR_CONSENT, ONLINE, RELATED, "ASK_GUARDIAN CHECK_DATA"),
    (STAGE_WAITING_FOR_CONSENT, CD, NOBODY, "ASK_GUARDIAN CHECK_DATA"),
    (STAGE_WAITING_FOR_REACTIVATION, ONLINE, CUSTOMER, "WAIT_FOR_CUSTOMER_SERVICE"),
    (STAGE_WAITING_FOR_IDENTITY_CHECK, CD, NOBODY, "WAIT_FOR_CUSTOMER_SERVICE"),
    (
        STAGE_ACTIVE,
        ONLINE,
        CUSTOMER,
        "CHECK_DATA CREDENTIALS_TO_CUSTOMER INTRODUCE_SERVICE SHOW_BOOK_TIPS",
    ),
    (
        STAGE_CREDENTIALS_SENT,
        ONLINE,
        RELATED,
        "CHECK_DATA CREDENTIALS_TO_RELATED_PERSON INTRODUCE_SERVICE SHOW_BOOK_TIPS",
    ),
    (
        STAGE_CREDENTIALS_SENT,
        ONLINE,
        REGISTRAR,
        "CHECK_DATA CREDENTIALS_TO_REGISTRAR CHANGE_ADDRESS INTRODUCE_SERVICE SHOW_BOOK_TIPS",
    ),
    (STAGE_ACTIVE, CD, NOBODY, "CHECK_DATA BORROW_ON_CD SHOW_BOOK_TIPS"),
    *(
        (stage, ONLINE, CUSTOMER, "")
        for stage in (
            STAGE_WELCOMED,
            STAGE_DECLINED,
            STAGE_LAPSED,
            STAGE_WITHDRAWN,
            STAGE_REJECTED,
            STAGE_LINKED,
        )
    ),
]


@pytest.mark.parametrize(("stage", "kind", "recipient", "expected"), TABLE)
def test_the_steps_follow_from_how_the_registration_stands(
    stage: Stage.ValueType,
    kind: CustomerKind.ValueType,
    recipient: CredentialsRecipient.ValueType,
    expected: str,
) -> None:
    steps = next_steps(Registration(stage=stage, kind=kind), recipient)
    assert " ".join(NextStep.Name(step).removeprefix("NEXT_STEP_") for step in steps) == expected


def test_each_step_comes_up_and_has_words_of_its_own_in_each_language() -> None:
    steps = [step for step in NextStep.values() if step]
    told = {step for _, _, _, expected in TABLE for step in expected.split()}
    assert told == {NextStep.Name(step).removeprefix("NEXT_STEP_") for step in steps}
    texts = {
        next_step_text(step, language)
        for step in steps
        for language in (LANGUAGE_FI, LANGUAGE_SV, LANGUAGE_EN)
    }
    assert len(texts) == 3 * len(steps)


def test_the_words_come_in_the_language_asked_for() -> None:
    registration = Registration(stage=STAGE_ACTIVE, kind=CD)
    texts = [
        getting_started(registration, NOBODY, language)[0].text for language in (LANGUAGE_FI, LANGUAGE_EN)
    ]
    assert texts == [
        "Tarkista tallennetut tiedot ja korjaa ne, jos jotakin on väärin.",
        "Check the saved data, and correct it if anything is wrong.",
    ]
