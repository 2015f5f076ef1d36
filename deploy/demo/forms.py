"""Forms of the demonstration's made-up persons."""

import random
from dataclasses import dataclass
from datetime import date

from deploy.demo.artificial_hetu import random_artificial_hetu
from frontends.cli import example_forms
from liity.v1.customer_form_pb2 import SCHOOL_SUPPORT_PUPIL_SPECIFIC, CustomerForm

_FIRST_NAMES = ("Aada", "Eino", "Helmi", "Leevi", "Linnea", "Onni", "Saana", "Väinö")
_LAST_NAMES = ("Esimerkkinen", "Mallila", "Näytelä", "Testinen")


@dataclass(frozen=True)
class DemoPerson:
    """A person to register."""

    personal_identity_code: str
    form: CustomerForm
    email: str
    """The address that receives mail to the customer, or to the guardian."""


def adult(today: date, choice: random.Random) -> DemoPerson:
    """An adult online customer who applies in person."""
    email = f"asiakas-{choice.getrandbits(40):010x}@posti.example"
    form = example_forms.adult()
    form.first_names, form.last_name = choice.choice(_FIRST_NAMES), choice.choice(_LAST_NAMES)
    form.email = email
    return DemoPerson(random_artificial_hetu(choice.randint(19, 79), today, choice), form, email)


def pupil(today: date, choice: random.Random) -> DemoPerson:
    """A nine-year-old online customer whose guardian applies and has not consented yet."""
    email = f"huoltaja-{choice.getrandbits(40):010x}@posti.example"
    form = example_forms.pupil()
    form.first_names, form.last_name = choice.choice(_FIRST_NAMES), choice.choice(_LAST_NAMES)
    form.related_person.full_name, form.related_person.email = f"Huolto {form.last_name}", email
    return DemoPerson(random_artificial_hetu(9, today, choice), form, email)


def young_adult(today: date, choice: random.Random) -> DemoPerson:
    """A sixteen-year-old pupil who joins without a guardian (R6)."""
    person = adult(today, choice)
    form = CustomerForm()
    form.CopyFrom(person.form)
    form.school_support = SCHOOL_SUPPORT_PUPIL_SPECIFIC
    return DemoPerson(random_artificial_hetu(16, today, choice), form, person.email)
