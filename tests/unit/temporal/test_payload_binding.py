"""A payload belongs to one workflow of one namespace: nobody can move it into another."""

from collections.abc import Callable

import pytest
import tink
from temporalio.api.common.v1 import Payload
from temporalio.converter import (
    ActivitySerializationContext,
    DataConverter,
    SerializationContext,
    WorkflowSerializationContext,
)
from tink import aead

from liity.workflows.v1.registration_workflow_pb2 import WithdrawRequest
from services.codec.payloads import PayloadReader
from services.runtime.security.keys import TEMPLATES, KeysetPurpose
from services.runtime.temporal.codec import OperatorText, PayloadError, data_converter

OWN = WithdrawRequest(request_id="secret")

HERE = WorkflowSerializationContext("library", "registration/p1")
NOT_HERE = {
    "another workflow": WorkflowSerializationContext("library", "registration/p2"),
    "another namespace": WorkflowSerializationContext("other", "registration/p1"),
    "the same characters": WorkflowSerializationContext("libraryregistration", "/p1"),
}


def activity(workflow_id: str | None = HERE.workflow_id) -> ActivitySerializationContext:
    return ActivitySerializationContext(
        namespace=HERE.namespace,
        activity_id="1",
        activity_type="end_registration",
        activity_task_queue="registration",
        workflow_id=workflow_id,
        workflow_type="RegistrationWorkflow",
        is_local=True,
    )


@pytest.fixture
def keyset() -> tink.KeysetHandle:
    return tink.new_keyset_handle(TEMPLATES[KeysetPurpose.PAYLOADS])


@pytest.fixture
def at(keyset: tink.KeysetHandle) -> Callable[[SerializationContext], DataConverter]:
    return lambda context: data_converter(keyset).with_context(context)


At = Callable[[SerializationContext], DataConverter]


async def own(at: At) -> Payload:
    (payload,) = await at(HERE).encode([OWN])
    return payload


def relabelled(payload: Payload, **metadata: bytes | None) -> Payload:
    """The payload with other metadata; `_` stands for `-`."""
    changed = Payload()
    changed.CopyFrom(payload)
    for name, value in metadata.items():
        if value is None:
            del changed.metadata[name.replace("_", "-")]
        else:
            changed.metadata[name.replace("_", "-")] = value
    return changed


async def test_a_workflow_and_its_activities_read_their_own(at: At) -> None:
    assert await at(HERE).decode([await own(at)], [WithdrawRequest]) == [OWN]
    assert await at(activity()).decode([await own(at)], [WithdrawRequest]) == [OWN]


@pytest.mark.parametrize("where", NOT_HERE)
async def test_another_one_does_not_read_it(at: At, where: str) -> None:
    there = NOT_HERE[where]
    for payload in (
        await own(at),
        relabelled(
            await own(at),
            liity_namespace=there.namespace.encode(),
            liity_workflow_id=there.workflow_id.encode(),
        ),
        relabelled(await own(at), liity_workflow_id=None),
    ):
        with pytest.raises(KeyError, match="encrypted"):
            await at(there).decode([payload], [WithdrawRequest])


async def test_another_workflows_activity_fails_on_it(at: At) -> None:
    for workflow_id in ("registration/p2", None):
        with pytest.raises(PayloadError, match="put into another"):
            await at(activity(workflow_id)).decode([await own(at)])


async def test_what_belongs_to_no_workflow_is_read_in_none(at: At, keyset: tink.KeysetHandle) -> None:
    (payload,) = await data_converter(keyset).encode([OWN])
    with pytest.raises(KeyError, match="encrypted"):
        await at(HERE).decode([payload], [WithdrawRequest])
    with pytest.raises(PayloadError, match="put into another"):
        await at(activity()).decode([payload])


async def test_plain_payloads_are_messages_to_workflows_and_nothing_else(at: At) -> None:
    plain = Payload(metadata={"encoding": b"json/plain"}, data=b'{"request_id": "typed"}')
    assert await at(HERE).decode([plain], [WithdrawRequest]) == [WithdrawRequest(request_id="typed")]
    with pytest.raises(PayloadError, match="not encrypted"):
        await at(activity()).decode([plain], [WithdrawRequest])


async def test_the_mark_for_operators_gets_nothing_past_an_activity(at: At) -> None:
    (summary,) = await at(HERE).encode([OperatorText("typed")])
    with pytest.raises(PayloadError, match="not encrypted"):
        await at(activity()).decode([summary])


@pytest.mark.parametrize("context", [HERE, activity()], ids=["workflow", "activity"])
async def test_payloads_of_earlier_releases_are_read(
    at: At, keyset: tink.KeysetHandle, context: SerializationContext
) -> None:
    """They are bound to nothing; histories hold them for as long as they are kept."""
    (plain,) = at(HERE).payload_converter.to_payloads([OWN])
    data = keyset.primitive(aead.Aead).encrypt(plain.SerializeToString(), b"liity temporal payload")
    old = Payload(metadata={"encoding": b"binary/encrypted"}, data=data)
    assert await at(context).decode([old], [WithdrawRequest]) == [OWN]
    reading = await PayloadReader(keyset).read([old])
    assert reading.read == 1


async def test_the_codec_server_reads_all_and_believes_no_label(at: At, keyset: tink.KeysetHandle) -> None:
    """Temporal UI does not tell it of which workflow a payload is."""
    reader = PayloadReader(keyset)
    payload = await own(at)
    moved = relabelled(payload, liity_workflow_id=b"registration/p2")
    reading = await reader.read([payload, moved])
    assert reading.read == 1
    assert b"secret" in reading.payloads[0].data
    assert reading.payloads[1] == moved
