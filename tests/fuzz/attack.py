"""Calls an RPC with whatever was made up, and judges the answer."""

import base64
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from liity.v1.actor_pb2 import Actor
from liity.v1.reason_pb2 import Reason
from services.runtime.rpc.errors import DOMAIN
from services.runtime.rpc.peer import ACTOR_METADATA
from tests.fuzz.target import Rpc, Target

Metadata = Sequence[tuple[str, str | bytes]]

LARGEST_TAKEN = 1024 * 1024
"""Bytes of a message beyond which gRPC itself refuses, before any code of ours."""

LARGEST_METADATA = 8 * 1024
"""Bytes of metadata beyond which gRPC itself may refuse: it does so for certain at twice as many."""

GRPCS_OWN = 1024
"""Bytes of metadata, at most, that gRPC itself adds: path, authority, user agent and the like."""

TIMEOUT = 30.0
"""Seconds: whatever has no answer by then hangs."""

FAULTS = {
    "INTERNAL",
    "UNKNOWN",
    "UNIMPLEMENTED",
    "DATA_LOSS",
    "DEADLINE_EXCEEDED",
    "UNAVAILABLE",
    "CANCELLED",
}
"""What no input may be answered with while all parts are up."""


@dataclass(frozen=True)
class Attack:
    """One call. Its caller is told by name: tokens are made anew whenever it is sent."""

    path: str
    caller: str
    body: bytes
    metadata: Metadata = ()
    kind: str = ""

    def to_json(self) -> str:
        """In the form that `--replay` takes."""
        metadata = [
            [key, value if isinstance(value, str) else {"base64": base64.b64encode(value).decode()}]
            for key, value in self.metadata
        ]
        told = {
            "path": self.path,
            "caller": self.caller,
            "body": base64.b64encode(self.body).decode(),
            "metadata": metadata,
        }
        return json.dumps(told)

    @classmethod
    def from_json(cls, text: str) -> "Attack":
        """What `to_json` has written."""
        told = json.loads(text)
        return cls(
            path=told["path"],
            caller=told["caller"],
            body=base64.b64decode(told["body"]),
            metadata=[
                (key, value if isinstance(value, str) else base64.b64decode(value["base64"]))
                for key, value in told["metadata"]
            ],
        )


@dataclass
class Tally:
    """What became of the calls of one RPC."""

    calls: int = 0
    codes: Counter[str] = field(default_factory=Counter)


@dataclass
class Report:
    """What became of all of them."""

    rpcs: dict[str, Tally] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    """What went wrong, each with the attack in the form that can be replayed."""

    def count(self, path: str, code: str) -> None:
        """One call more."""
        tally = self.rpcs.setdefault(path, Tally())
        tally.calls += 1
        tally.codes[code] += 1

    def blame(self, problem: str, attack: Attack | None = None) -> None:
        """Something is wrong."""
        self.faults.append(problem if attack is None else f"{problem}\n  --replay '{attack.to_json()}'")


async def send(target: Target, rpc: Rpc, attack: Attack, report: Report) -> str:
    """Sends one attack; the code of its answer, which is judged and counted."""
    method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = target.channels[rpc.component].unary_unary(
        rpc.path
    )
    metadata = list(attack.metadata)
    if attack.caller:
        metadata.append(("authorization", f"Bearer {target.token(rpc, attack.caller)}"))
    try:
        await method(attack.body, metadata=metadata, timeout=TIMEOUT)
        code = "OK"
    except grpc.aio.AioRpcError as error:
        code = error.code().name
        problem = _problem(error, attack, metadata)
        if problem:
            report.blame(f"{rpc.path} ({attack.kind}): {problem}", attack)
    report.count(rpc.path, code)
    return code


def _problem(error: grpc.aio.AioRpcError, attack: Attack, metadata: Metadata) -> str:
    """What is wrong with a refusal; empty if nothing is."""
    code = error.code().name
    if code in FAULTS:
        return f"answered {code}: {error.details()}"
    info = error_details_pb2.ErrorInfo()
    try:
        status = rpc_status.from_call(error)  # type: ignore[arg-type] # it reads what both kinds of call have
    except (DecodeError, ValueError) as wrong:
        return f"its details cannot be read: {wrong}"
    told = status is not None and any(
        detail.Is(info.DESCRIPTOR) and detail.Unpack(info) for detail in status.details
    )
    if not told:
        # gRPC itself refuses what is too large, before any code of ours sees it.
        size = GRPCS_OWN + sum(len(key) + len(value) + 32 for key, value in metadata)
        by_grpc = code == "RESOURCE_EXHAUSTED" and (
            len(attack.body) > LARGEST_TAKEN or size > LARGEST_METADATA
        )
        return "" if by_grpc else f"answered {code} without ErrorInfo: {error.details()}"
    size = sum(len(key) + len(value) for key, value in error.trailing_metadata() or ())
    if size > LARGEST_METADATA:
        return f"answered {code} with {size} bytes of details: callers by default take no more than 8 KiB"
    if info.domain != DOMAIN or f"REASON_{info.reason}" not in Reason.keys():  # noqa: SIM118
        return f"answered {code} with the ErrorInfo {info}"
    return ""


