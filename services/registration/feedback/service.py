"""FeedbackService: feedback on accessibility, which the law gives 14 days to answer (Act 306/2019)."""

import uuid
from datetime import timedelta
from typing import Any

from sqlalchemy import RowMapping, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine
from typing_extensions import override

from liity.registration.v1 import feedback_service_pb2 as pb
from liity.registration.v1.feedback_service_pb2_grpc import FeedbackServiceServicer
from liity.v1.reason_pb2 import (
    REASON_FEEDBACK_ANSWERED,
    REASON_FEEDBACK_NOT_FOUND,
    REASON_HETU_IN_TEXT,
    REASON_REQUEST_ID_REUSED,
    REASON_REQUIRED,
    REASON_TOO_MUCH_FEEDBACK,
)
from liity.v1.work_service_pb2 import WORK_ITEM_KIND_FEEDBACK
from services.registration.audit.entries import use_row
from services.registration.db.mapping import row_of
from services.registration.db.models import feedback, limits
from services.registration.registrations import queries
from services.registration.settings import RegistrationSettings
from services.registration.worklist import claims, items
from services.runtime.clock import deadline_after, now
from services.runtime.data.rate_limits import Limit, Limiter, network_of
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
from services.runtime.text import email_addresses, references
from services.runtime.text.email_addresses import InvalidAddressError

ANSWER_TIME = timedelta(days=14)
"""The law's time for an answer; the day on which feedback comes does not count."""

_LETTER = "p"
"""Which the IDs of feedback begin with, and their references."""

_WINDOW = timedelta(days=1)

_BY_ID = select(feedback).where(feedback.c.feedback_id == bindparam("id"))
_BY_REQUEST = select(feedback).where(feedback.c.request_id == bindparam("request"))
_FOR_CHANGE = _BY_ID.with_for_update()
_CREATE = insert(feedback).on_conflict_do_nothing().returning(feedback)
_ANSWER = (
    update(feedback)
    .where(feedback.c.feedback_id == bindparam("id"))
    .values(
        answer=bindparam("new_answer"),
        answer_request_id=bindparam("new_request"),
        answered_at=bindparam("moment"),
    )
    .returning(feedback)
)
_SWEEP = delete(feedback).where(
    func.coalesce(feedback.c.answered_at, feedback.c.deadline) <= bindparam("before")
)


