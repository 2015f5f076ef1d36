"""Counts broken invariants for metrics; repairs nothing, as `ReconciliationWorkflow` and operators do."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta

import structlog
from prometheus_client import Gauge
from temporalio.service import RPCError

from services.runtime.background import in_background
from services.runtime.management import is_managed
from services.runtime.rpc.errors import Refusal
from workflows.privacy.erasure_ledger import BrokenLedger
from workflows.reconciliation.invariants import Invariants

log = structlog.get_logger()

_SOON = timedelta(minutes=10)
"""Until the next count after one that found something: reconciliation has had two rounds by then."""

_VIOLATIONS = Gauge(
    "liity_invariant_violations", "Rows, runs and erasures that break the invariant.", ["invariant"]
)
_CHECKED = Gauge(
    "liity_invariant_last_check_timestamp_seconds", "When the invariant was last checked.", ["invariant"]
)


def counting(invariants: Callable[[], Invariants], interval: timedelta) -> AbstractAsyncContextManager[None]:
    """Counts now and every `interval` while the body runs, if the process has a management port."""
    if not is_managed():
        return nullcontext()
    return in_background(_keep_counting(invariants, interval))


async def _keep_counting(invariants: Callable[[], Invariants], interval: timedelta) -> None:
    while True:
        try:
            broken = await count_violations(invariants())
        except (BrokenLedger, OSError) as error:
            log.warning("erasure ledger cannot be read", error=type(error).__name__)
            broken = True
        await asyncio.sleep((min(interval, _SOON) if broken else interval).total_seconds())


async def count_violations(invariants: Invariants) -> bool:
    """Counts once; returns whether something is broken, or could not be checked."""
    broken = False
    for names, check in invariants.checks().items():
        try:
            findings = await check(False)
        except (Refusal, RPCError) as error:
            # The time of the last check then stands still.
            log.warning("invariant not checked", invariants=names, error=type(error).__name__)
            broken = True
            continue
        for name, found in zip(names, findings, strict=True):
            _VIOLATIONS.labels(name).set(len(found.found))
            _CHECKED.labels(name).set_to_current_time()
            if found.found:
                log.warning("invariant broken", invariant=name, number=len(found.found))
                broken = True
    return broken
