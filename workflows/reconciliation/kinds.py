"""Each kind of row that needs a run: which run, and how to begin it from the row."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta

from google.protobuf.message import Message
from temporalio.client import Client, WithStartWorkflowOperation, WorkflowExecution, WorkflowExecutionStatus
from temporalio.common import (
    SearchAttributeKey,
    SearchAttributePair,
    TypedSearchAttributes,
    WorkflowIDConflictPolicy,
    WorkflowIDReusePolicy,
)

from liity.identity.v1.registrar_service_pb2 import Invitation, InviteRegistrarRequest
from liity.registration.v1.customer_service_pb2 import EndCustomershipRequest
from liity.registration.v1.reconciliation_service_pb2 import (
    UNFINISHED_KIND_ANSWERED_FEEDBACK,
    UNFINISHED_KIND_CD_BORROWER,
    UNFINISHED_KIND_CLASS_LIST,
    UNFINISHED_KIND_CLOSED_MESSAGE,
    UNFINISHED_KIND_DISCLOSURE,
    UNFINISHED_KIND_FEEDBACK,
    UNFINISHED_KIND_MESSAGE,
    UNFINISHED_KIND_NEED,
    UNFINISHED_KIND_REGISTRATION,
    UNFINISHED_KIND_REMOVAL,
    UNFINISHED_KIND_UNIT_MOVE,
    UNFINISHED_KIND_UNSPECIFIED,
    Unfinished,
    UnfinishedKind,
)
from liity.v1.reason_pb2 import REASON_UNAVAILABLE
from liity.workflows.v1.class_list_workflow_pb2 import ClassListInput
from liity.workflows.v1.disclosure_workflow_pb2 import DisclosureWorkflowInput
from liity.workflows.v1.feedback_workflow_pb2 import FeedbackAnswered, FeedbackWorkflowInput
from liity.workflows.v1.invitation_workflow_pb2 import InviteRequest, InviteResponse
from liity.workflows.v1.message_workflow_pb2 import MessageClosed, MessageWorkflowInput
from liity.workflows.v1.need_workflow_pb2 import NeedChanged, NeedWorkflowInput
from liity.workflows.v1.registration_workflow_pb2 import Adopt, RegistrationWorkflowInput
from liity.workflows.v1.removal_workflow_pb2 import EndRequest, EndResponse, RemovalWorkflowInput
from liity.workflows.v1.unit_closing_workflow_pb2 import CloseRequest, CloseResponse
from services.runtime.clock import from_proto_date, helsinki_moment, now
from services.runtime.stages import WAITING
from services.runtime.temporal.codec import OperatorText
from services.runtime.temporal.names import (
    TASK_QUEUE,
    ClassListWorkflowNames,
    DisclosureWorkflowNames,
    FeedbackWorkflowNames,
    InvitationWorkflowNames,
    MessageWorkflowNames,
    NeedWorkflowNames,
    RegistrationWorkflowNames,
    RemovalWorkflowNames,
    UnitClosingWorkflowNames,
    behind_saves,
)
from services.runtime.temporal.search_attributes import KIND, REGISTRATION, STAGE, UNIT, kind_name, stage_name
from services.runtime.temporal.updates import update_with_start
from workflows.customers.need_activities import ASK_HOUR

_DECLINE_PATIENCE = timedelta(minutes=5)
"""How long after its end a declined registration may still wait before its run counts as not knowing."""


@dataclass(frozen=True)
class Row:
    """An unfinished row, as its service lists it."""

    unfinished: Unfinished
    invitation: Invitation = field(default_factory=Invitation)
    """The whole invitation, if the row is one."""


@dataclass(frozen=True)
class Kind:
    """A kind of row."""

    workflow_id: Callable[[Row], str]
    """The workflow ID of the row's run."""
    begin: Callable[[Client, Row], Awaitable[None]]
    """Begins the run, or signals the row to an open one. Repeats nothing that was done."""
    knows: Callable[[Row, WorkflowExecution], bool] = lambda row, run: True  # noqa: ARG005
    """Whether an open run knows its row. A run that lost its update shows no search attribute of it."""
    at_rest: Callable[[Row, WorkflowExecution | None], bool] = lambda row, run: False  # noqa: ARG005
    """Whether the row needs no run any more, judged by its latest closed run."""
    for_a_while: bool = False
    """Whether rows are listed only for a while, as they do not tell whether more is to come of them."""


