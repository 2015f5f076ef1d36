"""No statistics of what names persons: PostgreSQL would keep single values after an erasure.

Earlier revisions have seen to most columns. An index of an expression has statistics of its own.
"""

from alembic import op

revision = "0042"
down_revision = "0041"

_CHANGED = (
    "TABLE consents ALTER COLUMN link_email",
    "TABLE merges ALTER COLUMN undo",
    "TABLE protected_persons ALTER COLUMN withheld",
    "INDEX ix_customers_folded_email ALTER COLUMN 1",
    "INDEX ix_customers_related_email ALTER COLUMN 1",
)


def upgrade() -> None:
    for changed in _CHANGED:
        op.execute(f"ALTER {changed} SET STATISTICS 0")


def downgrade() -> None:
    for changed in _CHANGED:
        op.execute(f"ALTER {changed} SET STATISTICS -1")
