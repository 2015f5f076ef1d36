"""Since when a guardian's mail is known to reach another person."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    op.add_column(
        "registrations", sa.Column("wrong_recipient_since", sa.DateTime(timezone=True), nullable=True)
    )


def downgrade() -> None:
    op.drop_column("registrations", "wrong_recipient_since")
