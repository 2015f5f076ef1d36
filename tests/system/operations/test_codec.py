"""Temporal UI reads histories through the codec server: for customer service alone, and never unseen."""

import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx2
import pytest
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload, Payloads

from deploy.demo.forms import DemoPerson
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from deploy.local.temporal_server import codec_url, ui_origin
from frontends.client import ApiClient
from liity.v1.registration_pb2 import STAGE_WAITING_FOR_CONSENT
from liity.v1.use_log_service_pb2 import ListUsesRequest
from services.runtime.temporal.codec import ENCRYPTED
from tests.support.http_client import http_client
from tests.system.conftest import Api
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import pupil, reaches, save, workflow_id


class History(NamedTuple):
    """What a child's run has written while the guardian is awaited."""

    child: DemoPerson
    registration_id: str
    payloads: list[Payload]


@pytest.fixture(scope="module")
async def history(stack: Stack, api: Api) -> History:
    child = pupil()
    saved = await save(api.teacher, child)
    await reaches(api.teacher, saved.name, STAGE_WAITING_FOR_CONSENT)
    client = await connect_temporal(stack)
    payloads: list[Payload] = []
    async for event in client.get_workflow_handle(await workflow_id(stack, saved)).fetch_history_events():
        started = event.workflow_execution_started_event_attributes
        accepted = event.workflow_execution_update_accepted_event_attributes
        completed = event.workflow_execution_update_completed_event_attributes
        payloads += started.input.payloads
        payloads += accepted.accepted_request.input.args.payloads
        payloads += completed.outcome.success.payloads
    assert len(payloads) == 3
    assert all(payload.metadata["encoding"] == ENCRYPTED for payload in payloads)
    return History(child, saved.name.rpartition("/")[2], payloads)


@pytest.fixture(scope="module")
async def browser(stack: Stack) -> AsyncIterator[httpx2.AsyncClient]:
    """A browser with the codec server's page open; it keeps cookies."""
    async with http_client(codec_url(stack.ports), follows=True) as browser:
        yield browser


async def decode(
    browser: httpx2.AsyncClient, stack: Stack, history: History, client: ApiClient | None = None
) -> tuple[int, Any]:
    """As Temporal UI asks: with the browser's cookie, or as a client of the API with its token."""
    headers = {"Origin": ui_origin(stack.ports), "X-Namespace": "default"}
    if client is not None:
        headers["Authorization"] = f"Bearer {client.session.access_token}"
    body = {"payloads": [json_format.MessageToDict(payload) for payload in history.payloads]}
    response = await browser.post("/decode?preserveStorageRefs=true", json=body, headers=headers)
    return response.status_code, response.json()


def shown(answer: object) -> list[Any]:
    """What Temporal UI shows."""
    return [json.loads(payload.data) for payload in json_format.ParseDict(answer, Payloads()).payloads]


async def test_temporal_ui_is_set_up_with_it(stack: Stack) -> None:
    async with http_client() as browser:
        settings = (await browser.get(ui_origin(stack.ports) + "/api/v1/settings")).json()
    assert settings["Codec"]["Endpoint"] == codec_url(stack.ports)


async def test_customer_service_reads_a_history(
    stack: Stack, api: Api, history: History, browser: httpx2.AsyncClient
) -> None:
    status, answer = await decode(browser, stack, history, api.staff)

    assert status == 200
    started, save_request, save_response = shown(answer)
    form = history.child.form
    assert save_request["registration"]["form"]["first_names"] == form.first_names
    assert save_response["registration"]["registration_id"] == history.registration_id
    assert started["person_id"] == save_response["registration"]["person_id"]
    # Whoever reads everything still reads no code: it never comes to Temporal.
    assert history.child.personal_identity_code not in json.dumps(answer)


async def test_by_the_log_in_page_too(
    stack: Stack, accounts: dict[str, DemoAccount], history: History, browser: httpx2.AsyncClient
) -> None:
    unread = {"payloads": [json_format.MessageToDict(payload) for payload in history.payloads]}
    assert await decode(browser, stack, history) == (200, unread)
    staff = accounts["staff"]
    form = {"email": staff.email, "password": staff.password}
    own_page = {"Origin": codec_url(stack.ports)}
    response = await browser.post("/log-in", data=form, headers=own_page)
    assert response.status_code == 200
    assert staff.display_name in response.text

    status, answer = await decode(browser, stack, history)
    assert (status, len(shown(answer))) == (200, 3)

    assert staff.display_name not in (await browser.post("/log-out", headers=own_page)).text
    assert await decode(browser, stack, history) == (200, unread)


@pytest.mark.parametrize("who", ["registrar", "teacher", "operator"])
async def test_nobody_else_does(
    stack: Stack, api: Api, history: History, browser: httpx2.AsyncClient, who: str
) -> None:
    status, answer = await decode(browser, stack, history, getattr(api, who))

    assert (status, answer["reason"]) == (403, "PERMISSION_DENIED")
    assert "payloads" not in answer


async def test_without_the_log_nobody_does(
    stack: Stack, api: Api, history: History, browser: httpx2.AsyncClient
) -> None:
    await stack.stop_component("registration")
    status, answer = await decode(browser, stack, history, api.staff)
    await stack.start_component("registration")

    assert (status, answer["reason"]) == (503, "UNAVAILABLE")
    assert (await decode(browser, stack, history, api.staff))[0] == 200


async def test_each_reading_is_in_the_log_of_use(
    stack: Stack, api: Api, history: History, browser: httpx2.AsyncClient
) -> None:
    request = ListUsesRequest(subject_id=history.registration_id, action="payload:decode")
    before = (await api.staff.call(api.staff.uses.ListUses, request)).uses
    _, answer = await decode(browser, stack, history, api.staff)
    after = (await api.staff.call(api.staff.uses.ListUses, request)).uses

    assert after[1:] == before
    use = after[0]
    person_id = shown(answer)[0]["person_id"]
    assert set(use.subject_ids) == {history.registration_id, person_id}
    assert use.account_display_name == api.staff.session.display_name
    assert use.outcome == "OK"
