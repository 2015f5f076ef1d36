"""Checks that the payloads keyset can read the histories that Temporal stores."""

import asyncio
from datetime import timedelta
from pathlib import Path

import structlog
import tink
from temporalio.api.common.v1 import Payload
from temporalio.client import Client
from temporalio.service import RPCError

from services.runtime.clock import now
from services.runtime.security.keys import KeysetPurpose, key_checks, keyset_path
from services.runtime.settings import SettingsError
from services.runtime.temporal.codec import PayloadError, payload_key_id
from services.runtime.temporal.names import TASK_QUEUE

log = structlog.get_logger()

_AGES = (365, 90, 30, 14, 7, 1, 0)
"""Ages in days to look for. Temporal lists the newest runs first, but old ones need old keys."""

_PATIENCE = 5.0
"""Seconds after which a Temporal that does not answer counts as away."""


async def check_payload_keys(client: Client, keys_dir: Path) -> None:
    """Decrypts the start of an old open run. SettingsError if the keyset cannot.

    If Temporal is away, the check is skipped: the error of a later run then names the missing key.
    """
    try:
        async with asyncio.timeout(_PATIENCE):
            payloads = await _beginning_of_an_old_run(client)
    except (RPCError, RuntimeError, TimeoutError):
        log.warning("temporal away: the keys of payloads are not checked")
        return
    codec = client.data_converter.payload_codec
    if codec is None:
        return
    try:
        await codec.decode(payloads)
    except (tink.TinkError, PayloadError):
        key_id = payload_key_id(payloads[0])
        ids = key_checks(keys_dir, KeysetPurpose.PAYLOADS).values
        raise SettingsError(
            f"{keyset_path(keys_dir, KeysetPurpose.PAYLOADS)}"
            f" {'holds something else as' if key_id in ids else 'lacks'} key {key_id}, under which runs in"
            " Temporal are encrypted: put the right file back"
        ) from None


async def _beginning_of_an_old_run(client: Client) -> list[Payload]:
    for age in _AGES:
        begun = (now() - timedelta(days=age)).isoformat()
        query = f'TaskQueue = "{TASK_QUEUE}" AND ExecutionStatus = "Running" AND StartTime < "{begun}"'
        async for run in client.list_workflows(query, limit=1):
            handle = client.get_workflow_handle(run.id, run_id=run.run_id)
            async for event in handle.fetch_history_events(page_size=1):
                return list(event.workflow_execution_started_event_attributes.input.payloads)
    return []
