"""How the program speaks to a person: its console, its errors, its exit codes."""

import sys

from rich.console import Console

from liity.v1.customer_form_pb2 import Language
from services.runtime.rpc.errors import Refusal, reason_name
from services.runtime.rpc.texts import reason_text

FAILED, WRONG_USE = 1, 2
"""Exit codes: something was tried and went wrong; nothing could be tried."""


def console() -> Console:
    """Standard output; wide lines where no terminal folds them."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def refusal_lines(refusal: Refusal, language: Language.ValueType) -> list[str]:
    """A refusal for a person: what the API says, its stable reason, and each field that is wrong."""
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
