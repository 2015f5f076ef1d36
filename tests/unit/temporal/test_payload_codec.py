"""What passes through Temporal: encrypted, readable after a key rotates, and always a message."""

import importlib
import inspect
import json
import pkgutil
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import tink
from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from temporalio import activity, workflow
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.converter import DataConverter, WorkflowSerializationContext
from temporalio.exceptions import ApplicationError
from tink import json_proto_keyset_format, secret_key_access

import workflows
from liity.registration.v1 import registration_service_pb2 as registration_pb2
from liity.workflows.v1 import registration_workflow_pb2 as workflow_pb2
from services.runtime.security.keys import TEMPLATES, KeysetPurpose
from services.runtime.temporal.codec import PLAIN_DATA_CONVERTER, OperatorText, PayloadError, data_converter
from workflows.worker import WORKFLOWS

SECRET = "Aino Esimerkki, 010594Y9032, aino@koti.example"


def new_keyset() -> tink.KeysetHandle:
    return tink.new_keyset_handle(TEMPLATES[KeysetPurpose.PAYLOADS])


HERE = WorkflowSerializationContext("default", "registration/p1")


def in_workflow(keyset: tink.KeysetHandle) -> DataConverter:
    """What reads and writes the payloads of one workflow."""
    return data_converter(keyset).with_context(HERE)


@pytest.fixture(scope="module")
def converter() -> DataConverter:
    return in_workflow(new_keyset())


async def encoded(converter: DataConverter, value: object) -> Payload:
    return (await converter.encode([value]))[0]


# Keysets, as an operator edits them


def _opened(keyset: tink.KeysetHandle) -> dict[str, Any]:
    text = json_proto_keyset_format.serialize(keyset, secret_key_access.TOKEN)
    opened: dict[str, Any] = json.loads(text)
    return opened


def _closed(keyset: dict[str, Any]) -> tink.KeysetHandle:
    return json_proto_keyset_format.parse(json.dumps(keyset), secret_key_access.TOKEN)


def rotated(keyset: tink.KeysetHandle, new: tink.KeysetHandle) -> tink.KeysetHandle:
    """The keyset with another key in it, which is the primary one now."""
    keys = _opened(keyset)["key"] + _opened(new)["key"]
    return _closed({"primaryKeyId": _opened(new)["primaryKeyId"], "key": keys})


def key_id(payload: Payload) -> int:
    """The ID of the key a payload is encrypted under."""
    return int.from_bytes(payload.data[1:5], "big")


# Messages


def filled(message: Message) -> Message:
    """A message with something in every field, also those of the messages in it."""
    fields: Any = message.DESCRIPTOR.fields
    for field in fields:
        value = _value(field)
        if isinstance(value, FieldMask):
            # Names of fields alone can be written as JSON.
            getattr(message, field.name).paths.append("additional_information")
        elif isinstance(value, Message):
            target = getattr(message, field.name)
            filled(target.add() if field.is_repeated else target)
        elif field.is_repeated:
            getattr(message, field.name).append(value)
        else:
            setattr(message, field.name, value)
    return message


def _value(field: Any) -> object:
    match field.type:
        case FieldDescriptor.TYPE_MESSAGE:
            return field.message_type._concrete_class()
        case FieldDescriptor.TYPE_STRING:
            return SECRET
        case FieldDescriptor.TYPE_ENUM:
            return field.enum_type.values[-1].number
        case FieldDescriptor.TYPE_BOOL:
            return True
        case _:
            return 7


def handlers() -> Iterator[tuple[str, list[type] | None, type | None]]:
    """Everything of ours that Temporal calls: its name, parameters and result."""
    for each in WORKFLOWS:
        definition = workflow._Definition.must_from_class(each)
        name = definition.name
        yield f"run {name}", definition.arg_types, definition.ret_type
        for update in definition.updates.values():
            yield f"update {name} {update.name}", update.arg_types, update.ret_type
        for signal in definition.signals.values():
            yield f"signal {name} {signal.name}", signal.arg_types, None
        for query in definition.queries.values():
            yield f"query {name} {query.name}", query.arg_types, query.ret_type
    for module in pkgutil.walk_packages(workflows.__path__, "workflows."):
        for _, kind in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            for _, member in inspect.getmembers(kind, inspect.isfunction):
                step = activity._Definition.from_callable(member)
                if step is not None:
                    yield f"activity {step.name}", step.arg_types, step.ret_type


