"""To which address a consent's link went, and when the consent was withdrawn."""

import sqlalchemy as sa
from alembic import op

revision = "0032"
down_revision = "0031"


def upgrade() -> None:
    op.add_column("consents", sa.Column("link_email", sa.String(), nullable=True))
    op.add_column("consents", sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("consents", "withdrawn_at")
    op.drop_column("consents", "link_email")
