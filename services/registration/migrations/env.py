"""Migrations of the registration service."""

from alembic import context

from services.registration.db.models import Base
from services.runtime.data.migrations import run_migration_environment

run_migration_environment(context.config, Base.metadata)
