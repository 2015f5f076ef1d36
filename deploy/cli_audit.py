"""`liity audit`: the log of use (R36)."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.output import FAILED, ending_clearly

if TYPE_CHECKING:
    from services.registration.use_chain import Anchor

app = typer.Typer(help="The log of use: who has looked at whose data.", no_args_is_help=True)


@app.callback()
def main() -> None:
    """The log of use: who has looked at whose data."""


@app.command()
def verify(
    database_url: Annotated[
        str, typer.Option(envvar="LIITY_DATABASE_URL", help="Of registration's database; reading is enough.")
    ],
    database_tls_ca: Annotated[
        Path | None, typer.Option(envvar="LIITY_DATABASE_TLS_CA", help="As the component's own setting.")
    ] = None,
    anchor: Annotated[
        str, typer.Option(help="SEQUENCE:HASH that an earlier run has printed: proves it is still there.")
    ] = "",
) -> None:
    """Proves that no entry was changed or taken away, or names the first broken link (exit code 1).

    Exit code 2 if the log could not be read.
    """
    from services.registration.use_chain import Anchor, BrokenChain  # noqa: PLC0415 - imported when it runs

    try:
        known = Anchor.parse(anchor) if anchor else None
    except ValueError as error:
        raise typer.BadParameter(f"--anchor takes SEQUENCE:HASH: {error}") from None
    with ending_clearly():
        try:
            end = asyncio.run(_verify(database_url, database_tls_ca, known))
        except BrokenChain as broken:
            typer.echo(f"The log of use is not whole. {broken}", err=True)
            raise typer.Exit(FAILED) from None
    typer.echo(f"The log of use is whole: {end.sequence} entries.")
    if end.sequence:
        typer.echo(f"Keep this elsewhere, for --anchor: {end}")


async def _verify(database_url: str, tls_ca: Path | None, anchor: "Anchor | None") -> "Anchor":
    from sqlalchemy.exc import ArgumentError, DBAPIError  # noqa: PLC0415

    from services.registration.use_chain import verify  # noqa: PLC0415
    from services.runtime.database import is_away, open_engine  # noqa: PLC0415
    from services.runtime.settings import SettingsError  # noqa: PLC0415

    try:
        engine = open_engine(database_url, tls_ca, isolation_level="REPEATABLE READ")
    except (ArgumentError, ImportError):
        raise SettingsError(
            "LIITY_DATABASE_URL must be of the form postgresql+asyncpg://user:password@host:port/database"
        ) from None
    try:
        async with engine.connect() as connection:
            return await verify(connection, anchor)
    except Exception as error:
        if is_away(error):
            raise SettingsError("The database of LIITY_DATABASE_URL does not answer") from None
        if isinstance(error, DBAPIError):
            raise SettingsError(f"The log of use cannot be read: {error.orig}") from None
        raise
    finally:
        await engine.dispose()
