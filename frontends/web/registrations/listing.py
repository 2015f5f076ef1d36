"""The registrations of the unit: filtered, in the order asked for, a page at a time."""

from urllib.parse import urlencode

from starlette.responses import Response

from frontends.web import words
from frontends.web.pages import Visit
from liity.v1.registration_service_pb2 import (
    REGISTRATION_ORDER_DEADLINE,
    REGISTRATION_ORDER_NEWEST,
    ListRegistrationsRequest,
)


async def show(visit: Visit) -> Response:
    """A page of the list. What is filtered stands in the address, as it tells of nobody."""
    query = visit.request.query_params
    stage = words.value_of("Stage", query.get("stage", ""))
    by_deadline = query.get("order", "") == "deadline"
    request = ListRegistrationsRequest(
        parent=visit.unit,
        page_size=50,
        page_token=query.get("page", "")[:200],
        stages=[stage] if stage else [],  # type: ignore[list-item]
        mine=query.get("mine", "") == "yes",
        undeliverable=query.get("undeliverable", "") == "yes",
        order_by=REGISTRATION_ORDER_DEADLINE if by_deadline else REGISTRATION_ORDER_NEWEST,
    )
    found = await visit.call(visit.site.api.registrations.ListRegistrations, request)
    chosen = {name: query[name] for name in ("stage", "mine", "undeliverable", "order") if query.get(name)}
    return visit.render(
        "registrations/list.html",
        found=found,
        chosen=chosen,
        filters=urlencode(chosen),
        stages=words.options("Stage"),
        by_deadline=by_deadline,
        is_first=not request.page_token,
    )
