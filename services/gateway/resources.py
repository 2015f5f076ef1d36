"""Resource names (AIP-122), and a registration as the public API shows it."""

import re
from collections.abc import Mapping, Sequence

from liity.registration.v1.registration_service_pb2 import Registration as StoredRegistration
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.reason_pb2 import REASON_INVALID_FORMAT
from liity.v1.registration_pb2 import (
    ACTION_ANSWER_CONSENT_REQUEST,
    ACTION_EDIT,
    ACTION_LINK_TO_CUSTOMER,
    ACTION_REACTIVATE,
    ACTION_RECORD_CONSENT,
    ACTION_REJECT,
    ACTION_VERIFY_IDENTITY,
    ACTION_WITHDRAW,
    PARTY_CUSTOMER_SERVICE,
    PARTY_GUARDIAN,
    PARTY_REGISTRAR,
    PARTY_SYSTEM,
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_RECEIVED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    AvailableAction,
    Party,
    Registration,
    Stage,
)
from services.runtime.errors import FieldViolation, invalid

DEFAULT_PAGE = 50
"""How many items a list answers if it is not asked for a number."""

LARGEST_PAGE = 200
"""How many it answers at most."""

_UNIT = re.compile(r"units/([a-z0-9]{1,32})")
_DISCLOSURE = re.compile(r"disclosures/([a-z0-9]{1,32})")
_CUSTOMER = re.compile(r"units/([a-z0-9]{1,32})/customers/([a-z0-9]{1,32})")
_CLASS_LIST = re.compile(r"units/([a-z0-9]{1,32})/classLists/([a-z0-9]{1,32})")
_REGISTRAR = re.compile(r"units/([a-z0-9]{1,32})/registrars/([a-z0-9]{1,32})")
_REGISTRATION = re.compile(r"units/([a-z0-9]{1,32})/registrations/([a-z0-9]{1,32})")
_MESSAGE = re.compile(r"units/([a-z0-9]{1,32})/messages/([a-z0-9]{1,32})")

_WITHDRAW = AvailableAction(action=ACTION_WITHDRAW, parties=[PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE])
_EDIT = AvailableAction(action=ACTION_EDIT, parties=[PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE])
_WHILE_WAITING_FOR_CONSENT = (
    AvailableAction(action=ACTION_ANSWER_CONSENT_REQUEST, parties=[PARTY_GUARDIAN]),
    AvailableAction(action=ACTION_RECORD_CONSENT, parties=[PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE]),
    _EDIT,
    _WITHDRAW,
)
_REJECT = AvailableAction(action=ACTION_REJECT, parties=[PARTY_CUSTOMER_SERVICE])
_WHILE_WAITING: Mapping[Stage.ValueType, Sequence[AvailableAction]] = {
    STAGE_WAITING_FOR_CONSENT: _WHILE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_REACTIVATION: (
        AvailableAction(action=ACTION_REACTIVATE, parties=[PARTY_CUSTOMER_SERVICE]),
        _REJECT,
        _EDIT,
        _WITHDRAW,
    ),
    STAGE_WAITING_FOR_IDENTITY_CHECK: (
        AvailableAction(action=ACTION_VERIFY_IDENTITY, parties=[PARTY_CUSTOMER_SERVICE]),
        AvailableAction(action=ACTION_LINK_TO_CUSTOMER, parties=[PARTY_CUSTOMER_SERVICE]),
        _REJECT,
        _EDIT,
        _WITHDRAW,
    ),
}


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


def customer_name(unit_id: str, customer_id: str) -> str:
    """`units/{unit}/customers/{customer}`."""
    return f"units/{unit_id}/customers/{customer_id}"


def parse_customer_name(name: str, field: str = "name") -> tuple[str, str]:
    """The IDs of unit and customer in `units/{unit}/customers/{customer}`."""
    match = _CUSTOMER.fullmatch(name)
    if match is None:
        raise invalid([FieldViolation(field, REASON_INVALID_FORMAT)])
    return match[1], match[2]


