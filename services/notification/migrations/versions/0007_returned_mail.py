"""Mail that comes back after a server has accepted it, and refusals that speak of us."""

import sqlalchemy as sa
from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column(
        "messages",
        sa.Column("refuses_us", sa.Boolean(), nullable=False, server_default=sa.false()),
        if_not_exists=True,
    )
    op.add_column("messages", sa.Column("recipient_digest", sa.LargeBinary(32)), if_not_exists=True)
    op.add_column("messages", sa.Column("return_secret", sa.String(13)), if_not_exists=True)
    op.add_column("messages", sa.Column("returned_time", sa.DateTime(timezone=True)), if_not_exists=True)
    op.add_column("messages", sa.Column("settle_time", sa.DateTime(timezone=True)), if_not_exists=True)
    op.drop_constraint(op.f("ck_messages_state"), "messages", type_="check")
    # Not valid at first: checking the rows must not keep writers out.
    op.execute(
        "ALTER TABLE messages ADD CONSTRAINT ck_messages_state CHECK (state BETWEEN 1 AND 4) NOT VALID"
    )
    op.execute("ALTER TABLE messages VALIDATE CONSTRAINT ck_messages_state")
    create_index_concurrently(
        "ix_messages_returned",
        "messages",
        ["returned_time"],
        where="returned_time IS NOT NULL AND settle_time IS NULL",
    )


def downgrade() -> None:
    op.drop_index("ix_messages_returned", "messages")
    op.execute("UPDATE messages SET state = 3 WHERE state = 4")
    op.drop_constraint(op.f("ck_messages_state"), "messages", type_="check")
    op.create_check_constraint(op.f("ck_messages_state"), "messages", "state BETWEEN 1 AND 3")
    for column in ("settle_time", "returned_time", "return_secret", "recipient_digest", "refuses_us"):
        op.drop_column("messages", column)
