"""Sending a class list: first it is checked, then it is registered.

The API stores nothing of a file that it checks, and a page cannot hold a file for the browser: it is chosen
once more to be registered.
"""

import hashlib
import uuid
from itertools import groupby

import grpc
from starlette.datastructures import UploadFile
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.class_lists.files import format_of
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.class_list_service_pb2 import (
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

_CAN_BE_REPEATED = {grpc.StatusCode.UNAVAILABLE: 503, grpc.StatusCode.RESOURCE_EXHAUSTED: 429}


async def show(visit: Visit) -> Response:
    """Asks for the file."""
    return _page(visit, {})


async def send(visit: Visit) -> Response:
    """Checks the file, or registers its rows."""
    if visit.switches_language:
        return _page(visit, {}, file_is_lost=True)
    upload = visit.files.get("file")
    error = _error_of(upload)
    if upload is None or error:
        return _page(visit, {"file": error}, 422)
    content, form = await upload.read(), format_of(upload.filename or "")
    act = _register if visit.typed.get("act") == "register" else _check
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


def _error_of(upload: UploadFile | None) -> str:
    """Why this cannot be a class list; empty if it can."""
    if upload is None or not upload.filename:
        return N_("Choose a file.")
    return "" if upload.size else N_("The file is empty. Choose another.")


async def _check(visit: Visit, content: bytes, form: ClassListFormat.ValueType) -> Response:
    request = CheckClassListRequest(parent=visit.unit, content=content, format=form)
    answer = await visit.call(visit.site.api.class_lists.CheckClassList, request, timeout=_WHOLE_LIST)
    return _report(visit, answer.report, tried=False)


async def _register(visit: Visit, content: bytes, form: ClassListFormat.ValueType) -> Response:
    skip = visit.typed.get("skip_wrong_rows") == "yes"
    # Another file sent from the same page is another act.
    act = f"{skip} {hashlib.sha256(content).hexdigest()}"
    request = RegisterClassListRequest(
        parent=visit.unit,
        request_id=str(uuid.uuid5(uuid.UUID(visit.request_id), act)),
        content=content,
        format=form,
        skip_wrong_rows=skip,
    )
    answer = await visit.call(visit.site.api.class_lists.RegisterClassList, request, timeout=_WHOLE_LIST)
    if answer.HasField("class_list"):
        return visit.redirect(f"/{answer.class_list.name}")
    return _report(visit, answer.report, tried=True)


def _page(visit: Visit, errors: dict[str, str], status: int = 200, *, file_is_lost: bool = False) -> Response:
    return visit.render("class_lists/upload.html", status, errors=errors, file_is_lost=file_is_lost)


def _report(visit: Visit, report: ClassListReport, *, tried: bool) -> Response:
    """What is wrong. `tried`: whether the file was to be registered, and was refused."""
    shown = report.errors[:_MOST_SHOWN]
    right = report.row_count - report.wrong_row_count
    rows = [(row, list(errors)) for row, errors in groupby(shown, key=lambda error: error.row)]
    return visit.render(
        "class_lists/report.html",
        422 if tried else 200,
        report=report,
        rows=rows,
        more=len(report.errors) - len(shown) + report.omitted_error_count,
        right=right,
        is_of_headings=bool(report.errors) and not report.row_count,
        can_skip=right > 0 and all(error.reason != REASON_STRAY_QUOTE for error in report.errors),
        tried=tried,
    )
