"""Calls that have edited book tips, kept to recognise repetitions."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "book_tips_edits",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=32), nullable=False),
        sa.Column("edit_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_id", "name", name="pk_book_tips_edits"),
    )
    op.execute("INSERT INTO book_tips_edits SELECT request_id, name, update_time FROM book_tips")
    # No release has edited tips yet.
    op.drop_column("book_tips", "request_id")


def downgrade() -> None:
    op.add_column(
        "book_tips",
        sa.Column("request_id", sa.Uuid(), nullable=False, server_default=sa.text("gen_random_uuid()")),
    )
    op.alter_column("book_tips", "request_id", server_default=None)
    op.drop_table("book_tips_edits")
