"""Compares rows with runs, page by page, and repairs what differs; for worker and `liity reconcile`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution as Execution
from temporalio.api.enums.v1 import EventType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowHistoryEventFilterType,
)
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from liity.identity.v1.person_service_pb2 import ListMissingPersonsRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.identity.v1.registrar_service_pb2 import ListOpenInvitationsRequest
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.notification.v1.notification_service_pb2 import RegistrationLost
from liity.registration.v1.reconciliation_service_pb2 import (
    UNFINISHED_KIND_UNSPECIFIED,
    ListCustomerPersonsRequest,
    ListMissingRequest,
    ListUnfinishedRequest,
    Unfinished,
    UnfinishedKind,
)
from liity.registration.v1.reconciliation_service_pb2_grpc import ReconciliationServiceStub
from liity.registration.v1.registration_service_pb2 import Registrar
from liity.registration.v1.unit_service_pb2 import GetUnitRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.reason_pb2 import REASON_UNIT_NOT_FOUND
from liity.workflows.v1.registration_workflow_pb2 import Adopt, RegistrationStep, SaveRequest
from services.runtime.clock import now
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer
from services.runtime.temporal.names import (
    AddressChangeWorkflowNames,
    ClassListWorkflowNames,
    CodeChangeWorkflowNames,
    CredentialsWorkflowNames,
    InvitationWorkflowNames,
    MergeUndoWorkflowNames,
    MergeWorkflowNames,
    PasswordOrderWorkflowNames,
    RegistrationWorkflowNames,
    RemovalWorkflowNames,
    TransferWorkflowNames,
    UnitClosingWorkflowNames,
)
from services.runtime.temporal.search_attributes import REGISTRATION, UNIT
from workflows.mail.notifier import Mailing
from workflows.reconciliation.kinds import Kind, Row, kinds, waits_for_decision

_PAGE = 100
"""Rows checked together: one query to Temporal and one call of the service."""

_PAUSE = 0.2
"""Seconds between two pages, so that other users of the services and Temporal come first."""

_A_WHILE = timedelta(days=7)
"""How long it is checked that somebody was told of what no row keeps: longer than outages last."""

_REASON = "Its registration or customer is no longer in the database"


@dataclass
class Findings:
    """What a check has found, and what was repaired."""

    checked: int = 0
    found: list[str] = field(default_factory=list)
    """The workflow ID, or the row's ID, of each that is not as it should be."""
    fixed: int = 0
    failed: int = 0
    """How many could not be repaired now."""


