"""`liity temporal`: sets up Temporal's namespace."""

import asyncio

import typer
from temporalio.service import RPCError

from deploy.ending import ending_clearly
from frontends.cli.console import FAILED
from services.runtime.settings import load
from services.runtime.temporal import client as temporal_client
from services.runtime.temporal.namespace import (
    NamespaceSettings,
    await_search_attributes,
    prepare_namespace,
)

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def main() -> None:
    """Temporal's namespace."""


@app.command()
def prepare() -> None:
    """Adds the search attributes and sets how long closed runs are kept. May be repeated.

    Ends once runs with these attributes can be started, which may take a minute.

    Run it with the worker's environment, before the first start and with each new release.
    """

    async def connect_and_prepare() -> list[str]:
        client = await temporal_client.connect(load(temporal_client.TemporalSettings), lazy=False)
        changes = await prepare_namespace(client, load(NamespaceSettings).temporal_retention)
        await await_search_attributes(client)
        return changes

    with ending_clearly():
        try:
            changes = asyncio.run(connect_and_prepare())
        except (RPCError, RuntimeError, TimeoutError) as error:
            message = error.message if isinstance(error, RPCError) else str(error)
            typer.echo(f"Temporal could not be prepared: {message}", err=True)
            raise typer.Exit(FAILED) from None
    typer.echo("; ".join(changes) or "Everything was prepared already.")
