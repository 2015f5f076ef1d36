"""`liity`: the one program."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.admin import key_commands, staff_commands
from deploy.admin import temporal as admin_temporal
from deploy.components import COMPONENTS, WITH_DATABASE
from frontends.cli import account as cli_account
from frontends.cli import audit as cli_audit
from frontends.cli import book_tips, class_lists, worklist
from frontends.cli import customers as cli_customers
from frontends.cli import disclosures as cli_disclosures
from frontends.cli import links as cli_links
from frontends.cli import messages as cli_messages
from frontends.cli import registrars as cli_registrars
from frontends.cli import registrations as cli_registrations
from frontends.cli import units as cli_units
from frontends.cli.render.console import ending_clearly

app = typer.Typer(
    help="The registration system of a national accessibility library.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(cli_account.app, name="account")
app.add_typer(cli_audit.app, name="audit")
app.add_typer(book_tips.app, name="book-tips")
app.add_typer(key_commands.app, name="keys")
app.add_typer(cli_customers.app, name="customers")
app.add_typer(cli_registrations.app, name="registrations")
app.add_typer(class_lists.app, name="class-lists")
app.add_typer(cli_disclosures.app, name="disclosures")
app.add_typer(cli_links.app, name="links")
app.add_typer(admin_temporal.app, name="temporal")
app.add_typer(cli_units.app, name="units")
app.add_typer(cli_registrars.app, name="registrars")
app.add_typer(staff_commands.app, name="staff")
app.add_typer(cli_messages.app, name="messages")
app.add_typer(worklist.app, name="work")

StateDir = Annotated[
    Path, typer.Option(envvar="LIITY_STATE_DIR", help="Folder of all state; delete it to begin anew.")
]


def _choice(value: str, among: tuple[str, ...]) -> str:
    if value not in among:
        raise typer.BadParameter(f"one of {', '.join(among)}")
    return value


def _component(value: str) -> str:
    return _choice(value, COMPONENTS)


def _component_with_database(value: str) -> str:
    return _choice(value, WITH_DATABASE)


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
            help="First of the ports in a row to use instead.",
        ),
    ] = None,
) -> None:
    """Starts everything here, shows the main job, and stays up until Ctrl-C."""
    from deploy.local.ports import Ports  # noqa: PLC0415
    from deploy.local.up import until_signalled  # noqa: PLC0415
    from deploy.local.up import up as run_stack  # noqa: PLC0415
    from frontends.cli.render.console import console  # noqa: PLC0415 - what a command needs is imported when it runs

    ports = Ports() if port_base is None else Ports.from_base(port_base)
    _run(until_signalled(run_stack(state_dir, ports, demo=demo, tls=tls, console=console())))


@app.command()
def serve(
    component: Annotated[str, typer.Argument(callback=_component, help=f"One of {', '.join(COMPONENTS)}.")],
) -> None:
    """Serves one component until SIGTERM or SIGINT. Its settings come from the environment."""
    import uvloop  # noqa: PLC0415

    from deploy.components import runner  # noqa: PLC0415

    with ending_clearly():
        uvloop.run(runner(component)())


@app.command()
def migrate(
    component: Annotated[
        str, typer.Argument(callback=_component_with_database, help=f"One of {', '.join(WITH_DATABASE)}.")
    ],
    database_url: Annotated[
        str, typer.Option(envvar="LIITY_DATABASE_URL", help="As the component's own setting.")
    ],
    database_tls_ca: Annotated[
        Path | None, typer.Option(envvar="LIITY_DATABASE_TLS_CA", help="As the component's own setting.")
    ] = None,
) -> None:
    """Brings the database of a component to its newest revision."""
    from deploy.components import migrate_database  # noqa: PLC0415

    _run(migrate_database(component, database_url, database_tls_ca))


@app.command()
def demo(
    state_dir: StateDir = Path(".liity"),
) -> None:
    """Shows the main job on the stack of a folder. Ends non-zero if a step is not as it should be."""
    from deploy.demo.run import Demonstration  # noqa: PLC0415
    from deploy.local.seed import read_accounts  # noqa: PLC0415
    from deploy.local.wiring import wiring_in  # noqa: PLC0415
    from frontends.cli.render.console import console  # noqa: PLC0415

    async def show() -> None:
        wiring = wiring_in(state_dir)
        gateway, mailbox = wiring.address("gateway"), wiring.address("mailbox")
        await Demonstration(gateway, mailbox, read_accounts(state_dir), console(), wiring.ca).run()

    _run(show())


def main() -> None:
    """The program. It ends without the interpreter's own end, which now and then aborts it."""
    _take_interrupts()
    try:
        app()
    except SystemExit as ended:
        # Threads of Temporal's client still wake up then: "PyGILState_Release: thread state must be current".
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _take_interrupts() -> None:
    """Takes SIGINT also where a shell has started the program in the background, with SIGINT ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _run(work: Coroutine[Any, Any, None]) -> None:
    with ending_clearly():
        asyncio.run(work)
