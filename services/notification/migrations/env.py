"""The environment of notification's migrations."""

from alembic import context

from services.notification.models import Base
from services.runtime.data.migrations import run_migration_environment

run_migration_environment(context.config, Base.metadata)
