"""Edits of a customer's form: editable fields, and validation of a change (R14)."""

from collections.abc import Iterator
from datetime import date

from google.protobuf.descriptor import Descriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from liity.registration.v1.unit_service_pb2 import UnitKind
from liity.v1.customer_form_pb2 import (
    APPLICANT_SELF,
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CustomerForm,
)
from liity.v1.reason_pb2 import REASON_NOT_EDITABLE, REASON_UNKNOWN_VALUE
from services.registration.forms.normalise import form_errors
from services.registration.rules import AGE_OF_MAJORITY, full_years
from services.runtime.rpc.errors import FieldViolation, invalid

_AS_REGISTERED = frozenset(
    {
        "entitlement_declared",
        "terms_accepted",
        "applicant",
        "paper_consent",
        "kind",
        "credentials_recipient",
        "protected_person",
    }
)
"""Fields that state the day of registering, or have an RPC of their own."""


def apply_mask(stored: CustomerForm, given: CustomerForm, mask: FieldMask) -> CustomerForm:
    """The stored form with the masked fields as given. INVALID_ARGUMENT for paths that are not editable."""
    errors = list(_mask_errors(mask))
    if errors:
        raise invalid(errors)
    changed, new = CustomerForm(), CustomerForm()
    changed.CopyFrom(stored)
    new.CopyFrom(given)
    for path in mask.paths:
        # An absent message's field must be emptied, too: MergeMessage would skip it.
        message: Message = new
        for name in path.split(".")[:-1]:
            message = getattr(message, name)
            message.SetInParent()
    mask.MergeMessage(new, changed, replace_message_field=True)
    return changed


def on_their_own(form: CustomerForm, mask: FieldMask, birth_date: date | None, today: date) -> CustomerForm:
    """The form of a grown customer whose guardian or contact person an edit takes off; any other as it is.

    From then on nobody applies for the customer, and their credentials go to themselves.
    """
    is_grown = birth_date is not None and full_years(birth_date, today) >= AGE_OF_MAJORITY
    if "related_person" not in mask.paths or form.HasField("related_person") or not is_grown:
        return form
    alone = CustomerForm()
    alone.CopyFrom(form)
    alone.applicant = APPLICANT_SELF
    if alone.credentials_recipient == CREDENTIALS_RECIPIENT_RELATED_PERSON:
        alone.credentials_recipient = CREDENTIALS_RECIPIENT_CUSTOMER
    return alone


def editing_errors(
    before: CustomerForm,
    after: CustomerForm,
    mask: FieldMask,
    *,
    birth_date: date | None,
    unit_kind: UnitKind.ValueType,
    today: date,
) -> list[FieldViolation]:
    """Errors in the changed fields, and errors elsewhere that the change has caused.

    Earlier errors, due to a changed rule or the age, do not prevent an edit.
    """
    known = set(form_errors(before, birth_date=birth_date, unit_kind=unit_kind, today=today))
    found = form_errors(after, birth_date=birth_date, unit_kind=unit_kind, today=today)
    return [error for error in found if error not in known or _is_masked(error.field, mask)]


def _mask_errors(mask: FieldMask) -> Iterator[FieldViolation]:
    if not mask.paths:
        yield FieldViolation("update_mask", REASON_UNKNOWN_VALUE)
    for path in mask.paths:
        if not _is_path(CustomerForm.DESCRIPTOR, path):
            yield FieldViolation("update_mask", REASON_UNKNOWN_VALUE)
        elif path.partition(".")[0] in _AS_REGISTERED:
            yield FieldViolation(f"form.{path}", REASON_NOT_EDITABLE)


def _is_path(message: Descriptor | None, path: str) -> bool:
    name, _, rest = path.partition(".")
    field = message.fields_by_name.get(name) if message else None
    return field is not None and (not rest or _is_path(field.message_type, rest))


def _is_masked(field: str, mask: FieldMask) -> bool:
    path = field.removeprefix("form.")
    return any(f"{path}.".startswith(f"{masked}.") for masked in mask.paths)
