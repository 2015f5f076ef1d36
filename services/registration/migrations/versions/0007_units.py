"""Units change, and close."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("units", sa.Column("version", sa.BigInteger(), nullable=False, server_default=sa.text("1")))
    op.add_column("units", sa.Column("changed_by_request", sa.Uuid(), nullable=True))
    op.add_column("units", sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("units", "closed_at")
    op.drop_column("units", "changed_by_request")
    op.drop_column("units", "version")
