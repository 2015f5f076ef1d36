"""An export is gathered, can be read for its time, and is erased; no word of it enters a history."""

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import tink
from google.protobuf import json_format
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowHandle

from deploy.demo.polling import eventually
from liity.registration.v1.personal_data_service_pb2 import (
    GetDisclosureRequest,
    GetDisclosureResponse,
    StoreDisclosureRequest,
)
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.personal_data_pb2 import ServicePersonalData
from liity.v1.reason_pb2 import REASON_CUSTOMER_NOT_ENDED
from liity.workflows.v1.disclosure_workflow_pb2 import DisclosureWorkflowInput
from services.gateway.temporal.disclosures import DisclosureWorkflows
from services.runtime.clock import now
from services.runtime.rpc.errors import Refusal
from services.runtime.security.disclosure_seal import DisclosureSeal
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.temporal.codec import EncryptionCodec
from services.runtime.temporal.names import DisclosureWorkflowNames
from tests.replay.histories import payloads_in
from tests.workflows.conftest import World, adult_form, born
from workflows.privacy.disclosure_activities import DisclosureActivities

WEEK = timedelta(days=7)


class Disclosures:
    """The disclosure of one person, as the gateway begins and reads it."""

    def __init__(self, world: World, person_id: str) -> None:
        self._world = world
        self._registration = world.gateway["registration"]
        self._stub = PersonalDataServiceStub(self._registration.channel)
        self.input = DisclosureWorkflowInput(disclosure_id=uuid.uuid4().hex, person_id=person_id)
        self.input.expire_time.FromDatetime(now() + WEEK)

    async def begin(self) -> WorkflowHandle[Any, Any]:
        store = StoreDisclosureRequest(
            disclosure_id=self.input.disclosure_id,
            person_id=self.input.person_id,
            expire_time=self.input.expire_time,
        )
        await self._registration.call(self._stub.StoreDisclosure, store)
        return await self.start()

    async def start(self) -> WorkflowHandle[Any, Any]:
        await DisclosureWorkflows(self._world.temporal).start(self.input)
        workflow_id = DisclosureWorkflowNames.workflow_id(self.input.disclosure_id)
        return self._world.temporal.get_workflow_handle(workflow_id)

    async def get(self) -> GetDisclosureResponse:
        get = GetDisclosureRequest(disclosure_id=self.input.disclosure_id)
        return await self._registration.call(self._stub.GetDisclosure, get)


async def saved(world: World) -> tuple[Registration, str]:
    """An adult customer with credentials, and their code."""
    registration, _ = await world.save(adult_form(f"{uuid.uuid4().hex}@example.org"), born(40))
    return registration, world.seen[-1]


async def test_all_services_are_asked_and_the_export_is_kept_for_a_week(world: World, keys_dir: Path) -> None:
    registration, hetu = await saved(world)
    disclosures = Disclosures(world, registration.person_id)
    run = await disclosures.begin()
    # Asked for twice, it is gathered once.
    assert (await (await disclosures.start()).describe()).run_id == (await run.describe()).run_id
    stored = await eventually(disclosures.get, lambda found: bool(found.ciphertext), 60)
    assert hetu.encode() not in stored.ciphertext
    seal = DisclosureSeal(keys_dir)
    export = seal.open(disclosures.input.disclosure_id, stored.ciphertext)
    told = {service.service: json_format.MessageToJson(service) for service in export.services}
    assert list(told) == ["identity", "registration", "notification"]
    assert hetu in told["identity"]
    assert "Aino Kaisa" in told["registration"]
    assert registration.registration_id in told["notification"]
    await world.skip(run, WEEK - timedelta(hours=1))
    assert (await disclosures.get()).ciphertext
    await world.skip_to_end(run)
    await run.result()
    with pytest.raises(Refusal, match="DISCLOSURE_NOT_FOUND"):
        await disclosures.get()
    await _history_tells_nothing(run, keys_dir, hetu, "Aino Kaisa")


async def test_what_is_sealed_for_one_disclosure_opens_under_no_other(world: World, keys_dir: Path) -> None:
    registration, _ = await saved(world)
    disclosures = Disclosures(world, registration.person_id)
    await disclosures.begin()
    stored = await eventually(disclosures.get, lambda found: bool(found.ciphertext), 60)
    with pytest.raises(tink.TinkError):
        DisclosureSeal(keys_dir).open(uuid.uuid4().hex, stored.ciphertext)


async def test_a_service_that_refuses_for_good_is_told_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    registration, _ = await saved(world)
    disclosures = Disclosures(world, registration.person_id)

    async def refuse(*_: object) -> list[ServicePersonalData]:
        raise Refusal(grpc.StatusCode.FAILED_PRECONDITION, REASON_CUSTOMER_NOT_ENDED)

    with monkeypatch.context() as patch:
        patch.setattr(DisclosureActivities, "_gather", refuse)
        run = await disclosures.begin()
        failed = await eventually(disclosures.get, lambda found: found.failed, 60)
    assert not failed.ciphertext
    # It is erased as any other when its time is over.
    await world.skip_to_end(run)
    await run.result()
    with pytest.raises(Refusal, match="DISCLOSURE_NOT_FOUND"):
        await disclosures.get()


async def test_who_is_erased_meanwhile_has_no_export_any_more(world: World) -> None:
    registration, _ = await saved(world)
    disclosures = Disclosures(world, registration.person_id)
    run = await disclosures.begin()
    await eventually(disclosures.get, lambda found: bool(found.ciphertext), 60)
    await world.erasure().erase_person(registration.person_id)
    with pytest.raises(Refusal, match="DISCLOSURE_NOT_FOUND"):
        await disclosures.get()
    # A run that finds nothing to fill or erase ends as any other.
    again = await Disclosures(world, registration.person_id).start()
    for handle in (run, again):
        await world.skip_to_end(handle)
        await handle.result()
    assert not await world.rows(
        "registration", "SELECT 1 FROM disclosures WHERE person_id = :p", p=registration.person_id
    )


async def _history_tells_nothing(run: WorkflowHandle[Any, Any], keys_dir: Path, *texts: str) -> None:
    """Not even to those who hold the key."""
    codec = EncryptionCodec(load_keyset(keys_dir, KeysetPurpose.PAYLOADS))
    found: list[Payload] = [
        payload async for event in run.fetch_history_events() for payload in payloads_in(event)
    ]
    assert found
    plain = b"".join(payload.data for payload in await codec.decode(found))
    assert not any(text.encode() in plain for text in texts)
