"""Extends a temporary customership (R21)."""

import uuid

from google.type.date_pb2 import Date
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.customer_service_pb2 import ExtendNeedRequest
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE
from liity.v1.reason_pb2 import (
    REASON_CUSTOMER_HAS_ENDED,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_DATE_NOT_IN_FUTURE,
    REASON_NEED_NOT_TEMPORARY,
    REASON_REQUEST_ID_REUSED,
)
from services.registration.audit.entries import use_row
from services.registration.db.models import customer_changes, customers
from services.registration.forms import proto_dates
from services.registration.forms.normalise import from_json, to_json
from services.registration.registrations import queries
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.rpc.errors import (
    FieldViolation,
    already_exists,
    failed_precondition,
    invalid,
    not_found,
)

_FIELD = "expected_end_date"

_BY_ID = customers.c.customer_id == bindparam("id")
_LOCK = select(customers).where(_BY_ID).with_for_update()
_MADE_BEFORE = select(customer_changes.c.customer_id).where(
    customer_changes.c.request_id == bindparam("request")
)
_CHANGE = (
    update(customers)
    .where(_BY_ID)
    .values(
        profile=bindparam("new_profile"),
        version=customers.c.version + 1,
        updated_at=bindparam("moment"),
    )
    .returning(customers.c.version)
)
_INSERT_CHANGE = insert(customer_changes)


async def extend(connection: AsyncConnection, request: ExtendNeedRequest) -> Date:
    """Sets and returns the new expected end, in the connection's transaction; errors as the contract's."""
    by_id = {"id": request.customer_id}
    row = (await connection.execute(_LOCK, by_id)).mappings().first()
    if row is None:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    request_id = uuid.UUID(request.request_id)
    made = await connection.scalar(_MADE_BEFORE, {"request": request_id})
    if made is not None:
        if made != request.customer_id:
            raise already_exists(REASON_REQUEST_ID_REUSED)
        return from_json(row["profile"]).expected_end_date
    if row["state"] != CUSTOMER_STATE_ACTIVE:
        raise failed_precondition(REASON_CUSTOMER_HAS_ENDED)
    form, moment = from_json(row["profile"]), now()
    if not form.temporary:
        raise failed_precondition(REASON_NEED_NOT_TEMPORARY)
    day = proto_dates.calendar_day(request.expected_end_date, _FIELD)
    if day <= helsinki_day(moment):
        raise invalid([FieldViolation(_FIELD, REASON_DATE_NOT_IN_FUTURE)])
    form.expected_end_date.CopyFrom(to_proto_date(day))
    change = {**by_id, "new_profile": to_json(form), "moment": moment}
    version = await connection.scalar(_CHANGE, change)
    await connection.execute(
        _INSERT_CHANGE,
        {
            "customer_id": request.customer_id,
            "version": version,
            "request_id": request_id,
            "paths": [_FIELD],
            "changed_at": moment,
            "previous_email": None,
        },
    )
    use = use_row("customership:extend", [request.customer_id, row["person_id"]])
    await connection.execute(queries.INSERT_USE, use)
    return form.expected_end_date
