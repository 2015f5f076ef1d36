"""Runs the checks of many RPCs within one test, and reports all findings together."""

from collections.abc import Awaitable, Callable, Mapping

import pytest

from tests.system.support.public_api import Stores, changes, new_rows

Checks = Mapping[str, Callable[[], Awaitable[None]]]
"""Checks by subject, such as an RPC's path."""


async def walk(checks: Checks) -> None:
    """Runs every check, even if others fail. AssertionError lists the findings by subject."""
    assert checks
    found = await _surprises(checks)
    assert not found, "\n".join(found)


async def walk_storing_nothing(stores: Stores, checks: Checks) -> None:
    """As `walk`, for calls that must not change the stored data.

    The stored data is compared once for all checks. If it has changed, each check is run again alone to find
    which one changes it. Counters of attempts are reset after each check.
    """
    assert checks
    async with stores.connected():
        before = await stores.contents()
        found = await _surprises(checks, stores)
        after = await stores.contents(changed_since=True)
        if changed := changes(before, after):
            found.append(f"something has been stored: {changed} {new_rows(before, after)}")
            found += [f"{name} stores: {what}" for name, what in (await _storing(stores, checks)).items()]
    assert not found, "\n".join(found)


async def _surprises(checks: Checks, stores: Stores | None = None) -> list[str]:
    found = []
    for name, check in checks.items():
        try:
            await check()
        except (Exception, pytest.fail.Exception) as surprise:  # noqa: BLE001 - each is told with the others
            found.append(f"{name}: {type(surprise).__name__}: {surprise}")
        if stores is not None:
            await stores.forget_attempts()
    return found


async def _storing(stores: Stores, checks: Checks) -> dict[str, dict[str, tuple[int, int]]]:
    """The changes of each check, run again alone."""
    stored = {}
    before = await stores.contents(changed_since=True)
    for name, check in checks.items():
        await _surprises({name: check}, stores)
        after = await stores.contents(changed_since=True)
        if changed := changes(before, after):
            stored[name] = changed
        before = after
    return stored
