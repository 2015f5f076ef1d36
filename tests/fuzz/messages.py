"""Hypothesis strategies that make an RPC's requests from its descriptor, as bytes on the wire.

Four kinds, from far off to nearly right: bytes that are nothing, messages of nasty values, messages that keep
the contract's rules but for a field or two, and mutations of those.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.fuzz.wire import (
    FIXED32,
    FIXED64,
    LENGTH,
    MAX_FIELD_NUMBER,
    START_GROUP,
    VARINT,
    length_delimited,
    nested_groups,
    tag,
    varint,
    wire_type,
)

Known = Mapping[str, Sequence[str]]
"""Values that mean something to the running system, by the names of fields that hold such ones."""

NASTY_TEXTS: tuple[bytes, ...] = (
    b"",
    b"\0",
    b"\0" * 40,
    b"a\0b",
    b" ",
    b"\t\r\n",
    b"x\r\nBcc: thief@posti.example\r\n\r\nx",
    "\u202egnirts\u202c".encode(),
    "\u2028\u2029\x85".encode(),
    ("e" + "\u0301" * 60).encode(),
    "👩‍👩‍👧‍👦🏳️‍🌈".encode(),
    "İıſßΣς".encode(),
    "\ufeff\ufffe\uffff".encode(),
    "ﷺ".encode() * 100,
    b"' OR 1=1; DROP TABLE registrations; --",
    b"{{ 7 * 7 }}{% include '/etc/passwd' %}${7*7}",
    b"<script>alert(1)</script>",
    b"../../../../etc/passwd",
    b"%00%0d%0a",
    b"units/../registrations/..",
    b"units/" + b"a" * 32 + b"/registrations/" + b"0" * 32,
    b"NaN",
    b"-1",
    b"1e400",
    b"9" * 400,
    b"a" * 2000,
    "ä".encode() * 1001,
    b"a@" + b"b." * 200 + b"example",
    b"00000000-0000-0000-0000-000000000000",
    b"22222222222",
    b"010594Y9032",
)

NO_TEXTS: tuple[bytes, ...] = (
    b"\xff\xfe",
    b"\xed\xa0\x80",  # half of a surrogate pair
    b"\xf4\x90\x80\x80",  # beyond the last code point
    b"\xc0\x80",  # NUL in too many bytes
)
"""What is no UTF-8."""

_INTEGERS = st.sampled_from(
    [
        0,
        1,
        -1,
        2,
        127,
        128,
        255,
        256,
        999,
        2**15,
        2**31 - 1,
        2**31,
        -(2**31),
        2**32,
        2**63 - 1,
        -(2**63),
        2**64 - 1,
    ]
) | st.integers(-(2**63), 2**64 - 1)
_FLOATS = st.floats(width=64)
_TEXTS = (
    st.sampled_from(NASTY_TEXTS)
    | st.text(max_size=60).map(str.encode)
    | st.characters(codec="utf-8").map(lambda sign: sign.encode() * 150)
)
_BINARY = st.binary(max_size=300)

_DEPTH = 4
"""Levels of messages within messages that are filled in."""

_WORTH_REPEATING = 200
"""Bytes of a field up to which it is written again and again."""

_DEEP = 400
"""Levels of nesting where a message may hold itself: more than any parser allows."""

_RULES: Any = validate_pb2.field


@dataclass(frozen=True)
class Requests:
    """What an RPC is sent."""

    kind: str
    bodies: list[bytes]


def requests(
    message: Descriptor, known: Known, seeds: Sequence[bytes], number: int, chosen_seed: int
) -> list[Requests]:
    """So many bodies of each kind for a request message; the same ones for the same seed.

    `seeds` are valid requests, if there are any, to be mutated besides those that are made.
    """
    right = valid(message, known)
    kinds: dict[str, SearchStrategy[bytes]] = {
        "bytes": st.one_of(_BINARY, st.integers(1, 12_000).map(nested_groups)),
        "nasty": nasty(message),
        "valid": right,
        "nearly": spoiled(message, known),
        "mutated": mutated(st.one_of(right, st.sampled_from(seeds)) if seeds else right),
    }
    return [Requests(kind, draw(strategy, number, chosen_seed)) for kind, strategy in kinds.items()]


def draw(strategy: SearchStrategy[bytes], number: int, chosen_seed: int) -> list[bytes]:
    """Up to so many different examples of a strategy: fewer if there are no more."""
    found: dict[bytes, None] = {}

    @seed(chosen_seed)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def keep(example: bytes) -> None:
        found[example] = None

    keep()
    return list(found)


@st.composite
def nasty(draw: DrawFn, message: Descriptor, depth: int = 0) -> bytes:
    """Each field left out, given something nasty, or given again and again; unknown fields among them.

    One in four is broken besides: it holds what no parser takes.
    """
    broken = draw(st.integers(0, 3)) == 0
    return draw(_nasty(message, depth, broken))


@st.composite
def _nasty(draw: DrawFn, message: Descriptor, depth: int, broken: bool) -> bytes:
    parts = []
    for field in message.fields:
        times = draw(st.sampled_from((0, 1, 1, 1, 2, 300 if depth == 0 else 3)))
        if not times:
            continue
        one = draw(_nasty_value(field, depth, broken))
        parts += [one] * (times if len(one) < _WORTH_REPEATING else 1)
    if draw(st.booleans()):
        parts.append(draw(_BROKEN_FIELD if broken else _UNKNOWN_FIELD))
    return b"".join(draw(st.permutations(parts)))


@st.composite
def valid(draw: DrawFn, message: Descriptor, known: Known) -> bytes:
    """A message that keeps the contract's rules, as far as its fields' own go."""
    return b"".join(part for _, part in draw(_valid_parts(message, known)))


@st.composite
def spoiled(draw: DrawFn, message: Descriptor, known: Known) -> bytes:
    """A message that keeps the rules but for one field or two."""
    parts = [part for _, part in draw(_valid_parts(message, known))]
    if not message.fields:
        return draw(_UNKNOWN_FIELD)
    for field in draw(st.lists(st.sampled_from(list(message.fields)), min_size=1, max_size=2)):
        # The last one on the wire is the one that counts; a message within is merged.
        parts.append(draw(_nasty_value(field, 1, broken=False)))  # noqa: PERF401 - a draw each
    return b"".join(parts)


@st.composite
def mutated(draw: DrawFn, originals: SearchStrategy[bytes]) -> bytes:
    """Bits flipped, parts cut off, doubled or swapped, two messages spliced."""
    body = bytearray(draw(originals))
    for _ in range(draw(st.sampled_from((1, 1, 2, 3)))):
        place = draw(st.integers(0, max(len(body) - 1, 0)))
        end = min(place + draw(st.integers(1, 16)), len(body))
        match draw(st.sampled_from(("flip", "set", "truncate", "remove", "double", "splice", "insert"))):
            case "flip" if body:
                body[place] ^= 1 << draw(st.integers(0, 7))
            case "set" if body:
                body[place] = draw(st.sampled_from((0, 1, 0x7F, 0x80, 0xFF)))
            case "truncate":
                del body[place:]
            case "remove":
                del body[place:end]
            case "double":
                body[place:place] = body[place:end] * draw(st.sampled_from((1, 2, 200)))
            case "splice":
                other = draw(originals)
                body[place:] = other[draw(st.integers(0, len(other))) :]
            case _:
                body[place:place] = draw(st.binary(min_size=1, max_size=8))
    return bytes(body)


_UNKNOWN_FIELD: SearchStrategy[bytes] = st.one_of(
    st.builds(length_delimited, st.integers(1, MAX_FIELD_NUMBER), _BINARY),
    st.builds(
        lambda number, value: tag(number, VARINT) + varint(value), st.integers(1, 2**29 - 1), _INTEGERS
    ),
    st.integers(1, 90).map(nested_groups),
)
_BROKEN_FIELD: SearchStrategy[bytes] = st.one_of(
    st.integers(1, 2**20).map(lambda number: tag(number, START_GROUP)),
    st.builds(tag, st.integers(0, 50), st.integers(6, 7)),
    st.just(tag(0, VARINT) + b"\0"),
    st.just(b"\xff" * 11),
)


def _nasty_value(field: FieldDescriptor, depth: int, broken: bool) -> SearchStrategy[bytes]:
    """One occurrence of a field: something nasty of its type; in a broken message, of another one's too."""
    number = field.number
    kinds: list[SearchStrategy[bytes]]
    match field.type:
        case FieldDescriptor.TYPE_MESSAGE:
            inner = message_of(field)
            if depth > _DEPTH:
                return st.just(length_delimited(number, b""))
            kinds = [
                st.deferred(lambda: _nasty(inner, depth + 1, broken)).map(partial(length_delimited, number))
            ]
            if (way := _way_back(inner)) is not None:
                kinds.append(st.integers(20, _DEEP).map(lambda levels: _nest(number, way, levels)))
        case FieldDescriptor.TYPE_STRING:
            texts = st.one_of(_TEXTS, st.sampled_from(NO_TEXTS)) if broken else _TEXTS
            kinds = [texts.map(partial(length_delimited, number))]
        case FieldDescriptor.TYPE_BYTES:
            kinds = [_BINARY.map(partial(length_delimited, number))]
        case _:
            kinds = [_NUMBERS[wire_type(field)].map(lambda value: tag(number, wire_type(field)) + value)]
    if broken:
        kinds.append(
            st.builds(lambda kind, rest: tag(number, kind) + rest, _WIRE_TYPES, st.binary(max_size=12))
        )
    return st.one_of(*kinds)