def _not_none(parameter: Any) -> Any:
    """The type itself of a parameter that may be left out."""
    return next((kind for kind in get_args(parameter) if kind is not type(None)), parameter)


HANDLERS = {
    name: ([_not_none(parameter) for parameter in parameters or ()], result)
    for name, parameters, result in handlers()
}


def _parameters() -> list[type[Message]]:
    found = {
        parameter.__name__: parameter
        for parameters, _ in HANDLERS.values()
        for parameter in parameters
        if issubclass(parameter, Message)
    }
    return [found[name] for name in sorted(found)]


def _messages() -> list[type[Message]]:
    modules = (workflow_pb2, registration_pb2)
    names = [(module, name) for module in modules for name in module.DESCRIPTOR.message_types_by_name]
    return [getattr(module, name) for module, name in names]


def test_there_are_handlers_of_each_kind() -> None:
    kinds = {name.split(" ")[0] for name in HANDLERS}
    assert kinds >= {"run", "update", "signal", "activity"}
    assert {"save", "record_consent", "decline_consent", "withdraw"} <= {
        name.rpartition(" ")[2] for name in HANDLERS if name.startswith("update RegistrationWorkflow")
    }
    steps = {name.removeprefix("activity ") for name in HANDLERS if name.startswith("activity ")}
    assert {"create_registration", "gather_disclosure", "tell_what_is_due"} <= steps


@pytest.mark.parametrize("name", HANDLERS)
def test_each_handler_takes_a_message_and_answers_with_one_or_with_nothing(name: str) -> None:
    """No bare text, number or list: what a message holds is named, can grow, and is shown by the codec."""
    parameters, result = HANDLERS[name]
    # Activities are functions of a class here: what they are bound to does not count.
    assert len(parameters) <= 1
    for part in (*parameters, *([] if result in {None, type(None)} else [result])):
        assert isinstance(part, type)
        assert issubclass(part, Message)


@pytest.mark.parametrize("kind", _messages(), ids=lambda kind: kind.__name__)
async def test_each_message_is_encrypted_and_comes_back(
    converter: DataConverter, kind: type[Message]
) -> None:
    message = filled(kind())
    payload = await encoded(converter, message)
    assert dict(payload.metadata) == {
        "encoding": b"binary/encrypted",
        "liity-namespace": b"default",
        "liity-workflow-id": b"registration/p1",
    }
    assert SECRET.encode() not in payload.SerializeToString()
    assert kind.__name__.encode() not in payload.SerializeToString()
    assert await converter.decode([payload], [kind]) == [message]


@pytest.mark.parametrize(
    "value", [None, True, 7, 1.5, SECRET, "", [SECRET], {"name": SECRET}, [], {}, [[SECRET]]], ids=repr
)
async def test_whatever_is_not_marked_for_operators_is_encrypted(
    converter: DataConverter, value: object
) -> None:
    payload = await encoded(converter, value)
    assert payload.metadata["encoding"] == b"binary/encrypted"
    assert SECRET.encode() not in payload.SerializeToString()
    assert await converter.decode([payload]) == [value]


async def test_operators_read_summaries_and_details(converter: DataConverter) -> None:
    metadata = WorkflowMetadata(current_details="**Waits** for the guardian's consent")
    summary, details = await converter.encode([OperatorText("Begin the customership"), metadata])
    # Temporal's command shows a payload as text only if its metadata names nothing else.
    assert (dict(summary.metadata), summary.data) == (
        {"encoding": b"json/plain"},
        b'"Begin the customership"',
    )
    assert details.metadata["encoding"] == b"json/protobuf"
    assert b"guardian" in details.data


async def test_equal_messages_do_not_look_equal(converter: DataConverter) -> None:
    message = workflow_pb2.WithdrawRequest(request_id="1")
    first, second = await converter.encode([message, message])
    assert first.data != second.data


