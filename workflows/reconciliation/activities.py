"""Activities of reconciliation: compare rows with runs, page by page."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping, Sequence
from datetime import timedelta

from temporalio import activity
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowHandle,
)
from temporalio.converter import WorkflowSerializationContext
from temporalio.service import RPCError, RPCStatusCode

from liity.identity.v1.registrar_service_pb2 import ListOpenInvitationsRequest
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.notification.v1.notification_service_pb2 import RegistrationLost
from liity.registration.v1.reconciliation_service_pb2 import (
    UNFINISHED_KIND_CD_BORROWER,
    UNFINISHED_KIND_UNSPECIFIED,
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
from liity.workflows.v1.reconciliation_workflow_pb2 import ReconciliationCount, ReconciliationStep
from liity.workflows.v1.registration_workflow_pb2 import Adopt, RegistrationStep, SaveRequest
from services.runtime.clock import now
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer
from services.runtime.temporal.names import RegistrationWorkflowNames, RemovalWorkflowNames
from services.runtime.temporal.search_attributes import REGISTRATION, UNIT
from workflows.mail.notifier import Mailing
from workflows.reconciliation.kinds import Kind, Row, kinds, waits_for_decision

_PAGE = 100
"""Rows checked together: one query to Temporal and one call of the service."""

_PAUSE = 0.2
"""Seconds between two pages, so that other users of the services and Temporal come first."""

_RECENT = timedelta(hours=1)
"""How long the run of a new CD borrower is checked."""

_REASON = "Its registration or customer is no longer in the database"


class ReconciliationActivities:
    """Activities that call the services and Temporal. Rows younger than `age` are skipped."""

    def __init__(
        self, identity: Peer, registration: Peer, mailing: Mailing, age: timedelta, need_patience: timedelta
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._mailing = mailing
        self._age = age
        self._kinds: Mapping[UnfinishedKind.ValueType, Kind] = kinds(need_patience)
        self._rows = ReconciliationServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)
        self._registrars = RegistrarServiceStub(identity.channel)

    @activity.defn
    async def begin_missing_runs(self, step: ReconciliationStep) -> ReconciliationCount:
        """Checks every row of a kind, and begins the run of each row that no run knows."""
        kind, count = self._kinds[step.kind], ReconciliationCount()
        pages = (
            self._invitations() if step.kind == UNFINISHED_KIND_UNSPECIFIED else self._unfinished(step.kind)
        )
        async for page in pages:
            count.checked += len(page)
            for row in await self._unknown(kind, page):
                try:
                    await kind.begin(activity.client(), row)
                except (Refusal, RPCError) as error:
                    activity.logger.warning(
                        "run not begun: %s (%s)", kind.workflow_id(row), type(error).__name__
                    )
                    count.failed += 1
                else:
                    activity.logger.warning("run begun from its row: %s", kind.workflow_id(row))
                    count.mended += 1
        return count

    @activity.defn
    async def end_lost_runs(self) -> ReconciliationCount:
        """Ends the runs whose registration or customer has no row; notifies customer service.

        A run that still waits for a decision by which its registration has ended is told to take it.
        """
        count = ReconciliationCount()
        async for page in _pages(_runs(activity.client(), _WITH_ROW)):
            count.checked += len(page)
            lost, ended = await self._lost(page)
            for run in lost:
                await _count(count, run, self._end(run), "run without a row ended")
            for run, row in ended:
                await _count(count, run, _adopt(run, row), "run told of the end of its registration")
        return count

    # Rows without a run

    async def _unfinished(self, kind: UnfinishedKind.ValueType) -> AsyncIterator[Sequence[Row]]:
        request = ListUnfinishedRequest(kind=kind, page_size=_PAGE)
        request.changed_before.FromDatetime(now() - self._age)
        if kind == UNFINISHED_KIND_CD_BORROWER:
            request.changed_since.FromDatetime(now() - self._age - _RECENT)
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
        temporal = activity.client()
        ids = ", ".join(f"'{kind.workflow_id(row)}'" for row in rows)
        open_runs = _runs(temporal, f"WorkflowId IN ({ids})")
        by_id = {kind.workflow_id(row): row for row in rows}
        known = {run.id async for run in open_runs if kind.knows(by_id[run.id], run)}
        return [
            row
            for row in rows
            if kind.workflow_id(row) not in known and not await _is_known(temporal, kind, row)
        ]

    # Runs without a row

    async def _lost(
        self, runs: Sequence[WorkflowExecution]
    ) -> tuple[list[WorkflowExecution], list[tuple[WorkflowExecution, Unfinished]]]:
        """The runs without a row, and those that wait while their registration has ended."""
        registrations = {
            run.typed_search_attributes[REGISTRATION]: run
            for run in runs
            if run.workflow_type == RegistrationWorkflowNames.WORKFLOW
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
        return lost, [(run, row) for run, row in ended if waits_for_decision(run)]

    async def _end(self, run: WorkflowExecution) -> None:
        """Notifies customer service, then ends the run: after a failure, an open run is found again."""
        handle = activity.client().get_workflow_handle(run.id, run_id=run.run_id)
        content = RegistrationLost(
            unit_display_name=await self._unit_name(run.typed_search_attributes.get(UNIT) or ""),
            registrar_display_name=(await _saved_by(handle)).display_name,
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

    async def _unit_name(self, unit_id: str) -> str:
        """The unit's name; its ID if the unit has no row either."""
        try:
            request = GetUnitRequest(unit_id=unit_id)
            return (await self._registration.call(self._units.GetUnit, request)).unit.display_name
        except Refusal as refusal:
            if refusal.reason != REASON_UNIT_NOT_FOUND:
                raise
            return unit_id


