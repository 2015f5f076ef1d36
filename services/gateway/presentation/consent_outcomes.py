"""What became of a consent request, in words."""

from datetime import UTC

from liity.v1.consent_service_pb2 import ConsentRequestState, GetConsentStatusResponse
from liity.v1.customer_form_pb2 import Language
from services.gateway.presentation.explanation_texts import Words

_GROUP = "consent_outcome"


def outcome_of(status: GetConsentStatusResponse, language: Language.ValueType) -> str:
    """Which answer was given, or how the request ended, and when; empty if that is not recorded."""
    words, name = Words(language), ConsentRequestState.Name(status.state)
    name = name.removeprefix("CONSENT_REQUEST_STATE_")
    if not words.knows(_GROUP, name):
        return ""
    return words.say(_GROUP, name, day=status.state_time.ToDatetime(UTC))