def parse_registration_name(name: str) -> tuple[str, str]:
    """The IDs of unit and registration in `units/{unit}/registrations/{registration}`."""
    match = _REGISTRATION.fullmatch(name)
    if match is None:
        raise invalid([FieldViolation("name", REASON_INVALID_FORMAT)])
    return match[1], match[2]


def class_list_name(unit_id: str, class_list_id: str) -> str:
    """`units/{unit}/classLists/{class_list}`."""
    return f"units/{unit_id}/classLists/{class_list_id}"


def parse_class_list_name(name: str) -> tuple[str, str]:
    """The IDs of unit and list in `units/{unit}/classLists/{class_list}`."""
    match = _CLASS_LIST.fullmatch(name)
    if match is None:
        raise invalid([FieldViolation("name", REASON_INVALID_FORMAT)])
    return match[1], match[2]


def is_customer_name(name: str) -> bool:
    """Whether a name is that of a customer."""
    return _CUSTOMER.fullmatch(name) is not None


def message_name(unit_id: str, message_id: str) -> str:
    """`units/{unit}/messages/{message}`."""
    return f"units/{unit_id}/messages/{message_id}"


def parse_message_name(name: str) -> tuple[str, str]:
    """The IDs of unit and message in `units/{unit}/messages/{message}`."""
    match = _MESSAGE.fullmatch(name)
    if match is None:
        raise invalid([FieldViolation("name", REASON_INVALID_FORMAT)])
    return match[1], match[2]


def registrar_name(unit_id: str, registrar_id: str) -> str:
    """`units/{unit}/registrars/{registrar}`."""
    return f"units/{unit_id}/registrars/{registrar_id}"


def parse_registrar_name(name: str) -> tuple[str, str]:
    """The IDs of unit and registrar in `units/{unit}/registrars/{registrar}`."""
    match = _REGISTRAR.fullmatch(name)
    if match is None:
        raise invalid([FieldViolation("name", REASON_INVALID_FORMAT)])
    return match[1], match[2]


def work_item_name(work_item_id: str) -> str:
    """`workItems/{work_item}`."""
    return f"workItems/{work_item_id}"


def parse_work_item_name(name: str) -> str:
    """The ID in `workItems/{work_item}`."""
    return name.removeprefix("workItems/")


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
    public = Registration(
        name=registration_name(stored.unit_id, stored.registration_id),
        stage=stored.stage,
        customer_display_name=stored.customer_display_name,
        kind=stored.kind,
        consent_state=stored.consent_state,
        create_time=stored.create_time,
        update_time=stored.update_time,
        waiting_for=_waiting_for(stored),
        available_actions=_WHILE_WAITING.get(stored.stage, ()),
        registrar_display_name=stored.registrar_display_name,
        customer=customer_name(stored.unit_id, stored.customer_id) if stored.customer_id else "",
        rejection_note=stored.rejection_note,
        missing_code_reason=stored.missing_code_reason,
    )
    if stored.HasField("deadline"):
        public.deadline.CopyFrom(stored.deadline)
    return public


def _waiting_for(stored: StoredRegistration) -> tuple[Party.ValueType, ...]:
    if stored.stage == STAGE_WAITING_FOR_CONSENT:
        return (PARTY_GUARDIAN,)
    if stored.stage in {STAGE_WAITING_FOR_REACTIVATION, STAGE_WAITING_FOR_IDENTITY_CHECK}:
        return (PARTY_CUSTOMER_SERVICE,)
    goes_on = stored.stage in {STAGE_RECEIVED, STAGE_CREDENTIALS_SENT} or (
        stored.stage == STAGE_ACTIVE and stored.kind == CUSTOMER_KIND_ONLINE
    )
    return (PARTY_SYSTEM,) if goes_on else ()
