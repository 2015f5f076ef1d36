"""The worker: runs workflows and activities."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import structlog
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import (
    PollerBehaviorAutoscaling,
    UnsandboxedWorkflowRunner,
    Worker,
    WorkerDeploymentConfig,
    WorkflowRunner,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from services.runtime import logs
from services.runtime.components import stop_requested
from services.runtime.rpc.peer import Peer
from services.runtime.security.disclosure_seal import DisclosureSeal
from services.runtime.security.keys import KeysetPurpose, load_keyset
from services.runtime.security.payload_key_check import check_payload_keys
from services.runtime.security.service_identity import ServiceIdentity
from services.runtime.security.tls import component_certificate
from services.runtime.settings import load
from services.runtime.temporal import client as temporal_client
from services.runtime.temporal.actor_header import ActorSeal
from services.runtime.temporal.names import ROWS_TASK_QUEUE, TASK_QUEUE
from services.runtime.temporal.namespace import namespace_retention
from workflows.accounts.password_reminder import PasswordReminderWorkflow
from workflows.accounts.password_reminder_activities import PasswordReminderActivities
from workflows.accounts.password_reset import PasswordOrderWorkflow
from workflows.accounts.password_reset_activities import PasswordOrderActivities
from workflows.class_lists.activities import ClassListActivities
from workflows.class_lists.workflow import ClassListWorkflow
from workflows.customers.address_change import AddressChangeWorkflow
from workflows.customers.address_change_activities import AddressActivities
from workflows.customers.code_change import CodeChangeWorkflow
from workflows.customers.code_change_activities import CodeChangeActivities
from workflows.customers.credentials import CredentialsWorkflow
from workflows.customers.credentials_activities import CredentialsActivities
from workflows.customers.merge import MergeWorkflow
from workflows.customers.merge_activities import MergeActivities
from workflows.customers.merge_undo import MergeUndoWorkflow
from workflows.customers.need import NeedWorkflow
from workflows.customers.need_activities import NeedActivities
from workflows.customers.transfer import TransferWorkflow
from workflows.customers.transfer_activities import TransferActivities
from workflows.feedback.activities import FeedbackActivities
from workflows.feedback.workflow import FeedbackWorkflow
from workflows.mail.customership_links import CustomershipLinks
from workflows.mail.notifier import Mailing
from workflows.mail.origin import OriginInterceptor, Step
from workflows.mail.returned_mail_activities import ReturnedMailActivities
from workflows.messages.activities import MessageActivities
from workflows.messages.workflow import MessageWorkflow
from workflows.privacy.disclosure import DisclosureWorkflow
from workflows.privacy.disclosure_activities import DisclosureActivities
from workflows.privacy.erasure import Erasure
from workflows.privacy.erasure_ledger import ErasureLedger
from workflows.reconciliation.activities import ReconciliationActivities
from workflows.reconciliation.adoption_activities import AdoptionActivities
from workflows.reconciliation.counting import counting
from workflows.reconciliation.invariants import invariants_of
from workflows.reconciliation.workflow import ReconciliationWorkflow
from workflows.registration.activities import RegistrationActivities
from workflows.registration.decision_activities import DecisionActivities
from workflows.registration.workflow import RegistrationWorkflow
from workflows.removal.activities import RemovalActivities
from workflows.removal.workflow import RemovalWorkflow
from workflows.settings import WorkerSettings
from workflows.support.activity_interceptors import HeartbeatInterceptor, RefusalInterceptor
from workflows.support.actor_context import ActorInterceptor
from workflows.support.schedules import prepare_schedules
from workflows.support.signals import DroppedSignals, SignalInterceptor
from workflows.units.invitation import InvitationWorkflow
from workflows.units.invitation_activities import InvitationActivities
from workflows.units.unit_closing import UnitClosingWorkflow
from workflows.units.unit_closing_activities import UnitClosingActivities
from workflows.worklist.digest import WorkDigestWorkflow
from workflows.worklist.digest_activities import WorkDigestActivities

log = structlog.get_logger()

SANDBOX = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "liity", "services", "workflows", "google", "grpc_status", "structlog", "protovalidate"
    )
)
"""Detects nondeterminism, in tests and in the replay gate; it would double a workflow task's CPU.

