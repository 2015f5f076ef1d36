"""Protobuf as bytes on the wire, written by hand: what no message class would let one write."""

from google.protobuf.descriptor import FieldDescriptor

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)

MAX_FIELD_NUMBER = 2**29 - 1

_FIXED64_TYPES = {FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FIXED64, FieldDescriptor.TYPE_SFIXED64}
_FIXED32_TYPES = {FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_FIXED32, FieldDescriptor.TYPE_SFIXED32}
_LENGTH_TYPES = {FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_MESSAGE}


def wire_type(field: FieldDescriptor) -> int:
    """The wire type of one value of a field."""
    if field.type in _FIXED64_TYPES:
        return FIXED64
    if field.type in _FIXED32_TYPES:
        return FIXED32
    return LENGTH if field.type in _LENGTH_TYPES else VARINT


def varint(number: int) -> bytes:
    """A number of up to 64 bits, negative ones as their two's complement."""
    number &= 2**64 - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def tag(number: int, kind: int) -> bytes:
    """What a field begins with."""
    return varint(number << 3 | kind)


def length_delimited(number: int, content: bytes) -> bytes:
    """A string, bytes or message."""
    return tag(number, LENGTH) + varint(len(content)) + content


def nested_groups(depth: int) -> bytes:
    """Groups within groups, of a field nobody knows."""
    return tag(1000, START_GROUP) * depth + tag(1000, END_GROUP) * depth