_WIRE_TYPES = st.sampled_from([VARINT, FIXED64, LENGTH, START_GROUP, FIXED32])
_NUMBERS: dict[int, SearchStrategy[bytes]] = {
    VARINT: _INTEGERS.map(varint) | st.just(b"\xff" * 9 + b"\x7f"),
    FIXED64: _FLOATS.map(lambda value: struct.pack("<d", value)) | st.binary(min_size=8, max_size=8),
    FIXED32: st.binary(min_size=4, max_size=4),
}


def message_of(field: FieldDescriptor) -> Descriptor:
    """What a field of a message type holds."""
    return cast(Descriptor, field.message_type)


def _way_back(message: Descriptor) -> tuple[int, ...] | None:
    """The numbers of the fields that lead from a message to another of its own kind, if any do."""
    ways: list[tuple[Descriptor, tuple[int, ...]]] = [(message, ())]
    seen = set()
    while ways:
        at, way = ways.pop(0)
        for field in at.fields:
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                inner = message_of(field)
                if inner.full_name == message.full_name:
                    return (*way, field.number)
                if inner.full_name not in seen:
                    seen.add(inner.full_name)
                    ways.append((inner, (*way, field.number)))
    return None


def _nest(number: int, way: tuple[int, ...], levels: int) -> bytes:
    body = b""
    for _ in range(levels):
        for step in reversed(way):
            body = length_delimited(step, body)
    return length_delimited(number, body)


