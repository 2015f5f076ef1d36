"""Finding a customer of the unit by name (R15). Search words never stand in an address."""

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.customer_service_pb2 import SearchCustomersRequest


async def show(visit: Visit) -> Response:
    """Asks for a name."""
    return visit.render("customers/search.html", found=None, query="", errors={})


async def search(visit: Visit) -> Response:
    """A page of what was found."""
    query = visit.typed.get("query", "").strip()
    if visit.switches_language and not query:
        return await show(visit)
    if not query:
        errors = {"query": N_("Write a name or the beginning of one.")}
        return visit.render("customers/search.html", 422, found=None, query="", errors=errors)
    request = SearchCustomersRequest(
        parent=_unit(visit), query=query, page_size=50, page_token=visit.typed.get("page", "")
    )
    try:
        found = await visit.call(visit.site.api.customers.SearchCustomers, request)
    except Refusal as refusal:
        if not refusal.violations:
            raise
        errors = {violation.field: violation.text for violation in refusal.violations}
        return visit.render("customers/search.html", 422, found=None, query=query, errors=errors)
    return visit.render("customers/search.html", found=found, query=query, errors={})


def _unit(visit: Visit) -> str:
    """The unit searched: a registrar's own; customer service names one in the address."""
    unit = visit.request.path_params.get("unit")
    return f"units/{unit}" if unit else visit.unit
