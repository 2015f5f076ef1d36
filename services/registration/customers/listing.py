"""Pages of the customers of a unit, or of all, by name: each filter goes by an index."""

import base64
import binascii
import json
from collections.abc import Sequence
from datetime import date
from typing import Any

from google.type.date_pb2 import Date
from sqlalchemy import CTE, ColumnElement, Integer, RowMapping, Select, intersect, literal, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1 import customer_service_pb2 as pb
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    EMAIL_STATE_UNDELIVERABLE,
    CustomerSummary,
)
from liity.v1.reason_pb2 import REASON_INVALID_PAGE_TOKEN, REASON_NAME_TOO_SHORT
from services.registration.db.models import customer_names, customers, registrations, units
from services.registration.db.protected import is_protected
from services.registration.forms import name_keys, proto_dates
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import FieldViolation, invalid
from services.runtime.stages import STARTING

_PLACE = (customers.c.sort_key, customers.c.customer_id)

_SHORTEST_FOR_ALL = 3
"""Letters of a name by which all units are searched: fewer would find a good part of all customers."""

_TEMPORARY = customers.c.profile["temporary"].astext == literal("true", literal_execute=True)
_EXPECTED_END = customers.c.profile["expected_end_date"]


async def page(connection: AsyncConnection, request: pb.SearchCustomersRequest) -> pb.SearchCustomersResponse:
    """A page of customers. INVALID_ARGUMENT (INVALID_DATE, INVALID_PAGE_TOKEN, NAME_TOO_SHORT)."""
    keys = name_keys.query_keys(request.query)
    if not request.unit_id and max(map(len, keys), default=0) < _SHORTEST_FOR_ALL:
        raise invalid([FieldViolation("query", REASON_NAME_TOO_SHORT)])
    if request.query.strip() and not keys:
        return pb.SearchCustomersResponse()
    statement: Select[Any] = (
        select(
            customers.c.customer_id,
            customers.c.unit_id,
            units.c.display_name.label("unit_display_name"),
            customers.c.first_names,
            customers.c.last_name,
            customers.c.kind,
            customers.c.sort_key,
            customers.c.email_state,
            customers.c.profile["address"]["municipality"].astext.label("municipality"),
            _EXPECTED_END.label("expected_end"),
        )
        .join(units, units.c.unit_id == customers.c.unit_id)
        .where(_equals(customers.c.state, CUSTOMER_STATE_ACTIVE))
        .order_by(*_PLACE)
        .limit(request.page_size + 1)
    )
    if request.unit_id:
        statement = statement.where(customers.c.unit_id == request.unit_id)
    if keys:
        statement = statement.where(customers.c.customer_id == _found_by(request.unit_id, keys).c.customer_id)
    if current_actor().role == ROLE_CUSTOMER_SERVICE:
        # The list of a unit would tell the unit of a protected person without a reason (R37).
        statement = statement.where(~is_protected(customers.c.person_id))
    statement = _filtered(statement, request)
    if request.page_token:
        statement = statement.where(tuple_(*_PLACE) > tuple_(*_position(request.page_token)))
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    shown = rows[: request.page_size]
    return pb.SearchCustomersResponse(
        customers=[_summary(row, of_all=not request.unit_id) for row in shown],
        next_page_token=_page_token(shown[-1]) if len(rows) > len(shown) else "",
    )


def need_ends_before(day: date) -> tuple[ColumnElement[bool], ...]:
    """Conditions for temporary customers whose need is expected to end before a day (R21)."""
    end = (_EXPECTED_END[part].astext.cast(Integer) for part in ("year", "month", "day"))
    return _TEMPORARY, tuple_(*end) < tuple_(day.year, day.month, day.day)


def undeliverable() -> ColumnElement[bool]:
    """The condition for customers whose address a mail server has refused."""
    return _equals(customers.c.email_state, EMAIL_STATE_UNDELIVERABLE)


def _filtered(statement: Select[Any], request: pb.SearchCustomersRequest) -> Select[Any]:
    if request.HasField("need_ends_before_date"):
        day = proto_dates.calendar_day(request.need_ends_before_date, "need_ends_before_date")
        statement = statement.where(*need_ends_before(day))
    if request.undeliverable:
        statement = statement.where(undeliverable())
    if request.not_welcomed:
        waiting = _not_welcomed(request.unit_id)
        statement = statement.where(customers.c.customer_id == waiting.c.customer_id)
    return statement


def _not_welcomed(unit_id: str) -> CTE:
    """The IDs of online customers whose welcome is still to come."""
    return (
        select(registrations.c.customer_id)
        .where(
            registrations.c.unit_id == unit_id,
            registrations.c.customer_id.is_not(None),
            registrations.c.stage.in_([literal(stage, literal_execute=True) for stage in STARTING]),
            _equals(registrations.c.kind, CUSTOMER_KIND_ONLINE),
            ~registrations.c.over,
        )
        .distinct()
        .cte("not_welcomed")
        .prefix_with("MATERIALIZED")
    )


def _found_by(unit_id: str, keys: Sequence[str]) -> CTE:
    """The IDs of customers who have, for each key, a name part that begins with it.

    Evaluated first, as a materialised CTE: no statistics of names are kept, and a plan that guesses wrongly
    would look at every customer for each name.
    """
    of_unit = (customer_names.c.unit_id == unit_id,) if unit_id else ()
    begun = [
        select(customer_names.c.customer_id).where(
            *of_unit,
            customer_names.c.key >= key,
            # Greater than all texts that begin with the key: no letter is as great as this character.
            customer_names.c.key < key + "\U0010ffff",
        )
        for key in keys
    ]
    # A customer may have two names with this beginning.
    return intersect(begun[0].distinct(), *begun[1:]).cte("found").prefix_with("MATERIALIZED")


def _equals(column: ColumnElement[int], value: int) -> ColumnElement[bool]:
    # A literal: the planner needs it to use a partial index.
    return column == literal(int(value), literal_execute=True)


def _summary(row: RowMapping, *, of_all: bool) -> CustomerSummary:
    end = row["expected_end"]
    return CustomerSummary(
        name=f"units/{row['unit_id']}/customers/{row['customer_id']}",
        first_names=row["first_names"],
        last_name=row["last_name"],
        kind=row["kind"],
        municipality=row["municipality"] or "",
        email_state=row["email_state"],
        expected_end_date=Date(**end) if end else None,
        unit_display_name=row["unit_display_name"] if of_all else "",
    )


def _page_token(row: RowMapping) -> str:
    return base64.urlsafe_b64encode(json.dumps([row["sort_key"], row["customer_id"]]).encode()).decode()


def _position(page_token: str) -> tuple[str, str]:
    try:
        match json.loads(base64.b64decode(page_token, altchars=b"-_", validate=True)):
            case [str(sort_key), str(customer_id)] if "\0" not in sort_key + customer_id:
                return sort_key, customer_id
    except (binascii.Error, ValueError, RecursionError):
        pass
    raise invalid([FieldViolation("page_token", REASON_INVALID_PAGE_TOKEN)])
