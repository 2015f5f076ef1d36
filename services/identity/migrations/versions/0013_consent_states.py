"""What became of the consent request of a link, and when."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("links", sa.Column("consent_state", sa.SmallInteger(), nullable=True))
    op.add_column("links", sa.Column("consent_state_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("links", "consent_state_at")
    op.drop_column("links", "consent_state")
