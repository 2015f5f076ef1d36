"""A guardian's address that is asked about before the consent request goes there (R40)."""

from frontends.refusals import Refusal
from frontends.web.pages import Visit
from liity.v1.reason_pb2 import REASON_GUARDIAN_EMAIL_IS_REGISTRARS, REASON_GUARDIAN_EMAIL_OF_MANY

GUARDIAN_EMAIL_CONFIRMED = "guardian_email_confirmed"
"""The tick by which a guardian's address is confirmed."""

ASKED_OF_GUARDIAN = frozenset({REASON_GUARDIAN_EMAIL_IS_REGISTRARS, REASON_GUARDIAN_EMAIL_OF_MANY})
"""Questions about a guardian's address that the registrar may answer by confirming it (R40)."""


def asks_guardian(refusal: Refusal) -> bool:
    """Whether a refusal asks the registrar to confirm the guardian's address (R40)."""
    return any(reason in ASKED_OF_GUARDIAN for _, reason, _ in refusal.violations)


def is_guardian_confirmed(visit: Visit) -> bool:
    """Whether the registrar has confirmed the guardian's address."""
    return visit.typed.get(GUARDIAN_EMAIL_CONFIRMED, "") == "yes"
