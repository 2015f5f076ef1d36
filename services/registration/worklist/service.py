"""WorkService: the work list of customer service, and claims of its items."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, timedelta
from typing import Any

from sqlalchemy import (
    RowMapping,
    Select,
    bindparam,
    case,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.registration.v1 import work_service_pb2 as pb
from liity.registration.v1.work_service_pb2_grpc import WorkServiceServicer
from liity.v1.reason_pb2 import REASON_WORK_ITEM_NOT_FOUND
from liity.v1.registration_pb2 import GUARDIAN_ANSWER_DECLINES
from services.registration.audit.entries import use_row
from services.registration.db import paging
from services.registration.db.models import (
    customers,
    dismissed_duplicates,
    guardians,
    messages,
    registrations,
    similar_codes,
    units,
)
from services.registration.db.protected import is_protected, unit_name_of
from services.registration.feedback.service import reference_of
from services.registration.forms import name_keys, proto_dates
from services.registration.forms.normalise import from_json
from services.registration.registrations import queries
from services.registration.registrations.duplicates import waiting_of
from services.registration.worklist import claims, figures
from services.registration.worklist import items as worklist_items
from services.registration.worklist.items import Patience
from services.runtime.clock import now
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import not_found

Key = tuple[date, str]
"""The key that possible duplicates share: birth date and sort key of the name."""

_REGISTRATIONS = (
    select(
        *queries.COLUMNS,
        registrations.c.form,
        registrations.c.birth_date,
        unit_name_of(registrations.c.person_id),
    )
    .join(units, units.c.unit_id == registrations.c.unit_id)
    .where(registrations.c.registration_id.in_(bindparam("ids", expanding=True)))
)
_CUSTOMERS = select(
    customers.c.customer_id,
    customers.c.person_id,
    customers.c.unit_id,
    func.trim(customers.c.first_names + " " + customers.c.last_name).label("customer_display_name"),
    customers.c.kind,
    customers.c.birth_date,
    customers.c.sort_key,
    unit_name_of(customers.c.person_id),
).join(units, units.c.unit_id == customers.c.unit_id)
_BY_ID = _CUSTOMERS.where(customers.c.customer_id.in_(bindparam("ids", expanding=True)))
_ALIKE = _CUSTOMERS.where(
    tuple_(customers.c.birth_date, customers.c.sort_key).in_(bindparam("keys", expanding=True))
).order_by(customers.c.customer_id)
_MESSAGES = (
    select(
        messages.c.message_id,
        messages.c.unit_id,
        messages.c.reference,
        # Of a wish for a transfer the unit that wrote it is not the person's.
        case(
            (
                is_protected(registrations.c.person_id) & (registrations.c.unit_id == messages.c.unit_id),
                literal(""),
            ),
            else_=units.c.display_name,
        ).label("unit_display_name"),
    )
    .join(units, units.c.unit_id == messages.c.unit_id)
    .outerjoin(registrations, registrations.c.registration_id == messages.c.registration_id)
    .where(messages.c.message_id.in_(bindparam("ids", expanding=True)))
)

_DISMISSED = select(dismissed_duplicates.c.customer_id).where(
    dismissed_duplicates.c.customer_id == bindparam("one"),
    dismissed_duplicates.c.other_customer_id == bindparam("other"),
)
_DISMISS = insert(dismissed_duplicates).on_conflict_do_nothing()
_RECORD_SIMILAR = insert(similar_codes).on_conflict_do_nothing()

_UNNEEDED = timedelta(days=90)
"""After this time, each of two persons who are to become customers has become one."""

_SWEEP_SIMILAR = delete(similar_codes).where(
    similar_codes.c.recorded_at <= bindparam("too_old"),
    or_(
        *(
            ~exists().where(customers.c.person_id == person)
            for person in (similar_codes.c.person_id, similar_codes.c.other_person_id)
        )
    ),
)


async def sweep_similar_codes(engine: AsyncEngine) -> None:
    """Deletes pairs of which one never became a customer."""
    async with engine.begin() as connection:
        await connection.execute(_SWEEP_SIMILAR, {"too_old": now() - _UNNEEDED})


_OF_DISSENT = (
    guardians.c.registration_id == bindparam("registration"),
    guardians.c.answer == GUARDIAN_ANSWER_DECLINES,
)
_ACKNOWLEDGED = select(exists().where(*_OF_DISSENT, guardians.c.acknowledged_at.is_not(None)))
_ACKNOWLEDGE = update(guardians).where(*_OF_DISSENT).values(acknowledged_at=bindparam("moment"))


class WorkServicer(WorkServiceServicer):
    """Lists, claims and releases items. A claim ends after `claim_lifetime` unless it is renewed."""

    def __init__(self, engine: AsyncEngine, claim_lifetime: timedelta, patience: Patience) -> None:
        self._engine = engine
        # One answer is read from one snapshot.
        self._one_picture = engine.execution_options(isolation_level="REPEATABLE READ")
        self._claim_lifetime = claim_lifetime
        self._patience = patience

    @override
    async def ListWorkItems(
        self, request: pb.ListWorkItemsRequest, _context: object
    ) -> pb.ListWorkItemsResponse:
        """Lists waiting items, oldest first."""
        after = paging.decode(request.page_token, worklist_items.ID_PATTERN) if request.page_token else None
        statement = worklist_items.page(
            request.kinds, request.claims, request.page_size, after, overdue=request.overdue
        )
        asked = {"moment": now(), "account": current_actor().account_id, **self._patience}
        async with self._one_picture.begin() as connection:
            rows = (await connection.execute(statement, asked)).mappings().all()
            found = rows[: request.page_size]
            items = await _to_messages(connection, found)
        more = len(rows) > len(found)
        last = paging.Position(found[-1]["since"], found[-1]["item_id"]) if more else None
        return pb.ListWorkItemsResponse(work_items=items, next_page_token=paging.encode(last) if last else "")

    @override
    async def GetWorkItem(self, request: pb.GetWorkItemRequest, _context: object) -> pb.GetWorkItemResponse:
        """Reads an item."""
        async with self._one_picture.begin() as connection:
            return pb.GetWorkItemResponse(work_item=await self._get(connection, request.work_item_id))

    @override
    async def ClaimWorkItem(
        self, request: pb.ClaimWorkItemRequest, _context: object
    ) -> pb.ClaimWorkItemResponse:
        """Claims an item. Of two simultaneous officers one gets it, and both are told who."""
        item_id = request.work_item_id
        async with self._engine.begin() as connection:
            item = await self._get(connection, item_id)
            until = now() + self._claim_lifetime
            if await claims.claim(connection, item_id, request.request_id, request.display_name, until):
                await _record(connection, "work:claim", item)
            # Read again: it shows who has the item now.
            return pb.ClaimWorkItemResponse(work_item=await self._get(connection, item_id))

    @override
    async def ReleaseWorkItem(
        self, request: pb.ReleaseWorkItemRequest, _context: object
    ) -> pb.ReleaseWorkItemResponse:
        """Releases an item. An item that waits no more needs no release."""
        async with self._engine.begin() as connection:
            if await claims.release(connection, request.work_item_id):
                use = use_row("work:release", worklist_items.rows_of(request.work_item_id))
                await connection.execute(queries.INSERT_USE, use)
        return pb.ReleaseWorkItemResponse()

    @override
    async def DismissDuplicate(
        self, request: pb.DismissDuplicateRequest, _context: object
    ) -> pb.DismissDuplicateResponse:
        """Records that two customers are two persons. A repeated call changes nothing."""
        one, other = worklist_items.rows_of(request.work_item_id)
        async with self._engine.begin() as connection:
            if await connection.scalar(_DISMISSED, {"one": one, "other": other}) is not None:
                return pb.DismissDuplicateResponse()
            item = await self._get(connection, request.work_item_id)
            await claims.require_unclaimed_by_others(connection, request.work_item_id)
            row = {
                "customer_id": one,
                "other_customer_id": other,
                "account_id": current_actor().account_id,
                "dismissed_at": now(),
            }
            await connection.execute(_DISMISS, row)
            await claims.release(connection, request.work_item_id)
            await _record(connection, "work:dismiss-duplicate", item)
        return pb.DismissDuplicateResponse()

    @override
    async def AcknowledgeDissent(
        self, request: pb.AcknowledgeDissentRequest, _context: object
    ) -> pb.AcknowledgeDissentResponse:
        """Records that customer service knows of a dissent. A repeated call changes nothing."""
        (registration_id,) = worklist_items.rows_of(request.work_item_id)
        async with self._engine.begin() as connection:
            if await connection.scalar(_ACKNOWLEDGED, {"registration": registration_id}):
                return pb.AcknowledgeDissentResponse()
            item = await self._get(connection, request.work_item_id)
            await claims.require_unclaimed_by_others(connection, request.work_item_id)
            await connection.execute(_ACKNOWLEDGE, {"registration": registration_id, "moment": now()})
            await claims.release(connection, request.work_item_id)
            await _record(connection, "work:acknowledge-dissent", item)
        return pb.AcknowledgeDissentResponse()

    @override
    async def RecordSimilarCodes(
        self, request: pb.RecordSimilarCodesRequest, _context: object
    ) -> pb.RecordSimilarCodesResponse:
        """Records persons whose codes differ by the century sign alone (R45)."""
        pairs = {tuple(sorted((pair.person_id, pair.other_person_id))) for pair in request.pairs}
        rows = [
            {"person_id": one, "other_person_id": other, "recorded_at": now()} for one, other in sorted(pairs)
        ]
        if rows:
            async with self._engine.begin() as connection:
                await connection.execute(_RECORD_SIMILAR, rows)
        return pb.RecordSimilarCodesResponse()

    @override
    async def CheckClaim(self, request: pb.CheckClaimRequest, _context: object) -> pb.CheckClaimResponse:
        """FAILED_PRECONDITION (CLAIMED_BY_ANOTHER) if another officer has claimed the item."""
        async with self._engine.connect() as connection:
            if request.HasField("customer_id"):
                await claims.require_customer_unclaimed_by_others(connection, request.customer_id)
            else:
                await claims.require_unclaimed_by_others(connection, request.work_item_id)
        return pb.CheckClaimResponse()

    @override
    async def CountDueWork(
        self, request: pb.CountDueWorkRequest, _context: object
    ) -> pb.CountDueWorkResponse:
        """Counts the items that are overdue, or soon will be."""
        asked = {"moment": now(), "later": proto_dates.moment(request.until, "until"), **self._patience}
        async with self._one_picture.begin() as connection:
            rows = (await connection.execute(worklist_items.due(), asked)).mappings().all()
        return pb.CountDueWorkResponse(due=[pb.DueWork(**row) for row in rows])

    @override
    async def GetFigures(self, request: pb.GetFiguresRequest, _context: object) -> pb.GetFiguresResponse:
        """How much is under way in all units."""
        async with self._one_picture.begin() as connection:
            return pb.GetFiguresResponse(figures=await figures.figures(connection, self._patience))

    async def _get(self, connection: AsyncConnection, item_id: str) -> pb.WorkItem:
        asked = {"moment": now(), **self._patience}
        row = (await connection.execute(worklist_items.one(item_id), asked)).mappings().first()
        if row is None:
            raise not_found(REASON_WORK_ITEM_NOT_FOUND)
        return (await _to_messages(connection, [row]))[0]


async def _record(connection: AsyncConnection, action: str, item: pb.WorkItem) -> None:
    named = {
        getattr(subject, field)
        for subject in item.subjects
        if (field := subject.WhichOneof("subject")) is not None
    }
    await connection.execute(queries.INSERT_USE, use_row(action, named))


async def _to_messages(connection: AsyncConnection, rows: Sequence[RowMapping]) -> list[pb.WorkItem]:
    """Items with their subjects: one statement for each kind of subject."""
    waiting = await _by_id(connection, _REGISTRATIONS, rows, "registration_id")
    known = await _by_id(connection, _BY_ID, rows, "customer_id", "other_customer_id")
    written = await _by_id(connection, _MESSAGES, rows, "message_id")
    alike = await _alike(connection, waiting.values())
    items = []
    for row in rows:
        item = pb.WorkItem(
            work_item_id=row["item_id"],
            kind=row["kind"],
            create_time=row["since"],
            deadline=row["deadline"],
        )
        if row["feedback_id"]:
            item.subjects.append(_of_feedback(row["feedback_id"]))
        if row["message_id"]:
            item.subjects.append(_of_message(written[row["message_id"]]))
        if row["registration_id"]:
            registration = waiting[row["registration_id"]]
            item.subjects.append(_of_registration(registration))
            key = _key(registration)
            item.possible_duplicates.extend(
                subject
                for person_id, subject in (alike.get(key, ()) if key else ())
                # The same person's ended customership is no duplicate.
                if person_id != registration["person_id"]
            )
        item.subjects.extend(
            _of_customer(known[row[column]]) for column in ("customer_id", "other_customer_id") if row[column]
        )
        if row["expires_at"] is not None:
            item.claim.account_id = row["account_id"]
            item.claim.display_name = row["display_name"]
            item.claim.expire_time.FromDatetime(row["expires_at"].astimezone(UTC))
        items.append(item)
    return items


async def _by_id(
    connection: AsyncConnection, statement: Select[Any], rows: Iterable[RowMapping], *columns: str
) -> Mapping[str, RowMapping]:
    """The rows of the IDs in some columns of the items, by ID."""
    ids = sorted({row[column] for row in rows for column in columns if row[column]})
    if not ids:
        return {}
    found = (await connection.execute(statement, {"ids": ids})).mappings()
    return {row[columns[0]]: row for row in found}


async def _alike(
    connection: AsyncConnection, waiting: Iterable[RowMapping]
) -> Mapping[Key, Sequence[tuple[str, pb.WorkSubject]]]:
    """Customers and waiting registrations by the keys of some waiting ones, each with its person's ID."""
    found: dict[Key, list[tuple[str, pb.WorkSubject]]] = {
        key: [] for row in waiting if (key := _key(row)) is not None
    }
    if not found:
        return {}
    for row in (await connection.execute(_ALIKE, {"keys": sorted(found)})).mappings():
        found[row["birth_date"], row["sort_key"]].append((row["person_id"], _of_customer(row)))
    for row in await waiting_of(connection, {birth_date for birth_date, _ in found}):
        if (key := _key(row)) in found:
            found[key].append((row["person_id"], _of_registration(row)))
    return found


