"""How commands of this package end: errors that a person can act on become one line and an exit code."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from deploy.local.ports import PortTaken
from deploy.local.process import StackError
from frontends.cli.console import FAILED, WRONG_USE
from services.runtime.settings import SettingsError


class StepFailed(Exception):
    """A step of the demonstration did not go as it should. Its text names the step and the reason."""


@contextmanager
def ending_clearly() -> Iterator[None]:
    """Turns the errors named here into one line on standard error and an exit code."""
    try:
        yield
    except (SettingsError, StackError, PortTaken) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(WRONG_USE) from None
    except StepFailed as error:
        typer.echo(f"Not as it should be — {error}", err=True)
        raise typer.Exit(FAILED) from None
