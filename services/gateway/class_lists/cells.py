"""Reads one cell: what is certain is mended and noted, what is not is an error."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.type.date_pb2 import Date

from liity.v1.reason_pb2 import (
    REASON_ADDRESS_PERHAPS_MISTYPED,
    REASON_DATE_WITH_TIME,
    REASON_DITTO_MARK,
    REASON_EXTRA_SIGNS_REMOVED,
    REASON_FORMULA_WITHOUT_VALUE,
    REASON_GARBLED_TEXT,
    REASON_INVISIBLE_SIGNS_REMOVED,
    REASON_INVISIBLE_TEXT,
    REASON_LEADING_ZEROS_RESTORED,
    REASON_MERGED_CELLS,
    REASON_NAME_PERHAPS_WRONG,
    REASON_REWRITTEN_BY_SPREADSHEET,
    REASON_SPREADSHEET_ERROR,
    REASON_STRUCK_THROUGH,
    REASON_ZERO_INSTEAD_OF_TEXT,
    Reason,
)
from services.gateway.class_lists.columns import CODE, descriptor_of, is_relation, refers_to_row_above
from services.gateway.class_lists.signs import (
    is_crossed_out,
    is_garbled_name,
    is_spreadsheet_error,
    without_invisible,
)
from services.gateway.class_lists.tables import PLAIN, Mark
from services.runtime.clock import now
from services.runtime.text.email_addresses import mended
from services.runtime.text.garbled import is_garbled
from services.runtime.text.similar_domains import suggestion

POSTCODE, COUNTRY = "form.address.postcode", "form.address.country_code"
_POSTCODE_DIGITS = 5
_NAMES = frozenset(
    {
        "form.first_names",
        "form.last_name",
        "form.related_person.full_name",
        "form.other_guardian.full_name",
        "form.paper_consent.guardian_name",
    }
)
_NAMES_AND_PLACES = _NAMES | {
    "form.address.street_address",
    "form.address.post_office",
    "form.address.municipality",
    "form.related_person.relation",
    "form.other_guardian.relation",
}
_FREE_TEXT = "form.additional_information"
_REPEATED = ("form.address.", "form.email", "form.phone", "form.related_person.", "form.other_guardian.")
"""How the paths of columns begin in which people refer to the row above."""

_FAULTS = (
    (Mark.MERGED, REASON_MERGED_CELLS),
    (Mark.ERROR, REASON_SPREADSHEET_ERROR),
    (Mark.UNCOMPUTED, REASON_FORMULA_WITHOUT_VALUE),
    (Mark.STRUCK, REASON_STRUCK_THROUGH),
    (Mark.UNSEEN, REASON_INVISIBLE_TEXT),
)
_TURNED = Mark.BOOLEAN | Mark.DATE | Mark.TIME
"""Marks of values that nobody types into a column of text."""

_QUOTED = re.compile(r'="([^"]*)"')
"""How some programs keep the zeros of a number in CSV."""

_APOSTROPHE = re.compile(r"['’‘](?=[=+\-@\t\r0-9#])")
"""What keeps a spreadsheet from reading a cell as a number or formula. Names may begin with one, too."""

_IN_QUOTES = re.compile(r"""(["'‘’‚“”„«»])([^"'‘’‚“”„«»]+)["'‘’“”«»]""")
"""A cell that a program has put in quotation marks as a whole."""

_FLOAT = re.compile(r"([0-9]+)[.,]0")
"""What programs make of a whole number in a column with an empty cell."""

_SOFT_HYPHEN = "\u00ad"
_CODE_LENGTH = 11
_ZERO = re.compile(r"0(?:[.,]0+)?")
_SCIENTIFIC = re.compile(r"[+-]?[0-9](?:[.,][0-9]+)?[eE][+-]?[0-9]{1,3}")
_LONGEST_NUMBER = 15
"""Digits that a spreadsheet keeps of a number."""

_DAY = re.compile(r"[0-9]{1,4}([./-])[0-9]{1,2}\1[0-9]{2,4}")
MIDNIGHT = re.compile(r"[ T]+(klo *)?0?0[.:]00([.:]00)?$")
"""The midnight that spreadsheets append to a date."""

_WITH_TIME = re.compile(r"[0-9.\-/]{6,10}[ T]+(klo *)?[0-9]{1,2}[.:][0-9]{2}\b.*", re.DOTALL)

_MOBILE = re.compile(r"[45][0-9]{6,9}")
_OF_FINLAND = re.compile(r"358[1-9][0-9]{5,10}")
_LONG_NUMBER = re.compile(r"[1-9][0-9]{5,}")

_LINE_BREAK = re.compile("[ \u00a0]*[\r\n\t\v\f\u2028\u2029][ \u00a0\r\n\t\v\f\u2028\u2029]*")
"""Where a cell goes on in another line, or has a tabulator: never meant in a single line."""

_NOTHING = re.compile(r"[-–—−‐‑‒_.\s]+")
"""What people write for "none"."""

_UNLIKE_NAME = re.compile(r"[0-9()\[\]{}<>@/\\,;:=+*#%&!?|~\"“”„«»¡¿…†‡§•]|^'[A-ZÅÄÖ]")
"""What no name holds, or begins with: 't Hooft is one, 'Virtanen is an export's mark of a text."""

_OF_PROGRAMS = frozenset(
    {"null", "none", "nan", "undefined", "tosi", "epätosi", "true", "false", "sant", "falskt"}
)
"""What programs write for nothing, and for yes and no. Some are names, too."""

_LONGEST_NEED = 10
"""Years."""


class Noted(NamedTuple):
    """What was mended in a cell, or is perhaps wrong."""

    reason: Reason.ValueType
    where: str = ""
    """How many signs were removed, or which address was probably meant."""
    read_as: str = ""
    """What a mended cell is read as."""


class ReadCell(NamedTuple):
    """A cell's text, or why it has none."""

    text: str = ""
    error: Reason.ValueType | None = None
    notes: Sequence[Noted] = ()


def read_cell(path: str, cell: str, mark: Mark = PLAIN, *, abroad: bool = False) -> ReadCell:
    """Reads the cell of a column. `abroad`: whether the row's address is not in Finland."""
    fault = next((reason for each, reason in _FAULTS if each in mark), None)
    if fault is not None:
        return ReadCell(error=fault)
    notes: list[Noted] = []
    hyphened = cell.replace(_SOFT_HYPHEN, "-") if path == CODE else cell
    if hyphened != cell and len(without_invisible(hyphened, joiners=False).text) == _CODE_LENGTH:
        # The soft hyphen stands for the sign of the century.
        cell = hyphened
    text, removed = without_invisible(cell, joiners=path in _NAMES_AND_PLACES or path == _FREE_TEXT)
    if removed:
        notes.append(Noted(REASON_INVISIBLE_SIGNS_REMOVED, str(removed)))
    bare = _without_extra_signs(path, text)
    if bare != text:
        notes.append(Noted(REASON_EXTRA_SIGNS_REMOVED))
    error = _error(path, bare, mark)
    if error is not None:
        return ReadCell(error=error)
    whole = _with_zeros(path, bare, abroad=abroad)
    if whole != bare:
        notes.append(Noted(REASON_LEADING_ZEROS_RESTORED))
    if path != CODE:
        # A code is repeated nowhere (R35).
        notes = [note._replace(read_as=whole) for note in notes]
    meant = suggestion(whole) if path.endswith(".email") else ""
    if meant:
        notes.append(Noted(REASON_ADDRESS_PERHAPS_MISTYPED, meant))
    if path in _NAMES and _is_unlike_name(whole):
        notes.append(Noted(REASON_NAME_PERHAPS_WRONG))
    return ReadCell(whole, notes=notes)


def noted_of_text(path: str, text: str) -> Iterator[Noted]:
    """What is told of a text of a single form, where nothing but its e-mail addresses is mended."""
    if path.endswith(".email"):
        meant = mended(text)
        if meant != text:
            yield Noted(REASON_EXTRA_SIGNS_REMOVED, read_as=meant)
    if path in _NAMES and _is_unlike_name(text):
        yield Noted(REASON_NAME_PERHAPS_WRONG)


def is_far_away(end: Date) -> bool:
    """Whether the end of a temporary need lies so far ahead that the year is probably mistyped."""
    return bool(end.year > now().year + _LONGEST_NEED)


def _is_unlike_name(text: str) -> bool:
    is_of_program = text.casefold() in _OF_PROGRAMS
    has_symbol = any(unicodedata.category(sign) in {"So", "Sc", "Sm", "No", "Nl"} for sign in text)
    return bool(_UNLIKE_NAME.search(text)) or is_of_program or has_symbol or is_relation(text)


def _without_extra_signs(path: str, text: str) -> str:
    if path != _FREE_TEXT:
        text = "" if _NOTHING.fullmatch(text) else _LINE_BREAK.sub(" ", text)
        in_quotes = _IN_QUOTES.fullmatch(text)
        text = in_quotes[2].strip() if in_quotes else text
    quoted = _QUOTED.fullmatch(text)
    text = (
        quoted[1].strip()
        if quoted
        else _APOSTROPHE.sub("", text, count=1)
        if _APOSTROPHE.match(text)
        else text
    )
    whole = _FLOAT.fullmatch(text) if path == POSTCODE or path.endswith(".phone") else None
    text = whole[1] if whole else text
    # Of several addresses, none is certain.
    return mended(text) if path.endswith(".email") else text


def _error(path: str, text: str, mark: Mark) -> Reason.ValueType | None:
    is_text = path == CODE or descriptor_of(path).type == FieldDescriptor.TYPE_STRING
    rules: Sequence[tuple[Reason.ValueType, Callable[[], object]]] = (
        (REASON_STRUCK_THROUGH, lambda: is_crossed_out(text)),
        (REASON_SPREADSHEET_ERROR, lambda: is_spreadsheet_error(text)),
        (REASON_FORMULA_WITHOUT_VALUE, lambda: text.startswith("=")),
        (REASON_GARBLED_TEXT, lambda: is_garbled(text)),
        (REASON_DITTO_MARK, lambda: is_text and path != _FREE_TEXT and _is_ditto(path, text)),
        (REASON_GARBLED_TEXT, lambda: path in _NAMES_AND_PLACES and is_garbled_name(text)),
        (REASON_ZERO_INSTEAD_OF_TEXT, lambda: is_text and _ZERO.fullmatch(text)),
        (REASON_REWRITTEN_BY_SPREADSHEET, lambda: is_text and _is_rewritten(path, text, mark)),
        (REASON_DATE_WITH_TIME, lambda: not is_text and _has_time(text, mark)),
    )
    return next((reason for reason, applies in rules if applies()), None)


def _is_ditto(path: str, text: str) -> bool:
    """Whether a text refers to the row above, or says nothing by itself."""
    says_nothing = bool(text) and not any(unicodedata.category(sign)[0] in "LMN" for sign in text)
    return says_nothing or (path.startswith(_REPEATED) and refers_to_row_above(text))


def _is_rewritten(path: str, text: str, mark: Mark) -> bool:
    """Whether a text is what a spreadsheet made of another one."""
    of_number = Mark.NUMBER in mark and (
        not text.isdigit()
        or len(text) > _LONGEST_NUMBER
        or path in _NAMES
        or (path == CODE and len(text) < _CODE_LENGTH)
    )
    of_phone = (
        path.endswith(".phone") and bool(_LONG_NUMBER.fullmatch(text)) and _with_zeros(path, text) == text
    )
    of_code = path == CODE and bool(_DAY.fullmatch(MIDNIGHT.sub("", text)))
    return bool(mark & _TURNED) or bool(_SCIENTIFIC.fullmatch(text)) or of_number or of_phone or of_code


def _has_time(text: str, mark: Mark) -> bool:
    return Mark.TIME in mark or bool(_WITH_TIME.fullmatch(MIDNIGHT.sub("", text)))


def _with_zeros(path: str, text: str, *, abroad: bool = False) -> str:
    """A postcode or telephone number with the beginning that a spreadsheet drops from a number."""
    if path == POSTCODE and not abroad and re.fullmatch(r"[1-9][0-9]{0,3}", text):
        return text.zfill(_POSTCODE_DIGITS)
    if path.endswith(".phone") and _OF_FINLAND.fullmatch(text):
        return f"+{text}"
    if path.endswith(".phone") and _MOBILE.fullmatch(text):
        return f"0{text}"
    return text
