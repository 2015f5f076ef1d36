"""What a change has replaced of a guardian's or contact person's address, who is told (R14)."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.add_column("customer_changes", sa.Column("previous_related_email", sa.String(), nullable=True))
    # The planner's statistics would keep samples of it, and long after the row is erased.
    op.execute("ALTER TABLE customer_changes ALTER COLUMN previous_related_email SET STATISTICS 0")


def downgrade() -> None:
    op.drop_column("customer_changes", "previous_related_email")
