"""Who stood in a class list, so that the next one tells who is gone."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    op.create_table(
        "class_list_members",
        sa.Column("class_list_id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("unit_id", sa.String(), nullable=False),
        sa.Column("listed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("class_list_id", "person_id", name="pk_class_list_members"),
        sa.ForeignKeyConstraint(["unit_id"], ["units.unit_id"], name="fk_class_list_members_unit_id_units"),
    )
    op.create_index("ix_class_list_members_unit_id", "class_list_members", ["unit_id", "listed_at"])
    op.create_index("ix_class_list_members_person_id", "class_list_members", ["person_id"])
    op.create_index("ix_class_list_members_listed_at", "class_list_members", ["listed_at"])


def downgrade() -> None:
    op.drop_table("class_list_members")
