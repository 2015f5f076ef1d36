"""The forms of the demonstration's people, who do not exist."""

import random
from dataclasses import dataclass
from datetime import date

from deploy.artificial_hetu import random_artificial_hetu
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

_FIRST_NAMES = ("Aada", "Eino", "Helmi", "Leevi", "Linnea", "Onni", "Saana", "Väinö")
_LAST_NAMES = ("Esimerkki", "Mallila", "Näytelä", "Testinen")


@dataclass(frozen=True)
class DemoPerson:
    """Somebody to register."""

    personal_identity_code: str
    form: CustomerForm
    email: str
    """Where mail to the customer, or to the guardian, arrives."""


def _address() -> PostalAddress:
    return PostalAddress(
        street_address="Esimerkkikatu 1 A 2",
        postcode="00100",
        post_office="Helsinki",
        municipality="Helsinki",
    )


def adult(today: date, choice: random.Random) -> DemoPerson:
    """An adult online customer who applies in person."""
    email = f"asiakas-{choice.getrandbits(40):010x}@posti.example"
    form = CustomerForm(
        first_names=choice.choice(_FIRST_NAMES),
        last_name=choice.choice(_LAST_NAMES),
        address=_address(),
        email=email,
        phone="040 123 4567",
        language=LANGUAGE_FI,
        entitlement_declared=True,
        kind=CUSTOMER_KIND_ONLINE,
        applicant=APPLICANT_SELF,
        terms_accepted=True,
        credentials_recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
    )
    return DemoPerson(random_artificial_hetu(choice.randint(19, 79), today, choice), form, email)


def pupil(today: date, choice: random.Random) -> DemoPerson:
    """A nine-year-old online customer whose guardian applies, and has not consented yet."""
    email = f"huoltaja-{choice.getrandbits(40):010x}@posti.example"
    last_name = choice.choice(_LAST_NAMES)
    form = CustomerForm(
        first_names=choice.choice(_FIRST_NAMES),
        last_name=last_name,
        address=_address(),
        language=LANGUAGE_FI,
        entitlement_declared=True,
        school_support=SCHOOL_SUPPORT_PUPIL_SPECIFIC,
        kind=CUSTOMER_KIND_ONLINE,
        applicant=APPLICANT_GUARDIAN,
        related_person=RelatedPerson(
            full_name=f"Huolto {last_name}", email=email, phone="050 123 4567", relation="huoltaja"
        ),
        terms_accepted=True,
        credentials_recipient=CREDENTIALS_RECIPIENT_RELATED_PERSON,
    )
    return DemoPerson(random_artificial_hetu(9, today, choice), form, email)


def young_adult(today: date, choice: random.Random) -> DemoPerson:
    """A sixteen-year-old pupil who joins alone (R6)."""
    person = adult(today, choice)
    form = CustomerForm()
    form.CopyFrom(person.form)
    form.school_support = SCHOOL_SUPPORT_PUPIL_SPECIFIC
    return DemoPerson(random_artificial_hetu(16, today, choice), form, person.email)