@pytest.mark.parametrize("kind", _parameters(), ids=lambda kind: kind.__name__)
async def test_plain_json_is_accepted_for_each_message(converter: DataConverter, kind: type[Message]) -> None:
    message = filled(kind())
    for text in (json_format.MessageToJson(message), "{}"):
        payload = Payload(metadata={"encoding": b"json/plain"}, data=text.encode())
        expected = message if text != "{}" else kind()
        assert await converter.decode([payload], [kind]) == [expected]


# Failures


def _raise(error: Exception) -> Exception:
    """An error with a traceback and a cause."""
    try:
        try:
            raise LookupError(f"cause: {SECRET}")
        except LookupError as cause:
            raise error from cause
    except Exception as raised:  # noqa: BLE001 - whatever the test gives
        return raised


@pytest.mark.parametrize(
    "error", [ValueError(f"wrong: {SECRET}"), ApplicationError(f"wrong: {SECRET}", type="REASON")]
)
async def test_messages_and_stack_traces_of_failures_are_encrypted(
    converter: DataConverter, error: Exception
) -> None:
    failure = Failure()
    await converter.encode_failure(_raise(error), failure)
    seen = failure.SerializeToString()
    assert SECRET.encode() not in seen
    assert b"test_payload_codec" not in seen
    for part in (failure, failure.cause):
        assert (part.message, part.stack_trace) == ("Encoded failure", "")
        assert part.encoded_attributes.metadata["encoding"] == b"binary/encrypted"
    told = await converter.decode_failure(failure)
    assert SECRET in str(told)
    assert SECRET in str(told.__cause__)


# Rotation


async def test_after_a_rotation_old_payloads_are_read_and_new_ones_carry_the_new_key() -> None:
    old, new = new_keyset(), new_keyset()
    message = filled(workflow_pb2.SaveRequest())
    old_payload = await encoded(in_workflow(old), message)
    both = in_workflow(rotated(old, new))
    new_payload = await encoded(both, message)
    assert key_id(old_payload) == _opened(old)["primaryKeyId"]
    assert key_id(new_payload) == _opened(new)["primaryKeyId"] != key_id(old_payload)
    kinds: list[type] = [workflow_pb2.SaveRequest, workflow_pb2.SaveRequest]
    assert await both.decode([old_payload, new_payload], kinds) == [message, message]


async def test_a_key_made_known_before_it_is_active_reads_what_others_write_with_it() -> None:
    """Processes are restarted one after another: each must read what the next one writes."""
    old, new = new_keyset(), new_keyset()
    active = rotated(old, new)
    prepared = _closed(_opened(active) | {"primaryKeyId": _opened(old)["primaryKeyId"]})
    payload = await encoded(in_workflow(active), [SECRET])
    assert await in_workflow(prepared).decode([payload]) == [[SECRET]]
    assert key_id(await encoded(in_workflow(prepared), [SECRET])) == _opened(old)["primaryKeyId"]


async def test_without_its_key_a_payload_says_which_key_it_needs() -> None:
    old, new = new_keyset(), new_keyset()
    payload = await encoded(in_workflow(old), [SECRET])
    with pytest.raises(tink.TinkError, match=f"under key {key_id(payload)}"):
        await in_workflow(new).decode([payload])


async def test_a_damaged_payload_is_not_taken_for_another() -> None:
    keyset = new_keyset()
    payload = await encoded(in_workflow(keyset), [SECRET])
    payload.data = payload.data[:-1] + bytes([payload.data[-1] ^ 1])
    with pytest.raises(PayloadError, match="damaged"):
        await data_converter(keyset).decode([payload])
    payload.data = b""
    with pytest.raises(tink.TinkError, match="damaged"):
        await data_converter(keyset).decode([payload])


# Histories that were decrypted to be committed


async def test_the_plain_converter_reads_what_was_decrypted(converter: DataConverter) -> None:
    message = filled(workflow_pb2.SaveRequest())
    assert converter.payload_codec is not None
    (plain,) = await converter.payload_codec.decode([await encoded(converter, message)])
    assert plain.metadata["messageType"] == message.DESCRIPTOR.full_name.encode()
    assert await PLAIN_DATA_CONVERTER.decode([plain], [workflow_pb2.SaveRequest]) == [message]
