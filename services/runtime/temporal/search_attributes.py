"""Search attributes of runs in Temporal UI. Opaque IDs and stages only: no personal data.

For example `LiityStage = "WAITING_FOR_CONSENT" AND LiityDeadline < "2026-12-24T00:00:00Z"`.
"""

from datetime import datetime

from temporalio.common import SearchAttributeKey

from liity.v1.customer_form_pb2 import CustomerKind
from liity.v1.registration_pb2 import Stage

STAGE: SearchAttributeKey[str] = SearchAttributeKey.for_keyword("LiityStage")
UNIT: SearchAttributeKey[str] = SearchAttributeKey.for_keyword("LiityUnit")
KIND: SearchAttributeKey[str] = SearchAttributeKey.for_keyword("LiityKind")
REGISTRATION: SearchAttributeKey[str] = SearchAttributeKey.for_keyword("LiityRegistration")
DEADLINE: SearchAttributeKey[datetime] = SearchAttributeKey.for_datetime("LiityDeadline")

SEARCH_ATTRIBUTES = (STAGE, UNIT, KIND, REGISTRATION, DEADLINE)
"""All of them; the server must know them before the worker starts."""


def stage_name(stage: Stage.ValueType) -> str:
    """The value of `STAGE` for a stage: its name without the enum's prefix."""
    return Stage.Name(stage).removeprefix("STAGE_")


def kind_name(kind: CustomerKind.ValueType) -> str:
    """The value of `KIND` for a kind of customer."""
    return CustomerKind.Name(kind).removeprefix("CUSTOMER_KIND_")
