"""What is withheld of a protected person's form (R37): only customer service sees it."""

from typing import Literal

from liity.v1.customer_form_pb2 import CustomerForm
from services.runtime.text.cleaning import is_blank

_RELATED: tuple[Literal["related_person", "other_guardian"], ...] = ("related_person", "other_guardian")


def withhold(form: CustomerForm) -> tuple[CustomerForm, CustomerForm]:
    """The form to be shown, marked as a protected person's, and a form with what is withheld.

    The free text is withheld, too: it may tell an address or a school.
    """
    shown, withheld = CustomerForm(), CustomerForm()
    shown.CopyFrom(form)
    shown.protected_person = True
    if form.HasField("address"):
        withheld.address.CopyFrom(form.address)
        shown.ClearField("address")
    withheld.phone, shown.phone = form.phone, ""
    withheld.additional_information, shown.additional_information = form.additional_information, ""
    for name in _RELATED:
        if phone := getattr(form, name).phone:
            getattr(withheld, name).phone = phone
            getattr(shown, name).ClearField("phone")
    return shown, withheld


def replaced(before: CustomerForm, withheld: CustomerForm) -> CustomerForm:
    """What is withheld from now on: what is new replaces what was withheld before."""
    merged = CustomerForm()
    merged.CopyFrom(before)
    if withheld.HasField("address"):
        merged.ClearField("address")
    merged.MergeFrom(withheld)
    return merged


def restored(form: CustomerForm, withheld: CustomerForm) -> CustomerForm:
    """The form with what was withheld, no longer marked."""
    whole = CustomerForm()
    whole.CopyFrom(withheld)
    for name in _RELATED:
        if not form.HasField(name):
            whole.ClearField(name)
    whole.MergeFrom(form)
    whole.ClearField("protected_person")
    return whole


def holds_address(form: CustomerForm) -> bool:
    """Whether a form holds anything of an address but a country."""
    address = form.address
    return not all(
        is_blank(text)
        for text in (address.street_address, address.postcode, address.post_office, address.municipality)
    )