class Reconciler:
    """Checks rows and runs against each other. Rows younger than `age` are skipped."""

    def __init__(
        self,
        temporal: Client,
        identity: Peer,
        registration: Peer,
        mailing: Mailing,
        age: timedelta,
        need_patience: timedelta,
    ) -> None:
        self._temporal = temporal
        self._identity = identity
        self._registration = registration
        self._mailing = mailing
        self._age = age
        self._kinds: Mapping[UnfinishedKind.ValueType, Kind] = kinds(need_patience)
        self._rows = ReconciliationServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)
        self._registrars = RegistrarServiceStub(identity.channel)
        self._persons = PersonServiceStub(identity.channel)

    async def rows_without_run(self, row_kind: UnfinishedKind.ValueType, *, fix: bool) -> Findings:
        """Checks every row of a kind; with `fix`, begins the run of each row that no run knows.

        The unspecified kind stands for invitations.
        """
        kind, findings = self._kinds[row_kind], Findings()
        pages = self._invitations() if row_kind == UNFINISHED_KIND_UNSPECIFIED else self._unfinished(row_kind)
        async for page in pages:
            findings.checked += len(page)
            for row in await self._unknown(kind, page):
                workflow_id = kind.workflow_id(row)
                findings.found.append(workflow_id)
                if fix:
                    beginning = kind.begin(self._temporal, row)
                    await _repair(findings, workflow_id, beginning, "run begun from its row")
        return findings

    async def runs_without_row(self, *, fix: bool) -> tuple[Findings, Findings]:
        """Checks runs that have had a row: whether the row is lost, or its registration has ended.

        With `fix`, the former end and customer service is notified; the latter, which still wait for the
        decision by which the registration has ended, are told to take it.
        """
        without_row, behind_row = Findings(), Findings()
        async for page in _pages(_runs(self._temporal, _WITH_ROW)):
            without_row.checked += len(page)
            behind_row.checked += len(page)
            lost, ended = await self._lost(page)
            for run in lost:
                without_row.found.append(run.id)
                if fix:
                    await _repair(without_row, run.id, self._end(run), "run without a row ended")
            for run, row in filter(lambda one: waits_for_decision(one[0]), ended):
                behind_row.found.append(run.id)
                if fix:
                    adopting = self._adopt(run, row)
                    await _repair(behind_row, run.id, adopting, "run told of the end of its registration")
        return without_row, behind_row

    async def runs_cut_off(self, *, fix: bool) -> Findings:
        """Checks runs that were ended from outside, and that no row tells of.

        With `fix`, each goes on from its history, which alone knows whom it has told and whom not.
        """
        findings = Findings()
        since = f"{now() - _A_WHILE:%Y-%m-%dT%H:%M:%SZ}"
        ended = self._temporal.list_workflows(f"{_CUT_OFF} AND CloseTime > '{since}'", page_size=_PAGE)
        async for page in _pages(ended):
            findings.checked += len(page)
            for run in await self._to_go_on(page):
                findings.found.append(run.id)
                if fix:
                    await _repair(
                        findings, run.id, self._go_on(run), "run goes on that was ended from outside"
                    )
        return findings

    async def rows_without_person(self) -> Findings:
        """Checks that identity knows the person of every customer. It cannot be repaired without the code."""
        findings, request = Findings(), ListCustomerPersonsRequest(page_size=_PAGE)
        while True:
            page = await self._registration.call(self._rows.ListCustomerPersons, request)
            findings.checked += len(page.customers)
            asked = ListMissingPersonsRequest(person_ids=[one.person_id for one in page.customers])
            missing = set((await self._identity.call(self._persons.ListMissingPersons, asked)).person_ids)
            findings.found += [
                f"customer/{one.customer_id}" for one in page.customers if one.person_id in missing
            ]
            if not page.next_page_token:
                return findings
            request.page_token = page.next_page_token
            await asyncio.sleep(_PAUSE)

    # Rows without a run

    async def _unfinished(self, kind: UnfinishedKind.ValueType) -> AsyncIterator[Sequence[Row]]:
        request = ListUnfinishedRequest(kind=kind, page_size=_PAGE)
        request.changed_before.FromDatetime(now() - self._age)
        if self._kinds[kind].for_a_while:
            request.changed_since.FromDatetime(now() - self._age - _A_WHILE)
        while True:
            page = await self._registration.call(self._rows.ListUnfinished, request)
            yield [Row(row) for row in page.rows]
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
            await asyncio.sleep(_PAUSE)

    async def _invitations(self) -> AsyncIterator[Sequence[Row]]:
        request = ListOpenInvitationsRequest(page_size=_PAGE)
        request.made_before.FromDatetime(now() - self._age)
        while True:
            page = await self._identity.call(self._registrars.ListOpenInvitations, request)
            yield [
                Row(Unfinished(row_id=invitation.invitation_id, unit_id=invitation.unit_id), invitation)
                for invitation in page.invitations
            ]
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
            await asyncio.sleep(_PAUSE)

    async def _unknown(self, kind: Kind, rows: Sequence[Row]) -> list[Row]:
        """The rows that no run knows.

        The list of open runs may lag: for a row that it lacks, the run itself is described.
        """
        if not rows:
            return []
        by_id = {kind.workflow_id(row): row for row in rows}
        runs = _of(self._temporal, by_id, closed=kind.for_a_while)
        known = {run.id async for run in runs if _knows(kind, by_id[run.id], run)}
        return [
            row
            for row in rows
            if kind.workflow_id(row) not in known and not await _is_known(self._temporal, kind, row)
        ]

    # Runs without a row

    async def _lost(
        self, runs: Sequence[WorkflowExecution]
    ) -> tuple[list[WorkflowExecution], list[tuple[WorkflowExecution, Unfinished]]]:
        """The runs without a row, and those whose registration has ended."""
        registrations = {
            run.typed_search_attributes[REGISTRATION]: run
            for run in runs
            if run.workflow_type == RegistrationWorkflowNames.WORKFLOW
            and run.typed_search_attributes.get(REGISTRATION) is not None
        }
        customers = {
            run.id.removeprefix(RemovalWorkflowNames.workflow_id("")): run
            for run in runs
            if run.workflow_type == RemovalWorkflowNames.WORKFLOW
        }
        request = ListMissingRequest(registration_ids=registrations, customer_ids=customers)
        request.ended_before.FromDatetime(now() - self._age)
        missing = await self._registration.call(self._rows.ListMissing, request)
        lost = [registrations[row_id] for row_id in missing.registration_ids] + [
            customers[row_id] for row_id in missing.customer_ids
        ]
        ended = [(registrations[row.row_id], row) for row in missing.ended_registrations]
        return lost, ended

    async def _to_go_on(self, runs: Sequence[WorkflowExecution]) -> list[WorkflowExecution]:
        """The latest runs of their IDs, of which more is to come."""
        latest: dict[str, WorkflowExecution] = {}
        async for run in _of(self._temporal, {run.id for run in runs}, closed=True):
            if run.id not in latest or run.start_time > latest[run.id].start_time:
                latest[run.id] = run
        cut_off = [run for run in runs if run.id in latest and run.run_id == latest[run.id].run_id]
        # Registrations that wait are begun anew from their rows, by what the rows say now.
        _, over = await self._lost(
            [run for run in cut_off if run.workflow_type == RegistrationWorkflowNames.WORKFLOW]
        )
        ended = {run.run_id for run, _ in over}
        return [
            run
            for run in cut_off
            if (run.workflow_type != RegistrationWorkflowNames.WORKFLOW or run.run_id in ended)
            and await self._was_cut_off(run)
        ]

    async def _was_cut_off(self, run: WorkflowExecution) -> bool:
        """Whether a run has no successor, as the list may lag, and was not ended by reconciliation itself."""
        if (await self._temporal.get_workflow_handle(run.id).describe()).run_id != run.run_id:
            return False
        handle = self._temporal.get_workflow_handle(run.id, run_id=run.run_id)
        closing = handle.fetch_history_events(event_filter_type=WorkflowHistoryEventFilterType.CLOSE_EVENT)
        reasons = [event.workflow_execution_terminated_event_attributes.reason async for event in closing]
        return _REASON not in reasons

    async def _go_on(self, run: WorkflowExecution) -> None:
        """Begins a run anew at its last workflow task: what was done is not done twice."""
        handle = self._temporal.get_workflow_handle(run.id, run_id=run.run_id)
        tasks = [
            event.event_id
            async for event in handle.fetch_history_events()
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        ]
        if not tasks:
            # It has done nothing yet, and its caller has no answer.
            return
        await self._temporal.workflow_service.reset_workflow_execution(
            ResetWorkflowExecutionRequest(
                namespace=self._temporal.namespace,
                workflow_execution=Execution(workflow_id=run.id, run_id=run.run_id),
                reason="Ended from outside",
                workflow_task_finish_event_id=tasks[-1],
                request_id=run.run_id,
            )
        )

    async def _end(self, run: WorkflowExecution) -> None:
        """Notifies customer service, then ends the run: after a failure, an open run is found again."""
        handle = self._temporal.get_workflow_handle(run.id, run_id=run.run_id)
        content = RegistrationLost(
            unit_display_name=await self._unit_name(run.typed_search_attributes.get(UNIT) or ""),
            registrar_display_name=(await _saved_by(self._temporal, handle)).display_name,
            registration_id=run.typed_search_attributes[REGISTRATION],
        )
        content.begin_time.FromDatetime(run.start_time)
        step = RegistrationStep(
            registration_id=run.typed_search_attributes[REGISTRATION], event_id=run.run_id
        )
        await self._mailing.tell(
            step, self._mailing.customer_service, "registration lost", registration_lost=content
        )
        await handle.terminate(reason=_REASON)

    async def _adopt(self, run: WorkflowExecution, row: Unfinished) -> None:
        adopt = Adopt(registration_id=row.row_id, request_id=row.request_id)
        handle = self._temporal.get_workflow_handle(run.id, run_id=run.run_id)
        await handle.signal(RegistrationWorkflowNames.ADOPT, adopt)

    async def _unit_name(self, unit_id: str) -> str:
        """The unit's name; its ID if the unit has no row either."""
        try:
            request = GetUnitRequest(unit_id=unit_id)
            return (await self._registration.call(self._units.GetUnit, request)).unit.display_name
        except Refusal as refusal:
            if refusal.reason != REASON_UNIT_NOT_FOUND:
                raise
            return unit_id