def nasty_metadata(choice: random.Random, valid_token: str) -> Metadata:
    """What a caller may write beside a message: identities that are none, and whatever else is read of it."""
    kinds = (
        lambda: ("authorization", choice.choice(_BAD_AUTHORIZATIONS)),
        lambda: ("authorization", f"Bearer {_spoil(valid_token, choice)}"),
        lambda: ("authorization", f"Bearer {_unsigned(choice)}"),
        lambda: (ACTOR_METADATA, choice.randbytes(choice.choice((0, 1, 40, 400)))),
        lambda: (ACTOR_METADATA, _spoiled_actor(choice)),
        lambda: (
            "x-request-id",
            choice.choice(_BAD_TRACE_IDS),
        ),
        lambda: (
            "accept-language",
            choice.choice(_BAD_LANGUAGES),
        ),
        lambda: (f"x-{choice.randrange(10**6)}", "x" * choice.choice((0, 10, 3000))),
        lambda: (f"x-{choice.randrange(10**6)}-bin", choice.randbytes(choice.choice((0, 10, 3000)))),
        lambda: ("x-large", "x" * choice.choice((9_000, 20_000, 200_000))),
    )
    return [choice.choice(kinds)() for _ in range(choice.choice((1, 1, 2, 6, 40)))]


_BAD_TRACE_IDS = ("", " " * 40, "a" * 65, "a" * 3000, "../..", "{}", "-" * 64)
_BAD_LANGUAGES = ("", ",", ";;;", "x" * 3000, "fi;q=nan", "UNSPECIFIED", "en-\x7e", "*")
_BAD_AUTHORIZATIONS = (
    "",
    "Bearer",
    "Bearer ",
    "Bearer  x",
    "bearer null",
    "Basic QTpC",
    "Bearer ..",
    "Bearer ....",
    "Bearer " + "." * 3000,
    "Bearer e30.e30.",
    "Bearer " + "a" * 5000,
    "Bearer WzEsMl0.WzEsMl0.AA",  # lists where objects belong
    "Bearer bnVsbA.bnVsbA.AA",  # null
    "Bearer " + "W1tbW1tbW1tbW1tb" * 200 + ".e30.AA",  # deep
)


def _spoil(token: str, choice: random.Random) -> str:
    place = choice.randrange(max(len(token), 1))
    return token[:place] + choice.choice(("", "A", "_", ".", "=", "%00", token)) + token[place + 1 :]


def _unsigned(choice: random.Random) -> str:
    header = choice.choice(
        (
            {"alg": "none"},
            {"alg": "HS256", "kid": "gateway"},
            {"alg": "Ed25519", "kid": 1},
            {"alg": "Ed25519", "kid": ["worker"]},
            {"alg": "Ed25519", "kid": "worker", "crit": ["x"]},
            {"alg": "Ed25519", "kid": "worker", "b64": False, "crit": ["b64"]},
            {"alg": "Ed25519", "jku": "https://thief.example/keys"},
            {"alg": "Ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}},
            {"alg": "RSA-OAEP", "enc": "A128GCM", "zip": "DEF"},
            {"alg": ["Ed25519"]},
            {"alg": None},
            ["Ed25519"],
            10**400,
        )
    )
    claims: object = choice.choice(
        (
            {"iss": "worker", "aud": "identity", "exp": 2**70},
            {"iss": "liity", "aud": "liity", "exp": "never", "sub": {}},
            {"iss": ["liity"], "aud": {"liity": 1}, "exp": 1e400, "sub": None},
            [],
        )
    )
    parts = (json.dumps(part).encode() for part in (header, claims))
    encoded = [base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts]
    return ".".join((*encoded, base64.urlsafe_b64encode(choice.randbytes(64)).rstrip(b"=").decode()))


def _spoiled_actor(choice: random.Random) -> bytes:
    kind: Any = choice.choice((0, 1, 2, 3, 99, -1))
    actor = Actor(
        kind=kind,
        account_id=choice.choice(("", "a", "\0", "ä" * 500, "x\r\ny")),
        unit_id=choice.choice(("", "a", "\0", "u" * 3000)),
        trace_id=choice.choice(("", "t", "\0\n", "t" * 500)),
        request_id=choice.choice(("", "no uuid", "\0")),
        caller_address=choice.choice(("", "ipv4:1", "\0")),
    )
    body = bytearray(actor.SerializeToString())
    if body and choice.random() < 0.5:
        body[choice.randrange(len(body))] ^= 1 << choice.randrange(8)
    return bytes(body)
