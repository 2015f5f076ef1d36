"""A refusal as the answer of a workflow: what a service says no to is told to the caller as it said it."""

import grpc

from liity.workflows.v1.refused_pb2 import Refused, WrongField
from services.runtime.rpc.errors import FieldViolation, Refusal

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def to_refused(refusal: Refusal) -> Refused:
    """The refusal as a message."""
    return Refused(
        code=refusal.code.value[0],
        reason=refusal.reason,
        fields=[WrongField(field=field, reason=reason) for field, reason in refusal.violations],
    )


def to_refusal(refused: Refused) -> Refusal:
    """The refusal in a message."""
    violations = [FieldViolation(wrong.field, wrong.reason) for wrong in refused.fields]
    return Refusal(_CODES[refused.code], refused.reason, violations=violations)
