"""Records that a person has got a personal identity code, which this service never sees (R24, R34)."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import RowMapping, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.customer_service_pb2 import RecordCodeChangeRequest
from liity.v1.customer_service_pb2 import (
    CODE_CHANGE_ATTACHED,
    CODE_CHANGE_CORRECTED,
    CODE_CHANGE_RENEWED,
    CodeChange,
)
from services.registration.audit.entries import use_row
from services.registration.db.models import customer_changes, customers
from services.registration.forms import proto_dates
from services.registration.registrations import queries
from services.runtime.clock import helsinki_day, now

ACTIONS: Mapping[CodeChange.ValueType, str] = {
    CODE_CHANGE_ATTACHED: "personal-identity-code:attach",
    CODE_CHANGE_CORRECTED: "personal-identity-code:correct",
    CODE_CHANGE_RENEWED: "personal-identity-code:renew",
}
"""The action in the log of use."""


async def record(
    connection: AsyncConnection, request: RecordCodeChangeRequest, customer: RowMapping
) -> dict[str, Any]:
    """Sets the birth date of the code, in the connection's transaction. Returns the changed columns."""
    moment = now()
    changed = {
        "birth_date": proto_dates.birth_date(request.birth_date, helsinki_day(moment)),
        "version": customer["version"] + 1,
        "updated_at": moment,
    }
    of_customer = customers.c.customer_id == request.customer_id
    await connection.execute(update(customers).where(of_customer).values(**changed))
    await connection.execute(
        insert(customer_changes).values(
            customer_id=request.customer_id,
            version=changed["version"],
            request_id=uuid.UUID(request.request_id),
            # No field of the form changed.
            paths=[],
            changed_at=moment,
            previous_email=None,
        )
    )
    use = use_row(ACTIONS[request.change], [request.customer_id, customer["person_id"]])
    await connection.execute(queries.INSERT_USE, use)
    return changed
