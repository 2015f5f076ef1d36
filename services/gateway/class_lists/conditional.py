"""Tells which cells conditional formatting strikes through, as far as its rules can be understood."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

from openpyxl.utils.cell import column_index_from_string, range_boundaries

from services.gateway.class_lists.tables import Mark, Row

_REFERENCE = r"(\$?)([A-Z]{1,3})(\$?)([0-9]{1,7})"
_TEXT = r'"((?:[^"]|"")*)"'
_BLANK = re.compile(rf"(?:ISBLANK\({_REFERENCE}\)|LEN\((?:TRIM\()?{_REFERENCE}\)?\)=0)", re.IGNORECASE)
_FILLED = re.compile(
    rf"(?:NOT\(ISBLANK\({_REFERENCE}\)\)|LEN\((?:TRIM\()?{_REFERENCE}\)?\)>0)", re.IGNORECASE
)
_COMPARED = re.compile(rf"{_REFERENCE}(=|<>)(?:{_TEXT}|([0-9]+|TRUE|FALSE))(?:\(\))?", re.IGNORECASE)
_CONTAINS = re.compile(
    rf"(?:ISNUMBER\(|NOT\(ISERROR\()(?:SEARCH|FIND)\({_TEXT},{_REFERENCE}\)\)?\)", re.IGNORECASE
)
_LITERAL = re.compile(rf"{_TEXT}|([0-9]+)")

_OF_TEXT: Mapping[str, Callable[[str, str], bool]] = {
    "containsText": lambda cell, text: text in cell,
    "notContainsText": lambda cell, text: text not in cell,
    "beginsWith": str.startswith,
    "endsWith": str.endswith,
}
_EXTENDED = "{http://schemas.microsoft.com/office/spreadsheetml/2009/9/main}"
_EXTENDED_RANGE = "{http://schemas.microsoft.com/office/excel/2006/main}sqref"


class Rule(NamedTuple):
    """A rule that strikes text through."""

    areas: list[tuple[int, int, int, int]]
    """First column and row, last column and row, from 1."""
    kind: str = ""
    operator: str = ""
    text: str = ""
    formula: str = ""


def rules_of(element: Element, strikes: Callable[[int], bool]) -> Iterator[Rule]:
    """The rules of a `conditionalFormatting` that strike through; `strikes` tells which styles do."""
    namespace = element.tag.partition("}")[0] + "}"
    areas = _areas(element.get("sqref", ""))
    for rule in element.iter(f"{namespace}cfRule"):
        style = rule.get("dxfId", "")
        if style.isdecimal() and strikes(int(style)):
            formula = (rule.findtext(f"{namespace}formula") or "").strip()
            kind, operator, text = (rule.get(name, "") for name in ("type", "operator", "text"))
            yield Rule(areas, kind, operator, text, formula)


def extended_rules_of(element: Element) -> Iterator[Rule]:
    """The rule of a newer Excel's `conditionalFormatting`, if it strikes through: its formula is not read."""
    for strike in element.iter():
        is_strike = strike.tag.rpartition("}")[2] == "strike"
        if is_strike and strike.get("val", "1") not in {"0", "false"}:
            yield Rule(_areas(element.findtext(_EXTENDED_RANGE) or ""))
            return


def is_extended(element: Element) -> bool:
    """Whether an element is the conditional formatting of a newer Excel."""
    return element.tag == f"{_EXTENDED}conditionalFormatting"


def mark_struck(rows: dict[int, Row], rules: Iterable[Rule]) -> None:
    """Marks the cells that rules strike through, and those of which it cannot be told."""
    for rule in rules:
        for first_column, first_row, last_column, last_row in rule.areas:
            for number in sorted(rows.keys() & range(first_row, last_row + 1)):
                row = rows[number]
                marks = dict(row.marks)
                for place in range(first_column - 1, min(last_column, len(row.cells))):
                    if row.cells[place]:
                        shift = place + 1 - first_column, number - first_row
                        struck = _applies(rule, row.cells[place], rows, shift)
                        found = {True: Mark.STRUCK, None: Mark.PERHAPS_STRUCK}.get(struck)
                        if found is not None:
                            marks[place] = row.mark(place) | found
                rows[number] = row._replace(marks=marks)


def _areas(ranges: str) -> list[tuple[int, int, int, int]]:
    whole = (range_boundaries(each) for each in ranges.split())
    return [(first or 1, top or 1, last or 16_384, bottom or 1_048_576) for first, top, last, bottom in whole]


def _applies(rule: Rule, cell: str, rows: Mapping[int, Row], shift: tuple[int, int]) -> bool | None:
    """Whether a rule applies to a cell; None if that cannot be told."""
    cell = cell.casefold()
    if rule.kind in _OF_TEXT and rule.text:
        return _OF_TEXT[rule.kind](cell, rule.text.casefold())
    if rule.kind in {"containsBlanks", "notContainsBlanks"}:
        return rule.kind == "notContainsBlanks"
    if rule.kind == "cellIs" and rule.operator in {"equal", "notEqual"}:
        literal = _LITERAL.fullmatch(rule.formula.removeprefix("="))
        return None if literal is None else (cell == _value(*literal.groups())) == (rule.operator == "equal")
    if rule.kind == "expression":
        return _holds(rule.formula.removeprefix("="), rows, shift)
    return None


def _holds(formula: str, rows: Mapping[int, Row], shift: tuple[int, int]) -> bool | None:
    formula = re.sub(r'\s+(?=(?:[^"]*"[^"]*")*[^"]*$)', "", formula)
    if formula.upper() in {"TRUE", "TRUE()", "1"}:
        return True

    def of(*reference: Any) -> str:  # noqa: ANN401
        return _referred(reference, rows, shift)

    if found := _BLANK.fullmatch(formula) or _FILLED.fullmatch(formula):
        groups = [group for group in found.groups() if group is not None]
        return bool(of(*groups)) == bool(_FILLED.fullmatch(formula))
    if found := _COMPARED.fullmatch(formula):
        *reference, sign, text, other = found.groups()
        return (of(*reference) == _value(text, other)) == (sign == "=")
    if found := _CONTAINS.fullmatch(formula):
        text, *reference = found.groups()
        return _value(text, None) in of(*reference)
    return None


def _value(text: str | None, other: str | None) -> str:
    return text.replace('""', '"').casefold() if text is not None else str(other).casefold()


def _referred(reference: tuple[str, ...], rows: Mapping[int, Row], shift: tuple[int, int]) -> str:
    """The text of the cell that a reference means for a cell so far from its area's first one."""
    fixed_column, column, fixed_row, number = reference
    place = column_index_from_string(column.upper()) - 1 + (0 if fixed_column else shift[0])
    row = rows.get(int(number) + (0 if fixed_row else shift[1]))
    return row.cells[place].casefold() if row is not None and place < len(row.cells) else ""
