"""The unit that a closed unit's customers move to, and how far they have moved."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"


def upgrade() -> None:
    op.add_column("units", sa.Column("successor_unit_id", sa.String(), nullable=True))
    op.create_foreign_key(
        "fk_units_successor_unit_id_units", "units", "units", ["successor_unit_id"], ["unit_id"]
    )
    op.add_column(
        "units", sa.Column("moved_persons", sa.Integer(), server_default=sa.text("0"), nullable=False)
    )
    op.add_column("units", sa.Column("move_ended_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ("move_ended_at", "moved_persons", "successor_unit_id"):
        op.drop_column("units", name)
