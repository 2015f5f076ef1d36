"""Activities of a unit's closing."""

import uuid

from temporalio import activity
from temporalio.service import RPCError, RPCStatusCode

from liity.identity.v1.account_service_pb2 import ListAccountsRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.identity.v1.registrar_service_pb2 import ReleaseUnitRequest
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.notification.v1.notification_service_pb2 import UnitNotice
from liity.registration.v1.unit_service_pb2 import (
    CloseUnitRequest,
    GetUnitRequest,
    ListUnitPersonsRequest,
    MoveUnitPersonsRequest,
)
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.workflows.v1.need_workflow_pb2 import NeedChanged
from liity.workflows.v1.registration_workflow_pb2 import MailStepResult, Moved, RegistrationStep
from liity.workflows.v1.unit_closing_workflow_pb2 import (
    CloseRequest,
    CloseResponse,
    MoveUnitStep,
    MoveUnitStepResult,
    UnitMailStep,
    UnitRegistrars,
)
from services.runtime.rpc.peer import Peer
from services.runtime.temporal.names import NeedWorkflowNames, RegistrationWorkflowNames
from workflows.mail.notifier import Mailing, key
from workflows.support.refusals import answers_refusals

_BATCH = 50
"""Persons that one step moves."""


class UnitClosingActivities:
    """Activities that call registration, identity and Temporal."""

    def __init__(self, identity: Peer, registration: Peer, mailing: Mailing) -> None:
        self._identity = identity
        self._registration = registration
        self._mailing = mailing
        self._accounts = AccountServiceStub(identity.channel)
        self._registrars = RegistrarServiceStub(identity.channel)
        self._units = UnitServiceStub(registration.channel)

    @activity.defn
    async def list_registrars(self, request: CloseRequest) -> UnitRegistrars:
        """Who acts for the unit: once it is closed nobody does."""
        accounts = ListAccountsRequest(unit_id=request.unit_id)
        found = (await self._identity.call(self._accounts.ListAccounts, accounts)).accounts
        return UnitRegistrars(account_ids=[account.account_id for account in found])

    @activity.defn
    @answers_refusals(CloseResponse)
    async def close_unit(self, request: CloseRequest) -> CloseResponse:
        """Closes the unit, then removes its registrars. A permanent refusal is returned, not raised."""
        close = CloseUnitRequest(unit_id=request.unit_id, successor_unit_id=request.successor_unit_id)
        closed = await self._registration.call(self._units.CloseUnit, close)
        release = ReleaseUnitRequest(unit_id=request.unit_id)
        released = await self._identity.call(self._registrars.ReleaseUnit, release)
        return CloseResponse(unit=closed.unit, voided_invitation_ids=released.voided_invitation_ids)

    @activity.defn
    async def move_unit_batch(self, step: MoveUnitStep) -> MoveUnitStepResult:
        """Moves the next persons to the successor; once there are none, what leads to no person."""
        following = ListUnitPersonsRequest(unit_id=step.unit_id, page_size=_BATCH)
        found = (await self._registration.call(self._units.ListUnitPersons, following)).persons
        for person in found:
            if person.is_running:
                # Before the move: after a crash the person would not be found again.
                workflow_id = RegistrationWorkflowNames.workflow_id(person.person_id)
                moved = Moved(unit_id=step.successor_unit_id)
                await _signal(workflow_id, RegistrationWorkflowNames.MOVED, moved)
            activity.heartbeat()
        move = MoveUnitPersonsRequest(unit_id=step.unit_id, person_ids=[person.person_id for person in found])
        moved_so_far = await self._registration.call(self._units.MoveUnitPersons, move)
        for person in found:
            if person.is_temporary:
                need = NeedWorkflowNames.workflow_id(person.customer_id)
                await _signal(need, NeedWorkflowNames.CHANGED, NeedChanged())
        return MoveUnitStepResult(moved_persons=moved_so_far.moved_persons, is_done=moved_so_far.is_done)

    @activity.defn
    async def tell_unit_closed(self, step: UnitMailStep) -> MailStepResult:
        """Mails those who acted for the unit that it has closed."""
        found = [await self._mailing.find(account_id) for account_id in step.account_ids]
        accounts = [account for account in found if account is not None]
        notice = await self._notice(step)
        return await self._mailing.tell_each(_event(step), accounts, "unit closed", unit_closed=notice)

    @activity.defn
    async def tell_unit_took_over(self, step: UnitMailStep) -> MailStepResult:
        """Mails those who act for the successor whose customers have come, else customer service."""
        request = ListAccountsRequest(unit_id=step.successor_unit_id)
        accounts = (await self._identity.call(self._accounts.ListAccounts, request)).accounts
        notice = await self._notice(step)
        return await self._mailing.tell_all(
            _event(step), list(accounts), "unit took over", unit_took_over=notice
        )

    async def _notice(self, step: UnitMailStep) -> UnitNotice:
        notice = UnitNotice(unit_display_name=await self._name(step.unit_id), persons=step.moved_persons)
        if step.successor_unit_id:
            notice.successor_display_name = await self._name(step.successor_unit_id)
        return notice

    async def _name(self, unit_id: str) -> str:
        request = GetUnitRequest(unit_id=unit_id)
        return (await self._registration.call(self._units.GetUnit, request)).unit.display_name


def _event(step: UnitMailStep) -> RegistrationStep:
    """A unit closes once, and moves to a successor once: so each mail is sent once."""
    event_id = key(str(uuid.UUID(step.unit_id)), f"closing {step.successor_unit_id}")
    return RegistrationStep(registration_id=step.unit_id, event_id=event_id)


async def _signal(workflow_id: str, name: str, message: Moved | NeedChanged) -> None:
    """Signals a run, if it runs."""
    try:
        await activity.client().get_workflow_handle(workflow_id).signal(name, message)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
