"""The question about a guardian's address that is the registrar's own or many families' (R40)."""

from frontends.refusals import Refusal
from frontends.web.pages import Visit
from liity.v1.reason_pb2 import REASON_GUARDIAN_EMAIL_IS_REGISTRARS, REASON_GUARDIAN_EMAIL_OF_MANY

CONFIRMED = "guardian_email_confirmed"
"""The tick by which the address is confirmed."""

REASONS = frozenset({REASON_GUARDIAN_EMAIL_IS_REGISTRARS, REASON_GUARDIAN_EMAIL_OF_MANY})


def asks_guardian(refusal: Refusal) -> bool:
    """Whether a refusal asks the registrar to confirm the address."""
    return any(reason in REASONS for _, reason, _ in refusal.violations)


def is_confirmed(visit: Visit) -> bool:
    """Whether the registrar has confirmed the address."""
    return visit.typed.get(CONFIRMED, "") == "yes"
