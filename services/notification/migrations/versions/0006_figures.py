"""Mail that was refused, or waits, is counted by an index."""

from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    create_index_concurrently("ix_messages_refused", "messages", ["update_time"], where="state = 3")
    create_index_concurrently("ix_messages_pending", "messages", ["create_time"], where="state = 1")


def downgrade() -> None:
    op.drop_index("ix_messages_pending", "messages")
    op.drop_index("ix_messages_refused", "messages")
