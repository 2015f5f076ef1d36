"""Customer service finds a person by name in all units (R15); nobody else does."""

import uuid

import pytest

from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.customer_service_pb2 import CustomerSummary, MarkProtectedRequest, SearchCustomersRequest
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT
from liity.v1.unit_service_pb2 import GetUnitRequest
from tests.support.web_visitor import Visitor
from tests.system.conftest import Api
from tests.system.support.registering import adult, pupil, reaches, save


async def found(client: ApiClient, query: str) -> list[CustomerSummary]:
    request = SearchCustomersRequest(parent="units/-", query=query)
    return list((await client.call(client.customers.SearchCustomers, request)).customers)


async def test_a_person_is_found_whose_unit_is_not_known(
    stack: Stack, api: Api, accounts: dict[str, DemoAccount]
) -> None:
    name = f"Etsitty{uuid.uuid4().hex[:8]}"
    person, waiting = adult(), pupil()
    person.form.last_name = waiting.form.last_name = name
    registered = await save(api.registrar, person)
    await save(api.teacher, waiting)
    customer = (await reaches(api.registrar, registered.name, STAGE_CREDENTIALS_SENT)).customer
    (one,) = await found(api.staff, name[:10])
    assert (one.name, one.last_name) == (customer, name)
    unit = await api.staff.call(api.staff.units.GetUnit, GetUnitRequest(name=api.registrar.unit))
    assert one.unit_display_name == unit.unit.display_name

    async with Visitor(f"http://{HOST}:{stack.ports.web}") as staff:
        await staff.log_in(accounts["staff"].email, accounts["staff"].password)
        page = await staff.get("/people")
        assert "<table>" not in page.html, "nobody is shown unasked"
        seen = await staff.send(page.form, {"query": name})
        assert f"/{customer}" in seen.links
        assert one.unit_display_name in seen.text
        short = await staff.send(page.form, {"query": "et"})
        assert (short.status, short.title[:6]) == (422, "Error:")

    # Whoever is protected has a place in no list (R37).
    mark = MarkProtectedRequest(name=customer, request_id=new_request_id())
    await api.staff.call(api.staff.customers.MarkProtected, mark)
    assert await found(api.staff, name) == []


async def test_registrars_search_their_own_unit_alone(api: Api) -> None:
    for client in (api.registrar, api.teacher):
        with pytest.raises(Refusal) as caught:
            await found(client, "virtanen")
        assert reason_name(caught.value.reason) == "PERMISSION_DENIED"


async def test_a_short_name_is_not_searched_in_all_units(api: Api) -> None:
    for query in ("", " ", "vi", "a b c", "'-'"):
        with pytest.raises(Refusal) as caught:
            await found(api.staff, query)
        wrong = [(each.field, reason_name(each.reason)) for each in caught.value.violations]
        assert wrong == [("query", "NAME_TOO_SHORT")], query
