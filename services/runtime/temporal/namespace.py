"""Setup of Temporal's namespace: search attributes, and retention of closed runs."""

from datetime import timedelta

from google.protobuf.duration_pb2 import Duration
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client

from services.runtime.temporal.search_attributes import SEARCH_ATTRIBUTES


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
    if await namespace_retention(client) != retention:
        duration = Duration()
        duration.FromTimedelta(retention)
        await client.workflow_service.update_namespace(
            UpdateNamespaceRequest(
                namespace=client.namespace, config=NamespaceConfig(workflow_execution_retention_ttl=duration)
            )
        )
        changes.append(f"closed runs are kept {retention / timedelta(days=1):g} days")
    return changes


async def namespace_retention(client: Client) -> timedelta:
    """How long the namespace keeps closed runs."""
    described = await client.workflow_service.describe_namespace(
        DescribeNamespaceRequest(namespace=client.namespace)
    )
    return described.config.workflow_execution_retention_ttl.ToTimedelta()
