"""No statistics of columns that name persons: PostgreSQL would keep single values after an erasure."""

from alembic import op

revision = "0042"
down_revision = "0041"

_COLUMNS = {
    "customers": ("first_names", "last_name", "email", "profile", "sort_key"),
    "customer_names": ("key",),
    "customer_changes": ("previous_email", "previous_related_email"),
    "registrations": ("form", "rejection_note"),
    "guardians": ("link_email", "evidence"),
    "consents": ("guardian_name", "link_email"),
    "protected_persons": ("withheld",),
    "class_list_rows": ("form",),
    "merges": ("merged_profile", "undo"),
    "messages": ("text", "answer"),
    "feedback": ("sender_name", "sender_email", "text", "answer"),
}
_INDEXES = ("ix_customers_folded_email", "ix_customers_related_email")
"""Indexes of an expression, which have statistics of their own."""


def upgrade() -> None:
    _set("0")


def downgrade() -> None:
    _set("DEFAULT")


def _set(statistics: str) -> None:
    for table, columns in _COLUMNS.items():
        changes = ", ".join(f"ALTER COLUMN {column} SET STATISTICS {statistics}" for column in columns)
        op.execute(f"ALTER TABLE {table} {changes}")
    for index in _INDEXES:
        op.execute(f"ALTER INDEX {index} ALTER COLUMN 1 SET STATISTICS {statistics}")
