"""Persons whose personal identity codes differ by the century sign alone."""

import sqlalchemy as sa
from alembic import op

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    op.create_table(
        "similar_codes",
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("other_person_id", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("person_id", "other_person_id", name="pk_similar_codes"),
    )
    op.create_index("ix_similar_codes_other_person_id", "similar_codes", ["other_person_id"])


def downgrade() -> None:
    op.drop_table("similar_codes")