class FeedbackServicer(FeedbackServiceServicer):
    """Stores and answers feedback."""

    def __init__(self, engine: AsyncEngine, settings: RegistrationSettings) -> None:
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._limiter = Limiter(engine, limits, REASON_TOO_MUCH_FEEDBACK)
        self._per_caller = settings.feedback_per_caller

    @override
    async def CreateFeedback(
        self, request: pb.CreateFeedbackRequest, _context: object
    ) -> pb.CreateFeedbackResponse:
        """Stores feedback."""
        texts = _checked(request)
        request_id = uuid.UUID(request.request_id)
        made = await row_of(self._autocommit, _BY_REQUEST, {"request": request_id})
        if made is not None:
            return _made_before(made, texts)
        caller = network_of(current_actor().caller_address)
        moment = now()
        await self._limiter.admit(Limit(f"feedback:caller:{caller}", self._per_caller, moment + _WINDOW))
        row = {
            "feedback_id": _LETTER + references.draw().lower(),
            "request_id": request_id,
            "language": request.language,
            **texts,
            "answer": None,
            "answer_request_id": None,
            "created_at": moment,
            "deadline": deadline_after(moment, ANSWER_TIME),
            "answered_at": None,
        }
        async with self._autocommit.connect() as connection:
            stored = (await connection.execute(_CREATE, row)).mappings().first()
        if stored is None:
            # A simultaneous call made it, or the drawn ID exists: a retry is answered.
            raise unavailable()
        return pb.CreateFeedbackResponse(feedback=_to_message(stored))

    @override
    async def GetFeedback(self, request: pb.GetFeedbackRequest, _context: object) -> pb.GetFeedbackResponse:
        """Reads feedback."""
        row = await row_of(self._autocommit, _BY_ID, {"id": request.feedback_id})
        if row is None:
            raise not_found(REASON_FEEDBACK_NOT_FOUND)
        return pb.GetFeedbackResponse(feedback=_to_message(row))

    @override
    async def AnswerFeedback(
        self, request: pb.AnswerFeedbackRequest, _context: object
    ) -> pb.AnswerFeedbackResponse:
        """Answers feedback. The later of two simultaneous officers is refused."""
        answer = request.answer.strip()
        if wrong := _wrong("answer", answer):
            raise invalid(wrong)
        request_id = uuid.UUID(request.request_id)
        by_id = {"id": request.feedback_id}
        item_id = items.item_id(WORK_ITEM_KIND_FEEDBACK, request.feedback_id)
        async with self._engine.begin() as connection:
            row = (await connection.execute(_FOR_CHANGE, by_id)).mappings().first()
            if row is None:
                raise not_found(REASON_FEEDBACK_NOT_FOUND)
            if row["answer_request_id"] == request_id:
                return pb.AnswerFeedbackResponse(feedback=_to_message(row))
            if row["answered_at"] is not None:
                raise failed_precondition(REASON_FEEDBACK_ANSWERED)
            await claims.require_unclaimed_by_others(connection, item_id)
            change = {"new_answer": answer, "new_request": request_id, "moment": now()}
            answered = (await connection.execute(_ANSWER, by_id | change)).mappings().one()
            await claims.release(connection, item_id)
            await connection.execute(queries.INSERT_USE, use_row("feedback:answer", {request.feedback_id}))
        return pb.AnswerFeedbackResponse(feedback=_to_message(answered))


async def sweep(engine: AsyncEngine, retention: timedelta) -> None:
    """Erases feedback that was answered, or should have been, longer ago than `retention`."""
    async with engine.begin() as connection:
        await connection.execute(_SWEEP, {"before": now() - retention})


def _checked(request: pb.CreateFeedbackRequest) -> dict[str, str]:
    """What was written, in normal form. INVALID_ARGUMENT with all that is wrong with it."""
    violations: list[FieldViolation] = []
    texts = {name: getattr(request, name).strip() for name in ("sender_name", "sender_email", "text")}
    if looks_like_hetu(texts["sender_name"]):
        violations.append(FieldViolation("sender_name", REASON_HETU_IN_TEXT))
    if texts["sender_email"]:
        try:
            texts["sender_email"] = email_addresses.parse(texts["sender_email"])
        except InvalidAddressError as error:
            violations.append(FieldViolation("sender_email", error.reason))
    violations += _wrong("text", texts["text"])
    if violations:
        raise invalid(violations)
    return texts


def _wrong(field: str, text: str) -> list[FieldViolation]:
    """What is wrong with a text: it is blank, or contains a personal identity code (R35)."""
    if not text:
        return [FieldViolation(field, REASON_REQUIRED)]
    return [FieldViolation(field, REASON_HETU_IN_TEXT)] if looks_like_hetu(text) else []


def _made_before(made: RowMapping, texts: dict[str, str]) -> pb.CreateFeedbackResponse:
    if any(made[name] != text for name, text in texts.items()):
        raise already_exists(REASON_REQUEST_ID_REUSED)
    return pb.CreateFeedbackResponse(feedback=_to_message(made))


def reference_of(feedback_id: str) -> str:
    """The ID as it is quoted: `P-7K3M-92QF`."""
    return references.written(feedback_id[0], feedback_id[1:])


def _to_message(row: RowMapping | dict[str, Any]) -> pb.StoredFeedback:
    return pb.StoredFeedback(
        feedback_id=row["feedback_id"],
        reference=reference_of(row["feedback_id"]),
        sender_name=row["sender_name"],
        sender_email=row["sender_email"],
        language=row["language"],
        text=row["text"],
        answer=row["answer"] or "",
        create_time=row["created_at"],
        deadline=row["deadline"],
        answer_time=row["answered_at"],
    )
