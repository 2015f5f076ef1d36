"""Resource names (AIP-122): how each is written and read."""

import re

from liity.v1.reason_pb2 import REASON_INVALID_FORMAT
from services.runtime.rpc.errors import FieldViolation, invalid

_UNIT = re.compile(r"units/([a-z0-9]{1,32})")
_DISCLOSURE = re.compile(r"disclosures/([a-z0-9]{1,32})")
_CUSTOMER = re.compile(r"units/([a-z0-9]{1,32})/customers/([a-z0-9]{1,32})")
_CLASS_LIST = re.compile(r"units/([a-z0-9]{1,32})/classLists/([a-z0-9]{1,32})")
_REGISTRAR = re.compile(r"units/([a-z0-9]{1,32})/registrars/([a-z0-9]{1,32})")
_REGISTRATION = re.compile(r"units/([a-z0-9]{1,32})/registrations/([a-z0-9]{1,32})")
_MESSAGE = re.compile(r"units/([a-z0-9]{1,32})/messages/([a-z0-9]{1,32})")


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
