"""Feedback on accessibility, from anybody."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0039"


def upgrade() -> None:
    op.create_table(
        "feedback",
        sa.Column("feedback_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("language", sa.SmallInteger(), nullable=False),
        sa.Column("sender_name", sa.String(), nullable=False),
        sa.Column("sender_email", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("answer_request_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("feedback_id", name="pk_feedback"),
        sa.UniqueConstraint("request_id", name="uq_feedback_request_id"),
    )
    op.create_index(
        "ix_feedback_open",
        "feedback",
        ["created_at", "feedback_id"],
        postgresql_where=sa.text("answered_at IS NULL"),
    )
    op.create_index("ix_feedback_ended", "feedback", [sa.text("coalesce(answered_at, deadline)")])
    # The planner's statistics would keep samples of what is personal, and long after the row is erased.
    for column in ("sender_name", "sender_email", "text", "answer"):
        op.execute(f"ALTER TABLE feedback ALTER COLUMN {column} SET STATISTICS 0")


def downgrade() -> None:
    op.drop_table("feedback")
