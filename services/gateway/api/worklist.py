"""`liity.v1.WorkService`: the work list of customer service."""

import asyncio
from collections.abc import Mapping, Sequence

import grpc
from typing_extensions import override

from liity.notification.v1 import notification_service_pb2 as stored_reports_pb2
from liity.notification.v1.notification_service_pb2 import GetMailFiguresRequest
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.registration.v1 import work_service_pb2 as stored_pb2
from liity.registration.v1.work_service_pb2_grpc import WorkServiceStub
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.reason_pb2 import REASON_CLAIMED_BY_ANOTHER
from liity.v1.registration_pb2 import (
    ACTION_ACKNOWLEDGE_DISSENT,
    ACTION_ANSWER_FEEDBACK,
    ACTION_CLOSE_MESSAGE,
    ACTION_DISMISS_DUPLICATE,
    ACTION_EDIT,
    ACTION_LINK_TO_CUSTOMER,
    ACTION_MERGE,
    ACTION_REACTIVATE,
    ACTION_RECORD_CONSENT,
    ACTION_REJECT,
    ACTION_SEND_CREDENTIALS,
    ACTION_VERIFY_IDENTITY,
    ACTION_WITHDRAW,
    PARTY_CUSTOMER_SERVICE,
    PARTY_REGISTRAR,
    Action,
    AvailableAction,
)
from liity.v1.work_service_pb2 import (
    WORK_ITEM_KIND_DISSENT,
    WORK_ITEM_KIND_FEEDBACK,
    WORK_ITEM_KIND_IDENTITY_CHECK,
    WORK_ITEM_KIND_MESSAGE,
    WORK_ITEM_KIND_POSSIBLE_DUPLICATE,
    WORK_ITEM_KIND_REACTIVATION,
    WORK_ITEM_KIND_UNDELIVERABLE_MAIL,
    AcknowledgeDissentRequest,
    AcknowledgeDissentResponse,
    ClaimWorkItemRequest,
    ClaimWorkItemResponse,
    DismissDuplicateRequest,
    DismissDuplicateResponse,
    GetFiguresRequest,
    GetFiguresResponse,
    GetWorkItemRequest,
    GetWorkItemResponse,
    ListWorkItemsRequest,
    ListWorkItemsResponse,
    ReleaseWorkItemRequest,
    ReleaseWorkItemResponse,
    ReportDeliveryRequest,
    ReportDeliveryResponse,
    WorkClaim,
    WorkItem,
    WorkItemKind,
    WorkSubject,
)
from liity.v1.work_service_pb2_grpc import WorkServiceServicer
from services.gateway.presentation.explanation_texts import Words
from services.gateway.resource_names import CUSTOMER, FEEDBACK, MESSAGE, REGISTRATION, UNIT, WORK_ITEM
from services.gateway.views import DEFAULT_PAGE, LARGEST_PAGE
from services.runtime.rpc.context import current_request
from services.runtime.rpc.errors import failed_precondition
from services.runtime.rpc.peer import Peer
from services.runtime.work_item_ids import work_item_id

_ACTIONS: Mapping[WorkItemKind.ValueType, Sequence[Action.ValueType]] = {
    WORK_ITEM_KIND_REACTIVATION: (ACTION_REACTIVATE, ACTION_REJECT),
    WORK_ITEM_KIND_IDENTITY_CHECK: (ACTION_VERIFY_IDENTITY, ACTION_LINK_TO_CUSTOMER, ACTION_REJECT),
    WORK_ITEM_KIND_POSSIBLE_DUPLICATE: (ACTION_MERGE, ACTION_DISMISS_DUPLICATE),
    WORK_ITEM_KIND_MESSAGE: (ACTION_CLOSE_MESSAGE,),
    WORK_ITEM_KIND_FEEDBACK: (ACTION_ANSWER_FEEDBACK,),
    WORK_ITEM_KIND_DISSENT: (ACTION_ACKNOWLEDGE_DISSENT,),
}
"""Actions by kind of item; those for undeliverable mail depend on its subject."""

_ALSO_THE_UNIT = frozenset({ACTION_EDIT, ACTION_SEND_CREDENTIALS, ACTION_RECORD_CONSENT, ACTION_WITHDRAW})


