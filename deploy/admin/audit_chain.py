"""`liity audit verify`: whether the log of use is whole (R36). It reads registration's database."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import ArgumentError, DBAPIError

from deploy.ending import ending_clearly
from deploy.local.wiring import wiring_in
from frontends.cli.console import FAILED
from services.registration.audit import hash_chain
from services.runtime.data.database import is_away, open_engine
from services.runtime.settings import SettingsError

app = typer.Typer(add_completion=False)


@app.command()
def verify(
    context: typer.Context,
    database_url: Annotated[
        str,
        typer.Option(
            envvar="LIITY_DATABASE_URL",
            help="Of registration's database; reading is enough. The local stack's if not given.",
            show_default=False,
        ),
    ] = "",
    database_tls_ca: Annotated[
        Path | None, typer.Option(envvar="LIITY_DATABASE_TLS_CA", help="As the component's own setting.")
    ] = None,
    anchor: Annotated[
        str, typer.Option(help="SEQUENCE:HASH that an earlier run has printed: proves it is still there.")
    ] = "",
) -> None:
    """Proves that no entry was changed or taken away, or names the first broken link.

    Exit code 1 if a link is broken, 2 if the log could not be read.
    """
    try:
        known = hash_chain.Anchor.parse(anchor) if anchor else None
    except ValueError as error:
        raise typer.BadParameter(f"--anchor takes SEQUENCE:HASH: {error}") from None
    with ending_clearly():
        whose = "of LIITY_DATABASE_URL"
        if not database_url:
            database_url, database_tls_ca = _local_database(context.obj.state_dir)
            whose = f"of the stack in {context.obj.state_dir}"
        try:
            end, waiting = asyncio.run(_verify(database_url, database_tls_ca, known, whose))
        except hash_chain.BrokenChain as broken:
            typer.echo(f"The log of use is not whole. {broken}", err=True)
            raise typer.Exit(FAILED) from None
    typer.echo(f"The log of use is whole: {end.sequence} entries.")
    if waiting:
        typer.echo(f"Not proved yet: the newest {waiting}, for a few seconds.")
    if end.sequence:
        typer.echo(f"Keep this elsewhere, for --anchor: {end}")


def _local_database(state_dir: Path) -> tuple[str, Path | None]:
    wiring = wiring_in(state_dir)
    return wiring.settings("registration")["LIITY_DATABASE_URL"], wiring.ca


async def _verify(
    database_url: str, tls_ca: Path | None, anchor: hash_chain.Anchor | None, whose: str
) -> tuple[hash_chain.Anchor, int]:
    try:
        engine = open_engine(database_url, tls_ca, isolation_level="REPEATABLE READ")
    except (ArgumentError, ImportError):
        raise SettingsError(
            "LIITY_DATABASE_URL must be of the form postgresql+asyncpg://user:password@host:port/database"
        ) from None
    try:
        async with engine.connect() as connection:
            return await hash_chain.verify(connection, anchor), await hash_chain.waiting(connection)
    except Exception as error:
        if is_away(error):
            raise SettingsError(f"The database {whose} does not answer: is it running?") from None
        if isinstance(error, DBAPIError):
            raise SettingsError(f"The log of use cannot be read: {error.orig}") from None
        raise
    finally:
        await engine.dispose()
