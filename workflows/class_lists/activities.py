"""Activities of a class list. The rows stay within them: they never enter the list's history."""

import uuid
from collections.abc import Awaitable, Iterable
from datetime import UTC, timedelta
from typing import TypeVar

from temporalio import activity

from liity.identity.v1.person_service_pb2 import BatchReleasePersonsRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.notification.v1.notification_service_pb2 import ClassListDone
from liity.registration.v1.class_list_service_pb2 import (
    BeginClassListRequest,
    BeginClassListResponse,
    CancelClassListRequest,
    ClassList,
    ClassListRow,
    DecideRowsRequest,
    FinishClassListRequest,
    FinishClassListResponse,
    GetClassListRequest,
    GetClassListResponse,
    ListUndecidedRowsRequest,
    RowDecision,
)
from liity.registration.v1.class_list_service_pb2_grpc import ClassListServiceStub
from liity.registration.v1.registration_service_pb2 import CreateRegistrationRequest
from liity.registration.v1.unit_service_pb2 import BatchGetUnitsRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.class_list_service_pb2 import ClassListCounts
from liity.v1.reason_pb2 import (
    REASON_CLASS_LIST_NOT_FOUND,
    REASON_NOT_DECIDED_IN_TIME,
    REASON_UNIT_CLOSED,
)
from liity.workflows.v1.class_list_workflow_pb2 import ClassListInput, ClassListProgress
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult, RegistrationStep
from services.runtime.clock import now
from services.runtime.rpc.errors import Refusal, is_permanent
from services.runtime.rpc.peer import Peer
from services.runtime.rpc.refusal_message import to_refused
from services.runtime.temporal.updates import save_registration
from workflows.mail.notifier import Mailing

_BATCH = 16
"""Rows per batch. A worker handles one batch at a time, so lists take turns.

After a crash the rows of a batch are saved again, to no effect.
"""

_AnswerT = TypeVar("_AnswerT", BeginClassListResponse, FinishClassListResponse, GetClassListResponse)


