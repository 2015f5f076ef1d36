"""A code dropped in a merge leads to the remaining person (R24, R34)."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("persons", sa.Column("merged_into", sa.Text(), nullable=True))
    op.create_foreign_key(
        "fk_persons_merged_into_persons",
        "persons",
        "persons",
        ["merged_into"],
        ["person_id"],
        ondelete="CASCADE",
    )
    op.create_index(
        "ix_persons_merged_into",
        "persons",
        ["merged_into"],
        postgresql_where=sa.text("merged_into IS NOT NULL"),
    )


def downgrade() -> None:
    op.execute("DELETE FROM persons WHERE merged_into IS NOT NULL")
    op.drop_index("ix_persons_merged_into", "persons")
    op.drop_constraint("fk_persons_merged_into_persons", "persons")
    op.drop_column("persons", "merged_into")
