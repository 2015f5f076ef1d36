"""A client of Temporal whose first connection is cut."""

import grpc
import pytest

from liity.v1.reason_pb2 import REASON_NOT_WAITING
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal import updates

_CUT = "Failed client connect: `get_system_info` call error after connection"


async def test_an_update_is_sent_again_once_the_client_connects() -> None:
    left = [RuntimeError(_CUT), RuntimeError(_CUT)]

    async def send() -> str:
        if left:
            raise left.pop()
        return "answer"

    assert await updates.patiently(send, REASON_NOT_WAITING) == "answer"


async def test_a_client_that_never_connects_is_told_as_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(updates, "_PATIENCE", 0.3)

    async def send() -> str:
        raise RuntimeError(_CUT)

    with pytest.raises(Refusal) as refusal:
        await updates.patiently(send, REASON_NOT_WAITING)
    assert refusal.value.code is grpc.StatusCode.UNAVAILABLE
