"""Whom a mail went to, by a hash, so that a later mail to another recipient does not stand for it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("messages", sa.Column("recipient_key", sa.LargeBinary(32)))
    # Mail whose origin was swept is never sent again: it came back (state 4), and waits for nothing.
    op.execute(
        "UPDATE messages SET again_time = NULL, state = 4 WHERE again_time IS NOT NULL AND origin IS NULL"
    )


def downgrade() -> None:
    op.drop_column("messages", "recipient_key")
