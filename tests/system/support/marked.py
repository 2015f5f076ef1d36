"""A person whose form contains only words that occur nowhere else."""

import random
from collections.abc import Iterator

from google.protobuf.message import Message

from deploy.demo.forms import DemoPerson
from liity.v1.customer_form_pb2 import PRINT_DISABILITY_VISUAL_IMPAIRMENT
from tests.support.registration_forms import date_from_today, paper_consent
from tests.system.support.registering import pupil

_RANDOM = random.Random()  # noqa: S311 - nobody's secret
_ADDRESS = "@koti.example"


def marked_pupil(*, with_consent: bool = False) -> DemoPerson:
    """A child with every field filled in; with the guardian's consent on paper if wanted."""
    person = pupil()
    form = person.form
    form.first_names = _word("Etunimi")
    form.last_name = _word("Sukunimi")
    form.address.street_address = _word("Katu")
    # A Finnish postcode has five digits, which occur anywhere.
    form.address.country_code = "SE"
    form.address.postcode = _word("P")[:20]
    form.address.post_office = _word("Paikka")
    form.address.municipality = _word("Kunta")
    form.email = f"lapsi{_number()}{_ADDRESS}"
    form.phone = f"+35840{_number()}"
    form.print_disability = PRINT_DISABILITY_VISUAL_IMPAIRMENT
    form.disability_storage_allowed = True
    form.temporary = True
    form.expected_end_date.CopyFrom(date_from_today(90))
    form.related_person.full_name = _word("Huoltaja")
    form.related_person.email = f"huoltaja{_number()}{_ADDRESS}"
    form.related_person.phone = f"+35850{_number()}"
    form.related_person.relation = _word("Suhde")
    form.marketing_allowed = True
    form.additional_information = _word("Lisätieto")
    if with_consent:
        form.paper_consent.CopyFrom(paper_consent())
        form.paper_consent.guardian_name = _word("Allekirjoittaja")
    return person


def marks(person: DemoPerson) -> set[str]:
    """Every word on the form that occurs nowhere else."""
    return {text for text in _texts(person.form) if len(text) > 2}


def _texts(message: Message) -> Iterator[str]:
    for _, value in message.ListFields():
        if isinstance(value, Message):
            yield from _texts(value)
        elif isinstance(value, str):
            yield value


def _word(begin: str) -> str:
    return begin + "".join(_RANDOM.choices("abdefghijklmnoprstuvyäö", k=16))


def _number() -> int:
    return _RANDOM.randrange(10**6, 10**7)
