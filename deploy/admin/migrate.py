"""`liity migrate`: a component's database at its newest revision."""

import asyncio
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from deploy.components import WITH_DATABASE
from deploy.ending import ending_clearly
from services.runtime.data import migrations
from services.runtime.data.database import DatabaseAccess, open_engine
from services.runtime.settings import load

app = typer.Typer(add_completion=False)


async def migrate_database(component: str, url: str, tls_ca: Path | None = None) -> None:
    """Brings a component's database to its newest revision; over TLS if a CA is given."""
    engine = open_engine(url, tls_ca)
    try:
        await migrations.migrate(engine, Path(str(resources.files(f"services.{component}"))) / "migrations")
    finally:
        await engine.dispose()


def _component(value: str) -> str:
    if value not in WITH_DATABASE:
        raise typer.BadParameter(f"one of {', '.join(WITH_DATABASE)}")
    return value


@app.command()
def migrate(
    component: Annotated[
        str, typer.Argument(callback=_component, help=f"One of {', '.join(WITH_DATABASE)}.")
    ],
) -> None:
    """Brings the database of a component to its newest revision.

    Needs LIITY_DATABASE_URL of a role that owns the database, and LIITY_DATABASE_TLS_CA for TLS.
    """
    with ending_clearly():
        access = load(DatabaseAccess)
        asyncio.run(migrate_database(component, access.database_url, access.database_tls_ca))
