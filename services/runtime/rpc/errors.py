"""Refusals: errors with a reason, from the code that raises them to the client.

Code raises `Refusal`; the server's interceptor turns it into `google.rpc.Status` with `ErrorInfo`,
`BadRequest`, `RetryInfo` and `Help` (AIP-193); a client turns it back with `Refusal.from_rpc_error`.
"""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple, cast

import grpc
from google.protobuf import any_pb2, descriptor_pool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from liity.v1.customer_form_pb2 import LANGUAGE_FI, Language
from liity.v1.reason_pb2 import REASON_CHANGED_MEANWHILE, REASON_INTERNAL, REASON_UNAVAILABLE, Reason
from services.runtime.rpc.texts import reason_text

DOMAIN = "liity"
_PREFIX = "REASON_"
_GRPC_CODES = {code.value[0]: code for code in grpc.StatusCode}


class FieldViolation(NamedTuple):
    """One wrong field: its path as in `form.address.postcode`, and the reason."""

    field: str
    reason: Reason.ValueType


class Contact(NamedTuple):
    """How to reach customer service (R25)."""

    email: str
    url: str


_OF_THE_TRANSPORT = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        # How gRPC reports a stream that a dying server has reset.
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.CANCELLED,
    }
)
"""Codes that come without our details when no server has answered."""


class Refusal(Exception):
    """A call is refused for a reason on which the caller can act."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: Reason.ValueType,
        *,
        violations: Sequence[FieldViolation] = (),
        retry_after: timedelta | None = None,
        detail: Message | None = None,
        contact: Contact | None = None,
        told: str = "",
    ) -> None:
        self.code = code
        self.reason = reason
        self.violations = tuple(violations)
        self.retry_after = retry_after
        self.detail = detail
        self.contact = contact
        """Contact given in another service's answer, if any."""
        self.told = told
        """What is told instead of the reason's text, in the caller's language; empty if that is enough."""
        super().__init__(self.summary)

    @property
    def summary(self) -> str:
        """The code's name, reason and fields, for logs: no personal data."""
        fields = ", ".join(f"{field}: {reason_name(reason)}" for field, reason in self.violations)
        return f"{self.code.name} {reason_name(self.reason)}" + (f" ({fields})" if fields else "")

    def to_status(
        self, language: Language.ValueType = LANGUAGE_FI, contact: Contact | None = None
    ) -> status_pb2.Status:
        """Converts the error to its wire format, with texts in `language`."""
        details: list[
            error_details_pb2.ErrorInfo
            | error_details_pb2.BadRequest
            | error_details_pb2.RetryInfo
            | error_details_pb2.LocalizedMessage
            | error_details_pb2.Help
        ] = [error_details_pb2.ErrorInfo(reason=reason_name(self.reason), domain=DOMAIN)]
        locale = Language.Name(language).removeprefix("LANGUAGE_").lower()
        if self.violations:
            details.append(
                error_details_pb2.BadRequest(
                    field_violations=[
                        error_details_pb2.BadRequest.FieldViolation(
                            field=field,
                            reason=reason_name(reason),
                            description=reason_text(reason, language),
                        )
                        for field, reason in self.violations
                    ]
                )
            )
        if self.retry_after is not None:
            retry = error_details_pb2.RetryInfo()
            retry.retry_delay.FromTimedelta(self.retry_after)
            details.append(retry)
        message = self.told or reason_text(self.reason, language)
        details.append(error_details_pb2.LocalizedMessage(locale=locale, message=message))
        if contact is not None:
            details.append(
                error_details_pb2.Help(
                    links=[
                        error_details_pb2.Help.Link(description=contact.email, url=f"mailto:{contact.email}"),
                        error_details_pb2.Help.Link(description=contact.url, url=contact.url),
                    ]
                )
            )
        packed = []
        for detail in (*details, *((self.detail,) if self.detail is not None else ())):
            packed.append(any_pb2.Any())
            packed[-1].Pack(detail)
        return status_pb2.Status(code=self.code.value[0], message=message, details=packed)

    @classmethod
    def from_rpc_error(cls, error: grpc.aio.AioRpcError) -> "Refusal":
        """The refusal that another service answered with.

        UNAVAILABLE if the service is away or late, or died during the call; INTERNAL for any other answer
        without our details.
        """
        # `from_call` reads only what both kinds of call have: code, details and trailing metadata.
        status = rpc_status.from_call(cast(grpc.Call, error))
        if status is not None:
            refusal = cls._from_status(status)
            if refusal is not None:
                return refusal
        if error.code() in _OF_THE_TRANSPORT:
            return unavailable()
        return cls(grpc.StatusCode.INTERNAL, REASON_INTERNAL)

    @classmethod
    def _from_status(cls, status: status_pb2.Status) -> "Refusal | None":
        info = error_details_pb2.ErrorInfo()
        bad_request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        help_ = error_details_pb2.Help()
        own: Message | None = None
        for detail in status.details:
            for message in (info, bad_request, retry, help_):
                if detail.Is(message.DESCRIPTOR):
                    detail.Unpack(message)
            if detail.TypeName().startswith(f"{DOMAIN}."):
                own = _unpacked(detail)
        if info.domain != DOMAIN:
            return None
        found = [link.description for link in help_.links]
        return cls(
            _GRPC_CODES[status.code],
            reason_value(info.reason),
            violations=[
                FieldViolation(violation.field, reason_value(violation.reason))
                for violation in bad_request.field_violations
            ],
            retry_after=retry.retry_delay.ToTimedelta() if retry.HasField("retry_delay") else None,
            detail=own,
            contact=Contact(*found) if len(found) == len(Contact._fields) else None,
        )


