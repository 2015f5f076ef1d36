"""`liity up`: the local stack from a terminal."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from deploy.ending import ending_clearly
from deploy.local.ports import Ports
from deploy.local.up import until_signalled
from deploy.local.up import up as run_stack
from deploy.local.wiring import last_ports
from frontends.cli.console import console

app = typer.Typer(add_completion=False)

StateDir = Annotated[
    Path, typer.Option(envvar="LIITY_STATE_DIR", help="Folder of all state; delete it to begin anew.")
]


@app.command()
def up(
    demo: Annotated[bool, typer.Option(help="Show the main job once everything answers.")] = True,
    tls: Annotated[
        bool, typer.Option("--tls", help="Speak TLS everywhere, with certificates of a CA of its own.")
    ] = False,
    state_dir: StateDir = Path(".liity"),
    port_base: Annotated[
        int | None,
        typer.Option(
            envvar="LIITY_PORT_BASE",
            min=1024,
            max=65_000,
            help="First of the ports in a row to use; else those that the folder's stack has used before.",
        ),
    ] = None,
) -> None:
    """Starts everything here, shows the main job, and stays up until Ctrl-C."""
    ports = last_ports(state_dir) or Ports() if port_base is None else Ports.from_base(port_base)
    with ending_clearly():
        asyncio.run(until_signalled(run_stack(state_dir, ports, demo=demo, tls=tls, console=console())))
