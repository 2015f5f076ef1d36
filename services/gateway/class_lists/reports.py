"""Reports of a class list: errors of a check, the template, and the result file."""

from collections.abc import Iterable, Mapping, Sequence

from liity.registration.v1.class_list_service_pb2 import RowOutcome
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    ClassListError,
    ClassListFormat,
    ClassListOutcome,
    ClassListReport,
    GetClassListResultResponse,
    GetClassListTemplateResponse,
)
from liity.v1.customer_form_pb2 import Language
from liity.v1.reason_pb2 import (
    REASON_ADDRESS_PERHAPS_MISTYPED,
    REASON_HIDDEN_ROWS,
    REASON_INVISIBLE_SIGNS_REMOVED,
    REASON_TWICE_IN_CLASS_LIST,
    REASON_UNKNOWN_COLUMN,
    REASON_UNKNOWN_VALUE,
    Reason,
)
from services.gateway.class_lists.checked import Checked
from services.gateway.class_lists.columns import columns, example, heading_of, options, result_word, word_of
from services.gateway.class_lists.files import csv_file, template_file
from services.gateway.class_lists.rows import Notice, ReadList
from services.gateway.resource_names import REGISTRATION
from services.runtime.rpc.texts import reason_text

_MOST_ERRORS = 5000
_MOST_NOTICES = 1000

_OF_OTHER_ROWS = frozenset({REASON_HIDDEN_ROWS, REASON_TWICE_IN_CLASS_LIST})
"""Errors that are about other rows, too, which are told."""

_ADDED = {
    REASON_INVISIBLE_SIGNS_REMOVED: "count",
    REASON_ADDRESS_PERHAPS_MISTYPED: "meant",
    REASON_UNKNOWN_COLUMN: "meant",
    REASON_UNKNOWN_VALUE: "possible",
}
"""What stands before what is added to a reason's text, where it is no rows or sheets."""


def report_of(read: ReadList, checked: Checked, language: Language.ValueType) -> ClassListReport:
    """A report of wrong headings and rows.

    If all headings are right, also of who is known already, and of who is gone.
    """
    wrong = checked.wrong
    errors = [(row, *violation) for row, violations in sorted(wrong.items()) for violation in violations]
    where = {row.number: row.where for row in read.rows}

    def added(row: int, field: str, reason: Reason.ValueType) -> str:
        if reason == REASON_UNKNOWN_VALUE and field in read.headings:
            return ", ".join(options(field, language))
        return where.get(row, "") if reason in _OF_OTHER_ROWS else ""

    new = (row for row in read.rows if row.number not in checked.known)
    notices = [*read.notices, *(notice for row in new for notice in row.notices)]
    report = ClassListReport(
        row_count=len(read.rows),
        wrong_row_count=len(wrong),
        errors=[
            *_of_headings(read, language),
            *(
                ClassListError(
                    row=row,
                    column=_heading(field, read.headings, language),
                    field=field,
                    reason=reason,
                    message=message_of(reason, added(row, field, reason), language),
                )
                for row, field, reason in errors[:_MOST_ERRORS]
            ),
        ],
        omitted_error_count=max(len(errors) - _MOST_ERRORS, 0),
        notices=_notices(read, notices, language),
    )
    if not read.heading_errors:
        checked.add_to(report)
    return report


def _of_headings(read: ReadList, language: Language.ValueType) -> list[ClassListError]:
    return [
        ClassListError(
            row=read.heading_row,
            column=error.heading or heading_of(error.field, language),
            field=error.field,
            reason=error.reason,
            message=message_of(error.reason, error.where, language),
        )
        for error in read.heading_errors
    ]


def _notices(read: ReadList, notices: Sequence[Notice], language: Language.ValueType) -> list[ClassListError]:
    return [
        ClassListError(
            row=notice.row,
            column=_heading(notice.field, read.headings, language),
            field=notice.field,
            reason=notice.reason,
            message=message_of(notice.reason, notice.where, language, notice.read_as),
        )
        for notice in notices[:_MOST_NOTICES]
    ]


def message_of(reason: Reason.ValueType, where: str, language: Language.ValueType, read_as: str = "") -> str:
    """The reason's text, with what is added to it, and what a mended cell is read as."""
    text = reason_text(reason, language)
    if where:
        text += f" {result_word(_ADDED.get(reason, 'where'), language)}: {where}"
    return f"{text} {result_word('read_as', language)}: {read_as}" if read_as else text


def template(
    form: ClassListFormat.ValueType, language: Language.ValueType, *, school: bool
) -> GetClassListTemplateResponse:
    """A file with the headings and one invented example row."""
    fields, of_nobody = columns(school=school), example(school=school)
    rows = (
        [heading_of(field, language) for field in fields],
        [word_of(of_nobody.get(field, ""), language) for field in fields],
    )
    name = f"liity-{result_word('template', language)}"
    if form == CLASS_LIST_FORMAT_CSV:
        return GetClassListTemplateResponse(content=csv_file(rows), file_name=f"{name}.csv")
    choices = [options(field, language) for field in fields]
    return GetClassListTemplateResponse(content=template_file(*rows, choices), file_name=f"{name}.xlsx")


def result(outcomes: Iterable[RowOutcome], language: Language.ValueType) -> GetClassListResultResponse:
    """A file with the outcome of each row, and one line for each of its errors."""
    lines = [[result_word(name, language) for name in ("row", "outcome", "column", "reason", "registration")]]
    for outcome in outcomes:
        row, word = str(outcome.row_number), result_word(ClassListOutcome.Name(outcome.outcome), language)
        name = (
            REGISTRATION.format(outcome.registration_unit_id, outcome.registration_id)
            if outcome.registration_id
            else ""
        )
        lines += [
            [row, word, heading_of(wrong.field, language), reason_text(wrong.reason, language), name]
            for wrong in outcome.wrong_fields
        ] or [[row, word, "", "", name]]
    file_name = f"liity-{result_word('result', language)}.csv"
    return GetClassListResultResponse(content=csv_file(lines), file_name=file_name)


def _heading(field: str, headings: Mapping[str, str], language: Language.ValueType) -> str:
    """The heading of an error's column: the file's own, if it has one."""
    own = next((named for named in headings if named == field or named.startswith(f"{field}.")), None)
    return headings[own] if own else heading_of(field, language)
