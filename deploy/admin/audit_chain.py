"""`liity audit verify`: whether the log of use is whole (R36). It reads registration's database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from deploy.ending import ending_clearly
from deploy.local.wiring import wiring_in
from frontends.cli.console import FAILED
from services.registration.audit import hash_chain
from services.registration.audit.anchors import Anchor
from services.registration.audit.restores import Restore, restores
from services.runtime.data.database import is_away, open_engine
from services.runtime.settings import SettingsError

app = typer.Typer(add_completion=False)

DatabaseUrl = Annotated[
    str,
    typer.Option(
        envvar="LIITY_DATABASE_URL",
        help="Of registration's database. The local stack's if not given.",
        show_default=False,
    ),
]
DatabaseTlsCa = Annotated[
    Path | None, typer.Option(envvar="LIITY_DATABASE_TLS_CA", help="As the component's own setting.")
]


@app.command()
def verify(
    context: typer.Context,
    database_url: DatabaseUrl = "",
    database_tls_ca: DatabaseTlsCa = None,
    anchor: Annotated[
        str, typer.Option(help="SEQUENCE:HASH that an earlier run has printed: proves it is still there.")
    ] = "",
) -> None:
    """Proves that no entry was changed or taken away, or names the first broken link.

    A role that may read is enough. Exit code 1 if a link is broken, 2 if the log could not be read.
    """
    known = parsed(anchor) if anchor else None
    with ending_clearly():
        try:
            end, waiting, entered = asyncio.run(
                _verify(database_of(context.obj.state_dir, database_url, database_tls_ca), known)
            )
        except hash_chain.BrokenChain as broken:
            typer.echo(f"The log of use is not whole. {broken}", err=True)
            raise typer.Exit(FAILED) from None
    typer.echo(f"The log of use is whole: {end.sequence} entries.")
    for restore in entered:
        typer.echo(f"{restore}.")
    if waiting:
        typer.echo(f"Not proved yet: the newest {waiting}, for a few seconds.")
    if end.sequence:
        typer.echo(f"Keep this elsewhere, for --anchor: {end}")


def parsed(anchor: str) -> Anchor:
    """An anchor as a person gives it."""
    try:
        return Anchor.parse(anchor)
    except ValueError as error:
        raise typer.BadParameter(f"An anchor has the form SEQUENCE:HASH: {error}") from None


@dataclass(frozen=True)
class Database:
    """Registration's database."""

    url: str
    tls_ca: Path | None
    name: str
    """As messages name it."""

    @asynccontextmanager
    async def connect(
        self, isolation: Literal["REPEATABLE READ", "READ COMMITTED"]
    ) -> AsyncIterator[AsyncConnection]:
        """One connection. SettingsError if it cannot be used."""
        try:
            engine = open_engine(self.url, self.tls_ca, isolation_level=isolation)
        except (ArgumentError, ImportError):
            raise SettingsError(
                "LIITY_DATABASE_URL must be of the form postgresql+asyncpg://user:password@host:port/database"
            ) from None
        try:
            async with engine.connect() as connection:
                yield connection
        except Exception as error:
            if is_away(error):
                raise SettingsError(f"The database {self.name} does not answer: is it running?") from None
            if isinstance(error, DBAPIError):
                raise SettingsError(f"The log of use cannot be used: {error.orig}") from None
            raise
        finally:
            await engine.dispose()


def database_of(state_dir: Path, url: str, tls_ca: Path | None) -> Database:
    """The database of a URL, or of the local stack in a folder if there is none."""
    if url:
        return Database(url, tls_ca, "of LIITY_DATABASE_URL")
    wiring = wiring_in(state_dir)
    own = wiring.settings("registration")["LIITY_DATABASE_URL"]
    return Database(own, wiring.ca, f"of the stack in {state_dir}")


async def _verify(database: Database, anchor: Anchor | None) -> tuple[Anchor, int, list[Restore]]:
    async with database.connect("REPEATABLE READ") as connection:
        end = await hash_chain.verify(connection, anchor)
        return end, await hash_chain.waiting(connection), await restores(connection)
