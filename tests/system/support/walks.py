"""Walks over the RPCs within one test: makes every check and reports all findings together."""

from collections.abc import Awaitable, Callable, Mapping

import pytest

from tests.system.support.public_api import Stores, changes

Checks = Mapping[str, Callable[[], Awaitable[None]]]
"""Checks by what they are about, such as an RPC's path."""


async def walk(checks: Checks) -> None:
    """Makes every check, though others fail. AssertionError tells what each has found, and about what."""
    assert checks
    found = await _surprises(checks)
    assert not found, "\n".join(found)


async def walk_storing_nothing(stores: Stores, checks: Checks) -> None:
    """The same for calls that must not change what is stored.

    What is stored is compared once for all. If it has changed, each check is made again alone: so it is
    known which of them does it. What calls have had counted is forgotten after each check.
    """
    assert checks
    async with stores.connected():
        before = await stores.contents()
        found = await _surprises(checks, stores)
        changed = changes(before, await stores.contents(changed_since=True))
        if changed:
            found.append(f"something has been stored: {changed}")
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
    """What each of the checks stores, made again alone."""
    stored = {}
    before = await stores.contents(changed_since=True)
    for name, check in checks.items():
        await _surprises({name: check}, stores)
        after = await stores.contents(changed_since=True)
        if changed := changes(before, after):
            stored[name] = changed
        before = after
    return stored
