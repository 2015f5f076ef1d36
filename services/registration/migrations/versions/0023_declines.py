"""When a guardian declined, and when the registration ends for it."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"

_COLUMNS = ("declined_at", "decline_ends_at")


def upgrade() -> None:
    for name in _COLUMNS:
        op.add_column("registrations", sa.Column(name, sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in _COLUMNS:
        op.drop_column("registrations", name)