def kinds(need_patience: timedelta) -> Mapping[UnfinishedKind.ValueType, Kind]:
    """All kinds. `need_patience` is how long each answer about a temporary need may take."""

    def need_at_rest(row: Row, run: WorkflowExecution | None) -> bool:
        """Whether the question was asked and not answered: the row then stays as it is."""
        asked = helsinki_moment(from_proto_date(row.unfinished.expected_end_date), ASK_HOUR)
        ended_by_itself = run is not None and run.status == WorkflowExecutionStatus.COMPLETED
        return now() >= (asked if ended_by_itself else asked + 2 * need_patience)

    return {
        UNFINISHED_KIND_REGISTRATION: Kind(_registration_run, _begin_registration, _knows_registration),
        UNFINISHED_KIND_CD_BORROWER: Kind(
            _registration_run,
            _begin_registration,
            _knows_registration,
            _cd_borrower_told,
            for_a_while=True,
        ),
        UNFINISHED_KIND_REMOVAL: Kind(
            lambda row: RemovalWorkflowNames.workflow_id(row.unfinished.row_id),
            _begin_removal,
            _shows(STAGE),
        ),
        UNFINISHED_KIND_NEED: Kind(
            lambda row: NeedWorkflowNames.workflow_id(row.unfinished.row_id),
            _begin_need,
            at_rest=need_at_rest,
        ),
        UNFINISHED_KIND_MESSAGE: Kind(
            lambda row: MessageWorkflowNames.workflow_id(row.unfinished.row_id), _begin_message
        ),
        UNFINISHED_KIND_CLASS_LIST: Kind(
            lambda row: ClassListWorkflowNames.workflow_id(row.unfinished.row_id), _begin_class_list
        ),
        UNFINISHED_KIND_DISCLOSURE: Kind(
            lambda row: DisclosureWorkflowNames.workflow_id(row.unfinished.row_id), _begin_disclosure
        ),
        UNFINISHED_KIND_UNIT_MOVE: Kind(
            lambda row: UnitClosingWorkflowNames.workflow_id(row.unfinished.row_id), _begin_unit_move
        ),
        UNFINISHED_KIND_FEEDBACK: Kind(
            lambda row: FeedbackWorkflowNames.workflow_id(row.unfinished.row_id), _begin_feedback
        ),
        UNFINISHED_KIND_CLOSED_MESSAGE: Kind(
            lambda row: MessageWorkflowNames.workflow_id(row.unfinished.row_id),
            _begin_message,
            at_rest=_completed,
            for_a_while=True,
        ),
        UNFINISHED_KIND_ANSWERED_FEEDBACK: Kind(
            lambda row: FeedbackWorkflowNames.workflow_id(row.unfinished.row_id),
            _begin_feedback,
            at_rest=_completed,
            for_a_while=True,
        ),
        UNFINISHED_KIND_UNSPECIFIED: Kind(
            lambda row: InvitationWorkflowNames.workflow_id(row.unfinished.row_id),
            _begin_invitation,
            _shows(STAGE),
        ),
    }


def _shows(attribute: SearchAttributeKey[str]) -> Callable[[Row, WorkflowExecution], bool]:
    return lambda row, run: run.typed_search_attributes.get(attribute) is not None  # noqa: ARG005


def _knows_registration(row: Row, run: WorkflowExecution) -> bool:
    """Whether a run knows its registration, and does not wait for a decision that is stored already."""
    shown = run.typed_search_attributes
    decided = waits_for_decision(run) and shown.get(STAGE) != stage_name(row.unfinished.stage)
    # The run of a declined registration ends it then.
    declined = row.unfinished.HasField("decline_end_time") and (
        row.unfinished.decline_end_time.ToDatetime(UTC) < now() - _DECLINE_PATIENCE
    )
    return shown.get(REGISTRATION) is not None and not decided and not declined


