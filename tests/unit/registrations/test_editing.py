"""Which fields an update mask names, and what becomes of them (R14)."""

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from liity.v1.customer_form_pb2 import CustomerForm, RelatedPerson
from services.registration.forms.edits import apply_mask
from services.runtime.rpc.errors import Refusal

STORED = CustomerForm(
    first_names="Aino",
    phone="+358401112222",
    related_person=RelatedPerson(full_name="Outi Huoltaja", phone="+358403334444", relation="äiti"),
)


def after(given: CustomerForm, *paths: str) -> CustomerForm:
    return apply_mask(STORED, given, FieldMask(paths=paths))


def test_only_what_is_named_is_changed() -> None:
    changed = after(CustomerForm(first_names="Aino Kaisa", phone="1"), "first_names")
    assert (changed.first_names, changed.phone) == ("Aino Kaisa", STORED.phone)


@pytest.mark.parametrize(
    "given", [CustomerForm(), CustomerForm(related_person=RelatedPerson(relation="isä"))]
)
def test_a_part_that_is_named_and_not_given_is_emptied(given: CustomerForm) -> None:
    changed = after(given, "related_person.phone")
    expected = CustomerForm()
    expected.CopyFrom(STORED)
    expected.related_person.ClearField("phone")
    assert changed == expected
    assert not given.related_person.phone


def test_a_message_that_is_named_and_not_given_is_gone() -> None:
    assert not after(CustomerForm(), "related_person").HasField("related_person")


@pytest.mark.parametrize("paths", [(), ("no_such_field",), ("related_person.no_such_field",), ("kind",)])
def test_what_may_not_be_named_is_refused(paths: tuple[str, ...]) -> None:
    with pytest.raises(Refusal):
        after(CustomerForm(), *paths)
