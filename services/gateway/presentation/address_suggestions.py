"""Addresses of a form that are perhaps mistyped: their domain is one key away from one that many use."""

from liity.v1.customer_form_pb2 import AddressSuggestion, CustomerForm
from services.runtime.text.similar_domains import suggestions


def address_suggestions(form: CustomerForm) -> list[AddressSuggestion]:
    """The addresses with the domains that were probably meant."""
    addresses = (
        ("form.email", form.email),
        ("form.related_person.email", form.related_person.email),
        ("form.other_guardian.email", form.other_guardian.email),
    )
    return [AddressSuggestion(field=field, suggested=meant) for field, meant in suggestions(addresses)]
