"""Class lists and their rows."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "class_lists",
        sa.Column("class_list_id", sa.String(), nullable=False),
        sa.Column("unit_id", sa.String(), nullable=False),
        sa.Column("registrar_account_id", sa.String(), nullable=False),
        sa.Column("registrar_display_name", sa.String(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("class_list_id", name="pk_class_lists"),
        sa.ForeignKeyConstraint(["unit_id"], ["units.unit_id"], name="fk_class_lists_unit_id_units"),
    )
    op.create_index("ix_class_lists_unit", "class_lists", ["unit_id", "created_at", "class_list_id"])
    op.create_index("ix_class_lists_expires_at", "class_lists", ["expires_at"])
    op.create_table(
        "class_list_rows",
        sa.Column("class_list_id", sa.String(), nullable=False),
        sa.Column("row_number", sa.Integer(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=True),
        sa.Column("birth_date", sa.Date(), nullable=True),
        sa.Column("form", postgresql.JSONB(), nullable=True),
        sa.Column("outcome", sa.SmallInteger(), nullable=False),
        sa.Column("wrong_fields", postgresql.JSONB(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("class_list_id", "row_number", name="pk_class_list_rows"),
        sa.ForeignKeyConstraint(
            ["class_list_id"],
            ["class_lists.class_list_id"],
            name="fk_class_list_rows_class_list_id_class_lists",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registrations.registration_id"],
            name="fk_class_list_rows_registration_id_registrations",
            ondelete="SET NULL",
        ),
    )
    op.create_index("ix_class_list_rows_registration_id", "class_list_rows", ["registration_id"])
    op.create_index(
        "ix_class_list_rows_person_id",
        "class_list_rows",
        ["person_id"],
        postgresql_where=sa.text("person_id IS NOT NULL"),
    )
    # The planner's statistics would keep samples of them, and long after the row is erased.
    for column in ("form", "birth_date"):
        op.execute(f"ALTER TABLE class_list_rows ALTER COLUMN {column} SET STATISTICS 0")


def downgrade() -> None:
    op.drop_table("class_list_rows")
    op.drop_table("class_lists")
