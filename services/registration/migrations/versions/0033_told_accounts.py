"""Who is told of a registration since its person was moved: who saved it stays as it was."""

import sqlalchemy as sa
from alembic import op

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    op.add_column("registrations", sa.Column("told_account_id", sa.String(), nullable=True))


def downgrade() -> None:
    op.drop_column("registrations", "told_account_id")
