"""No statistics of columns that name persons: PostgreSQL would keep single values after an erasure."""

from alembic import op

revision = "0021"
down_revision = "0020"

_COLUMNS = {
    "persons": ("hetu_ciphertext", "hetu_index"),
    "code_changes": ("hetu_ciphertext",),
    "credentials": ("user_name", "password_hash"),
    "merge_undos": ("user_name", "password_hash"),
    "accounts": ("email", "display_name", "password_hash"),
    "invitations": ("email",),
}


def upgrade() -> None:
    _set("0")


def downgrade() -> None:
    _set("-1")


def _set(statistics: str) -> None:
    for table, columns in _COLUMNS.items():
        changes = ", ".join(f"ALTER COLUMN {column} SET STATISTICS {statistics}" for column in columns)
        op.execute(f"ALTER TABLE {table} {changes}")
