"""`liity demo`: the demonstration on a stack that runs."""

import asyncio
from pathlib import Path

import typer

from deploy.demo.run import Demonstration
from deploy.ending import ending_clearly
from deploy.local.commands import StateDir
from deploy.local.seed import read_accounts
from deploy.local.wiring import wiring_in
from frontends.cli.console import console

app = typer.Typer(add_completion=False)


@app.command()
def demo(state_dir: StateDir = Path(".liity")) -> None:
    """Shows the main job on the stack of a folder. Ends non-zero if a step is not as it should be."""
    with ending_clearly():
        asyncio.run(_show(state_dir))


async def _show(state_dir: Path) -> None:
    wiring = wiring_in(state_dir)
    gateway, mailbox = wiring.address("gateway"), wiring.address("mailbox")
    web, accounts = f"http://{wiring.address('web')}", read_accounts(state_dir)
    await Demonstration(gateway, mailbox, web, accounts, console(), wiring.ca).run()
