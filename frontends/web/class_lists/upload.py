"""Sending a class list: first it is checked, then it is registered.

The API stores nothing of a file that it checks. The page with the report holds the file, sealed, in its form:
what was reviewed is registered without being chosen once more.
"""

import hashlib
import uuid
import zlib
from datetime import timedelta
from itertools import groupby

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web import guardian_address
from frontends.web.class_lists.files import download, format_of
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    CheckClassListRequest,
    ClassListFormat,
    ClassListReport,
    RegisterClassListRequest,
)
from liity.v1.reason_pb2 import REASON_STRAY_QUOTE

_WHOLE_LIST = 60.0
"""Timeout in seconds for a list of 1,000 rows."""

_MOST_SHOWN = 100
"""Errors on one page. Nobody corrects more in one go, and the page stays small."""

_MOST_TICKED = 200
"""The most rows to transfer in one call, and to confirm an address of."""

_TRANSFER, _CONFIRM = _OF_ROWS = ("transfer.", "confirm.")
"""How the names of the fields about single rows begin."""

_HELD = timedelta(hours=2)
"""How long a checked file can be registered without being chosen again."""

_CAN_BE_REPEATED = {grpc.StatusCode.UNAVAILABLE: 503, grpc.StatusCode.RESOURCE_EXHAUSTED: 429}


async def show(visit: Visit) -> Response:
    """Asks for the file."""
    return _page(visit, {})


async def send(visit: Visit) -> Response:
    """Checks the file, or registers its rows."""
    upload = visit.files.get("file")
    if upload is not None and upload.filename:
        content, form = await upload.read(), format_of(upload.filename)
        # What was ticked is about rows of the file before.
        visit.typed = {name: value for name, value in visit.typed.items() if not name.startswith(_OF_ROWS)}
        error = "" if content else N_("The file is empty. Choose another.")
    else:
        content, form = _held(visit), CLASS_LIST_FORMAT_CSV
        error = "" if content else N_("Choose a file.")
    if visit.switches_language and not content:
        return _page(visit, {}, file_is_lost=True)
    if error:
        return _page(visit, {"file": error}, 422)
    chosen = "check" if visit.switches_language else visit.typed.get("act", "")
    act = {"register": _register, "annotate": _annotate}.get(chosen, _check)
    try:
        return await act(visit, content, form)
    except Refusal as refusal:
        if refusal.violations:
            errors = {"file": " ".join(violation.text for violation in refusal.violations)}
            return _page(visit, errors, 422)
        if refusal.code in _CAN_BE_REPEATED:
            # A page that repeats the request by itself would have to hold the file.
            return _page(visit, {"file": refusal.text}, _CAN_BE_REPEATED[refusal.code])
        raise


def _hold(visit: Visit, content: bytes) -> str:
    """A checked file, sealed for the browser to send it back."""
    return visit.site.seal.seal(_purpose(visit), zlib.compress(content), _HELD)


def _held(visit: Visit) -> bytes:
    """The file that a page has held; empty if it holds none, or for too long."""
    sealed = visit.site.seal.unseal(_purpose(visit), visit.typed.get("held_file", ""))
    return zlib.decompress(sealed) if sealed else b""


def _purpose(visit: Visit) -> str:
    return f"class list of {visit.unit}"


def _ticked(visit: Visit, prefix: str) -> list[int]:
    """The rows ticked in the fields whose names begin so."""
    ticked = (name.removeprefix(prefix) for name in visit.typed if name.startswith(prefix))
    return sorted(int(row) for row in ticked if row.isascii() and row.isdigit())[:_MOST_TICKED]


async def _check(visit: Visit, content: bytes, form: ClassListFormat.ValueType) -> Response:
    request = CheckClassListRequest(parent=visit.unit, content=content, format=form)
    answer = await visit.call(visit.site.api.class_lists.CheckClassList, request, timeout=_WHOLE_LIST)
    return _report(visit, content, answer.report, tried=False)


async def _annotate(visit: Visit, content: bytes, form: ClassListFormat.ValueType) -> Response:
    """The file with the remarks in it, as a download."""
    request = CheckClassListRequest(parent=visit.unit, content=content, format=form, annotate=True)
    answer = await visit.call(visit.site.api.class_lists.CheckClassList, request, timeout=_WHOLE_LIST)
    if answer.annotated_content:
        return download(answer.annotated_content, answer.annotated_file_name)
    return _report(visit, content, answer.report, tried=False, not_annotated=True)


async def _register(visit: Visit, content: bytes, form: ClassListFormat.ValueType) -> Response:
    skip = visit.typed.get("skip_wrong_rows") == "yes"
    # Another file sent from the same page is another act.
    transfers, confirmed = _ticked(visit, _TRANSFER), _ticked(visit, _CONFIRM)
    act = f"{skip} {transfers} {confirmed} {hashlib.sha256(content).hexdigest()}"
    request = RegisterClassListRequest(
        parent=visit.unit,
        request_id=str(uuid.uuid5(uuid.UUID(visit.request_id), act)),
        content=content,
        format=form,
        skip_wrong_rows=skip,
        transfer_rows=transfers,
        confirmed_address_rows=confirmed,
    )
    answer = await visit.call(visit.site.api.class_lists.RegisterClassList, request, timeout=_WHOLE_LIST)
    if answer.HasField("class_list"):
        return visit.redirect(f"/{answer.class_list.name}")
    return _report(visit, content, answer.report, tried=True)


def _page(visit: Visit, errors: dict[str, str], status: int = 200, *, file_is_lost: bool = False) -> Response:
    return visit.render("class_lists/upload.html", status, errors=errors, file_is_lost=file_is_lost)


def _report(
    visit: Visit, content: bytes, report: ClassListReport, *, tried: bool, not_annotated: bool = False
) -> Response:
    """What is wrong, and who is known.

    `tried`: whether the file was to be registered, and was refused. `not_annotated`: whether it was to be
    given back with the remarks in it, and cannot be.
    """
    shown = report.errors[:_MOST_SHOWN]
    rows = [(row, list(errors)) for row, errors in groupby(shown, key=lambda error: error.row)]
    # A row that was ticked is wrong no more: its tick stays, or the next try would miss it.
    asked = {error.row for error in report.errors if error.reason in guardian_address.REASONS}
    asked.update(_ticked(visit, _CONFIRM))
    return visit.render(
        "class_lists/report.html",
        422 if tried else 200,
        report=report,
        rows=rows,
        more=len(report.errors) - len(shown) + report.omitted_error_count,
        new=report.standings.new,
        elsewhere=[person for person in report.persons if person.transferable][:_MOST_TICKED],
        asked=sorted(asked)[:_MOST_TICKED],
        is_of_headings=bool(report.errors) and not report.row_count,
        can_skip=report.row_count > report.wrong_row_count
        and all(error.reason != REASON_STRAY_QUOTE for error in report.errors),
        tried=tried,
        not_annotated=not_annotated,
        held_file=_hold(visit, content),
    )
