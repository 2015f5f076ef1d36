"""Customers that were found to be the same person, and merged."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "merges",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("merged_customer_id", sa.String(), nullable=False),
        sa.Column("merged_person_id", sa.String(), nullable=False),
        sa.Column("merged_unit_id", sa.String(), nullable=False),
        sa.Column("merged_profile", postgresql.JSONB(none_as_null=True), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("merged_by_account_id", sa.String(), nullable=False),
        sa.Column("merged_by_display_name", sa.String(), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_merges"),
        sa.UniqueConstraint("merged_customer_id", name="uq_merges_merged_customer_id"),
        sa.UniqueConstraint("merged_person_id", name="uq_merges_merged_person_id"),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.customer_id"],
            name="fk_merges_customer_id_customers",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["merged_unit_id"], ["units.unit_id"], name="fk_merges_merged_unit_id_units"),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registrations.registration_id"],
            name="fk_merges_registration_id_registrations",
        ),
    )
    op.create_index("ix_merges_customer_id", "merges", ["customer_id"])
    # The planner's statistics would keep samples of it, and long after the row is erased.
    op.execute("ALTER TABLE merges ALTER COLUMN merged_profile SET STATISTICS 0")


def downgrade() -> None:
    op.drop_table("merges")
