"""Activities of customer service's decisions (R19, R24)."""

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from temporalio import activity

from liity.notification.v1.notification_service_pb2 import (
    DecisionNotice,
    RegistrationNotice,
)
from liity.registration.v1.registration_service_pb2 import (
    ApproveRegistrationRequest,
    GetRegistrationRequest,
    LinkRegistrationRequest,
    Registration,
)
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.registration.v1.unit_service_pb2 import BatchGetUnitsRequest
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.reason_pb2 import REASON_NOT_WAITING_FOR_DECISION
from liity.v1.registration_pb2 import (
    STAGE_LAPSED,
    STAGE_LINKED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    Stage,
)
from liity.v1.work_service_pb2 import (
    WORK_ITEM_KIND_IDENTITY_CHECK,
    WORK_ITEM_KIND_REACTIVATION,
    WorkItemKind,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    ApprovalStep,
    ApprovedRegistration,
    DecisionStep,
    LinkStep,
    MailStepResult,
    RegistrationStep,
)
from services.runtime.clock import deadline_after, from_proto_date, helsinki_moment
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer
from services.runtime.text.unnamed_unit import UNNAMED_UNIT
from services.runtime.work_item_ids import work_item_id
from workflows.mail.notifier import Mailing, registration_name
from workflows.privacy.erasure import Erasure

_KINDS: Mapping[Stage.ValueType, WorkItemKind.ValueType] = {
    STAGE_WAITING_FOR_REACTIVATION: WORK_ITEM_KIND_REACTIVATION,
    STAGE_WAITING_FOR_IDENTITY_CHECK: WORK_ITEM_KIND_IDENTITY_CHECK,
}


class DecisionActivities:
    """Activities that call the three services. Their mails name nobody but whose registration has ended."""

    def __init__(self, registration: Peer, mailing: Mailing, erasure: Erasure) -> None:
        self._registration = registration
        self._mailing = mailing
        self._erasure = erasure
        self._registrations = RegistrationServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)

    @activity.defn
    async def ask_customer_service(self, asked: DecisionStep) -> MailStepResult:
        """Mails customer service that a registration waits for its decision."""
        reactivation = asked.awaited == STAGE_WAITING_FOR_REACTIVATION
        return await self._ask(asked, "reactivation_asked" if reactivation else "identity_check_asked")

    @activity.defn
    async def remind_customer_service(self, asked: DecisionStep) -> MailStepResult:
        """Reminds customer service that a registration still waits for its decision."""
        return await self._ask(asked, "decision_reminder")

    @activity.defn
    async def approve_registration(self, approval: ApprovalStep) -> ApprovedRegistration:
        """Approves the registration; returns it unchanged if it has ended meanwhile."""
        step = approval.step
        approve = ApproveRegistrationRequest(
            registration_id=step.registration_id,
            decision_request_id=step.event_id,
            decide_time=approval.decide_time,
        )
        decided, lapse = approval.decide_time.ToDatetime(UTC), step.deadline.ToDatetime(UTC)
        approve.consent_deadline.FromDatetime(deadline_after(decided, lapse - decided))
        try:
            response = await self._registration.call(self._registrations.ApproveRegistration, approve)
        except Refusal as refusal:
            if refusal.reason != REASON_NOT_WAITING_FOR_DECISION:
                raise
            return ApprovedRegistration(registration=await self._get(step))
        approved = ApprovedRegistration(registration=response.registration)
        if response.HasField("consent_outgrown_date"):
            birthday = from_proto_date(response.consent_outgrown_date)
            approved.consent_outgrown_time.FromDatetime(helsinki_moment(birthday))
        if response.HasField("previous"):
            approved.previous.CopyFrom(response.previous)
        return approved

    @activity.defn
    async def link_registration(self, link: LinkStep) -> ApprovedRegistration:
        """Links the registration to an existing customer; erases the person created for it."""
        step = link.step
        request = LinkRegistrationRequest(
            registration_id=step.registration_id,
            customer_id=link.link.customer_id,
            unit_id=link.link.unit_id,
            decision_request_id=step.event_id,
        )
        response = await self._registration.call(self._registrations.LinkRegistration, request)
        await self._erasure.erase_person(step.person_id, kind="linked")
        linked = ApprovedRegistration(registration=response.registration)
        if response.HasField("previous"):
            linked.previous.CopyFrom(response.previous)
        return linked

    @activity.defn
    async def tell_how_it_was_decided(self, decided: DecisionStep) -> MailStepResult:
        """Notifies the registrar of customer service's decision, or of the lapse."""
        registration = await self._get(decided.step)
        reactivation = decided.awaited == STAGE_WAITING_FOR_REACTIVATION
        if decided.stage == STAGE_LAPSED:
            field = "decision_lapsed"
        elif decided.stage == STAGE_REJECTED:
            field = "reactivation_declined" if reactivation else "identity_check_declined"
        else:
            field = "reactivation_done" if reactivation else "identity_check_done"
        linked = decided.stage == STAGE_LINKED
        told = await self._told(registration)
        notice = RegistrationNotice(**told, linked=linked, first_names=decided.step.first_names)
        account_id = registration.told_account_id or registration.registrar_account_id
        responsible = await self._mailing.responsible(registration.unit_id, account_id)
        # What has ended is erased, and has no page to be read; of a protected person none is told.
        hidden = registration.is_protected or decided.stage in {STAGE_LAPSED, STAGE_REJECTED}
        page = "" if hidden else registration_name(registration.unit_id, registration.registration_id)
        return await self._mailing.tell_all(
            decided.step, responsible, "decision", resource=page, **{field: notice}
        )

    @activity.defn
    async def tell_what_was_missed(self, decided: DecisionStep) -> MailStepResult:
        """Notifies customer service of a registration that lapsed without its decision."""
        told = await self._told(await self._get(decided.step))
        return await self._mailing.tell(
            decided.step, self._mailing.customer_service, "missed", decision_missed=RegistrationNotice(**told)
        )

    async def _ask(self, asked: DecisionStep, field: str) -> MailStepResult:
        """Mails customer service, unless it has decided."""
        registration = await self._get(asked.step)
        if registration.stage != asked.awaited:
            return MailStepResult()
        kind = _KINDS[asked.awaited]
        message = DecisionNotice(
            **await self._told(registration),
            deadline=asked.step.deadline,
            work_item_id=work_item_id(kind, registration.registration_id),
        )
        result = await self._mailing.tell(
            asked.step, self._mailing.customer_service, field, resource="", **{field: message}
        )
        if not result.delivered:
            activity.logger.error("customer service cannot be mailed: LIITY_CUSTOMER_SERVICE_EMAIL is wrong")
        return result

    async def _get(self, step: RegistrationStep) -> Registration:
        request = GetRegistrationRequest(registration_id=step.registration_id)
        return (await self._registration.call(self._registrations.GetRegistration, request)).registration

    async def _told(self, registration: Registration) -> dict[str, Any]:
        units = BatchGetUnitsRequest(unit_ids=[registration.unit_id])
        unit = (await self._registration.call(self._units.BatchGetUnits, units)).units[0]
        return {
            "unit_display_name": UNNAMED_UNIT if registration.is_protected else unit.display_name,
            "registration_id": registration.registration_id,
            "registration_create_time": registration.create_time,
        }