def _key(registration: RowMapping) -> Key | None:
    """Birth date and name; None if the registration has no form any more."""
    if registration["form"] is None or registration["birth_date"] is None:
        return None
    form = from_json(registration["form"])
    return registration["birth_date"], name_keys.sort_key(form.last_name, form.first_names)


def _of_registration(row: RowMapping) -> pb.WorkSubject:
    """The registration, or the customer it has made."""
    if row["customer_id"]:
        return _of_customer(row)
    return pb.WorkSubject(
        unit_id=row["unit_id"],
        unit_display_name=row["unit_display_name"],
        registration_id=row["registration_id"],
        display_name=row["customer_display_name"],
    )


def _of_customer(row: RowMapping) -> pb.WorkSubject:
    return pb.WorkSubject(
        unit_id=row["unit_id"],
        unit_display_name=row["unit_display_name"],
        customer_id=row["customer_id"],
        display_name=row["customer_display_name"],
        customer_kind=row["kind"],
    )


def _of_message(row: RowMapping) -> pb.WorkSubject:
    return pb.WorkSubject(
        unit_id=row["unit_id"],
        unit_display_name=row["unit_display_name"],
        message_id=row["message_id"],
        display_name=row["reference"],
    )


def _of_feedback(feedback_id: str) -> pb.WorkSubject:
    return pb.WorkSubject(feedback_id=feedback_id, display_name=reference_of(feedback_id))
