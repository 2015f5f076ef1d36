"""Rows of class lists about persons without a personal identity code."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.add_column("class_list_rows", sa.Column("missing_code_reason", sa.SmallInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("class_list_rows", "missing_code_reason")