class WorkService(WorkServiceServicer):
    """Lists work items, and claims and releases them."""

    def __init__(self, registration: Peer, notification: Peer) -> None:
        self._registration = registration
        self._notification = notification
        self._work = WorkServiceStub(registration.channel)
        self._notifications = NotificationServiceStub(notification.channel)

    @override
    async def GetFigures(
        self,
        request: GetFiguresRequest,
        context: grpc.ServicerContext,
    ) -> GetFiguresResponse:
        """How much is under way in all units, and how much mail was refused."""
        figures, mail = await asyncio.gather(
            self._registration.call(self._work.GetFigures, stored_pb2.GetFiguresRequest()),
            self._notification.call(self._notifications.GetMailFigures, GetMailFiguresRequest()),
        )
        response = figures.figures
        response.mail.CopyFrom(mail.figures)
        return response

    @override
    async def ReportDelivery(
        self,
        request: ReportDeliveryRequest,
        context: grpc.ServicerContext,
    ) -> ReportDeliveryResponse:
        """Records that a mail did not arrive after a mail server had taken it."""
        report = stored_reports_pb2.ReportDeliveryRequest(status=request.status)
        if request.WhichOneof("report") == "raw_report":
            report.raw_report = request.raw_report
        else:
            report.message_id = request.message_id
        recorded = await self._notification.call(self._notifications.ReportDelivery, report)
        return ReportDeliveryResponse(outcome=recorded.outcome)

    @override
    async def ListWorkItems(
        self,
        request: ListWorkItemsRequest,
        context: grpc.ServicerContext,
    ) -> ListWorkItemsResponse:
        """Lists work items, oldest first."""
        asked = stored_pb2.ListWorkItemsRequest(
            kinds=request.kinds,
            claims=request.claims,
            page_size=min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE),
            page_token=request.page_token,
            overdue=request.overdue,
        )
        page = await self._registration.call(self._work.ListWorkItems, asked)
        return ListWorkItemsResponse(
            work_items=[to_public(item) for item in page.work_items], next_page_token=page.next_page_token
        )

    @override
    async def GetWorkItem(
        self,
        request: GetWorkItemRequest,
        context: grpc.ServicerContext,
    ) -> GetWorkItemResponse:
        """Reads a work item."""
        asked = stored_pb2.GetWorkItemRequest(work_item_id=WORK_ITEM.parse_id(request.name))
        found = await self._registration.call(self._work.GetWorkItem, asked)
        return GetWorkItemResponse(work_item=to_public(found.work_item))

    @override
    async def ClaimWorkItem(
        self,
        request: ClaimWorkItemRequest,
        context: grpc.ServicerContext,
    ) -> ClaimWorkItemResponse:
        """Claims an item. If another officer has it, the refusal tells who, and until when."""
        claim = stored_pb2.ClaimWorkItemRequest(
            request_id=request.request_id,
            work_item_id=WORK_ITEM.parse_id(request.name),
            display_name=current_request().caller.display_name,
        )
        item = to_public((await self._registration.call(self._work.ClaimWorkItem, claim)).work_item)
        if not item.claim.mine:
            raise failed_precondition(REASON_CLAIMED_BY_ANOTHER, item.claim)
        return ClaimWorkItemResponse(work_item=item)

    @override
    async def ReleaseWorkItem(
        self,
        request: ReleaseWorkItemRequest,
        context: grpc.ServicerContext,
    ) -> ReleaseWorkItemResponse:
        """Releases a claimed item."""
        release = stored_pb2.ReleaseWorkItemRequest(
            request_id=request.request_id, work_item_id=WORK_ITEM.parse_id(request.name)
        )
        await self._registration.call(self._work.ReleaseWorkItem, release)
        return ReleaseWorkItemResponse()

    @override
    async def DismissDuplicate(
        self,
        request: DismissDuplicateRequest,
        context: grpc.ServicerContext,
    ) -> DismissDuplicateResponse:
        """Records that two customers are two persons."""
        dismiss = stored_pb2.DismissDuplicateRequest(
            request_id=request.request_id, work_item_id=WORK_ITEM.parse_id(request.name)
        )
        await self._registration.call(self._work.DismissDuplicate, dismiss)
        return DismissDuplicateResponse()

    @override
    async def AcknowledgeDissent(
        self,
        request: AcknowledgeDissentRequest,
        context: grpc.ServicerContext,
    ) -> AcknowledgeDissentResponse:
        """Records that customer service knows of a guardian's dissent (R39)."""
        acknowledge = stored_pb2.AcknowledgeDissentRequest(
            request_id=request.request_id, work_item_id=WORK_ITEM.parse_id(request.name)
        )
        await self._registration.call(self._work.AcknowledgeDissent, acknowledge)
        return AcknowledgeDissentResponse()


