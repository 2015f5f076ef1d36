"""Resource names (AIP-122), and a registration as the public API shows it."""

import re

from liity.registration.v1.registration_service_pb2 import Registration as StoredRegistration
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.reason_pb2 import REASON_INVALID_FORMAT
from liity.v1.registration_pb2 import (
    ACTION_ANSWER_CONSENT_REQUEST,
    ACTION_RECORD_CONSENT,
    ACTION_WITHDRAW,
    PARTY_CUSTOMER_SERVICE,
    PARTY_GUARDIAN,
    PARTY_REGISTRAR,
    PARTY_SYSTEM,
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_RECEIVED,
    STAGE_WAITING_FOR_CONSENT,
    AvailableAction,
    Party,
    Registration,
)
from services.runtime.errors import FieldViolation, invalid

DEFAULT_PAGE = 50
"""How many items a list answers if it is not asked for a number."""

LARGEST_PAGE = 200
"""How many it answers at most."""

_UNIT = re.compile(r"units/([a-z0-9]{1,32})")
_DISCLOSURE = re.compile(r"disclosures/([a-z0-9]{1,32})")
_REGISTRATION = re.compile(r"units/([a-z0-9]{1,32})/registrations/([a-z0-9]{1,32})")

_WHILE_WAITING_FOR_CONSENT = (
    AvailableAction(action=ACTION_ANSWER_CONSENT_REQUEST, parties=[PARTY_GUARDIAN]),
    AvailableAction(action=ACTION_RECORD_CONSENT, parties=[PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE]),
    AvailableAction(action=ACTION_WITHDRAW, parties=[PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE]),
)


def unit_name(unit_id: str) -> str:
    """`units/{unit}`."""
    return f"units/{unit_id}"


def registration_name(unit_id: str, registration_id: str) -> str:
    """`units/{unit}/registrations/{registration}`."""
    return f"units/{unit_id}/registrations/{registration_id}"


def parse_unit_name(name: str) -> str:
    """The unit's ID in `units/{unit}`."""
    match = _UNIT.fullmatch(name)
    if match is None:
        raise invalid([FieldViolation("parent", REASON_INVALID_FORMAT)])
    return match[1]


def parse_registration_name(name: str) -> tuple[str, str]:
    """The IDs of unit and registration in `units/{unit}/registrations/{registration}`."""
    match = _REGISTRATION.fullmatch(name)
    if match is None:
        raise invalid([FieldViolation("name", REASON_INVALID_FORMAT)])
    return match[1], match[2]


def disclosure_name(disclosure_id: str) -> str:
    """`disclosures/{disclosure}`."""
    return f"disclosures/{disclosure_id}"


def parse_disclosure_name(name: str) -> str:
    """The ID in `disclosures/{disclosure}`."""
    match = _DISCLOSURE.fullmatch(name)
    if match is None:
        raise invalid([FieldViolation("name", REASON_INVALID_FORMAT)])
    return match[1]


def to_public(stored: StoredRegistration) -> Registration:
    """The registration as the public API shows it: with whom it waits for and what can be done."""
    waits_for_consent = stored.stage == STAGE_WAITING_FOR_CONSENT
    public = Registration(
        name=registration_name(stored.unit_id, stored.registration_id),
        stage=stored.stage,
        customer_display_name=stored.customer_display_name,
        kind=stored.kind,
        consent_state=stored.consent_state,
        create_time=stored.create_time,
        update_time=stored.update_time,
        waiting_for=_waiting_for(stored),
        available_actions=_WHILE_WAITING_FOR_CONSENT if waits_for_consent else (),
        registrar_display_name=stored.registrar_display_name,
    )
    if stored.HasField("deadline"):
        public.deadline.CopyFrom(stored.deadline)
    return public


def _waiting_for(stored: StoredRegistration) -> tuple[Party.ValueType, ...]:
    if stored.stage == STAGE_WAITING_FOR_CONSENT:
        return (PARTY_GUARDIAN,)
    goes_on = stored.stage in {STAGE_RECEIVED, STAGE_CREDENTIALS_SENT} or (
        stored.stage == STAGE_ACTIVE and stored.kind == CUSTOMER_KIND_ONLINE
    )
    return (PARTY_SYSTEM,) if goes_on else ()
