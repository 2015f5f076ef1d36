"""An index of the units that have a successor, for reconciliation."""

from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    create_index_concurrently(
        "ix_units_successor", "units", ["unit_id"], where="successor_unit_id IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_index("ix_units_successor", "units")
