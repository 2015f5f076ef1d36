"""The worker: runs the workflows and their steps."""

import asyncio
from datetime import timedelta

import structlog
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.service import RPCError
from temporalio.worker import PollerBehaviorAutoscaling, Worker, WorkerDeploymentConfig
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from services.runtime import logs, temporal
from services.runtime.disclosures import DisclosureSeal
from services.runtime.payload_keys import check_payload_keys
from services.runtime.peer import Peer
from services.runtime.server import stop_requested
from services.runtime.service_identity import ServiceIdentity
from services.runtime.settings import load
from services.runtime.temporal import RegistrationWorkflowNames
from services.runtime.temporal_namespace import namespace_retention
from services.runtime.tls import component_certificate
from workflows.actors import ActorInterceptor
from workflows.disclosure import DisclosureWorkflow
from workflows.disclosure_activities import DisclosureActivities
from workflows.password_order import PasswordOrderWorkflow
from workflows.password_order_activities import PasswordOrderActivities
from workflows.registration import RegistrationWorkflow
from workflows.registration_activities import (
    HeartbeatInterceptor,
    RefusalInterceptor,
    RegistrationActivities,
)
from workflows.settings import WorkerSettings
from workflows.signals import SignalInterceptor

log = structlog.get_logger()

# Our modules and the generated code are deterministic: to load them anew for every run only costs time.
WORKFLOW_RUNNER = SandboxedWorkflowRunner(
    restrictions=SandboxRestrictions.default.with_passthrough_modules(
        "liity", "services", "workflows", "google", "grpc_status", "structlog", "protovalidate"
    )
)


def create_worker(
    client: Client,
    activities: RegistrationActivities,
    disclosures: DisclosureActivities,
    orders: PasswordOrderActivities,
    build_id: str = "",
) -> Worker:
    """A worker for all workflows. With a build ID its workflows upgrade as new builds become current."""
    deployment = WorkerDeploymentConfig(
        version=WorkerDeploymentVersion("liity", build_id),
        use_worker_versioning=True,
        default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
    )
    return Worker(
        client,
        task_queue=RegistrationWorkflowNames.TASK_QUEUE,
        workflows=[RegistrationWorkflow, DisclosureWorkflow, PasswordOrderWorkflow],
        activities=[
            activities.create_registration,
            activities.request_consent,
            activities.remind_of_consent,
            activities.activate_registration,
            activities.tell_consent_given,
            activities.tell_consent_outgrown,
            activities.end_registration,
            activities.tell_consent_not_given,
            activities.send_credentials,
            activities.send_welcome,
            disclosures.gather_disclosure,
            disclosures.delete_disclosure,
            orders.mail_password_link,
        ],
        interceptors=[ActorInterceptor(), SignalInterceptor(), HeartbeatInterceptor(), RefusalInterceptor()],
        workflow_runner=WORKFLOW_RUNNER,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        max_cached_workflows=1000,
        deployment_config=deployment if build_id else None,
    )


async def run() -> None:
    """Runs the worker until SIGTERM or SIGINT."""
    settings = load(WorkerSettings)
    logs.configure("worker", settings)
    identity = ServiceIdentity("worker", settings.keys_dir, component_certificate("worker", settings))
    peers = (
        Peer("identity", settings.identity_target, identity),
        Peer("registration", settings.registration_target, identity),
        Peer("notification", settings.notification_target, identity),
    )
    orders = PasswordOrderActivities(peers[0], peers[2])
    activities = RegistrationActivities(*peers, settings.timetable())
    disclosures = DisclosureActivities(*peers, DisclosureSeal(settings.keys_dir))
    client = await _connected(settings)
    await check_payload_keys(client, settings.keys_dir)
    await _warn_of_long_retention(client, settings.temporal_retention)
    worker = create_worker(client, activities, disclosures, orders, settings.worker_build_id)

    def use(client: Client) -> None:
        worker.client = client

    async with worker, temporal.follow_certificates(settings, use):
        await stop_requested()
    for peer in peers:
        await peer.close()


async def _connected(settings: WorkerSettings) -> Client:
    """A client that is connected, which a worker needs; Temporal may come up after us."""
    while True:
        try:
            return await temporal.connect(settings, lazy=False)
        except RuntimeError:
            log.warning("temporal away", address=settings.temporal_address)
            await asyncio.sleep(1)


async def _warn_of_long_retention(client: Client, wanted: timedelta) -> None:
    """Tells operators if closed runs, and what is encrypted in them, are kept longer than they should be."""
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
