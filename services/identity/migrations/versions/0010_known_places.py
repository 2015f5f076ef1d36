"""Networks from which accounts have logged in, and counts of lock-outs."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "known_places",
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("place", sa.LargeBinary(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"],
            ["accounts.account_id"],
            name="fk_known_places_account_id_accounts",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("account_id", "place", name="pk_known_places"),
    )
    op.create_index("ix_known_places_place", "known_places", ["place"])
    op.create_index("ix_known_places_seen_at", "known_places", ["seen_at"])
    op.create_table(
        "lock_outs",
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", "day", name="pk_lock_outs"),
    )
    op.create_index("ix_lock_outs_day", "lock_outs", ["day"])


def downgrade() -> None:
    op.drop_table("lock_outs")
    op.drop_table("known_places")
