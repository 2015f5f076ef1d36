"""Available actions for a customer, and who may take them: frontends need no rules of their own."""

from collections.abc import Iterator

from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER, CUSTOMER_KIND_ONLINE, CustomerKind
from liity.v1.registration_pb2 import (
    ACTION_ASK_CUSTOMER_SERVICE,
    ACTION_CONVERT_TO_ONLINE,
    ACTION_EDIT,
    ACTION_END_CUSTOMERSHIP,
    ACTION_MARK_PROTECTED,
    ACTION_MERGE,
    ACTION_READ_PROTECTED,
    ACTION_REMOVE_PROTECTION,
    ACTION_SEND_CREDENTIALS,
    ACTION_SET_PERSONAL_IDENTITY_CODE,
    ACTION_UNDO_REMOVAL,
    PARTY_CUSTOMER_SERVICE,
    PARTY_REGISTRAR,
    AvailableAction,
)

_UNIT_PEOPLE = (PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE)
_STAFF = (PARTY_CUSTOMER_SERVICE,)

ASK = AvailableAction(action=ACTION_ASK_CUSTOMER_SERVICE, parties=(PARTY_REGISTRAR,))
"""A registrar can always write to customer service (R25)."""


def customer_actions(
    kind: CustomerKind.ValueType, *, active: bool, protected: bool
) -> Iterator[AvailableAction]:
    """Actions for a customer of a kind, or for an ended one; whether protected (R37) or not."""
    if not active:
        yield AvailableAction(action=ACTION_UNDO_REMOVAL, parties=_STAFF)
    else:
        yield AvailableAction(action=ACTION_EDIT, parties=_UNIT_PEOPLE)
        if kind == CUSTOMER_KIND_ONLINE:
            yield AvailableAction(action=ACTION_SEND_CREDENTIALS, parties=_UNIT_PEOPLE)
        yield AvailableAction(action=ACTION_END_CUSTOMERSHIP, parties=_UNIT_PEOPLE)
        if kind == CUSTOMER_KIND_CD_BORROWER:
            yield AvailableAction(action=ACTION_CONVERT_TO_ONLINE, parties=_STAFF)
        yield AvailableAction(action=ACTION_SET_PERSONAL_IDENTITY_CODE, parties=_STAFF)
        yield AvailableAction(action=ACTION_MERGE, parties=_STAFF)
    if protected:
        yield AvailableAction(action=ACTION_READ_PROTECTED, parties=_STAFF)
        yield AvailableAction(action=ACTION_REMOVE_PROTECTION, parties=_STAFF)
    else:
        yield AvailableAction(action=ACTION_MARK_PROTECTED, parties=_STAFF)
    yield ASK
