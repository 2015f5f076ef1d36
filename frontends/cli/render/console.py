"""How the program speaks to a person: its console, its errors, its exit codes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from liity.v1.customer_form_pb2 import Language
    from services.runtime.rpc.errors import Refusal

FAILED, WRONG_USE = 1, 2
"""Exit codes: something was tried and went wrong; nothing could be tried."""


def console() -> "Console":
    """Standard output; wide lines where no terminal folds them."""
    from rich.console import Console  # noqa: PLC0415 - `liity --help` does not wait for it

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


@contextmanager
def ending_clearly() -> Iterator[None]:
    """Turns errors that a person can act on into one line and an exit code."""
    from deploy.demo.narration import StepFailed  # noqa: PLC0415
    from deploy.local.ports import PortTaken  # noqa: PLC0415
    from deploy.local.process import StackError  # noqa: PLC0415
    from services.runtime.settings import SettingsError  # noqa: PLC0415

    try:
        yield
    except (SettingsError, StackError, PortTaken) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_USE) from None
    except StepFailed as error:
        typer.echo(f"Not as it should be — {error}", err=True)
        raise typer.Exit(FAILED) from None


def refusal_lines(refusal: "Refusal", language: "Language.ValueType") -> list[str]:
    """A refusal for a person: what the API says, its stable reason, and each field that is wrong."""
    from services.runtime.rpc.errors import reason_name  # noqa: PLC0415
    from services.runtime.rpc.texts import reason_text  # noqa: PLC0415

    lines = [f"{reason_text(refusal.reason, language)} ({reason_name(refusal.reason)})"]
    lines += [
        f"  {field}: {reason_text(reason, language)} ({reason_name(reason)})"
        for field, reason in refusal.violations
    ]
    if refusal.retry_after is not None:
        lines.append(f"  Again in {refusal.retry_after.total_seconds():.0f} s")
    if refusal.contact is not None:
        lines.append(f"  Customer service: {refusal.contact.email}, {refusal.contact.url}")
    return lines