Our modules and the generated code are not reloaded for every run.
"""


WORKFLOWS: Sequence[type] = (
    RegistrationWorkflow,
    TransferWorkflow,
    CredentialsWorkflow,
    AddressChangeWorkflow,
    DisclosureWorkflow,
    PasswordOrderWorkflow,
    ClassListWorkflow,
    RemovalWorkflow,
    NeedWorkflow,
    InvitationWorkflow,
    UnitClosingWorkflow,
    PasswordReminderWorkflow,
    MessageWorkflow,
    FeedbackWorkflow,
    MergeWorkflow,
    MergeUndoWorkflow,
    CodeChangeWorkflow,
    WorkDigestWorkflow,
    ReconciliationWorkflow,
)
"""All workflows."""


def create_steps(
    identity: Peer, registration: Peer, notification: Peer, settings: WorkerSettings
) -> list[Callable[..., Any]]:
    """The activities of all workflows."""
    mailing = Mailing(identity, registration, notification, settings.customer_service_email)
    ledger = ErasureLedger(settings.erasure_ledger_dir, settings.erasure_ledger_keep)
    erasure = Erasure(identity, registration, notification, ledger)
    links = CustomershipLinks(identity, settings.workflows_customership_link_lifetime)
    registering = RegistrationActivities(
        identity, registration, mailing, links, erasure, settings.timetable()
    )
    adoption = AdoptionActivities(identity, registration, settings.timetable())
    transfer = TransferActivities(identity, registration, mailing)
    credentials = CredentialsActivities(registration, mailing)
    link_lifetime = settings.workflows_email_link_lifetime
    address = AddressActivities(identity, registration, mailing, links, link_lifetime)
    seal = DisclosureSeal(settings.keys_dir)
    disclosures = DisclosureActivities(identity, registration, notification, seal)
    orders = PasswordOrderActivities(identity, registration, mailing)
    class_lists = ClassListActivities(identity, registration, mailing, settings.workflows_class_list_patience)
    removal = RemovalActivities(identity, registration, mailing, links, erasure, settings.retention())
    need = NeedActivities(
        registration,
        mailing,
        links,
        settings.workflows_need_patience,
        settings.workflows_need_extension,
        settings.workflows_morning_spread,
    )
    decisions = DecisionActivities(registration, mailing, erasure)
    invitations = InvitationActivities(
        identity, registration, mailing, settings.workflows_invitation_reminder
    )
    closing = UnitClosingActivities(identity, registration, mailing)
    reminders = PasswordReminderActivities(identity, registration, mailing)
    messages = MessageActivities(
        registration,
        mailing,
        reminder=settings.workflows_message_reminder,
        lapse=settings.workflows_message_lapse,
    )
    feedback = FeedbackActivities(registration, mailing, settings.workflows_feedback_reminder)
    merge = MergeActivities(identity, registration)
    code_change = CodeChangeActivities(identity, registration)
    digest = WorkDigestActivities(registration, mailing, settings.workflows_work_notice)
    reconciliation = ReconciliationActivities(
        identity,
        registration,
        mailing,
        settings.workflows_reconciliation_age,
        settings.workflows_need_patience,
    )
    mailing_steps: list[Step] = [
        registering.request_consent,
        registering.remind_of_consent,
        registering.tell_wrong_recipient,
        registering.mail_receipt,
        registering.mail_dissent_receipt,
        registering.tell_consent_given,
        registering.tell_consent_outgrown,
        registering.tell_consent_not_given,
        registering.tell_lapses_soon,
        registering.tell_withdrawn,
        registering.tell_customership_begun,
        registering.send_credentials,
        registering.remind_to_change_address,
        registering.send_welcome,
        decisions.ask_customer_service,
        decisions.remind_customer_service,
        decisions.tell_how_it_was_decided,
        decisions.tell_what_was_missed,
        transfer.tell_previous_unit,
        transfer.tell_unit_of_merge,
        credentials.send_credentials_anew,
        address.confirm_address,
        address.remind_to_confirm,
        address.tell_unconfirmed,
        address.tell_previous_address,
        address.tell_previous_related_address,
        orders.mail_password_link,
        class_lists.tell_class_list_done,
        removal.tell_customership_ended,
        removal.tell_registrar_of_the_end,
        removal.tell_consent_withdrawn,
        removal.tell_removal_undone,
        removal.tell_customership_goes_on,
        need.ask_whether_needed,
        need.tell_need_unanswered,
        invitations.mail_invitation,
        invitations.remind_of_invitation,
        messages.tell_customer_service,
        messages.confirm_receipt,
        messages.remind_of_message,
        messages.tell_answered,
        messages.tell_lapsed,
        messages.tell_erased,
        feedback.tell_of_feedback,
        feedback.confirm_feedback,
        feedback.tell_feedback_late,
        feedback.mail_feedback_answer,
        closing.tell_unit_closed,
        closing.tell_unit_took_over,
    ]
    returned_mail = ReturnedMailActivities(registration, notification, mailing, invitations, mailing_steps)
    return [
        registering.create_registration,
        registering.plan_welcome,
        registering.edit_registration,
        registering.request_consent,
        registering.remind_of_consent,
        registering.report_wrong_recipient,
        registering.tell_wrong_recipient,
        registering.record_decline,
        registering.take_back_decline,
        registering.activate_registration,
        registering.mail_receipt,
        registering.record_dissent,
        registering.mail_dissent_receipt,
        registering.tell_consent_given,
        registering.tell_consent_outgrown,
        registering.end_registration,
        registering.tell_consent_not_given,
        registering.tell_lapses_soon,
        registering.tell_withdrawn,
        registering.tell_customership_begun,
        registering.send_credentials,
        registering.remind_to_change_address,
        registering.look_whose_address,
        registering.send_welcome,
        registering.look_whether_over,
        decisions.ask_customer_service,
        decisions.remind_customer_service,
        decisions.approve_registration,
        decisions.link_registration,
        decisions.tell_how_it_was_decided,
        decisions.tell_what_was_missed,
        transfer.transfer_customer,
        transfer.tell_previous_unit,
        transfer.tell_unit_of_merge,
        credentials.order_credentials,
        credentials.send_credentials_anew,
        address.change_address,
        address.confirm_address,
        address.remind_to_confirm,
        address.tell_unconfirmed,
        address.tell_previous_address,
        address.tell_previous_related_address,
        disclosures.gather_disclosure,
        disclosures.delete_disclosure,
        orders.mail_password_link,
        class_lists.begin_class_list,
        class_lists.register_rows,
        class_lists.finish_class_list,
        class_lists.cancel_class_list,
        class_lists.tell_class_list_done,
        removal.end_customership,
        removal.tell_customership_ended,
        removal.tell_registrar_of_the_end,
        removal.tell_consent_withdrawn,
        removal.undo_removal,
        removal.tell_removal_undone,
        removal.tell_customership_goes_on,
        removal.look_whether_returned,
        removal.resume_welcome,
        removal.erase_customer,
        need.watch_need,
        need.look_at_need,
        need.ask_whether_needed,
        need.tell_need_unanswered,
        need.extend_need,
        invitations.invite_registrar,
        invitations.mail_invitation,
        invitations.remind_of_invitation,
        invitations.look_whether_accepted,
        invitations.void_invitation,
        invitations.end_invitation,
        closing.list_registrars,
        closing.close_unit,
        closing.tell_unit_closed,
        closing.tell_unit_took_over,
        closing.move_unit_batch,
        reminders.remind_of_passwords,
        reminders.tell_of_unused_links,
        messages.look_at_message,
        messages.tell_customer_service,
        messages.confirm_receipt,
        messages.remind_of_message,
        messages.tell_answered,
        messages.lapse_message,
        messages.tell_lapsed,
        messages.tell_erased,
        feedback.look_at_feedback,
        feedback.tell_of_feedback,
        feedback.confirm_feedback,
        feedback.tell_feedback_late,
        feedback.mail_feedback_answer,
        merge.merge_customers,
        merge.undo_merge,
        code_change.change_code,
        digest.tell_what_is_due,
        registering.convert_to_online,
        registering.resume_registration,
        registering.look_which_unit,
        adoption.adopt_registration,
        reconciliation.begin_missing_runs,
        reconciliation.resume_cut_off_runs,
        reconciliation.end_lost_runs,
        returned_mail.tell_of_returned_mail,
    ]


GRACE = timedelta(seconds=20)
"""Time that running activities get when the worker stops. A longer one is cancelled and run again."""


def create_worker(
    client: Client,
    steps: Sequence[Callable[..., Any]],
    seal: ActorSeal,
    version: WorkerDeploymentVersion | None = None,
    runner: WorkflowRunner | None = None,
) -> Worker:
    """A worker for all workflows. With a version, runs upgrade as new builds become current.

    Without a runner, workflows run outside the sandbox, which is for tests and the replay gate.
    """
    return Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=WORKFLOWS,
        activities=steps,
        interceptors=[
            ActorInterceptor(seal),
            SignalInterceptor(),
            HeartbeatInterceptor(),
            RefusalInterceptor(),
            OriginInterceptor(),
        ],
        workflow_runner=runner or UnsandboxedWorkflowRunner(),
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_cached_workflows=1000,
        graceful_shutdown_timeout=GRACE,
        deployment_config=_deployment(version),
    )


def create_row_worker(
    client: Client,
    steps: Sequence[Callable[..., Any]],
    seal: ActorSeal,
    version: WorkerDeploymentVersion | None = None,
) -> Worker:
    """A worker for the rows of class lists, one batch at a time.

    In the other worker, batches of many lists would delay activities that a person waits for.
    """
    return Worker(
        client,
        task_queue=ROWS_TASK_QUEUE,
        activities=steps,
        interceptors=[
            ActorInterceptor(seal),
            HeartbeatInterceptor(),
            RefusalInterceptor(),
            OriginInterceptor(),
        ],
        max_concurrent_activities=1,
        graceful_shutdown_timeout=GRACE,
        deployment_config=_deployment(version),
    )


def deployment_version(settings: WorkerSettings) -> WorkerDeploymentVersion | None:
    """The version that the worker belongs to; None if it is unversioned.

    temporal-worker-controller sets Temporal's own variables; `LIITY_WORKER_BUILD_ID` comes first.
    """
    build_id = settings.worker_build_id or os.environ.get("TEMPORAL_WORKER_BUILD_ID", "")
    if not build_id:
        return None
    return WorkerDeploymentVersion(os.environ.get("TEMPORAL_DEPLOYMENT_NAME") or "liity", build_id)


def _deployment(version: WorkerDeploymentVersion | None) -> WorkerDeploymentConfig | None:
    if version is None:
        return None
    return WorkerDeploymentConfig(
        version=version,
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )


async def run() -> None:
    """Runs the worker until SIGTERM or SIGINT."""
    settings = load(WorkerSettings)
    logs.configure("worker", settings)
    ErasureLedger(settings.erasure_ledger_dir, settings.erasure_ledger_keep).require_writable()
    logging.getLogger("temporalio.worker._workflow_instance").addFilter(DroppedSignals())
    identity = ServiceIdentity("worker", settings.keys_dir, component_certificate("worker", settings))
    peers = (
        Peer("identity", settings.identity_target, identity),
        Peer("registration", settings.registration_target, identity),
        Peer("notification", settings.notification_target, identity),
    )
    steps = create_steps(*peers, settings)
    client = await _connected(settings)
    await check_payload_keys(client, settings.keys_dir)
    await _warn_of_long_retention(client, settings.temporal_retention)
    await prepare_schedules(client)
    seal = ActorSeal(load_keyset(settings.keys_dir, KeysetPurpose.PAYLOADS))
    version = deployment_version(settings)
    worker = create_worker(client, steps, seal, version)
    row_worker = create_row_worker(client, steps, seal, version)

    def use(client: Client) -> None:
        worker.client = client
        row_worker.client = client

    async with (
        worker,
        row_worker,
        temporal_client.follow_certificates(settings, use),
        counting(
            lambda: invariants_of(settings, worker.client, *peers), settings.workflows_invariants_interval
        ),
    ):
        log.info("serving", temporal=settings.temporal_address)
        await stop_requested()
        log.info("stopping")
    for peer in peers:
        await peer.close()


async def _connected(settings: WorkerSettings) -> Client:
    """A connected client, which a worker needs. Waits until Temporal is up."""
    while True:
        try:
            return await temporal_client.connect(settings, lazy=False)
        except RuntimeError:
            log.warning("temporal away", address=settings.temporal_address)
            await asyncio.sleep(1)


async def _warn_of_long_retention(client: Client, wanted: timedelta) -> None:
    """Warns operators if closed runs, with their encrypted data, are kept longer than configured."""
    try:
        kept = await namespace_retention(client)
    except RPCError as error:
        log.warning("retention unknown", namespace=client.namespace, status=error.status.name)
        return
    if kept > wanted:
        log.warning(
            "closed runs are kept too long: run `liity temporal prepare`",
            namespace=client.namespace,
            kept_days=kept / timedelta(days=1),
            wanted_days=wanted / timedelta(days=1),
        )
