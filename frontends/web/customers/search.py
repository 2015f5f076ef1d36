"""The customers of a unit, or of all for customer service: browsed, filtered, or found by name (R15).

Names and search words never stand readable in an address. A search stands in it sealed, for the account that
searched, so that the browser's Back button and a reload lead to the same page of the list.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple, Self
from urllib.parse import urlencode

from starlette.responses import Response

from frontends.dates import to_proto_date, today
from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.customer_service_pb2 import SearchCustomersRequest, SearchCustomersResponse

_PURPOSE = "customer-search"
_LIFETIME = timedelta(hours=8)
_SOON = timedelta(days=31)
"""Until the end of the thirtieth day, as the figure of the home page counts (GetUnitSummary)."""

_ALL_UNITS = "units/-"

_WHICH = {
    "all": N_("All customers"),
    "need-ends": N_("Temporary need that ends within 30 days"),
    "undeliverable": N_("Mail does not arrive"),
    "not-welcomed": N_("Online customers who are not welcomed yet"),
}


@dataclass(frozen=True)
class Search:
    """What is searched, and by the address of which account."""

    account: str
    query: str = ""
    which: str = "all"
    page: str = ""

    def sealed(self, visit: Visit) -> str:
        """For an address."""
        return visit.site.seal.seal(_PURPOSE, json.dumps(asdict(self)).encode(), _LIFETIME)

    @classmethod
    def of(cls, visit: Visit) -> Self:
        """The search of the address. One that another account has sealed, or too old, is left out."""
        query = visit.request.query_params
        which = query.get("which", "")
        fresh = cls(visit.opened.email, which=which if which in _WHICH else "all")
        value = visit.site.seal.unseal(_PURPOSE, query.get("search", ""))
        sealed = cls(**json.loads(value)) if value is not None else fresh
        return sealed if sealed.account == fresh.account else fresh


class _Links(NamedTuple):
    """The other pages of the list; empty where there is none."""

    first: str = ""
    next: str = ""


_NO_LINKS = _Links()


async def show(visit: Visit) -> Response:
    """A page of the customers, by last name. Customer service sees none before it has searched."""
    search = Search.of(visit)
    if visit.opened.is_customer_service and search == Search(search.account):
        return render(visit, search)
    try:
        found = await visit.call(visit.site.api.customers.SearchCustomers, _request(visit, search))
    except Refusal as refusal:
        if not refusal.violations:
            raise
        return render(visit, search, errors={each.field: each.text for each in refusal.violations})
    first = _address(visit, replace(search, page="")) if search.page else ""
    following = replace(search, page=found.next_page_token)
    return render(visit, search, found, _Links(first, _address(visit, following) if following.page else ""))


async def search(visit: Visit) -> Response:
    """Leads to what is searched for."""
    which = visit.typed.get("which", "all")
    wanted = Search(
        visit.opened.email, visit.typed.get("query", "").strip(), which if which in _WHICH else "all"
    )
    return visit.redirect(_address(visit, wanted))


def render(
    visit: Visit,
    search: Search,
    found: SearchCustomersResponse | None = None,
    links: _Links = _NO_LINKS,
    errors: Mapping[str, str] = MappingProxyType({}),
    **values: str,
) -> Response:
    """The page; without anybody before something is searched. `values` are those of the template."""
    status = 422 if errors else 200
    given = {"path": visit.request.url.path, "which": list(_WHICH.items())} | values
    return visit.render(
        "customers/search.html", status, search=search, found=found, links=links, errors=errors, **given
    )


def _address(visit: Visit, wanted: Search) -> str:
    path = visit.request.url.path
    if wanted == Search(wanted.account):
        return path
    return f"{path}?{urlencode({'search': wanted.sealed(visit)})}"


def _request(visit: Visit, search: Search) -> SearchCustomersRequest:
    request = SearchCustomersRequest(
        parent=_unit(visit),
        query=search.query,
        page_size=50,
        page_token=search.page,
        undeliverable=search.which == "undeliverable",
        not_welcomed=search.which == "not-welcomed",
    )
    if search.which == "need-ends":
        request.need_ends_before_date.CopyFrom(to_proto_date(today() + _SOON))
    return request


def _unit(visit: Visit) -> str:
    """The unit searched: a registrar's own. Customer service names one in the address, or searches all."""
    unit = visit.request.path_params.get("unit")
    if unit:
        return f"units/{unit}"
    return _ALL_UNITS if visit.opened.is_customer_service else visit.unit
