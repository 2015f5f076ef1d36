"""Refusals: errors of the gateway as callers see them (AIP-193).

The gateway sends the texts in the caller's language. Only the texts of a missing answer are here.
"""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, TypeVar, cast

import grpc
from google.protobuf import any_pb2, descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from liity.v1.reason_pb2 import REASON_INTERNAL, REASON_UNAVAILABLE, Reason

DetailT = TypeVar("DetailT", bound=Message)

_DOMAIN, _PREFIX = "liity", "REASON_"
_CODES = {code.value[0]: code for code in grpc.StatusCode}

_NO_ANSWER = {
    "fi": "Palvelu ei vastaa juuri nyt. Yritä hetken kuluttua uudelleen: mitään ei ole kadonnut, eikä mikään"
    " tallennu kahteen kertaan.",
    "sv": "Tjänsten svarar inte just nu. Försök igen om en stund: ingenting har gått förlorat, och ingenting"
    " sparas två gånger.",
    "en": "The service is not responding right now. Try again in a moment: nothing was lost, and nothing is"
    " saved twice.",
}
_NOT_OURS = {
    "fi": "Vastaus ei tullut Liityltä.",
    "sv": "Svaret kom inte från Liity.",
    "en": "The answer did not come from Liity.",
}


_MINUTES_FROM = 120
"""Seconds from which a time is told in minutes."""


class FieldViolation(NamedTuple):
    """One wrong field: its path such as `form.address.postcode`, the reason, and the text for people."""

    field: str
    reason: Reason.ValueType
    text: str


_OF_THE_TRANSPORT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        # How gRPC reports a stream that a dying server has reset.
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.CANCELLED,
    }
)
"""Codes that come without Liity's details when no server has answered."""


class Refusal(Exception):
    """A call was refused.

    `reason` is the stable code; INTERNAL if this release does not know it. `text` is for people, in the
    caller's language. `contact` is the e-mail address and page of customer service (R25).
    """

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: Reason.ValueType,
        text: str,
        *,
        violations: Sequence[FieldViolation] = (),
        retry_after: timedelta | None = None,
        detail: Message | None = None,
        contact: Sequence[str] = (),
    ) -> None:
        self.code = code
        self.reason = reason
        self.text = text
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.detail = detail
        self.contact = tuple(contact)
        super().__init__(self.summary)

    @property
    def summary(self) -> str:
        """The code's name, reason and fields: no personal data."""
        fields = ", ".join(f"{field}: {reason_name(reason)}" for field, reason, _ in self.violations)
        return f"{self.code.name} {reason_name(self.reason)}" + (f" ({fields})" if fields else "")

    def lines(self) -> list[str]:
        """The lines to print: text and reason, each wrong field, when to retry, whom to contact."""
        only = self.violations[0] if len(self.violations) == 1 else None
        repeated = only is not None and only.text == self.text
        lines = [] if repeated else [f"{self.text} ({reason_name(self.reason)})"]
        lines += [f"  {field}: {text} ({reason_name(reason)})" for field, reason, text in self.violations]
        if self.retry_after is not None:
            lines.append(f"  Again in {_span(self.retry_after)}")
        if self.contact:
            lines.append(f"  Customer service: {', '.join(self.contact)}")
        return lines

    @classmethod
    def from_rpc_error(cls, error: grpc.aio.AioRpcError, language: str = "en") -> "Refusal":
        """The refusal in an error of gRPC.

        No answer in time is UNAVAILABLE; an answer without details of Liity is INTERNAL.
        """
        # It reads only what both kinds of call have: code, details and trailing metadata.
        status = rpc_status.from_call(cast(grpc.Call, error))
        if status is not None:
            refusal = cls.from_status(status)
            if refusal is not None:
                return refusal
        if error.code() in _OF_THE_TRANSPORT:
            return cls(
                grpc.StatusCode.UNAVAILABLE,
                REASON_UNAVAILABLE,
                _NO_ANSWER[language],
                retry_after=timedelta(seconds=1),
            )
        return cls(grpc.StatusCode.INTERNAL, REASON_INTERNAL, _NOT_OURS[language])

    @classmethod
    def from_status(cls, status: status_pb2.Status) -> "Refusal | None":
        """The refusal in a status; None if it is not from Liity."""
        details = {detail.TypeName(): detail for detail in status.details}
        info = _detail(details, error_details_pb2.ErrorInfo())
        if info.domain != _DOMAIN:
            return None
        retry = _detail(details, error_details_pb2.RetryInfo())
        return cls(
            _CODES[status.code],
            _reason(info.reason),
            status.message,
            violations=[
                FieldViolation(wrong.field, _reason(wrong.reason), wrong.description)
                for wrong in _detail(details, error_details_pb2.BadRequest()).field_violations
            ],
            retry_after=retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None,
            detail=next((_own(any_) for name, any_ in details.items() if name.startswith(_DOMAIN)), None),
            contact=[link.description for link in _detail(details, error_details_pb2.Help()).links],
        )


def _span(time: timedelta) -> str:
    seconds = math.ceil(time.total_seconds())
    return f"{seconds} s" if seconds < _MINUTES_FROM else f"{math.ceil(seconds / 60)} minutes"


def reason_name(reason: Reason.ValueType) -> str:
    """The stable code of a reason: its name without the enum's prefix."""
    return Reason.Name(reason).removeprefix(_PREFIX)


def _reason(name: str) -> Reason.ValueType:
    return Reason.Value(_PREFIX + name) if _PREFIX + name in Reason.keys() else REASON_INTERNAL  # noqa: SIM118


def _detail(details: Mapping[str, any_pb2.Any], message: DetailT) -> DetailT:
    """The detail of the message's type; the empty message if there is none."""
    if message.DESCRIPTOR.full_name in details:
        details[message.DESCRIPTOR.full_name].Unpack(message)
    return message


def _own(detail: any_pb2.Any) -> Message | None:
    """A detail of a type of Liity; None if this release does not know the type."""
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(detail.TypeName())
    except KeyError:
        return None
    message: Message = GetMessageClass(descriptor)()
    detail.Unpack(message)
    return message