class Claims:
    """Checks for claims of other officers; handlers of decisions call it first."""

    def __init__(self, registration: Peer) -> None:
        self._registration = registration
        self._work = WorkServiceStub(registration.channel)

    async def require_unclaimed_by_others(self, kind: WorkItemKind.ValueType, *row_ids: str) -> None:
        """FAILED_PRECONDITION (CLAIMED_BY_ANOTHER) if another officer has claimed the item of these rows."""
        check = stored_pb2.CheckClaimRequest(work_item_id=work_item_id(kind, *row_ids))
        await self._registration.call(self._work.CheckClaim, check)

    async def require_customer_unclaimed_by_others(self, customer_id: str) -> None:
        """The same for all items of a customer. Claims do not bind the unit's registrars."""
        if ROLE_CUSTOMER_SERVICE in current_request().caller.roles:
            check = stored_pb2.CheckClaimRequest(customer_id=customer_id)
            await self._registration.call(self._work.CheckClaim, check)


def to_public(item: stored_pb2.WorkItem) -> WorkItem:
    """An item in the public API's form, in the language of the call."""
    words = Words(current_request().language)
    public = WorkItem(
        name=WORK_ITEM.format(item.work_item_id),
        kind=item.kind,
        text=words.say("work", WorkItemKind.Name(item.kind).removeprefix("WORK_ITEM_KIND_")),
        unit=UNIT.format(unit_id) if (unit_id := item.subjects[0].unit_id) else "",
        subjects=[_subject(subject) for subject in item.subjects],
        possible_duplicates=[_subject(subject) for subject in item.possible_duplicates],
        create_time=item.create_time,
        available_actions=[
            AvailableAction(
                action=action,
                parties=(PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE)
                if action in _ALSO_THE_UNIT
                else (PARTY_CUSTOMER_SERVICE,),
            )
            for action in _asked_for(item)
        ],
    )
    if item.HasField("deadline"):
        public.deadline.CopyFrom(item.deadline)
    if item.HasField("claim"):
        public.claim.CopyFrom(
            WorkClaim(
                officer_display_name=item.claim.display_name,
                mine=item.claim.account_id == current_request().caller.account_id,
                expire_time=item.claim.expire_time,
            )
        )
    return public


def _asked_for(item: stored_pb2.WorkItem) -> Sequence[Action.ValueType]:
    if item.kind != WORK_ITEM_KIND_UNDELIVERABLE_MAIL:
        return _ACTIONS[item.kind]
    (subject,) = item.subjects
    if subject.registration_id:
        # The guardian's address does not work: correct it, or record a consent on paper.
        return ACTION_EDIT, ACTION_RECORD_CONSENT, ACTION_WITHDRAW
    if subject.customer_kind == CUSTOMER_KIND_ONLINE:
        return ACTION_EDIT, ACTION_SEND_CREDENTIALS
    return (ACTION_EDIT,)


def _subject(subject: stored_pb2.WorkSubject) -> WorkSubject:
    name = {
        "registration_id": REGISTRATION.format(subject.unit_id, subject.registration_id),
        "customer_id": CUSTOMER.format(subject.unit_id, subject.customer_id),
        "message_id": MESSAGE.format(subject.unit_id, subject.message_id),
        "feedback_id": FEEDBACK.format(subject.feedback_id),
    }[subject.WhichOneof("subject") or ""]
    return WorkSubject(
        name=name,
        display_name=subject.display_name,
        unit_display_name=subject.unit_display_name,
    )
