"""Valid forms, for tests to make one field wrong."""

from datetime import timedelta

from google.protobuf.message import Message
from google.type.date_pb2 import Date

from liity.v1.customer_form_pb2 import (
    APPLICANT_GUARDIAN,
    APPLICANT_SELF,
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CUSTOMER_KIND_ONLINE,
    LANGUAGE_FI,
    CustomerForm,
    PaperConsent,
    PostalAddress,
    RelatedPerson,
)
from services.runtime.clock import helsinki_day, now, to_proto_date


def adult_form() -> CustomerForm:
    """An adult online customer who applies in person."""
    return CustomerForm(
        first_names="Aino Orvokki",
        last_name="Mallikas",
        address=PostalAddress(
            street_address="Esimerkkikuja 3 B 12",
            postcode="00100",
            post_office="Helsinki",
            municipality="Espoo",
            country_code="FI",
        ),
        email="aino.mallikas@koti.example",
        phone="+358401234567",
        language=LANGUAGE_FI,
        entitlement_declared=True,
        kind=CUSTOMER_KIND_ONLINE,
        applicant=APPLICANT_SELF,
        terms_accepted=True,
        credentials_recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
        additional_information="Lukee mieluiten\niltaisin.",
    )


def child_form() -> CustomerForm:
    """A child whose guardian applies, and gets a consent request by mail."""
    form = adult_form()
    form.first_names = "Eetu Ilmari"
    form.email = ""
    form.phone = ""
    form.applicant = APPLICANT_GUARDIAN
    form.related_person.CopyFrom(
        RelatedPerson(
            full_name="Kerttu Huoltaja",
            email="kerttu.huoltaja@koti.example",
            phone="+358407654321",
            relation="äiti",
        )
    )
    form.credentials_recipient = CREDENTIALS_RECIPIENT_RELATED_PERSON
    return form


def paper_consent(days_ago: int = 3) -> PaperConsent:
    """Consent that the guardian signed on paper some days ago."""
    return PaperConsent(guardian_name="Kerttu Huoltaja", sign_date=date_from_today(-days_ago))


def date_from_today(days: int) -> Date:
    """The day that many days from today in Helsinki."""
    return to_proto_date(helsinki_day(now()) + timedelta(days=days))


def changed(form: CustomerForm, **fields: object) -> CustomerForm:
    """The form with fields set: a name with `__` reaches into a message, None clears."""
    for path, value in fields.items():
        *parents, name = path.split("__")
        message = form
        for parent in parents:
            message = getattr(message, parent)
        if value is None:
            message.ClearField(name)
        elif isinstance(value, Message):
            getattr(message, name).CopyFrom(value)
        else:
            setattr(message, name, value)
    return form
