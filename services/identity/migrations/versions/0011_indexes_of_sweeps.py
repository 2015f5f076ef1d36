"""Indexes for the sweep."""

from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0011"
down_revision = "0010"

_INDEXES = {
    "links": "expires_at",
    "sessions": "expires_at",
    "code_changes": "committed_at",
    "registrar_removals": "removed_at",
    "role_changes": "changed_at",
    "limits": "ends_at",
}


def upgrade() -> None:
    for table, column in _INDEXES.items():
        create_index_concurrently(f"ix_{table}_{column}", table, [column])
    create_index_concurrently(
        "ix_code_changes_prepared", "code_changes", ["prepared_at"], where="committed_at IS NULL"
    )


def downgrade() -> None:
    op.drop_index("ix_code_changes_prepared", "code_changes")
    for table, column in _INDEXES.items():
        op.drop_index(f"ix_{table}_{column}", table)
