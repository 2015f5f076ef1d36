"""A call that is repeated with its request ID is answered alike."""

from collections.abc import Iterator

from google.protobuf.message import Message

from liity.v1.customer_service_pb2 import (
    EndCustomershipResponse,
    TransferCustomerResponse,
    UndoRemovalResponse,
    UpdateCustomerResponse,
)
from liity.v1.message_service_pb2 import SendMessageResponse
from liity.v1.registration_service_pb2 import RegisterCustomerResponse
from tests.support.history.records import Act, Call, History, last_part, registrations_in


def judge(history: History) -> Iterator[str]:
    """Tells which repetitions were answered otherwise, or refused after an answer."""
    acts = history.acts()
    about: dict[str, list[Act]] = {}
    for act in acts:
        about.setdefault(act.about, []).append(act)
    for act in acts:
        answers = {alike(call.answer) for call in act.calls if call.answer is not None}
        if len(answers) > 1:
            yield f"repetitions were answered {len(answers)} ways: {act}"
        for call in act.calls:
            if call.refused and act.ended < call.began and not _others(act, call, about[act.about]):
                yield f"refused after it was acknowledged: {call}"


def _others(act: Act, refused: Call, acts: list[Act]) -> bool:
    """Whether another act about the person may explain that the repetition is refused."""
    return any(
        other is not act and other.may_have_happened and other.began <= refused.ended for other in acts
    )


def alike(answer: Message) -> tuple[object, ...]:
    """What must be the same in the answers to all repetitions: what else there is, may have gone on."""
    match answer:
        case RegisterCustomerResponse():
            registration = answer.registration
            return last_part(registration.name), registration.create_time.ToNanoseconds()
        case TransferCustomerResponse():
            return (last_part(answer.registration),)
        case UpdateCustomerResponse() | UndoRemovalResponse():
            return (last_part(answer.customer.name),)
        case EndCustomershipResponse():
            return answer.end_time.ToNanoseconds(), answer.erase_time.ToNanoseconds()
        case SendMessageResponse():
            return answer.message.name, answer.message.reference
        case _:
            return tuple(last_part(registration.name) for registration in registrations_in(answer))