_WITH_ROW = (
    f"WorkflowType IN ('{RegistrationWorkflowNames.WORKFLOW}', '{RemovalWorkflowNames.WORKFLOW}')"
    f" AND {REGISTRATION.name} IS NOT NULL AND LiityStage != 'ERASED'"
)
"""Runs that have had a row."""


async def _adopt(run: WorkflowExecution, row: Unfinished) -> None:
    adopt = Adopt(registration_id=row.row_id, request_id=row.request_id)
    handle = activity.client().get_workflow_handle(run.id, run_id=run.run_id)
    await handle.signal(RegistrationWorkflowNames.ADOPT, adopt)


async def _count(
    count: ReconciliationCount, run: WorkflowExecution, mending: Awaitable[None], done: str
) -> None:
    """Awaits the repair of a run; counts and logs how it went."""
    try:
        await mending
    except (Refusal, RPCError) as error:
        activity.logger.warning("run not repaired: %s (%s)", run.id, type(error).__name__)
        count.failed += 1
    else:
        activity.logger.warning("%s: %s", done, run.id)
        count.mended += 1


def _runs(temporal: Client, query: str) -> AsyncIterator[WorkflowExecution]:
    """The open runs that match a query."""
    return temporal.list_workflows(f"{query} AND ExecutionStatus = 'Running'", page_size=_PAGE)


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
    return kind.knows(row, run) if run.status == WorkflowExecutionStatus.RUNNING else kind.at_rest(row, run)


async def _saved_by(handle: WorkflowHandle[object, object]) -> Registrar:
    """The registrar of a run's Save, from its history; empty if there is none."""
    temporal = activity.client()
    converter = temporal.data_converter.with_context(
        WorkflowSerializationContext(namespace=temporal.namespace, workflow_id=handle.id)
    )
    async for event in handle.fetch_history_events():
        update = event.workflow_execution_update_accepted_event_attributes.accepted_request.input
        if update.name == RegistrationWorkflowNames.SAVE:
            saves: Iterable[SaveRequest] = await converter.decode(update.args.payloads, [SaveRequest])
            return next(iter(saves)).registration.registrar
    return Registrar()
