"""Pages beside the gateway's calls that they make, by one browser and by several at a time."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import httpx2

from bench.load import Run, measure, stack_cpu_times
from bench.sizes import Sizes
from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from frontends.client import ApiClient
from liity.v1.customer_service_pb2 import GetCustomerRequest
from liity.v1.registration_pb2 import (
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
)
from liity.v1.registration_service_pb2 import (
    REGISTRATION_ORDER_DEADLINE,
    REGISTRATION_ORDER_NEWEST,
    ExplainRegistrationRequest,
    GetRegistrationRequest,
    ListRegistrationsRequest,
)
from liity.v1.unit_service_pb2 import GetUnitSummaryRequest

_OK = 200

Call = Callable[[], Awaitable[object]]


@dataclass
class PageRun:
    """Results of one page."""

    what: str
    calls: Run
    """The gateway's calls of the page, made as the page makes them, by one caller. Empty if it makes none."""
    page: Run
    """The page, opened by one browser."""
    crowd: Run
    """The page, opened by several browsers at a time."""


async def measure_pages(
    stack: Stack, api: ApiClient, account: DemoAccount, registration: str, sizes: Sizes
) -> list[PageRun]:
    """Opens pages about a customer's `registration`, of the unit that `api` and the account belong to."""
    base = f"http://{HOST}:{stack.ports.web}"
    found = await api.call(api.registrations.GetRegistration, GetRegistrationRequest(name=registration))
    customer = found.registration.customer
    pages: tuple[tuple[str, str, Sequence[Sequence[Call]]], ...] = (
        ("help", "/help", ()),
        ("home", "/home", _home(api)),
        ("registrations", "/registrations", _registrations(api)),
        ("a registration", f"/{registration}", _one(api, registration)),
        ("a customer", f"/{customer}", _customer(api, customer)),
    )
    runs = []
    async with AsyncExitStack() as opened:
        browsers = [await opened.enter_async_context(browser(base, account)) for _ in range(sizes.browsers)]
        for what, path, steps in pages:
            before = await _measure(stack, 1, sizes.page_loads, _make(steps)) if steps else Run(1)
            page = await _measure(stack, 1, sizes.page_loads, _open(browsers[:1], path))
            if steps:
                # The machine's speed drifts: compare with the calls both before and after the pages.
                after = await _measure(stack, 1, sizes.page_loads, _make(steps))
                before.latencies += after.latencies
            crowd = await _measure(
                stack, sizes.browsers, sizes.page_loads * sizes.browsers // 4, _open(browsers, path)
            )
            runs.append(PageRun(what, before, page, crowd))
    return runs


def _home(api: ApiClient) -> Sequence[Sequence[Call]]:
    waiting = (STAGE_WAITING_FOR_CONSENT, STAGE_WAITING_FOR_REACTIVATION, STAGE_WAITING_FOR_IDENTITY_CHECK)
    lists = [
        ListRegistrationsRequest(
            parent=api.unit, stages=[stage], page_size=5, order_by=REGISTRATION_ORDER_DEADLINE
        )
        for stage in waiting
    ]
    summary = GetUnitSummaryRequest(name=api.unit)
    return [
        [
            lambda: api.call(api.units.GetUnitSummary, summary),
            *(lambda each=each: api.call(api.registrations.ListRegistrations, each) for each in lists),
        ]
    ]


def _registrations(api: ApiClient) -> Sequence[Sequence[Call]]:
    request = ListRegistrationsRequest(parent=api.unit, page_size=50, order_by=REGISTRATION_ORDER_NEWEST)
    return [[lambda: api.call(api.registrations.ListRegistrations, request)]]


def _one(api: ApiClient, name: str) -> Sequence[Sequence[Call]]:
    get, explain = GetRegistrationRequest(name=name), ExplainRegistrationRequest(name=name)
    return [
        [lambda: api.call(api.registrations.GetRegistration, get)],
        [lambda: api.call(api.registrations.ExplainRegistration, explain)],
    ]


def _customer(api: ApiClient, name: str) -> Sequence[Sequence[Call]]:
    get, explain = GetCustomerRequest(name=name), ExplainRegistrationRequest(name=name)
    return [
        [lambda: api.call(api.customers.GetCustomer, get)],
        [lambda: api.call(api.registrations.ExplainRegistration, explain)],
    ]


def _make(steps: Sequence[Sequence[Call]]) -> Callable[[], Awaitable[None]]:
    """Makes the calls of a page: the steps one after another, those of a step at a time."""

    async def make() -> None:
        for step in steps:
            await asyncio.gather(*(call() for call in step))

    return make


def _open(browsers: Sequence[httpx2.AsyncClient], path: str) -> Callable[[], Awaitable[None]]:
    """Opens a page in a browser that is free."""
    free = list(browsers)

    async def opened() -> None:
        browser = free.pop()
        try:
            answer = await browser.get(path)
            assert answer.status_code == _OK, answer.text
        finally:
            free.append(browser)

    return opened


async def _measure(stack: Stack, callers: int, total: int, call: Callable[[], Awaitable[None]]) -> Run:
    async def nothing_left() -> None:
        pass

    return await measure(callers, total, call, nothing_left, lambda: stack_cpu_times(stack))


@asynccontextmanager
async def browser(base: str, account: DemoAccount) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser that is logged in."""
    async with httpx2.AsyncClient(base_url=base, timeout=60, trust_env=False) as opened:
        form = (await opened.get("/log-in")).text
        token = re.search(r'name="form_token" value="([^"]+)"', form)
        assert token, form
        fields = {"form_token": token[1], "email": account.email, "password": account.password}
        answer = await opened.post("/log-in", data=fields, headers={"Origin": base})
        assert answer.is_redirect, answer.text
        yield opened
