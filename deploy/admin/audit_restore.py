"""`liity audit restored`: enters in the log of use that a restored backup has cut off its end."""

import asyncio
from typing import Annotated

import typer

from deploy.admin.audit_chain import Database, DatabaseTlsCa, DatabaseUrl, database_of, parsed
from deploy.ending import ending_clearly
from frontends.cli.console import FAILED
from services.registration.audit.anchors import Anchor
from services.registration.audit.restores import GrownOver, NothingLost, enter_restore

app = typer.Typer(add_completion=False)


@app.command()
def restored(
    context: typer.Context,
    anchor: Annotated[
        str, typer.Argument(help="SEQUENCE:HASH, the newest that was kept elsewhere before the restore.")
    ],
    database_url: DatabaseUrl = "",
    database_tls_ca: DatabaseTlsCa = None,
) -> None:
    """Enters in the log of use that a restored backup has cut off its end.

    `liity audit verify --anchor` then accepts that exactly this link is missing. Needs the role of the
    service, before anything is written to the log. May be repeated. Exit code 1 if the link is not lost, or
    the log has grown over its place.
    """
    lost = parsed(anchor)
    with ending_clearly():
        try:
            database = database_of(context.obj.state_dir, database_url, database_tls_ca)
            asyncio.run(_enter(database, lost))
        except NothingLost:
            typer.echo(f"Link {lost.sequence} is in the log of use: no restore has cut it off.", err=True)
            raise typer.Exit(FAILED) from None
        except GrownOver:
            typer.echo(
                f"The log of use has another link {lost.sequence} by now: whether a restore or somebody has"
                " changed it cannot be told, and it is not excused.",
                err=True,
            )
            raise typer.Exit(FAILED) from None
    typer.echo("Entered. `liity audit verify` shows it from now on.")


async def _enter(database: Database, lost: Anchor) -> None:
    # In a snapshot the entry could not be chained at once.
    async with database.connect("READ COMMITTED") as connection, connection.begin():
        await enter_restore(connection, lost)
