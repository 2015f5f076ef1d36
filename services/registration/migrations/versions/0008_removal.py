"""Customerships that end and come back, and to whom something was ever lent."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    # The release before knows no such column.
    op.add_column("customers", sa.Column("lent", sa.Boolean(), nullable=False, server_default=sa.false()))
    # CUSTOMER_KIND_CD_BORROWER
    op.execute("UPDATE customers SET lent = true WHERE kind = 2")
    op.create_table(
        "removals",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_by", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.SmallInteger(), nullable=False),
        sa.Column("undo_request_id", sa.Uuid(), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("request_id", name="pk_removals"),
        sa.UniqueConstraint("undo_request_id", name="uq_removals_undo_request_id"),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.customer_id"],
            name="fk_removals_customer_id_customers",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_removals_customer_id", "removals", ["customer_id"])


def downgrade() -> None:
    op.drop_table("removals")
    op.drop_column("customers", "lent")
