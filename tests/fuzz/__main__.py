"""`python -m tests.fuzz`: attacks a stack of its own for as long as one likes, and says what came of it."""

import argparse
import asyncio
import logging
import secrets
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.fuzz.attack import Attack, Report
from tests.fuzz.rounds import Siege
from tests.fuzz.target import running_target
from tests.fuzz.transport import Numbers

_NUMBERS = Numbers(warm_up=1, each=12, connections=1000, streams=2000)

_out = Console(highlight=False, soft_wrap=True)


def main() -> None:
    """Exits with 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10, help="how long to go on (10)")
    parser.add_argument("--seed", type=int, help="repeats the attacks of the run that printed it")
    parser.add_argument("--replay", metavar="JSON", help="sends one attack again, as a run printed it")
    parser.add_argument(
        "--state-dir", type=Path, help="the folder of the stack: an earlier run's has the facts that run made"
    )
    options = parser.parse_args()
    # What the attacker's own client complains of is no finding.
    logging.getLogger("grpc").setLevel(logging.ERROR)
    folder = options.state_dir or Path(tempfile.mkdtemp(prefix="liity-fuzz-"))
    try:
        if options.replay:
            found = asyncio.run(_replay(folder, Attack.from_json(options.replay)))
        else:
            seed = secrets.randbelow(10**6) if options.seed is None else options.seed
            found = asyncio.run(_attack(folder, options.minutes * 60, seed))
    except KeyboardInterrupt:
        sys.exit(130)
    if found:
        _out.print(f"Replay one with: python -m tests.fuzz --state-dir {folder} --replay '…'")
    sys.exit(1 if found else 0)


async def _attack(folder: Path, seconds: float, seed: int) -> bool:
    _out.print(f"seed {seed}, state in {folder}")
    async with running_target(folder, facts=not folder.joinpath("logs").exists()) as target:
        siege = Siege(target, seed, _NUMBERS)
        until = time.monotonic() + seconds
        await siege.warm_up()
        rounds = 0
        while rounds == 0 or time.monotonic() < until:
            await siege.calls(_NUMBERS.each)
            await siege.transport()
            rounds += 1
            await siege.judge()
            _out.print(
                f"round {rounds}: {sum(tally.calls for tally in siege.report.rpcs.values())} calls,"
                f" {len(siege.report.faults)} faults, {max(until - time.monotonic(), 0):.0f} s left"
            )
        _out.print(_table(siege.report))
        grown = ", ".join(f"{name} {size / 2**20:+.0f} MiB" for name, size in siege.memory_growth().items())
        _out.print(f"Memory since the first round: {grown}")
        return _tell(siege.report)


async def _replay(folder: Path, attack: Attack) -> bool:
    async with running_target(folder, facts=not folder.joinpath("logs").exists()) as target:
        siege = Siege(target, 0, _NUMBERS)
        _out.print(f"{attack.path} as {attack.caller or 'nobody'}: {await siege.replay(attack)}")
        await siege.judge()
        return _tell(siege.report)


def _table(report: Report) -> Table:
    table = Table("RPC", "calls", "codes", title="What became of the calls")
    for path, tally in sorted(report.rpcs.items()):
        codes = ", ".join(f"{code} {number}" for code, number in tally.codes.most_common())
        table.add_row(path, str(tally.calls), codes)
    return table


def _tell(report: Report) -> bool:
    for fault in report.faults:
        _out.print(f"FAULT {fault}", style="red", markup=False)
    _out.print("Nothing was found." if not report.faults else f"{len(report.faults)} faults.")
    return bool(report.faults)


if __name__ == "__main__":
    main()
