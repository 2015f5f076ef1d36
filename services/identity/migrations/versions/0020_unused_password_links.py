"""Which mails were sent about a link to choose a password that nobody uses."""

import sqlalchemy as sa
from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column(
        "links",
        sa.Column("notices", sa.SmallInteger(), server_default=sa.text("0"), nullable=False),
        if_not_exists=True,
    )
    create_index_concurrently(
        "ix_links_unused_passwords",
        "links",
        ["link_id"],
        where="(purpose = 2 AND used_at IS NULL AND voided_at IS NULL AND notices < 2)",
    )


def downgrade() -> None:
    op.drop_index("ix_links_unused_passwords", "links")
    op.drop_column("links", "notices")
