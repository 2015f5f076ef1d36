"""MessageService: messages to customer service (R12, R25)."""

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import RowMapping, bindparam, delete, exists, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.registration.v1 import message_service_pb2 as pb
from liity.registration.v1.message_service_pb2_grpc import MessageServiceServicer
from liity.v1.message_service_pb2 import (
    MESSAGE_CONTEXT_TRANSFER,
    MESSAGE_STATE_CLOSED,
    MESSAGE_STATE_LAPSED,
    MESSAGE_STATE_OPEN,
    MessageContext,
)
from liity.v1.reason_pb2 import (
    REASON_CUSTOMER_NOT_FOUND,
    REASON_HETU_IN_TEXT,
    REASON_MESSAGE_CLOSED,
    REASON_MESSAGE_NOT_FOUND,
    REASON_NOT_REGISTERED,
    REASON_REGISTRATION_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
    REASON_REQUIRED,
    REASON_UNIT_NOT_FOUND,
)
from liity.v1.work_service_pb2 import WORK_ITEM_KIND_MESSAGE
from services.registration.audit.entries import use_row
from services.registration.db import paging
from services.registration.db.mapping import row_of
from services.registration.db.models import messages, registrations, units
from services.registration.registrations import queries
from services.registration.worklist import claims, items
from services.runtime.clock import now
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import (
    FieldViolation,
    already_exists,
    failed_precondition,
    invalid,
    not_found,
    unavailable,
)
from services.runtime.security.hetu_detector import looks_like_hetu
from services.runtime.text import references
from services.runtime.working_days import working_days_later

_LETTER = "L"
"""Which the references of messages begin with."""

_MESSAGES = select(
    *messages.c,
    registrations.c.customer_id,
    registrations.c.unit_id.label("subject_unit_id"),
).outerjoin(registrations, registrations.c.registration_id == messages.c.registration_id)
_BY_ID = _MESSAGES.where(messages.c.message_id == bindparam("id"))
_BY_REFERENCE = _MESSAGES.where(messages.c.reference == bindparam("reference"))
_BY_REQUEST = _MESSAGES.where(messages.c.request_id == bindparam("request"))
_FOR_CHANGE = _BY_ID.with_for_update(of=messages)
_CREATE = insert(messages).on_conflict_do_nothing().returning(messages.c.message_id)
_CLOSE = (
    update(messages)
    .where(messages.c.message_id == bindparam("id"), messages.c.state == MESSAGE_STATE_OPEN)
    .values(
        state=bindparam("new_state"),
        answer=bindparam("new_answer"),
        close_request_id=bindparam("new_request"),
        closed_at=bindparam("moment"),
    )
)
_UNIT_IS_THERE = select(exists().where(units.c.unit_id == bindparam("unit")))
_OF_REGISTRATION = select(registrations.c.registration_id, registrations.c.person_id).where(
    registrations.c.registration_id == bindparam("registration"), registrations.c.unit_id == bindparam("unit")
)
_OF_CUSTOMER = (
    select(registrations.c.registration_id, registrations.c.person_id)
    .where(registrations.c.customer_id == bindparam("customer"), registrations.c.unit_id == bindparam("unit"))
    .order_by(registrations.c.created_at.desc())
    .limit(1)
)
_OF_PERSON = (
    select(registrations.c.registration_id, registrations.c.person_id)
    .where(registrations.c.person_id == bindparam("person"), registrations.c.unit_id != bindparam("unit"))
    .order_by(registrations.c.created_at.desc())
    .limit(1)
)
_OPEN_WISH = _MESSAGES.where(
    messages.c.unit_id == bindparam("unit"),
    messages.c.registration_id == bindparam("registration"),
    messages.c.context == MESSAGE_CONTEXT_TRANSFER,
    messages.c.state == MESSAGE_STATE_OPEN,
)
_SWEEP = delete(messages).where(messages.c.closed_at <= bindparam("before"))


