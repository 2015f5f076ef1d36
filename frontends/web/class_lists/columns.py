"""The template of a class list, and its columns in words."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass

from starlette.exceptions import HTTPException
from starlette.responses import Response

from frontends.web.class_lists import files
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.class_list_service_pb2 import CLASS_LIST_FORMAT_CSV, GetClassListTemplateRequest

_YES_OR_NO = N_("“yes” or “no”; an empty cell means “no”.")

_MUST = {
    "Personal identity code": N_(
        "With the separator, for example 010516B903X. Empty if there is none: then give the date of birth."
    ),
    "First names": N_("All first names, as the person is registered."),
    "Last name": N_("As the person is registered."),
    "Street address": N_("Street, number, stairway and flat."),
    "Postcode": N_("Five digits. Zeros at the beginning may be missing: spreadsheets drop them."),
    "Post office": N_("The town of the postcode."),
    "Language": N_("“Finnish”, “Swedish” or “English”: mail comes in this language."),
    "Kind of customer": N_("“online customer” or “CD borrower”."),
    "Print disability declared": N_(
        "“yes” if the person cannot read ordinary print because of a disability or an illness. Weak Finnish"
        " or Swedish alone is not enough."
    ),
    "Applicant": N_("“self”, “guardian” or “contact person”. For a child under 15, “guardian”."),
    "Terms accepted": N_("“yes” if the customer or the guardian accepts the terms of use."),
}
"""Columns that every file must have, by the English heading: what is written in them."""

_MAY = {
    "Date of birth": N_(
        "Of a person without a personal identity code, whose cell then stays empty: customer service makes"
        " sure who it is."
    ),
    "Why no personal identity code": N_(
        "“not given yet”, “no Finnish code”, “not known”, “not disclosed” or “other reason”."
    ),
    "Municipality": N_("The municipality of residence."),
    "Country code": N_("Two letters, for example SE. Only for an address abroad."),
    "E-mail": N_("The customer's own. Must be there if the credentials go to the customer."),
    "Phone": N_("The customer's own telephone number."),
    "School support": N_("“intensified support”, “special support” or “pupil-specific support”."),
    "Type of print disability": N_(
        "“reading difficulty”, “visual impairment”, “physical”, “cognitive” or “other”. Only if the person"
        " wishes to tell it, and allows storing it in the next column."
    ),
    "Type of print disability may be stored": _YES_OR_NO,
    "Temporary": N_("“yes” if the need comes from an injury or an illness that passes."),
    "Expected end": N_("The day on which a temporary need is expected to end, for example 31.12.2027."),
    "Name of guardian or contact person": N_(
        "First and last name. Must be there if a guardian or a contact person applies."
    ),
    "E-mail of guardian or contact person": N_(
        "A guardian of a child under 15 is asked for consent at this address."
    ),
    "Phone of guardian or contact person": N_("The telephone number of the same person."),
    "Name of the other guardian": N_(
        "Only if both guardians of a child under 15 are to be asked for consent by mail."
    ),
    "E-mail of the other guardian": N_("Another address than the first guardian's."),
    "Phone of the other guardian": N_("The telephone number of the other guardian."),
    "Relation of the other guardian": N_("For example “mother”."),
    "Relation to the customer": N_("For example “mother”, “father” or “teacher”."),
    "Consent signed by": N_(
        "Only if a guardian of a child under 15 has consented on paper already: the name of that guardian."
    ),
    "Date of consent": N_("The day of that signature, at most 90 days ago."),
    "Credentials go to": N_(
        "“customer”, “guardian or contact person” or “registrar”: at whose e-mail address the credentials"
        " arrive. For online customers."
    ),
    "Marketing allowed": _YES_OR_NO,
    "Additional information": N_("Not for urgent matters: nobody reads this in haste."),
}
"""Columns that may be left out or empty."""

_WORDS: Mapping[str, str] = {**_MUST, **_MAY}


@dataclass(frozen=True)
class Column:
    """A column of the template: its heading and example are in the page's language."""

    heading: str
    example: str
    text: str
    is_required: bool


async def show(visit: Visit) -> Response:
    """What is written in each column."""
    headings, examples = await _template(visit, visit.language)
    # The API tells columns apart by their headings alone: the English one says which it is.
    english, _ = await _template(visit, "en")
    columns = [
        Column(heading, example, _WORDS.get(name, ""), name in _MUST)
        for heading, example, name in zip(headings, examples, english, strict=True)
    ]
    return visit.render("class_lists/columns.html", columns=columns)


async def download(visit: Visit) -> Response:
    """The file to start from."""
    form = files.FORMATS.get(visit.part("format"))
    if form is None:
        raise HTTPException(404)
    request = GetClassListTemplateRequest(parent=visit.unit, format=form)
    found = await visit.call(visit.site.api.class_lists.GetClassListTemplate, request)
    return files.download(found.content, found.file_name)


async def _template(visit: Visit, language: str) -> tuple[list[str], list[str]]:
    """The headings and the example in a language."""
    request = GetClassListTemplateRequest(parent=visit.unit, format=CLASS_LIST_FORMAT_CSV)
    found = await visit.call(visit.site.api.class_lists.GetClassListTemplate, request, language=language)
    headings, example = csv.reader(io.StringIO(found.content.decode("utf-8-sig")), delimiter=";")
    return headings, example