def waits_for_decision(run: WorkflowExecution) -> bool:
    """Whether a run shows that it waits for the guardian or for customer service."""
    return run.typed_search_attributes.get(STAGE) in {stage_name(stage) for stage in WAITING}


def _cd_borrower_told(row: Row, run: WorkflowExecution | None) -> bool:
    """Whether a run has completed for this CD borrower's registration."""
    return (
        run is not None
        and run.status == WorkflowExecutionStatus.COMPLETED
        and run.typed_search_attributes.get(REGISTRATION) == row.unfinished.row_id
    )


def _completed(row: Row, run: WorkflowExecution | None) -> bool:  # noqa: ARG001
    """Whether a run has completed: it does so only once it has mailed the answer."""
    return run is not None and run.status == WorkflowExecutionStatus.COMPLETED


def _registration_run(row: Row) -> str:
    return RegistrationWorkflowNames.workflow_id(row.unfinished.person_id)


async def _begin_registration(temporal: Client, row: Row) -> None:
    unfinished = row.unfinished
    await temporal.start_workflow(
        RegistrationWorkflowNames.WORKFLOW,
        RegistrationWorkflowInput(person_id=unfinished.person_id),
        id=_registration_run(row),
        task_queue=TASK_QUEUE,
        static_summary=OperatorText("Registration of a customer"),
        search_attributes=TypedSearchAttributes(
            [
                SearchAttributePair(STAGE, stage_name(unfinished.stage)),
                SearchAttributePair(UNIT, unfinished.unit_id),
                SearchAttributePair(KIND, kind_name(unfinished.kind)),
            ]
        ),
        start_signal=RegistrationWorkflowNames.ADOPT,
        start_signal_args=[Adopt(registration_id=unfinished.row_id, request_id=unfinished.request_id)],
    )


async def _begin_removal(temporal: Client, row: Row) -> None:
    """Repeats the update that ended the customership: the run skips what is done."""
    unfinished = row.unfinished
    end = EndCustomershipRequest(
        request_id=unfinished.request_id,
        customer_id=unfinished.row_id,
        unit_id=unfinished.unit_id,
        reason=unfinished.end_reason,
    )
    name = RemovalWorkflowNames.END
    await update_with_start(
        temporal,
        lambda: _with_start(
            RemovalWorkflowNames.WORKFLOW,
            RemovalWorkflowNames.workflow_id(unfinished.row_id),
            "Removal of a customer",
            unfinished.unit_id,
            RemovalWorkflowInput(customer_id=unfinished.row_id),
        ),
        name,
        EndRequest(end=end),
        f"{name}/{unfinished.request_id}",
        EndResponse,
        closed=REASON_UNAVAILABLE,
    )


async def _begin_need(temporal: Client, row: Row) -> None:
    customer_id = row.unfinished.row_id
    await temporal.start_workflow(
        NeedWorkflowNames.WORKFLOW,
        NeedWorkflowInput(customer_id=customer_id),
        id=NeedWorkflowNames.workflow_id(customer_id),
        task_queue=TASK_QUEUE,
        static_summary=OperatorText("Temporary need"),
        start_signal=NeedWorkflowNames.CHANGED,
        start_signal_args=[NeedChanged()],
    )


async def _begin_message(temporal: Client, row: Row) -> None:
    message_id = row.unfinished.row_id
    await temporal.start_workflow(
        MessageWorkflowNames.WORKFLOW,
        MessageWorkflowInput(message_id=message_id),
        id=MessageWorkflowNames.workflow_id(message_id),
        task_queue=TASK_QUEUE,
        static_summary=OperatorText("Message to customer service"),
        search_attributes=_of_unit(row.unfinished.unit_id),
        start_signal=MessageWorkflowNames.CLOSED,
        start_signal_args=[MessageClosed()],
    )


