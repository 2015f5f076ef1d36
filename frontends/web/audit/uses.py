"""The log of use: who looked at or changed whose data."""

import re
from collections.abc import Mapping
from datetime import date, timedelta
from urllib.parse import urlencode

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response

from frontends.dates import begin_of
from frontends.web import words
from frontends.web.forms import NO_DATE, typed_date
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.use_log_service_pb2 import ListUsesRequest, ListUsesResponse

_FILTERS = ("subject", "account", "unit", "action", "since", "until")
_IDS = ("subject", "account", "unit")
_ID = re.compile(r"(?:.*/)?([a-z0-9]{1,32})/?")
_NO_ADDRESS = N_("Copy here the address of a page of Liity, or an ID from the log.")


async def show(visit: Visit) -> Response:
    """A page of what is filtered, newest first. In the address stand IDs and days alone."""
    query = visit.request.query_params
    filters = {name: query.get(name, "") for name in _FILTERS}
    return await _page(visit, filters, query.get("page", "")[:200])


async def search(visit: Visit) -> Response:
    """Takes what was typed: it may be what must not stand in an address."""
    filters = {name: visit.typed.get(name, "").strip() for name in _FILTERS}
    _, errors = _request(filters)
    if errors or visit.switches_language:
        return await _page(visit, filters, "")
    for name in _IDS:
        filters[name] = _id_in(filters[name])
    return visit.redirect(f"/log?{urlencode({name: value for name, value in filters.items() if value})}")


async def _page(visit: Visit, filters: Mapping[str, str], page_token: str) -> Response:
    request, errors = _request(filters)
    request.page_token = page_token
    found = ListUsesResponse()
    if not errors:
        found = await visit.call(visit.site.api.uses.ListUses, request)
    return visit.render(
        "audit/uses.html",
        422 if errors else 200,
        found=found,
        filters=filters,
        actions=sorted(words.USES.items(), key=lambda each: each[0]),
        errors=errors,
        is_first=not page_token,
    )


def _request(filters: Mapping[str, str]) -> tuple[ListUsesRequest, dict[str, str]]:
    """The request for what was typed, and what is wrong in it."""
    ids = {name: _id_in(filters[name]) for name in _IDS}
    errors = {name: _NO_ADDRESS for name in _IDS if filters[name] and not ids[name]}
    request = ListUsesRequest(page_size=25, subject_id=ids["subject"], account_id=ids["account"])
    if ids["unit"]:
        request.unit = f"units/{ids['unit']}"
    if filters["action"] in words.USES:
        request.action = filters["action"]
    _set_day(request.start_time, filters, "since", errors)
    _set_day(request.end_time, filters, "until", errors)
    return request, errors


def _id_in(typed: str) -> str:
    """The ID in an address or a name of a thing; empty if there is none."""
    found = _ID.fullmatch(typed)
    return found[1] if found else ""


def _set_day(moment: Timestamp, filters: Mapping[str, str], name: str, errors: dict[str, str]) -> None:
    """Sets the beginning of a typed day; for the last day, its end."""
    if not filters[name]:
        return
    typed = typed_date(filters[name])
    if typed is None:
        errors[name] = NO_DATE
    else:
        day = date(typed.year, typed.month, typed.day)
        moment.CopyFrom(begin_of(day + timedelta(days=name == "until")))
