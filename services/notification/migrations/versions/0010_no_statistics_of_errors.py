"""No statistics of what mail servers said: it may name an address, and would outlive the erased row."""

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("ALTER TABLE messages ALTER COLUMN last_error SET STATISTICS 0")


def downgrade() -> None:
    op.execute("ALTER TABLE messages ALTER COLUMN last_error SET STATISTICS -1")