async def _begin_feedback(temporal: Client, row: Row) -> None:
    feedback_id = row.unfinished.row_id
    await temporal.start_workflow(
        FeedbackWorkflowNames.WORKFLOW,
        FeedbackWorkflowInput(feedback_id=feedback_id),
        id=FeedbackWorkflowNames.workflow_id(feedback_id),
        task_queue=TASK_QUEUE,
        static_summary=OperatorText("Feedback on accessibility"),
        start_signal=FeedbackWorkflowNames.ANSWERED,
        start_signal_args=[FeedbackAnswered()],
    )


async def _begin_class_list(temporal: Client, row: Row) -> None:
    unfinished = row.unfinished
    await temporal.start_workflow(
        ClassListWorkflowNames.WORKFLOW,
        ClassListInput(
            class_list_id=unfinished.row_id, unit_id=unfinished.unit_id, account_id=unfinished.account_id
        ),
        id=ClassListWorkflowNames.workflow_id(unfinished.row_id),
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=OperatorText("Registration of a class list"),
        search_attributes=_of_unit(unfinished.unit_id),
        priority=behind_saves(unfinished.unit_id),
    )


async def _begin_disclosure(temporal: Client, row: Row) -> None:
    unfinished = row.unfinished
    await temporal.start_workflow(
        DisclosureWorkflowNames.WORKFLOW,
        DisclosureWorkflowInput(
            disclosure_id=unfinished.row_id,
            person_id=unfinished.person_id,
            expire_time=unfinished.expire_time,
        ),
        id=DisclosureWorkflowNames.workflow_id(unfinished.row_id),
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=OperatorText("Disclosure of a person's data"),
    )


async def _begin_unit_move(temporal: Client, row: Row) -> None:
    """Repeats the update that closed the unit: the run moves what is still there."""
    unfinished = row.unfinished
    close = CloseRequest(unit_id=unfinished.row_id, successor_unit_id=unfinished.successor_unit_id)
    name = UnitClosingWorkflowNames.CLOSE
    await update_with_start(
        temporal,
        lambda: _with_start(
            UnitClosingWorkflowNames.WORKFLOW,
            UnitClosingWorkflowNames.workflow_id(unfinished.row_id),
            "Closing of a unit",
            unfinished.row_id,
            close,
        ),
        name,
        close,
        f"{name}/{uuid.uuid5(uuid.UUID(unfinished.row_id), unfinished.successor_unit_id)}",
        CloseResponse,
        closed=REASON_UNAVAILABLE,
    )


async def _begin_invitation(temporal: Client, row: Row) -> None:
    """Repeats the update that made the invitation: the run skips what is done."""
    invitation = row.invitation
    invite = InviteRegistrarRequest(
        request_id=str(uuid.UUID(invitation.invitation_id)),
        unit_id=invitation.unit_id,
        email=invitation.email,
        role=invitation.role,
        language=invitation.language,
        inviter_account_id=invitation.inviter_account_id,
    )
    name = InvitationWorkflowNames.INVITE
    await update_with_start(
        temporal,
        lambda: _with_start(
            InvitationWorkflowNames.WORKFLOW,
            InvitationWorkflowNames.workflow_id(invitation.invitation_id),
            "Invitation of a registrar",
            invitation.unit_id,
        ),
        name,
        InviteRequest(invite=invite),
        f"{name}/{invite.request_id}",
        InviteResponse,
        closed=REASON_UNAVAILABLE,
    )


def _with_start(
    workflow: str, workflow_id: str, summary: str, unit_id: str, *arguments: Message
) -> WithStartWorkflowOperation[object, object]:
    return WithStartWorkflowOperation(
        workflow,
        args=arguments,
        id=workflow_id,
        task_queue=TASK_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        static_summary=OperatorText(summary),
        search_attributes=_of_unit(unit_id),
    )


def _of_unit(unit_id: str) -> TypedSearchAttributes:
    return TypedSearchAttributes([SearchAttributePair(UNIT, unit_id)])
