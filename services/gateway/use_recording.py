"""Records in the log of use whose data a caller has seen (R36)."""

import re
from collections.abc import Iterator

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from liity.registration.v1.use_log_service_pb2 import RecordUseRequest
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceStub
from services.runtime.rpc.context import RequestContext
from services.runtime.rpc.peer import Peer

_SUBJECT = re.compile(r"units/[a-z0-9]{1,32}/(?:registrations|customers|registrars)/([a-z0-9]{1,32})")


class UseRecorder:
    """Asks the registration service to store an entry before the answer goes out."""

    def __init__(self, registration: Peer) -> None:
        self._registration = registration
        self._uses = UseLogServiceStub(registration.channel)

    async def record(
        self, action: str, request: RequestContext, response: Message | None, outcome: str
    ) -> None:
        """Records one entry, about the subjects named by the answer and by its handler."""
        named = set() if response is None else set(_subjects_in(response))
        use = RecordUseRequest(action=action, subject_ids=sorted(request.subjects | named), outcome=outcome)
        await self._registration.call(self._uses.RecordUse, use)


def _subjects_in(message: Message) -> Iterator[str]:
    """The IDs of all registrations, customers and registrars whose resource names are in a message."""
    for field, value in message.ListFields():
        for item in value if field.is_repeated else (value,):
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                yield from _subjects_in(item)
            elif isinstance(item, str) and (match := _SUBJECT.fullmatch(item)):
                yield match[1]
