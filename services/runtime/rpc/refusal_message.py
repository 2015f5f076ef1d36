"""Refusals in answers of workflows: carried as messages, so that callers get the service's own refusal."""

import grpc

from liity.workflows.v1.refused_pb2 import Refused, WrongField
from services.runtime.rpc.errors import FieldViolation, Refusal

_CODES = {code.value[0]: code for code in grpc.StatusCode}


def to_refused(refusal: Refusal) -> Refused:
    """Converts a refusal to a message."""
    return Refused(
        code=refusal.code.value[0],
        reason=refusal.reason,
        fields=[WrongField(field=field, reason=reason) for field, reason in refusal.violations],
    )


def to_refusal(refused: Refused) -> Refusal:
    """Converts a message to a refusal."""
    violations = [FieldViolation(wrong.field, wrong.reason) for wrong in refused.fields]
    return Refusal(_CODES[refused.code], refused.reason, violations=violations)
