"""Messages."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "messages",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("subject_id", sa.String(32), nullable=False),
        sa.Column("template", sa.String(64), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.String(200), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("update_time", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.CheckConstraint("state BETWEEN 1 AND 3", name=op.f("ck_messages_state")),
        sa.PrimaryKeyConstraint("request_id", name=op.f("pk_messages")),
    )
    op.create_index("ix_messages_subject_id_create_time", "messages", ["subject_id", "create_time"])


def downgrade() -> None:
    op.drop_table("messages")