_CUT_OFF = (
    "ExecutionStatus IN ('Terminated', 'Failed', 'TimedOut') AND WorkflowType IN ("
    + ", ".join(
        f"'{names.WORKFLOW}'"
        for names in (
            RegistrationWorkflowNames,
            TransferWorkflowNames,
            CredentialsWorkflowNames,
            AddressChangeWorkflowNames,
            MergeWorkflowNames,
            MergeUndoWorkflowNames,
            CodeChangeWorkflowNames,
            UnitClosingWorkflowNames,
            RemovalWorkflowNames,
            InvitationWorkflowNames,
            ClassListWorkflowNames,
            PasswordOrderWorkflowNames,
        )
    )
    + ")"
)
"""Runs ended from outside, of the workflows that tell somebody of what is done.

Of needs, exports, messages and feedback the rows tell all.
"""

_WITH_ROW = (
    f"WorkflowType IN ('{RegistrationWorkflowNames.WORKFLOW}', '{RemovalWorkflowNames.WORKFLOW}')"
    f" AND {REGISTRATION.name} IS NOT NULL AND LiityStage != 'ERASED'"
)
"""Runs that have had a row."""


async def _repair(findings: Findings, workflow_id: str, repairing: Awaitable[None], done: str) -> None:
    """Awaits the repair of a row or run; counts and logs how it went."""
    try:
        await repairing
    except (Refusal, RPCError) as error:
        activity.logger.warning("not repaired: %s (%s)", workflow_id, type(error).__name__)
        findings.failed += 1
    else:
        activity.logger.warning("%s: %s", done, workflow_id)
        findings.fixed += 1


