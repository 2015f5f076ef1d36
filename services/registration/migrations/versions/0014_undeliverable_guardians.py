"""Since when a guardian cannot be mailed; what finds a waiting registration by birth date."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column(
        "registrations", sa.Column("undeliverable_since", sa.DateTime(timezone=True), nullable=True)
    )
    op.create_index(
        "ix_registrations_undeliverable",
        "registrations",
        ["registration_id"],
        postgresql_where=sa.text("stage = 2 AND undeliverable_since IS NOT NULL"),
    )
    op.create_index(
        "ix_registrations_waiting_birth_date",
        "registrations",
        ["birth_date"],
        postgresql_where=sa.text("stage IN (2, 9, 10)"),
    )


def downgrade() -> None:
    op.drop_index("ix_registrations_waiting_birth_date", "registrations")
    op.drop_index("ix_registrations_undeliverable", "registrations")
    op.drop_column("registrations", "undeliverable_since")
