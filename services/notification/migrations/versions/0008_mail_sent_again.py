"""Mail that came back because of us is sent again."""

import sqlalchemy as sa
from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("messages", sa.Column("origin", sa.LargeBinary()), if_not_exists=True)
    op.add_column(
        "messages",
        sa.Column("returns", sa.SmallInteger(), nullable=False, server_default=sa.text("0")),
        if_not_exists=True,
    )
    op.add_column("messages", sa.Column("again_time", sa.DateTime(timezone=True)), if_not_exists=True)
    create_index_concurrently("ix_messages_again", "messages", ["again_time"], where="again_time IS NOT NULL")
    create_index_concurrently("ix_messages_origin", "messages", ["create_time"], where="origin IS NOT NULL")


def downgrade() -> None:
    for index in ("ix_messages_origin", "ix_messages_again"):
        op.drop_index(index, "messages")
    for column in ("again_time", "returns", "origin"):
        op.drop_column("messages", column)
