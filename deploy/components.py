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
    "mailbox": "deploy.local.mailbox.server",
    "tls-end": "deploy.local.tls_proxy",
}

COMPONENTS = tuple(_SERVERS)
"""What `liity serve` can serve."""

WITH_DATABASE = ("identity", "registration", "notification")
"""What `liity migrate` can migrate."""


def runner(component: str) -> Callable[[], Coroutine[Any, Any, None]]:
    """What runs a component until SIGTERM. Only this component's code is imported."""
    return cast(Callable[[], Coroutine[Any, Any, None]], import_module(_SERVERS[component]).run)


async def migrate_database(component: str, url: str, tls_ca: Path | None = None) -> None:
    """Brings a component's database to its newest revision; over TLS if a CA is given."""
    # SQLAlchemy and Alembic take a while to import: only who migrates waits for them.
    from services.runtime.data.database import migrate, open_engine  # noqa: PLC0415

    engine = open_engine(url, tls_ca)
    try:
        await migrate(engine, Path(str(resources.files(f"services.{component}"))) / "migrations")
    finally:
        await engine.dispose()