class MessageServicer(MessageServiceServicer):
    """Stores and answers messages. Customer service aims to answer within `answer_days` working days."""

    def __init__(self, engine: AsyncEngine, answer_days: int) -> None:
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._answer_days = answer_days

    @override
    async def CreateMessage(
        self, request: pb.CreateMessageRequest, _context: object
    ) -> pb.CreateMessageResponse:
        """Stores a message."""
        text = _checked("text", request.text)
        by_request = {"request": uuid.UUID(request.request_id)}
        async with self._engine.begin() as connection:
            made = (await connection.execute(_BY_REQUEST, by_request)).mappings().first()
            if made is not None:
                return pb.CreateMessageResponse(message=_made_before(made, request, text))
            about = await _about(connection, request)
            if request.HasField("transferred_person_id") and about is not None:
                asked = {"unit": request.unit_id, "registration": about["registration_id"]}
                waiting = (await connection.execute(_OPEN_WISH, asked)).mappings().first()
                if waiting is not None:
                    return pb.CreateMessageResponse(message=_to_message(waiting))
            moment, message_id = now(), request.message_id
            row = {
                "message_id": message_id,
                "request_id": by_request["request"],
                "reference": references.written(_LETTER, references.draw()),
                "unit_id": request.unit_id,
                "sender_account_id": current_actor().account_id,
                "sender_display_name": request.sender_display_name,
                "registration_id": about["registration_id"] if about else None,
                "context": _context_of(request),
                "state": MESSAGE_STATE_OPEN,
                "text": text,
                "answer": None,
                "close_request_id": None,
                "created_at": moment,
                "deadline": working_days_later(moment, self._answer_days),
                "closed_at": None,
            }
            if await connection.scalar(_CREATE, row) is None:
                other = (await connection.execute(_BY_ID, {"id": message_id})).mappings().first()
                if other is not None and other["request_id"] != by_request["request"]:
                    raise already_exists(REASON_REQUEST_ID_REUSED)
                # A simultaneous call made it, or the drawn reference exists: a retry is answered.
                raise unavailable()
            await _record(connection, "message:send", message_id, about)
            stored = (await connection.execute(_BY_ID, {"id": message_id})).mappings().one()
        return pb.CreateMessageResponse(message=_to_message(stored))

    @override
    async def GetMessage(self, request: pb.GetMessageRequest, _context: object) -> pb.GetMessageResponse:
        """Reads a message, by its ID or its reference."""
        if request.HasField("reference"):
            quoted = {"reference": references.written(_LETTER, references.typed(request.reference, _LETTER))}
            row = await row_of(self._autocommit, _BY_REFERENCE, quoted)
        else:
            row = await row_of(self._autocommit, _BY_ID, {"id": request.message_id})
        if row is None:
            raise not_found(REASON_MESSAGE_NOT_FOUND)
        return pb.GetMessageResponse(message=_to_message(row))

    @override
    async def ListMessages(
        self, request: pb.ListMessagesRequest, _context: object
    ) -> pb.ListMessagesResponse:
        """Lists a unit's messages, newest first."""
        place = (messages.c.created_at, messages.c.message_id)
        statement = (
            _MESSAGES.where(messages.c.unit_id == request.unit_id)
            .order_by(*(column.desc() for column in place))
            .limit(request.page_size + 1)
        )
        if request.state:
            statement = statement.where(messages.c.state == request.state)
        if request.page_token:
            statement = statement.where(tuple_(*place) < tuple_(*paging.decode(request.page_token)))
        async with self._autocommit.connect() as connection:
            rows = (await connection.execute(statement)).mappings().all()
        page = rows[: request.page_size]
        more = len(rows) > len(page)
        last = paging.Position(page[-1]["created_at"], page[-1]["message_id"]) if more else None
        return pb.ListMessagesResponse(
            messages=[_to_message(row) for row in page], next_page_token=paging.encode(last) if last else ""
        )

    @override
    async def CloseMessage(
        self, request: pb.CloseMessageRequest, _context: object
    ) -> pb.CloseMessageResponse:
        """Answers and closes a message. The later of two simultaneous officers is refused."""
        answer = _checked("answer", request.answer)
        request_id = uuid.UUID(request.request_id)
        by_id = {"id": request.message_id}
        item_id = items.item_id(WORK_ITEM_KIND_MESSAGE, request.message_id)
        async with self._engine.begin() as connection:
            row = (await connection.execute(_FOR_CHANGE, by_id)).mappings().first()
            if row is None or row["unit_id"] != request.unit_id:
                raise not_found(REASON_MESSAGE_NOT_FOUND)
            if row["close_request_id"] == request_id:
                return pb.CloseMessageResponse(message=_to_message(row))
            if row["state"] != MESSAGE_STATE_OPEN:
                raise failed_precondition(REASON_MESSAGE_CLOSED)
            await claims.require_unclaimed_by_others(connection, item_id)
            change = {
                "new_state": MESSAGE_STATE_CLOSED,
                "new_answer": answer,
                "new_request": request_id,
                "moment": now(),
            }
            await connection.execute(_CLOSE, by_id | change)
            await claims.release(connection, item_id)
            await _record(connection, "message:close", request.message_id, await _person(connection, row))
            closed = (await connection.execute(_BY_ID, by_id)).mappings().one()
        return pb.CloseMessageResponse(message=_to_message(closed))

    @override
    async def GetMessageStatus(
        self, request: pb.GetMessageStatusRequest, _context: object
    ) -> pb.GetMessageStatusResponse:
        """The data that a workflow may keep of a message; empty once the message is erased."""
        row = await row_of(self._autocommit, _BY_ID, {"id": request.message_id})
        if row is None:
            return pb.GetMessageStatusResponse()
        return pb.GetMessageStatusResponse(
            status=pb.MessageStatus(
                reference=row["reference"],
                state=row["state"],
                sender_account_id=row["sender_account_id"],
                deadline=row["deadline"],
                subject_id=row["registration_id"] or row["message_id"],
                unit_id=row["unit_id"],
            )
        )

    @override
    async def LapseMessage(
        self, request: pb.LapseMessageRequest, _context: object
    ) -> pb.LapseMessageResponse:
        """Closes a message that has lapsed unanswered; changes nothing if it is closed."""
        change = {
            "id": request.message_id,
            "new_state": MESSAGE_STATE_LAPSED,
            "new_answer": None,
            "new_request": None,
            "moment": now(),
        }
        async with self._engine.begin() as connection:
            if (await connection.execute(_CLOSE, change)).rowcount:
                await _record(connection, "message:lapse", request.message_id, None)
        return pb.LapseMessageResponse()


