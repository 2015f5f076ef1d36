"""Offers to correct a guardian's address at the others of the unit at whom it stands."""

import sys
from collections.abc import Iterable
from typing import Annotated

import typer

from frontends.cli.console import FAILED
from frontends.cli.session import Caller, call
from frontends.client import ApiClient
from frontends.siblings import correct_at
from liity.v1.customer_form_pb2 import SameAddress

AtSiblings = Annotated[
    bool,
    typer.Option(
        "--at-siblings", help="Correct the guardian's address also where the old one stands in the unit."
    ),
]


def offer(
    caller: Caller, others: Iterable[SameAddress], email: str, *, at_siblings: bool, confirmed: bool
) -> None:
    """Corrects the address at each of the others, if told to or agreed to; else says where it stands."""
    is_refused = False
    for other in others:
        question = f"The old address stands also at {other.display_name} ({other.name})."
        is_asked = not at_siblings and sys.stdin.isatty()
        if not (at_siblings or (is_asked and typer.confirm(f"{question} Correct it there?", err=True))):
            if not is_asked:
                typer.echo(question, err=True)
            continue

        async def correct(api: ApiClient, name: str = other.name) -> None:
            await correct_at(api, api.call, name, email, confirmed=confirmed)

        try:
            call(caller, correct)
        except typer.Exit:
            # The refusal is printed. The old address is gone here: no later edit would offer the others.
            typer.echo(f"Not corrected at {other.display_name} ({other.name}).", err=True)
            is_refused = True
        else:
            typer.echo(f"Corrected also at {other.display_name} ({other.name}).", err=True)
    if is_refused:
        raise typer.Exit(FAILED)
