"""ReconciliationService: lists unfinished rows, for the worker to compare with its runs."""

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Integer,
    RowMapping,
    Select,
    String,
    and_,
    bindparam,
    exists,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import override

from liity.registration.v1 import reconciliation_service_pb2 as pb
from liity.registration.v1.reconciliation_service_pb2_grpc import ReconciliationServiceServicer
from liity.v1.class_list_service_pb2 import CLASS_LIST_STATE_RECEIVED, CLASS_LIST_STATE_RUNNING
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER, CUSTOMER_KIND_ONLINE
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE, CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.message_service_pb2 import MESSAGE_STATE_OPEN
from liity.v1.reason_pb2 import REASON_REGISTRATION_NOT_FOUND
from liity.v1.registration_pb2 import CONSENT_STATE_AWAITED, STAGE_ACTIVE
from services.registration.db.mapping import row_of, to_message
from services.registration.db.models import (
    class_lists,
    customers,
    disclosures,
    feedback,
    messages,
    registrations,
    removals,
    units,
)
from services.registration.forms import proto_dates
from services.registration.forms.normalise import from_json
from services.registration.registrations import queries
from services.registration.rules import AGE_OF_OWN_DECISION, day_of_age
from services.runtime.clock import to_proto_date
from services.runtime.rpc.errors import not_found
from services.runtime.stages import ENDED, UNDER_WAY


def _fixed(value: int | str) -> ColumnElement[Any]:
    """A value in the statement's text: the planner must see it to choose a partial index."""
    return literal(value, literal_execute=True)


_MOMENT = DateTime(timezone=True)
_SINCE = bindparam("since", type_=_MOMENT)
_REGISTRATIONS = registrations.c
_CUSTOMERS = customers.c

_HAS_PERSON = _REGISTRATIONS.person_id.is_not(None)
"""Not erased: a customer may be erased before the welcome, as a restored backup may have it."""

UNFINISHED = and_(
    _HAS_PERSON,
    _REGISTRATIONS.stage.in_([_fixed(stage) for stage in sorted(UNDER_WAY)]),
    ~_REGISTRATIONS.over,
    or_(_REGISTRATIONS.stage != _fixed(STAGE_ACTIVE), _REGISTRATIONS.kind == _fixed(CUSTOMER_KIND_ONLINE)),
)
_CD_BORROWER = and_(
    _HAS_PERSON,
    _REGISTRATIONS.stage == _fixed(STAGE_ACTIVE),
    ~_REGISTRATIONS.over,
    _REGISTRATIONS.kind == _fixed(CUSTOMER_KIND_CD_BORROWER),
)


def _page(row_id: ColumnElement[str], changed: ColumnElement[Any], *columns: Any) -> Select[Any]:  # noqa: ANN401
    return (
        select(row_id.label("row_id"), *columns)
        .where(
            row_id > bindparam("after", type_=String),
            changed < bindparam("before", type_=_MOMENT),
        )
        .order_by(row_id)
        .limit(bindparam("limit", type_=Integer))
    )


_OF_REGISTRATION = (
    _REGISTRATIONS.person_id,
    _REGISTRATIONS.unit_id,
    _REGISTRATIONS.request_id,
    _REGISTRATIONS.stage,
    _REGISTRATIONS.kind,
    _REGISTRATIONS.decline_ends_at.label("decline_end_time"),
)
_EXPECTED_END = _CUSTOMERS.profile["expected_end_date"]

