"""What became of the consent request of a link."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("links", sa.Column("consent_state", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("links", "consent_state")
