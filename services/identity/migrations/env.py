"""The environment of identity's migrations."""

from alembic import context

from services.identity.models import Base
from services.runtime.data.migrations import run_migration_environment

run_migration_environment(context.config, Base.metadata)
