"""Parses dates and moments of a request; refuses invalid ones."""

from datetime import UTC, date, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from google.type.date_pb2 import Date

from liity.v1.reason_pb2 import REASON_DATE_IN_FUTURE, REASON_INVALID_DATE, REASON_INVALID_FORMAT
from services.runtime.clock import from_proto_date, helsinki_moment
from services.runtime.rpc.errors import FieldViolation, invalid


def calendar_day(day: Date, field: str) -> date:
    """A calendar day. INVALID_ARGUMENT (INVALID_DATE) if there is no such day."""
    try:
        return from_proto_date(day)
    except ValueError:
        raise invalid([FieldViolation(field, REASON_INVALID_DATE)]) from None


def begin_of_day(day: Date, field: str) -> datetime:
    """When a day begins in Helsinki. INVALID_ARGUMENT (INVALID_DATE) if there is no such day."""
    try:
        return helsinki_moment(from_proto_date(day))
    except (ValueError, OverflowError):
        raise invalid([FieldViolation(field, REASON_INVALID_DATE)]) from None


def birth_date(day: Date, today: date) -> date:
    """A date of birth. INVALID_ARGUMENT if it is no day, or in the future."""
    born = calendar_day(day, "birth_date")
    if born > today:
        raise invalid([FieldViolation("birth_date", REASON_DATE_IN_FUTURE)])
    return born


def moment(timestamp: Timestamp, field: str) -> datetime:
    """A moment. INVALID_ARGUMENT (INVALID_FORMAT) if it is outside a timestamp's range."""
    try:
        return timestamp.ToDatetime(UTC)
    except ValueError:
        raise invalid([FieldViolation(field, REASON_INVALID_FORMAT)]) from None