async def sweep(engine: AsyncEngine, retention: timedelta) -> None:
    """Erases messages that were closed longer ago than `retention`."""
    async with engine.begin() as connection:
        await connection.execute(_SWEEP, {"before": now() - retention})


def _checked(field: str, text: str) -> str:
    """The stripped text. INVALID_ARGUMENT if it is blank, or contains a personal identity code (R35)."""
    tidy = text.strip()
    if not tidy:
        raise invalid([FieldViolation(field, REASON_REQUIRED)])
    if looks_like_hetu(tidy):
        raise invalid([FieldViolation(field, REASON_HETU_IN_TEXT)])
    return tidy


async def _about(connection: AsyncConnection, request: pb.CreateMessageRequest) -> RowMapping | None:
    """The registration the message is about, or None. NOT_FOUND if it is not the unit's."""
    unit = {"unit": request.unit_id}
    if request.HasField("registration_id"):
        asked = unit | {"registration": request.registration_id}
        found = (await connection.execute(_OF_REGISTRATION, asked)).mappings().first()
        if found is None:
            raise not_found(REASON_REGISTRATION_NOT_FOUND)
        return found
    if request.HasField("customer_id"):
        asked = unit | {"customer": request.customer_id}
        found = (await connection.execute(_OF_CUSTOMER, asked)).mappings().first()
        if found is None:
            raise not_found(REASON_CUSTOMER_NOT_FOUND)
        return found
    if request.HasField("transferred_person_id"):
        asked = unit | {"person": request.transferred_person_id}
        found = (await connection.execute(_OF_PERSON, asked)).mappings().first()
        if found is None:
            raise not_found(REASON_NOT_REGISTERED)
        return found
    if not await connection.scalar(_UNIT_IS_THERE, unit):
        raise not_found(REASON_UNIT_NOT_FOUND)
    return None


async def _person(connection: AsyncConnection, row: RowMapping) -> RowMapping | None:
    if row["registration_id"] is None:
        return None
    asked = {"registration": row["registration_id"], "unit": row["subject_unit_id"]}
    return (await connection.execute(_OF_REGISTRATION, asked)).mappings().first()


async def _record(
    connection: AsyncConnection, action: str, message_id: str, about: RowMapping | None
) -> None:
    named = {message_id, *(filter(None, about.values()) if about else ())}
    await connection.execute(queries.INSERT_USE, use_row(action, named))


def _made_before(made: RowMapping, request: pb.CreateMessageRequest, text: str) -> pb.StoredMessage:
    same = (made["unit_id"], made["context"]) == (request.unit_id, _context_of(request)) and (
        # Of a wish for a transfer the text is ours, in the language of the call.
        made["text"] == text or made["context"] == MESSAGE_CONTEXT_TRANSFER
    )
    if not same or request.registration_id not in {"", made["registration_id"]}:
        raise already_exists(REASON_REQUEST_ID_REUSED)
    return _to_message(made)


def _context_of(request: pb.CreateMessageRequest) -> MessageContext.ValueType:
    return MESSAGE_CONTEXT_TRANSFER if request.HasField("transferred_person_id") else request.context


def _to_message(row: RowMapping | dict[str, Any]) -> pb.StoredMessage:
    return pb.StoredMessage(
        message_id=row["message_id"],
        reference=row["reference"],
        unit_id=row["unit_id"],
        state=row["state"],
        registration_id=row["registration_id"] or "",
        customer_id=row["customer_id"] or "",
        subject_unit_id=row["subject_unit_id"] or "",
        context=row["context"],
        text=row["text"],
        sender_display_name=row["sender_display_name"],
        answer=row["answer"] or "",
        create_time=row["created_at"],
        deadline=row["deadline"],
        close_time=row["closed_at"],
    )
