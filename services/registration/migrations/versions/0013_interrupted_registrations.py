"""Which registration was under way when a customership ended: if that is undone, it goes on."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

_FOREIGN_KEY = "fk_removals_interrupted_registration_id_registrations"


def upgrade() -> None:
    op.add_column("removals", sa.Column("interrupted_registration_id", sa.String(), nullable=True))
    op.add_column("removals", sa.Column("interrupted_stage", sa.SmallInteger(), nullable=True))
    op.add_column("removals", sa.Column("interrupted_deadline", sa.DateTime(timezone=True), nullable=True))
    op.create_foreign_key(
        _FOREIGN_KEY, "removals", "registrations", ["interrupted_registration_id"], ["registration_id"]
    )


def downgrade() -> None:
    op.drop_constraint(_FOREIGN_KEY, "removals")
    for column in ("interrupted_deadline", "interrupted_stage", "interrupted_registration_id"):
        op.drop_column("removals", column)
