"""What undoes a merge, until it is final; and the merges that were undone."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from services.runtime.data.migrations import create_index_concurrently

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    op.add_column(
        "merges", sa.Column("undo", postgresql.JSONB(none_as_null=True), nullable=True), if_not_exists=True
    )
    op.add_column(
        "merges", sa.Column("undo_until", sa.DateTime(timezone=True), nullable=True), if_not_exists=True
    )
    op.create_table(
        "undone_merges",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("merge_request_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("merged_customer_id", sa.String(), nullable=False),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_undone_merges"),
        sa.UniqueConstraint("merge_request_id", name="uq_undone_merges_merge_request_id"),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.customer_id"],
            name="fk_undone_merges_customer_id_customers",
            ondelete="CASCADE",
        ),
        if_not_exists=True,
    )
    op.create_index("ix_undone_merges_customer_id", "undone_merges", ["customer_id"], if_not_exists=True)
    # The last step, as it commits what comes before.
    create_index_concurrently("ix_merges_undo_until", "merges", ["undo_until"], where="undo IS NOT NULL")


def downgrade() -> None:
    op.drop_table("undone_merges")
    op.drop_index("ix_merges_undo_until", "merges")
    for name in ("undo_until", "undo"):
        op.drop_column("merges", name)
