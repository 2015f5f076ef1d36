"""How the program speaks to a person: its console and its exit codes."""

import sys

from rich.console import Console

FAILED, WRONG_USE = 1, 2
"""Exit codes: the call failed; the command could not be run as given."""


def console() -> Console:
    """Standard output; wide lines where no terminal folds them."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)
