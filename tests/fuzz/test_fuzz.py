"""A small attack on every server, the same one each time. `make fuzz` has larger numbers, and goes on."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from tests.conftest import copy_postgres
from tests.fuzz.attack import Attack
from tests.fuzz.rounds import Siege
from tests.fuzz.target import SERVERS, Target, running_target
from tests.fuzz.transport import ATTACKERS, Numbers
from tests.support.program import Program

# A thousand calls of two hundred RPCs are one test.
pytestmark = pytest.mark.timeout(1200)

SEED = int(os.environ.get("FUZZ_SEED", "1"))

NUMBERS = Numbers(warm_up=0, each=1, connections=100, streams=300)
"""What the facts need to be made warms the servers up."""


@pytest.fixture(scope="module")
async def target(tmp_path_factory: pytest.TempPathFactory, postgres_template: Path) -> AsyncIterator[Target]:
    """A stack of our own: what is done to it is nothing that other tests should meet."""
    folder = tmp_path_factory.mktemp("fuzzed")
    copy_postgres(postgres_template, folder / "postgres")
    # What a password takes of memory is part of what may not grow.
    program = Program(full_hashes=True)
    try:
        async with running_target(folder, spawn=program.spawn) as started:
            yield started
    finally:
        program.close()


@pytest.fixture(scope="module")
async def siege(target: Target) -> Siege:
    """The attack."""
    print(f"FUZZ_SEED={SEED}")  # noqa: T201 - pytest shows it when a test fails
    siege = Siege(target, SEED, NUMBERS)
    await siege.warm_up()
    return siege


async def test_no_call_is_answered_wrongly_or_leaves_something_behind(target: Target, siege: Siege) -> None:
    await siege.calls(NUMBERS.each)

    assert "\n".join(siege.report.faults) == "", f"FUZZ_SEED={SEED}, state in {target.stack.folder}"
    assert set(siege.report.rpcs) == {rpc.path for rpc in target.rpcs}
    codes = {code for tally in siege.report.rpcs.values() for code in tally.codes}
    # Some of it is well enough made to be done, to miss, and to come too late.
    assert codes >= {"OK", "NOT_FOUND", "FAILED_PRECONDITION", "INVALID_ARGUMENT", "UNAUTHENTICATED"}


@pytest.mark.parametrize("attacker", ATTACKERS)
async def test_no_connection_breaks_a_server(siege: Siege, attacker: str) -> None:
    siege.report.faults.clear()
    await siege.transport([attacker])

    assert "\n".join(siege.report.faults) == ""


async def test_afterwards_all_servers_live_and_none_has_grown_or_logged_a_fault(siege: Siege) -> None:
    siege.report.faults.clear()
    await siege.judge()

    assert "\n".join(siege.report.faults) == ""


# The attack notices what it is there to notice.


def test_an_attack_is_replayed_as_it_was() -> None:
    attack = Attack("/a.B/C", "worker", b"\xff\0", (("x-a", "b"), ("x-b-bin", b"\xff")))
    again = Attack.from_json(attack.to_json())
    assert (again.path, again.caller, again.body, tuple(again.metadata)) == (
        attack.path,
        attack.caller,
        attack.body,
        attack.metadata,
    )


async def test_an_rpc_that_nobody_serves_is_a_fault(target: Target) -> None:
    siege = Siege(target, SEED, NUMBERS)
    rpc = target.rpcs[0]
    nothing = type(rpc)(rpc.component, "/liity.v1.AuthService/Nothing", rpc.method)
    target.rpcs = [*target.rpcs, nothing]
    try:
        assert await siege.replay(Attack(nothing.path, "", b"")) == grpc.StatusCode.UNIMPLEMENTED.name
    finally:
        target.rpcs = target.rpcs[:-1]
    assert any("UNIMPLEMENTED" in fault and "--replay" in fault for fault in siege.report.faults)


async def test_a_fault_in_a_log_and_memory_that_grows_are_noticed(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    siege = Siege(target, SEED, NUMBERS)
    with (target.stack.logs / "identity.log").open("a") as log:
        log.write('{"event": "rpc failed"}\n')
    monkeypatch.setattr("tests.fuzz.rounds.MEMORY_BOUND", -(2**40))
    await siege.judge()
    assert any("identity.log tells of a fault" in fault for fault in siege.report.faults)
    assert {
        name for name in SERVERS if any(f"{name} has grown" in fault for fault in siege.report.faults)
    } == {*SERVERS}


async def test_a_server_that_dies_is_noticed(target: Target) -> None:
    siege = Siege(target, SEED, NUMBERS)
    await target.stack.kill_component("notification")
    await siege.look_at_servers()
    assert any("notification is not the process it was" in fault for fault in siege.report.faults)
    assert any("notification answers nobody" in fault for fault in siege.report.faults)