LISTS: Mapping[pb.UnfinishedKind.ValueType, Select[Any]] = {
    pb.UNFINISHED_KIND_REGISTRATION: _page(
        _REGISTRATIONS.registration_id, _REGISTRATIONS.updated_at, *_OF_REGISTRATION
    ).where(UNFINISHED),
    pb.UNFINISHED_KIND_CD_BORROWER: _page(
        _REGISTRATIONS.registration_id, _REGISTRATIONS.updated_at, *_OF_REGISTRATION
    )
    .where(_CD_BORROWER, _REGISTRATIONS.updated_at >= _SINCE)
    .order_by(None)
    # Not by the bare column: the planner would scan the primary key for the few rows of the last hour.
    .order_by(_REGISTRATIONS.registration_id.concat(_fixed(""))),
    pb.UNFINISHED_KIND_REMOVAL: _page(
        _CUSTOMERS.customer_id,
        _CUSTOMERS.ended_at,
        _CUSTOMERS.person_id,
        _CUSTOMERS.unit_id,
        removals.c.request_id,
        removals.c.reason.label("end_reason"),
    )
    .join_from(
        customers,
        removals,
        and_(removals.c.customer_id == _CUSTOMERS.customer_id, removals.c.ended_at == _CUSTOMERS.ended_at),
    )
    .where(_CUSTOMERS.state == _fixed(CUSTOMER_STATE_MARKED_FOR_DELETION)),
    pb.UNFINISHED_KIND_NEED: _page(
        _CUSTOMERS.customer_id,
        _CUSTOMERS.updated_at,
        _CUSTOMERS.person_id,
        _CUSTOMERS.unit_id,
        _EXPECTED_END.label("expected_end"),
    ).where(
        _CUSTOMERS.state == _fixed(CUSTOMER_STATE_ACTIVE),
        _CUSTOMERS.profile.op("->>")(_fixed("temporary")) == _fixed("true"),
        _EXPECTED_END.is_not(None),
    ),
    pb.UNFINISHED_KIND_MESSAGE: _page(messages.c.message_id, messages.c.created_at, messages.c.unit_id).where(
        messages.c.state == _fixed(MESSAGE_STATE_OPEN)
    ),
    pb.UNFINISHED_KIND_CLASS_LIST: _page(
        class_lists.c.class_list_id,
        class_lists.c.created_at,
        class_lists.c.unit_id,
        class_lists.c.registrar_account_id.label("account_id"),
    ).where(class_lists.c.state.in_([_fixed(CLASS_LIST_STATE_RECEIVED), _fixed(CLASS_LIST_STATE_RUNNING)])),
    pb.UNFINISHED_KIND_DISCLOSURE: _page(
        disclosures.c.disclosure_id,
        disclosures.c.created_at,
        disclosures.c.person_id,
        disclosures.c.expires_at.label("expire_time"),
    ),
    pb.UNFINISHED_KIND_UNIT_MOVE: _page(
        units.c.unit_id,
        units.c.closed_at,
        units.c.unit_id.label("unit_id"),
        units.c.successor_unit_id,
    ).where(
        units.c.successor_unit_id.is_not(None),
        # After the end, a Save that was under way at the closing may have left somebody behind.
        or_(
            units.c.move_ended_at.is_(None),
            exists().where(_REGISTRATIONS.unit_id == units.c.unit_id),
            exists().where(
                _CUSTOMERS.unit_id == units.c.unit_id, _CUSTOMERS.state == _fixed(CUSTOMER_STATE_ACTIVE)
            ),
        ),
    ),
    pb.UNFINISHED_KIND_FEEDBACK: _page(feedback.c.feedback_id, feedback.c.created_at).where(
        feedback.c.answered_at.is_(None)
    ),
    pb.UNFINISHED_KIND_CLOSED_MESSAGE: _page(messages.c.message_id, messages.c.closed_at, messages.c.unit_id)
    .where(messages.c.closed_at >= _SINCE)
    .order_by(None)
    .order_by(messages.c.message_id.concat(_fixed(""))),
    pb.UNFINISHED_KIND_ANSWERED_FEEDBACK: _page(feedback.c.feedback_id, feedback.c.answered_at)
    # As the index of the sweep has it.
    .where(func.coalesce(feedback.c.answered_at, feedback.c.deadline) >= _SINCE)
    .order_by(None)
    .order_by(feedback.c.feedback_id.concat(_fixed(""))),
}
"""The statement that lists a page of each kind, by the kind's partial index."""

LISTED_FOR_A_WHILE = (
    pb.UNFINISHED_KIND_CD_BORROWER,
    pb.UNFINISHED_KIND_CLOSED_MESSAGE,
    pb.UNFINISHED_KIND_ANSWERED_FEEDBACK,
)
"""Kinds whose rows do not tell whether more is to come: only those changed since a moment are listed."""

_GET = select(
    *queries.COLUMNS,
    _REGISTRATIONS.birth_date,
    _REGISTRATIONS.request_id,
    func.coalesce(_CUSTOMERS.profile, _REGISTRATIONS.form).label("profile"),
)
_GETUNFINISHED = _GET.select_from(
    registrations.outerjoin(customers, _CUSTOMERS.customer_id == _REGISTRATIONS.customer_id)
).where(
    _REGISTRATIONS.registration_id == bindparam("id"),
    or_(UNFINISHED, _CD_BORROWER),
)

_IDS = bindparam("ids", type_=ARRAY(String))
_KNOWN_REGISTRATIONS = select(_REGISTRATIONS.registration_id).where(
    _REGISTRATIONS.registration_id == func.any(_IDS)
)
_ENDED_REGISTRATIONS = select(
    _REGISTRATIONS.registration_id.label("row_id"), _REGISTRATIONS.request_id, _REGISTRATIONS.stage
).where(
    _REGISTRATIONS.registration_id == func.any(_IDS),
    _REGISTRATIONS.stage.in_(ENDED),
    _REGISTRATIONS.updated_at < bindparam("before", type_=_MOMENT),
)
_KNOWN_CUSTOMERS = select(_CUSTOMERS.customer_id).where(_CUSTOMERS.customer_id == func.any(_IDS))


