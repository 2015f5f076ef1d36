"""Invented forms, to start from and to read: an adult's, and a school's pupil's."""

import json

from google.protobuf.json_format import MessageToDict

from liity.v1.customer_form_pb2 import (
    APPLICANT_GUARDIAN,
    APPLICANT_SELF,
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CUSTOMER_KIND_ONLINE,
    LANGUAGE_FI,
    SCHOOL_SUPPORT_PUPIL_SPECIFIC,
    CustomerForm,
    PostalAddress,
    RelatedPerson,
)


def adult() -> CustomerForm:
    """An adult online customer who applies in person."""
    return CustomerForm(
        first_names="Aada",
        last_name="Esimerkki",
        address=_address(),
        email="aada@posti.example",
        phone="040 123 4567",
        language=LANGUAGE_FI,
        entitlement_declared=True,
        kind=CUSTOMER_KIND_ONLINE,
        applicant=APPLICANT_SELF,
        terms_accepted=True,
        credentials_recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
    )


def pupil() -> CustomerForm:
    """A school's pupil whose guardian applies, and gets a consent request by mail."""
    return CustomerForm(
        first_names="Onni",
        last_name="Esimerkki",
        address=_address(),
        language=LANGUAGE_FI,
        entitlement_declared=True,
        school_support=SCHOOL_SUPPORT_PUPIL_SPECIFIC,
        kind=CUSTOMER_KIND_ONLINE,
        applicant=APPLICANT_GUARDIAN,
        related_person=RelatedPerson(
            full_name="Outi Esimerkki", email="outi@posti.example", phone="050 123 4567", relation="äiti"
        ),
        terms_accepted=True,
        credentials_recipient=CREDENTIALS_RECIPIENT_RELATED_PERSON,
    )


def unticked(form: CustomerForm) -> CustomerForm:
    """The form before anything is declared and accepted."""
    form.ClearField("entitlement_declared")
    form.ClearField("terms_accepted")
    return form


def as_json(form: CustomerForm) -> str:
    """JSON with the fields' own names, as errors use them; empty fields included."""
    filled = MessageToDict(form, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)
    ordered = {field.name: filled.get(field.name) for field in form.DESCRIPTOR.fields}
    return json.dumps(ordered, indent=2, ensure_ascii=False) + "\n"


def _address() -> PostalAddress:
    return PostalAddress(
        street_address="Esimerkkikatu 1 A 2",
        postcode="00100",
        post_office="Helsinki",
        municipality="Helsinki",
    )
