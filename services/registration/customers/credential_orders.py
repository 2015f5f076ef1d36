"""Checks and records an order to send credentials anew (R17)."""

import uuid
from collections.abc import Iterator

from sqlalchemy import RowMapping
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.customer_service_pb2 import OrderCredentialsRequest
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CUSTOMER_KIND_ONLINE,
    CustomerForm,
)
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE
from liity.v1.reason_pb2 import (
    REASON_CREDENTIALS_NOT_FOR_CD_BORROWER,
    REASON_CREDENTIALS_RECIPIENT_WITHOUT_EMAIL,
    REASON_CUSTOMER_HAS_ENDED,
)
from services.registration.audit.entries import use_row
from services.registration.db.models import use_entries
from services.registration.forms.normalise import from_json
from services.runtime.rpc.errors import FieldViolation, failed_precondition, invalid

_ACTION = "credentials:send"

_RECORD_ONCE = insert(use_entries).on_conflict_do_nothing(index_elements=[use_entries.c.use_id])


async def order(connection: AsyncConnection, request: OrderCredentialsRequest, customer: RowMapping) -> None:
    """Records the order in the log of use, once per request; raises if it cannot be carried out."""
    if customer["state"] != CUSTOMER_STATE_ACTIVE:
        raise failed_precondition(REASON_CUSTOMER_HAS_ENDED)
    errors = list(_errors(from_json(customer["profile"]), request))
    if errors:
        raise invalid(errors)
    use = use_row(_ACTION, [customer["customer_id"], customer["person_id"]])
    use["use_id"] = uuid.uuid5(uuid.UUID(request.request_id), f"{_ACTION} {customer['customer_id']}")
    await connection.execute(_RECORD_ONCE, use)


def _errors(form: CustomerForm, request: OrderCredentialsRequest) -> Iterator[FieldViolation]:
    if form.kind != CUSTOMER_KIND_ONLINE:
        yield FieldViolation("name", REASON_CREDENTIALS_NOT_FOR_CD_BORROWER)
        return
    addresses = {
        CREDENTIALS_RECIPIENT_CUSTOMER: form.email,
        CREDENTIALS_RECIPIENT_RELATED_PERSON: form.related_person.email,
    }
    if not addresses.get(request.recipient, "the registrar's own"):
        yield FieldViolation("recipient", REASON_CREDENTIALS_RECIPIENT_WITHOUT_EMAIL)
