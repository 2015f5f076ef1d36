"""Indexes for the sweeps."""

from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0005"
down_revision = "0004"

_INDEXES = {"limits": "ends_at", "book_tips_edits": "edit_time"}


def upgrade() -> None:
    for table, column in _INDEXES.items():
        create_index_concurrently(f"ix_{table}_{column}", table, [column])


def downgrade() -> None:
    for table, column in _INDEXES.items():
        op.drop_index(f"ix_{table}_{column}", table)
