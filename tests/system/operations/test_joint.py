"""Several components in one process: the main job goes through it as through the split."""

import json
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.demo.polling import eventually
from deploy.local import health
from deploy.local.ports import HOST
from deploy.local.stack import JOINT, Stack
from frontends.client import new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.consent_service_pb2 import DeclineConsentRequest
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_DECLINED
from tests.conftest import free_port
from tests.support.http_client import http_client
from tests.support.monitoring import asked_for
from tests.support.web_visitor import Visitor
from tests.system.conftest import Api
from tests.system.support.registering import (
    MailCounter,
    accept,
    adult,
    link_token,
    pupil,
    reaches,
    save,
    save_request,
    settings,
)

SERVERS = ("gateway", "identity", "registration", "notification")
TOGETHER = (*SERVERS, "worker", "web")
MANAGEMENT = f"{HOST}:{free_port()}"


@pytest.fixture
async def joint(stack: Stack, api: Api) -> AsyncIterator[Stack]:
    """The stack, its own components in one process."""
    # Something waits, for metrics of it.
    await save(api.teacher, pupil())
    for name in TOGETHER:
        await stack.stop_component(name)
    try:
        async with settings(stack, {"LIITY_MANAGEMENT_LISTEN": MANAGEMENT}):
            await stack.start_joint(*TOGETHER)
            yield stack
            await stack.stop_component(JOINT)
    finally:
        await stack.kill_component(JOINT)
        for name in reversed(TOGETHER):
            await stack.start_component(name)


async def test_a_save_a_consent_and_a_refusal_go_through_one_process(
    joint: Stack, api: Api, mails: MailCounter
) -> None:
    customer, child, unwanted = adult(), pupil(), pupil()
    saved = await save(api.registrar, customer)
    waiting, declined = await save(api.teacher, child), await save(api.teacher, unwanted)
    await accept(api.anybody, link_token(await mails.wait_for(child, "consent_request")), child)
    token = link_token(await mails.wait_for(unwanted, "consent_request"))
    decline = DeclineConsentRequest(token=token, request_id=new_request_id())
    await api.anybody.call(api.anybody.consents.DeclineConsent, decline)

    assert (await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT)).name == saved.name
    await reaches(api.teacher, waiting.name, STAGE_CREDENTIALS_SENT)
    await reaches(api.teacher, declined.name, STAGE_DECLINED)
    assert mails.templates(customer) == {"credentials": 1}

    # Refused by registration, and by the contract's rules.
    with pytest.raises(Refusal) as known:
        await api.registrar.call(
            api.registrar.registrations.RegisterCustomer, save_request(api.registrar.unit, customer)
        )
    assert reason_name(known.value.reason) == "ALREADY_REGISTERED_IN_THIS_UNIT"
    nameless = save_request(api.registrar.unit, adult())
    nameless.form.first_names = nameless.form.last_name = ""
    with pytest.raises(Refusal) as invalid:
        await api.registrar.call(api.registrar.registrations.RegisterCustomer, nameless)
    assert [(wrong.field, reason_name(wrong.reason)) for wrong in invalid.value.violations] == [
        ("form.first_names", "REQUIRED"),
        ("form.last_name", "REQUIRED"),
    ]
    # Every component is healthy at its own address, and its log lines carry its own name.
    for name in SERVERS:
        assert await health.serves_grpc(joint.channel(name))
    async with http_client(f"http://{MANAGEMENT}") as probe:
        assert (await probe.get("/readyz")).status_code == 200
        metrics = (await probe.get("/metrics")).text
    assert all(f'liity_component_ready{{component="{name}"}} 1.0\n' in metrics for name in TOGETHER)

    async with Visitor(f"http://{HOST}:{joint.ports.web}") as visitor:
        question = await visitor.get("/how-was-it/registration")
        assert (await visitor.send(question.form)).status == 422
        assert (await visitor.send(question.form, {"answer": "4"})).path == "/how-was-it"

    async def missing() -> set[str]:
        async with http_client(f"http://{MANAGEMENT}") as scraper:
            text = (await scraper.get("/metrics")).text
        families = text_string_to_metric_families(text)
        return asked_for(tls=joint.ca is not None) - {
            sample.name for family in families for sample in family.samples
        }

    await eventually(missing, lambda names: not names, 60)

    lines = [json.loads(line) for line in (joint.logs / f"{JOINT}.log").read_text("utf-8").splitlines()]
    components = {(line.get("component"), line.get("method", "").split("/")[1:2] != []) for line in lines}
    assert {(name, True) for name in SERVERS} <= components
    owners = {
        (line["component"], line["method"].split(".")[1]) for line in lines if line.get("event") == "rpc"
    }
    assert owners <= {("gateway", "v1"), *((name, name) for name in SERVERS)}
