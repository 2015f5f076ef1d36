"""`liity audit`: the log of use (R36)."""

import asyncio
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frontends.cli.render.console import FAILED, ending_clearly
from frontends.cli.session import AsJson, account_options, call

if TYPE_CHECKING:
    from frontends.client import ApiClient
    from liity.v1.use_log_service_pb2 import Suspicion, Use
    from services.registration.audit.hash_chain import Anchor

app = typer.Typer(help="The log of use: search, suspicions, verify.", no_args_is_help=True)
app.callback()(account_options)

Since = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="From this day on, as Finland counts days.")
]


@app.command()
def search(
    context: typer.Context,
    subject: Annotated[str, typer.Option(help="ID of a person, registration or customer.")] = "",
    account: Annotated[str, typer.Option(help="ID of an account.")] = "",
    unit: Annotated[str, typer.Option(help="units/UNIT.")] = "",
    action: Annotated[str, typer.Option(help="Such as customer:look-up.")] = "",
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Who has looked at or changed whose data, newest first. For customer service; itself logged."""
    from liity.v1.use_log_service_pb2 import ListUsesRequest  # noqa: PLC0415 - imported when it runs

    request = ListUsesRequest(subject_id=subject, account_id=account, unit=unit, action=action)
    if since:
        request.start_time.FromDatetime(_begin_of(since))

    async def read(api: "ApiClient") -> "list[Use]":
        found: list[Use] = []
        while True:
            request.page_size = min(limit - len(found), 200)
            page = await api.call(api.uses.ListUses, request)
            found += page.uses
            request.page_token = page.next_page_token
            if len(found) >= limit or not page.next_page_token:
                return found

    from frontends.cli.render import audit as render_audit  # noqa: PLC0415

    render_audit.print_uses(call(context.obj, read), as_json=as_json)


@app.command()
def suspicions(context: typer.Context, since: Since = None, as_json: AsJson = False) -> None:
    """Days on which an account's look-ups met a rule of suspicious use; the last 30 days if not told."""
    from liity.v1.use_log_service_pb2 import ListSuspicionsRequest  # noqa: PLC0415

    request = ListSuspicionsRequest()
    if since:
        request.start_time.FromDatetime(_begin_of(since))

    async def read(api: "ApiClient") -> "list[Suspicion]":
        return list((await api.call(api.uses.ListSuspicions, request)).suspicions)

    from frontends.cli.render import audit as render_audit  # noqa: PLC0415

    render_audit.print_suspicions(call(context.obj, read), as_json=as_json)


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
    """Proves that no entry was changed or taken away, or names the first broken link (exit code 1).

    Exit code 2 if the log could not be read.
    """
    from services.registration.audit.hash_chain import Anchor, BrokenChain  # noqa: PLC0415 - imported when it runs

    try:
        known = Anchor.parse(anchor) if anchor else None
    except ValueError as error:
        raise typer.BadParameter(f"--anchor takes SEQUENCE:HASH: {error}") from None
    with ending_clearly():
        if not database_url:
            database_url, database_tls_ca = _local_database(context.obj.state_dir)
        try:
            end, waiting = asyncio.run(_verify(database_url, database_tls_ca, known))
        except BrokenChain as broken:
            typer.echo(f"The log of use is not whole. {broken}", err=True)
            raise typer.Exit(FAILED) from None
    typer.echo(f"The log of use is whole: {end.sequence} entries.")
    if waiting:
        typer.echo(f"Not proved yet: the newest {waiting}, for a few seconds.")
    if end.sequence:
        typer.echo(f"Keep this elsewhere, for --anchor: {end}")


def _local_database(state_dir: Path) -> tuple[str, Path | None]:
    from deploy.local.wiring import wiring_in  # noqa: PLC0415 - imported when it runs

    wiring = wiring_in(state_dir)
    return wiring.settings("registration")["LIITY_DATABASE_URL"], wiring.ca


def _begin_of(day: datetime) -> datetime:
    from services.runtime.clock import helsinki_moment  # noqa: PLC0415

    return helsinki_moment(day.date())


async def _verify(database_url: str, tls_ca: Path | None, anchor: "Anchor | None") -> "tuple[Anchor, int]":
    from sqlalchemy.exc import ArgumentError, DBAPIError  # noqa: PLC0415

    from services.registration.audit.hash_chain import verify, waiting  # noqa: PLC0415
    from services.runtime.data.database import is_away, open_engine  # noqa: PLC0415
    from services.runtime.settings import SettingsError  # noqa: PLC0415

    try:
        engine = open_engine(database_url, tls_ca, isolation_level="REPEATABLE READ")
    except (ArgumentError, ImportError):
        raise SettingsError(
            "LIITY_DATABASE_URL must be of the form postgresql+asyncpg://user:password@host:port/database"
        ) from None
    try:
        async with engine.connect() as connection:
            return await verify(connection, anchor), await waiting(connection)
    except Exception as error:
        if is_away(error):
            raise SettingsError("The database of LIITY_DATABASE_URL does not answer") from None
        if isinstance(error, DBAPIError):
            raise SettingsError(f"The log of use cannot be read: {error.orig}") from None
        raise
    finally:
        await engine.dispose()