def _runs(temporal: Client, query: str) -> AsyncIterator[WorkflowExecution]:
    """The open runs that match a query."""
    return temporal.list_workflows(f"{query} AND ExecutionStatus = 'Running'", page_size=_PAGE)


def _of(
    temporal: Client, workflow_ids: Iterable[str], *, closed: bool = False
) -> AsyncIterator[WorkflowExecution]:
    """The open runs of some IDs; with `closed`, the closed ones too."""
    query = f"WorkflowId IN ({_quoted(workflow_ids)})"
    return temporal.list_workflows(query, page_size=_PAGE) if closed else _runs(temporal, query)


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


async def _pages(runs: AsyncIterator[WorkflowExecution]) -> AsyncIterator[Sequence[WorkflowExecution]]:
    page: list[WorkflowExecution] = []
    async for run in runs:
        page.append(run)
        if len(page) == _PAGE:
            yield page
            page = []
            await asyncio.sleep(_PAUSE)
    if page:
        yield page


async def _is_known(temporal: Client, kind: Kind, row: Row) -> bool:
    """Whether a row's run is open and knows the row, or has ended as it should."""
    try:
        run = await temporal.get_workflow_handle(kind.workflow_id(row)).describe()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return kind.at_rest(row, None)
    return _knows(kind, row, run)


def _knows(kind: Kind, row: Row, run: WorkflowExecution) -> bool:
    return kind.knows(row, run) if run.status == WorkflowExecutionStatus.RUNNING else kind.at_rest(row, run)


async def _saved_by(temporal: Client, handle: WorkflowHandle[object, object]) -> Registrar:
    """The registrar of a run's Save, from its history; empty if there is none."""
    converter = temporal.data_converter.with_context(
        WorkflowSerializationContext(namespace=temporal.namespace, workflow_id=handle.id)
    )
    async for event in handle.fetch_history_events():
        update = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
        if update.name == RegistrationWorkflowNames.SAVE:
            saves: Iterable[SaveRequest] = await converter.decode(update.args.payloads, [SaveRequest])
            return next(iter(saves)).registration.registrar
    return Registrar()
