"""The components that are our own programs, and how each is run."""

from collections.abc import Callable, Coroutine
from importlib import import_module, resources
from pathlib import Path
from typing import Any, cast

_SERVERS = {
    "identity": "services.identity.server",
    "registration": "services.registration.server",
    "notification": "services.notification.server",
    "gateway": "services.gateway.server",
    "codec": "services.codec.server",
    "worker": "workflows.worker",
    "mailbox": "deploy.mailbox",
}

COMPONENTS = tuple(_SERVERS)
"""What `liity serve` can serve."""

WITH_DATABASE = ("identity", "registration", "notification")
"""What `liity migrate` can migrate."""


def runner(component: str) -> Callable[[], Coroutine[Any, Any, None]]:
    """What runs a component until SIGTERM. Only this component's code is imported."""
    return cast(Callable[[], Coroutine[Any, Any, None]], import_module(_SERVERS[component]).run)


async def migrate_database(component: str, url: str) -> None:
    """Brings a component's database to its newest revision."""
    # SQLAlchemy and Alembic take a while to import: only who migrates waits for them.
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415

    from services.runtime.database import migrate  # noqa: PLC0415

    engine = create_async_engine(url)
    try:
        await migrate(engine, Path(str(resources.files(f"services.{component}"))) / "migrations")
    finally:
        await engine.dispose()
