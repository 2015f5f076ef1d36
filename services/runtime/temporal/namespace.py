"""Setup of Temporal's namespace: search attributes, and retention of closed runs."""

import asyncio
import time
import uuid
from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    DescribeNamespaceRequest,
    UpdateNamespaceRequest,
)
from temporalio.client import Client
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from services.runtime.temporal.search_attributes import SEARCH_ATTRIBUTES

_PATIENCE = 180.0
"""Seconds until search attributes must be usable. Servers keep what they know of them for up to 60."""

_PAUSE = 1.0
"""Seconds between two attempts to use them."""


class NamespaceSettings(BaseSettings):
    """Settings of the namespace."""

    model_config = SettingsConfigDict(env_prefix="LIITY_", frozen=True)

    temporal_retention: timedelta = Field(
        timedelta(days=30),
        ge=timedelta(days=1),
        description="How long Temporal keeps the (encrypted) history of a closed run.",
    )


async def prepare_namespace(client: Client, retention: timedelta) -> list[str]:
    """Adds missing search attributes and sets the retention; returns a line for each change.

    RPCError if the caller may not. Idempotent.
    """
    changes = []
    known = await client.operator_service.list_search_attributes(
        ListSearchAttributesRequest(namespace=client.namespace)
    )
    missing = {
        key.name: int(key.indexed_value_type)
        for key in SEARCH_ATTRIBUTES
        if key.name not in known.custom_attributes
    }
    if missing:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=missing)  # type: ignore[arg-type]
        )
        changes.append(f"search attributes {', '.join(missing)}")
    kept = await namespace_retention(client)
    if kept != retention:
        duration = Duration()
        duration.FromTimedelta(retention)
        await client.workflow_service.update_namespace(
            UpdateNamespaceRequest(
                namespace=client.namespace, config=NamespaceConfig(workflow_execution_retention_ttl=duration)
            )
        )
        changes.append(f"runs that close from now on are kept {_days(retention)} days")
    if kept > retention:
        changes.append(f"those closed before stay {_days(kept)} days: see docs/operating.md")
    return changes


async def await_search_attributes(client: Client) -> None:
    """Waits until a run with all search attributes can be started.

    Frontends learn of new ones with a delay, and refuse them until then. TimeoutError if that takes too long;
    RPCError if the run is refused for another reason.
    """
    deadline = time.monotonic() + _PATIENCE
    while not await _can_be_used(client):
        if time.monotonic() > deadline:
            raise TimeoutError("its search attributes cannot be used yet: run this again later")
        await asyncio.sleep(_PAUSE)


async def _can_be_used(client: Client) -> bool:
    probe = f"prepare-probe-{uuid.uuid4()}"
    values = [
        SearchAttributePair(key, datetime.now(UTC) if key.value_type is datetime else "probe")
        for key in SEARCH_ATTRIBUTES
    ]
    try:
        # No worker asks for its task queue: it does nothing until it is deleted.
        await client.start_workflow(
            "PrepareProbe",
            id=probe,
            task_queue="prepare-probe",
            search_attributes=TypedSearchAttributes(values),
            execution_timeout=timedelta(minutes=1),
        )
    except RPCError as error:
        if error.status is RPCStatusCode.INVALID_ARGUMENT:
            return False
        raise
    await client.workflow_service.delete_workflow_execution(
        DeleteWorkflowExecutionRequest(
            namespace=client.namespace, workflow_execution=WorkflowExecution(workflow_id=probe)
        )
    )
    return True


def _days(duration: timedelta) -> str:
    return f"{duration / timedelta(days=1):g}"


async def namespace_retention(client: Client) -> timedelta:
    """How long the namespace keeps closed runs."""
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace)
    )
    return described.config.workflow_execution_retention_ttl.ToTimedelta()