def _unpacked(detail: any_pb2.Any) -> Message | None:
    """Unpacks a detail of ours; None if a newer release has added its type."""
    try:
        descriptor = descriptor_pool.Default().FindMessageTypeByName(detail.TypeName())
    except KeyError:
        return None
    message: Message = GetMessageClass(descriptor)()
    detail.Unpack(message)
    return message


def reason_name(reason: Reason.ValueType) -> str:
    """The stable code of a reason: its name without the enum's prefix."""
    return Reason.Name(reason).removeprefix(_PREFIX)


def reason_value(name: str) -> Reason.ValueType:
    """The reason of a stable code; INTERNAL for a code of a newer release."""
    return Reason.Value(_PREFIX + name) if _PREFIX + name in Reason.keys() else REASON_INTERNAL  # noqa: SIM118


def invalid(violations: Iterable[FieldViolation]) -> Refusal:
    """INVALID_ARGUMENT with every wrong field; the first one gives the overall reason.

    Each field and reason appears once, however many elements are wrong, to keep the answer small.
    """
    found = list(dict.fromkeys(violations))
    return Refusal(grpc.StatusCode.INVALID_ARGUMENT, found[0].reason, violations=found)


def not_found(reason: Reason.ValueType) -> Refusal:
    """NOT_FOUND."""
    return Refusal(grpc.StatusCode.NOT_FOUND, reason)


def failed_precondition(reason: Reason.ValueType, detail: Message | None = None) -> Refusal:
    """FAILED_PRECONDITION: not possible in the current state."""
    return Refusal(grpc.StatusCode.FAILED_PRECONDITION, reason, detail=detail)


def already_exists(reason: Reason.ValueType) -> Refusal:
    """ALREADY_EXISTS."""
    return Refusal(grpc.StatusCode.ALREADY_EXISTS, reason)


def changed_meanwhile(detail: Message) -> Refusal:
    """ABORTED: another call has changed the resource; `detail` is its current state."""
    return Refusal(grpc.StatusCode.ABORTED, REASON_CHANGED_MEANWHILE, detail=detail)


def unauthenticated(reason: Reason.ValueType) -> Refusal:
    """UNAUTHENTICATED."""
    return Refusal(grpc.StatusCode.UNAUTHENTICATED, reason)


def permission_denied(reason: Reason.ValueType) -> Refusal:
    """PERMISSION_DENIED."""
    return Refusal(grpc.StatusCode.PERMISSION_DENIED, reason)


def resource_exhausted(reason: Reason.ValueType, retry_after: timedelta | None = None) -> Refusal:
    """RESOURCE_EXHAUSTED, with the delay before a retry."""
    return Refusal(grpc.StatusCode.RESOURCE_EXHAUSTED, reason, retry_after=retry_after)


def unavailable(reason: Reason.ValueType = REASON_UNAVAILABLE) -> Refusal:
    """UNAVAILABLE: repeat the call with the same `request_id`."""
    return Refusal(grpc.StatusCode.UNAVAILABLE, reason, retry_after=timedelta(seconds=1))


def is_permanent(code: grpc.StatusCode) -> bool:
    """Whether repeating the same call can never help.

    UNAUTHENTICATED and PERMISSION_DENIED pass between services: a key is being exchanged, or a clock
    corrected.
    """
    return code.value[0] not in {
        code_pb2.UNAVAILABLE,
        code_pb2.DEADLINE_EXCEEDED,
        code_pb2.RESOURCE_EXHAUSTED,
        code_pb2.ABORTED,
        code_pb2.CANCELLED,
        code_pb2.INTERNAL,
        code_pb2.UNKNOWN,
        code_pb2.UNAUTHENTICATED,
        code_pb2.PERMISSION_DENIED,
    }
