"""Disclosures: exports for access requests, encrypted, for a few days. No samples of personal data."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_PERSONAL = {
    "customers": ("first_names", "last_name", "email", "profile"),
    "registrations": ("form",),
    "consents": ("guardian_name",),
}


def upgrade() -> None:
    op.create_table(
        "disclosures",
        sa.Column("disclosure_id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("disclosure_id", name="pk_disclosures"),
    )
    op.create_index("ix_disclosures_person_id", "disclosures", ["person_id"])
    op.create_index("ix_disclosures_expires_at", "disclosures", ["expires_at"])
    for table, columns in _PERSONAL.items():
        for column in columns:
            # The planner's statistics would keep samples of it, and long after the row is erased.
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")
    op.execute("ANALYZE customers, registrations, consents")


def downgrade() -> None:
    for table, columns in _PERSONAL.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS -1")
    op.drop_table("disclosures")
