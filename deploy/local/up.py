"""`liity up`: runs the local stack with its demonstration until it is stopped."""

import asyncio
import json
import os
import shlex
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.demo.run import Demonstration
from deploy.local.ports import HOST, Ports
from deploy.local.process import Observer
from deploy.local.seed import DemoAccount, seed
from deploy.local.stack import Stack
from deploy.local.temporal_server import codec_url, ui_origin
from deploy.local.wiring import SMTP_HOST

_DEMO_ACCOUNTS = "LIITY_WEB_DEMO_ACCOUNTS"
_WELCOME_DELAY = "LIITY_WORKFLOWS_WELCOME_DELAY"
_DEMO_WELCOME_DELAY = "PT5S"


async def up(folder: Path, ports: Ports, *, demo: bool, tls: bool, console: Console) -> None:
    """Starts the stack, runs the demonstration, and stays up until cancelled. Leaves nothing running.

    Raises `StackError`, `PortTaken` or `SettingsError` if it cannot start, `StepFailed` if the demonstration
    fails.
    """
    stack = Stack(folder, ports, observer=_ConsoleObserver(console), tls=tls)
    if demo and SMTP_HOST in os.environ:
        # The demonstration reads its made-up persons' mail in the mailbox.
        console.print(f"[dim]No demonstration: mail goes to {SMTP_HOST}, not to the mailbox.[/]")
        demo = False
    # A delay given in the environment always holds. Otherwise only the demonstration uses a short one.
    shorten = demo and _WELCOME_DELAY not in os.environ
    if shorten:
        stack.environment[_WELCOME_DELAY] = _DEMO_WELCOME_DELAY
    started = time.monotonic()
    console.print(f"[bold]Starting[/] [dim]in {escape(str(stack.folder))}[/]", soft_wrap=True)
    await stack.start()
    try:
        accounts = await seed(stack.folder, stack.keys_dir, ports, stack.certificate("seed"))
        passwords = {account.email: account.password for account in accounts.values()}
        stack.environment[_DEMO_ACCOUNTS] = json.dumps(passwords)
        await stack.restart_component("web")
        console.print(f"[bold]Everything answers[/] [dim]{time.monotonic() - started:.1f} s[/]")
        if demo:
            gateway, mailbox = f"{HOST}:{ports.gateway}", f"{HOST}:{ports.mailbox}"
            web = f"http://{HOST}:{ports.web}"
            await Demonstration(gateway, mailbox, web, accounts, console, stack.ca).run()
        if shorten:
            del stack.environment[_WELCOME_DELAY]
            console.print("\n[dim]From now on new customers are welcomed after the real two weeks:[/]")
            await stack.restart_component("worker")
        _show(stack, accounts, console)
        await asyncio.Event().wait()
    finally:
        console.print("\n[dim]Stopping …[/]")
        await stack.stop()
        console.print("[dim]Everything has stopped.[/]")


async def until_signalled(work: Coroutine[Any, Any, None]) -> None:
    """Runs the work; SIGINT or SIGTERM cancels it, once, which is no error."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    signalled = False

    def cancel() -> None:
        nonlocal signalled
        if not signalled:
            signalled = True
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, cancel)
    try:
        await task
    except asyncio.CancelledError:
        if not signalled:
            raise


class _ConsoleObserver(Observer):
    def __init__(self, console: Console) -> None:
        self._console = console

    def ready(self, name: str, seconds: float) -> None:
        self._console.print(f"  [green]✓[/] {name} [dim]{seconds:.1f} s[/]")

    def died(self, name: str, how: str, pause: float) -> None:
        self._console.print(
            f"  [yellow]![/] {name} {how}; it is started again in {pause:.1f} s", soft_wrap=True
        )


def _show(stack: Stack, accounts: dict[str, DemoAccount], console: Console) -> None:
    ports = stack.ports
    places = Table(title="Where things are", title_justify="left", show_header=False)
    places.add_row("Pages", f"http://{HOST}:{ports.web}")
    places.add_row("Gateway (gRPC)", f"{HOST}:{ports.gateway}")
    if stack.ca:
        places.add_row("CA of its certificate", f"{stack.ca}, for LIITY_GATEWAY_CA")
    places.add_row("Temporal (gRPC)", f"{HOST}:{ports.temporal}")
    places.add_row("Temporal UI", ui_origin(ports))
    places.add_row("Codec server (log in to read payloads)", codec_url(ports))
    places.add_row("Mailbox", f"http://{HOST}:{ports.mailbox}")
    places.add_row("State and logs", str(stack.folder))
    people = Table("E-mail", "Password", "Acts for", "--as", title="Demo accounts", title_justify="left")
    for key, account in accounts.items():
        elsewhere = "nobody: runs the system" if key == "operator" else "all units"
        unit = f"{account.unit_display_name}\n{account.unit}" if account.unit else elsewhere
        people.add_row(account.email, account.password, unit, key)
    for table in (places, people):
        for column in table.columns:
            column.overflow = "fold"
        console.print()
        console.print(table)
    if variables := _variables(stack):
        given = " ".join(f"{name}={shlex.quote(value)}" for name, value in variables.items())
        console.print("\nIn another terminal, for `temporal`, the examples and the commands:")
        console.print(f"export {given}", soft_wrap=True, markup=False)
    console.print(f"\n[bold]Ctrl-C stops everything.[/] [dim]So does kill {os.getpid()}[/]")


def _variables(stack: Stack) -> dict[str, str]:
    """What programs need to find this stack, where it is not what they expect."""
    found: dict[str, str] = {}
    if stack.folder != Path(".liity").absolute():
        found["LIITY_STATE_DIR"] = str(stack.folder)
    if stack.ports.gateway != Ports().gateway:
        found["LIITY_GATEWAY"] = f"{HOST}:{stack.ports.gateway}"
    if stack.ca:
        found["LIITY_GATEWAY_CA"] = str(stack.ca)
    if stack.ports.temporal != Ports().temporal:
        found["TEMPORAL_ADDRESS"] = f"{HOST}:{stack.ports.temporal}"
    return found