class ClassListActivities:
    """Activities that call the three services and Temporal. Rows are retried for `patience`."""

    def __init__(self, identity: Peer, registration: Peer, mailing: Mailing, patience: timedelta) -> None:
        self._identity = identity
        self._registration = registration
        self._mailing = mailing
        self._patience = patience
        self._persons = PersonServiceStub(identity.channel)
        self._lists = ClassListServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)

    @activity.defn
    async def begin_class_list(self, of: ClassListInput) -> ClassListProgress:
        """Marks the list as begun and sets its deadline; `refused` is set if there is no such list."""
        begin = BeginClassListRequest(class_list_id=of.class_list_id)
        progress = await _or_gone(self._registration.call(self._lists.BeginClassList, begin))
        if of.HasField("deadline"):
            progress.deadline.CopyFrom(of.deadline)
        else:
            progress.deadline.FromDatetime(now() + self._patience)
        return progress

    @activity.defn
    async def register_rows(self, of: ClassListInput) -> ClassListProgress:
        """Registers the next rows, each by a Save with a fixed request ID of its own.

        `refused` is set if the list is gone.
        """
        return await _or_gone(self._register_next(of))

    @activity.defn
    async def finish_class_list(self, of: ClassListInput) -> ClassListProgress:
        """Marks the list as done; `refused` is set if the list is gone."""
        finish = FinishClassListRequest(class_list_id=of.class_list_id)
        return await _or_gone(self._registration.call(self._lists.FinishClassList, finish))

    @activity.defn
    async def cancel_class_list(self, of: ClassListInput) -> ClassListProgress:
        """Cancels undecided rows and releases their persons; `refused` is set if it is too late."""
        cancel = CancelClassListRequest(class_list_id=of.class_list_id)
        try:
            cancelled = await self._registration.call(self._lists.CancelClassList, cancel)
        except Refusal as refusal:
            if is_permanent(refusal.code):
                return ClassListProgress(refused=to_refused(refusal))
            raise
        release = BatchReleasePersonsRequest(person_ids=cancelled.unneeded_person_ids)
        await self._identity.call(self._persons.BatchReleasePersons, release)
        return _progress(cancelled.class_list)

    @activity.defn
    async def tell_class_list_done(self, of: ClassListInput) -> MailStepResult:
        """Mails the uploader the results in numbers, and where to read them.

        If the uploader cannot be mailed, the unit's main users are (without main users, all its registrars);
        at last customer service.
        """
        try:
            stored = (await self._get(of)).class_list
        except Refusal as refusal:
            if refusal.reason == REASON_CLASS_LIST_NOT_FOUND:
                return MailStepResult()
            raise
        units = BatchGetUnitsRequest(unit_ids=[stored.unit_id])
        unit = (await self._registration.call(self._units.BatchGetUnits, units)).units[0]
        content = ClassListDone(
            unit_display_name=unit.display_name,
            class_list_id=stored.class_list_id,
            create_time=stored.create_time,
            total=stored.counts.total,
            registered=stored.counts.registered,
            waiting=stored.counts.waiting,
            refused=stored.counts.refused + stored.counts.ended,
            cancelled=stored.counts.cancelled,
            yours=stored.counts.yours,
            elsewhere=stored.counts.elsewhere,
            transferred=stored.counts.transferred,
            expire_time=stored.expire_time,
        )
        step = RegistrationStep(
            registration_id=stored.class_list_id, event_id=str(uuid.UUID(stored.class_list_id))
        )
        page = f"units/{stored.unit_id}/classLists/{stored.class_list_id}"
        uploader = await self._mailing.responsible(stored.unit_id, of.account_id)
        told = await self._mailing.tell_each(
            step, uploader, "class list done", resource=page, class_list_done=content
        )
        if told.delivered:
            return told
        # The uploader's address does not work: mail the unit's people.
        people = await self._mailing.responsible(stored.unit_id)
        return await self._mailing.tell_all(
            step, people, "class list done", resource=page, class_list_done=content
        )

    async def _register_next(self, of: ClassListInput) -> GetClassListResponse:
        """Registers the next rows. Rows that cannot be decided are retried until the deadline."""
        next_rows = ListUndecidedRowsRequest(class_list_id=of.class_list_id, page_size=_BATCH)
        page = await self._registration.call(self._lists.ListUndecidedRows, next_rows)
        undecided = await self._register(page.class_list, page.rows)
        for refusal in undecided.values():
            if now() < of.deadline.ToDatetime(UTC):
                raise refusal
        too_late = [
            RowDecision(row_number=number, refusal=REASON_NOT_DECIDED_IN_TIME) for number in undecided
        ]
        await self._record(page.class_list, too_late)
        return await self._get(of)

    async def _register(self, of: ClassList, rows: Iterable[ClassListRow]) -> dict[int, Refusal]:
        """Saves rows and records the results; returns the refusals of rows that cannot be decided now."""
        decided: list[RowDecision] = []
        undecided: dict[int, Refusal] = {}
        # One after another: each costs as much as a Save, and registrars' Saves must not wait behind many.
        for row in rows:
            outcome = await _save(of, row)
            if isinstance(outcome, RowDecision) and outcome.refusal == REASON_UNIT_CLOSED:
                moved = await self._moved(of)
                # Its run may answer so for minutes: saved in the unit's successor by a request of its own.
                outcome = outcome if moved is None else await _save(moved, row, f"{moved.unit_id}/")
            if isinstance(outcome, Refusal):
                undecided[row.row_number] = outcome
            else:
                decided.append(outcome)
        await self._record(of, decided)
        return undecided

    async def _moved(self, of: ClassList) -> ClassList | None:
        """The list as it is in the open successor of its closed unit (R41); None if it is not there."""
        stored = (await self._get(ClassListInput(class_list_id=of.class_list_id))).class_list
        units = BatchGetUnitsRequest(unit_ids=[stored.unit_id])
        (unit,) = (await self._registration.call(self._units.BatchGetUnits, units)).units
        return None if unit.HasField("close_time") else stored

    async def _record(self, of: ClassList, decided: list[RowDecision]) -> None:
        if decided:
            decide = DecideRowsRequest(class_list_id=of.class_list_id, decisions=decided)
            await self._registration.call(self._lists.DecideRows, decide)
        activity.heartbeat(f"{len(decided)} rows more")

    async def _get(self, of: ClassListInput) -> GetClassListResponse:
        request = GetClassListRequest(class_list_id=of.class_list_id)
        return await self._registration.call(self._lists.GetClassList, request)


def progress_note(counts: ClassListCounts) -> str:
    """The list's progress, for operators."""
    done = counts.total - counts.remaining
    note = f"{done:,} of {counts.total:,} done, {counts.refused:,} refused"
    waiting = f", {counts.waiting:,} waiting" if counts.waiting else ""
    return note + waiting + (f", {counts.cancelled:,} cancelled" if counts.cancelled else "")


async def _save(of: ClassList, row: ClassListRow, attempt: str = "") -> RowDecision | Refusal:
    """Saves one row; returns the refusal if the row cannot be decided now and is to be retried.

    The row's first request is refused for good before there is another `attempt`.
    """
    request = CreateRegistrationRequest(
        request_id=str(uuid.uuid5(uuid.UUID(of.class_list_id), f"{attempt}{row.row_number}")),
        person_id=row.person_id,
        unit_id=of.unit_id,
        form=row.form,
        birth_date=row.birth_date,
        registrar=of.registrar,
        missing_code_reason=row.missing_code.reason,
    )
    try:
        registration = await save_registration(activity.client(), request)
    except Refusal as refusal:
        if is_permanent(refusal.code):
            return RowDecision(row_number=row.row_number, refusal=refusal.reason)
        return refusal
    return RowDecision(row_number=row.row_number, registration_id=registration.registration_id)


async def _or_gone(step: Awaitable[_AnswerT]) -> ClassListProgress:
    """The progress after a call, or its refusal if there is no such list."""
    try:
        return _progress((await step).class_list)
    except Refusal as refusal:
        if refusal.reason == REASON_CLASS_LIST_NOT_FOUND:
            return ClassListProgress(refused=to_refused(refusal))
        raise


def _progress(stored: ClassList) -> ClassListProgress:
    return ClassListProgress(state=stored.state, counts=stored.counts)
