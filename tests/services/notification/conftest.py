"""The notification service over a real PostgreSQL and a mail server, anew for each file."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.local.postgres import EmbeddedPostgres
from tests.services.conftest import migrated_engine
from tests.services.notification.notifications import Notification, running
from tests.support.smtp_server import SmtpServer, smtp_server


@pytest.fixture(scope="module")
async def engine(postgres: EmbeddedPostgres, keys_dir: Path) -> AsyncIterator[AsyncEngine]:
    """Its database."""
    async with migrated_engine(postgres, "notification", keys_dir) as migrated:
        yield migrated


@pytest.fixture
async def smtp() -> AsyncIterator[SmtpServer]:
    """The mail server that it hands its mail to."""
    async with smtp_server() as server:
        yield server


@pytest.fixture
async def notification(engine: AsyncEngine, keys_dir: Path, smtp: SmtpServer) -> AsyncIterator[Notification]:
    """The service."""
    async with running(engine, keys_dir, smtp.port) as started:
        yield started