CUSTOMER_PERSONS = (
    select(_CUSTOMERS.customer_id, _CUSTOMERS.person_id, _CUSTOMERS.unit_id)
    .where(_CUSTOMERS.person_id > bindparam("after", type_=String))
    .order_by(_CUSTOMERS.person_id)
    .limit(bindparam("limit", type_=Integer))
)


class ReconciliationServicer(ReconciliationServiceServicer):
    """Lists unfinished rows by kind, a page at a time."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")

    @override
    async def ListUnfinished(
        self, request: pb.ListUnfinishedRequest, _context: object
    ) -> pb.ListUnfinishedResponse:
        """Lists a page of the rows of one kind."""
        asked = {
            "after": request.page_token,
            "before": proto_dates.moment(request.changed_before, "changed_before"),
            "limit": request.page_size,
        }
        if request.kind in LISTED_FOR_A_WHILE:
            asked["since"] = proto_dates.moment(request.changed_since, "changed_since")
        async with self._engine.connect() as connection:
            found = (await connection.execute(LISTS[request.kind], asked)).mappings().all()
        full = len(found) == request.page_size
        return pb.ListUnfinishedResponse(
            rows=map(_to_row, found), next_page_token=found[-1]["row_id"] if full else ""
        )

    @override
    async def GetUnfinishedRegistration(
        self, request: pb.GetUnfinishedRegistrationRequest, _context: object
    ) -> pb.GetUnfinishedRegistrationResponse:
        """Reads an unfinished registration."""
        row = await row_of(self._engine, _GETUNFINISHED, {"id": request.registration_id})
        if row is None:
            raise not_found(REASON_REGISTRATION_NOT_FOUND)
        form = from_json(row["profile"] or {})
        found = pb.GetUnfinishedRegistrationResponse(
            registration=to_message(row),
            temporary=form.temporary and form.HasField("expected_end_date"),
            request_id=str(row["request_id"]),
        )
        if row["consent_state"] == CONSENT_STATE_AWAITED:
            outgrown = day_of_age(row["birth_date"], AGE_OF_OWN_DECISION)
            found.consent_outgrown_date.CopyFrom(to_proto_date(outgrown))
        return found

    @override
    async def ListMissing(self, request: pb.ListMissingRequest, _context: object) -> pb.ListMissingResponse:
        """Returns those of some registration and customer IDs that do not exist, and ended registrations."""
        # Workers of earlier releases send no moment.
        before = proto_dates.moment(request.ended_before, "ended_before")
        async with self._engine.connect() as connection:
            registration_ids = await connection.scalars(
                _KNOWN_REGISTRATIONS, {"ids": list(request.registration_ids)}
            )
            ended = await connection.execute(
                _ENDED_REGISTRATIONS, {"ids": list(request.registration_ids), "before": before}
            )
            customer_ids = await connection.scalars(_KNOWN_CUSTOMERS, {"ids": list(request.customer_ids)})
            return pb.ListMissingResponse(
                registration_ids=sorted(set(request.registration_ids).difference(registration_ids)),
                customer_ids=sorted(set(request.customer_ids).difference(customer_ids)),
                ended_registrations=map(_to_row, ended.mappings()),
            )

    @override
    async def ListCustomerPersons(
        self, request: pb.ListCustomerPersonsRequest, _context: object
    ) -> pb.ListCustomerPersonsResponse:
        """Lists a page of all customers and whose they are."""
        asked = {"after": request.page_token, "limit": request.page_size}
        async with self._engine.connect() as connection:
            found = (await connection.execute(CUSTOMER_PERSONS, asked)).mappings().all()
        full = len(found) == request.page_size
        return pb.ListCustomerPersonsResponse(
            customers=[pb.ListCustomerPersonsResponse.Customer(**row) for row in found],
            next_page_token=found[-1]["person_id"] if full else "",
        )


def _to_row(row: RowMapping) -> pb.Unfinished:
    told: dict[str, Any] = {
        name: str(value) if isinstance(value, uuid.UUID) else value
        for name, value in row.items()
        if value is not None and name != "expected_end"
    }
    # The JSON of the form's date: year, month and day.
    if "expected_end" in row:
        told["expected_end_date"] = row["expected_end"]
    return pb.Unfinished(**told)
