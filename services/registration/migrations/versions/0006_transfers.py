"""Transfers to another unit, and what a change of address has replaced."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("customer_changes", sa.Column("previous_email", sa.String(), nullable=True))
    # The planner's statistics would keep samples of it, and long after the row is erased.
    op.execute("ALTER TABLE customer_changes ALTER COLUMN previous_email SET STATISTICS 0")
    op.create_table(
        "transfers",
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("unit_id", sa.String(), nullable=False),
        sa.Column("previous_unit_id", sa.String(), nullable=False),
        sa.Column("previous_registrar_account_id", sa.String(), nullable=False),
        sa.Column("moved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_transfers"),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registrations.registration_id"],
            name="fk_transfers_registration_id_registrations",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["unit_id"], ["units.unit_id"], name="fk_transfers_unit_id_units"),
        sa.ForeignKeyConstraint(
            ["previous_unit_id"], ["units.unit_id"], name="fk_transfers_previous_unit_id_units"
        ),
    )
    op.create_index("ix_transfers_registration_id", "transfers", ["registration_id"])


def downgrade() -> None:
    op.drop_table("transfers")
    op.drop_column("customer_changes", "previous_email")