@st.composite
def _valid_parts(draw: DrawFn, message: Descriptor, known: Known, depth: int = 0) -> list[tuple[str, bytes]]:
    """The fields of a message that keeps the rules, by name: required ones, and some of the others."""
    chosen = {oneof.name: draw(st.sampled_from(list(oneof.fields))).name for oneof in message.oneofs}
    parts = []
    for field in message.fields:
        rules = field.GetOptions().Extensions[_RULES]
        oneof = field.containing_oneof
        if oneof is not None and chosen[oneof.name] != field.name:
            continue
        required = rules.required or rules.HasField("string") or (oneof is not None)
        if not required and draw(st.booleans()):
            continue
        times = draw(st.integers(1, 3)) if field.is_repeated else 1
        for _ in range(times):
            value = draw(_valid_value(field, known, depth))
            if value is not None:
                parts.append((field.name, value))
    return parts


def _valid_value(field: FieldDescriptor, known: Known, depth: int) -> SearchStrategy[bytes | None]:
    number, kind = field.number, wire_type(field)
    rules = field.GetOptions().Extensions[_RULES]
    if field.is_repeated:
        rules = rules.repeated.items
    match field.type:
        case FieldDescriptor.TYPE_MESSAGE:
            return _valid_message(message_of(field), known, depth).map(
                lambda body: None if body is None else length_delimited(number, body)
            )
        case FieldDescriptor.TYPE_STRING:
            texts = _valid_text(field.name, rules.string, known)
            return texts.map(lambda text: length_delimited(number, text.encode()))
        case FieldDescriptor.TYPE_BYTES:
            return st.binary(max_size=20).map(partial(length_delimited, number))
        case FieldDescriptor.TYPE_ENUM:
            enum = cast(EnumDescriptor, field.enum_type)
            members = [value.number for value in enum.values if value.number]
            numbers: SearchStrategy[int] = st.sampled_from(members or [0])
        case FieldDescriptor.TYPE_BOOL:
            numbers = st.integers(0, 1)
        case _ if kind == VARINT:
            numbers = st.integers(0, 100)
        case _:
            return _NUMBERS[kind].map(lambda value: tag(number, kind) + value)
    return numbers.map(lambda value: tag(number, VARINT) + varint(value))


def _valid_message(message: Descriptor, known: Known, depth: int) -> SearchStrategy[bytes | None]:
    if depth > _DEPTH:
        return st.none()
    if message.full_name == "google.protobuf.Timestamp":
        return st.integers(1_500_000_000, 2_500_000_000).map(lambda seconds: tag(1, VARINT) + varint(seconds))
    if message.full_name == "google.type.Date":
        return st.dates().map(lambda day: _date(day.year, day.month, day.day))
    return _valid_parts(message, known, depth + 1).map(lambda parts: b"".join(part for _, part in parts))


def _valid_text(name: str, rules: Any, known: Known) -> SearchStrategy[str]:
    """A text that keeps the rules: where it can be, one that means something to the system."""
    kinds: list[SearchStrategy[str]] = []
    if values := known.get(name):
        kinds += [st.sampled_from(values)] * 3
    if rules.uuid or name == "request_id":
        kinds.append(st.uuids(version=4).map(str))
    elif rules.pattern:
        kinds.append(st.from_regex(rules.pattern, fullmatch=True))
    elif rules.email or name.endswith("email"):
        kinds.append(st.uuids().map(lambda some: f"{some.hex}@posti.example"))
    else:
        longest = min(rules.max_len or 100, 200)
        shortest = min(rules.min_len, longest)
        kinds.append(st.text(min_size=shortest, max_size=longest))
        kinds.append(st.just("Äiti Ö"[:longest].ljust(shortest, "x")))
    return st.one_of(*kinds)


def _date(year: int, month: int, day: int) -> bytes:
    return b"".join(tag(at, VARINT) + varint(value) for at, value in ((1, year), (2, month), (3, day)))
