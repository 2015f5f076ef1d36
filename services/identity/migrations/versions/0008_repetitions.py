"""Changes of codes and of registrars' roles, kept to recognise repeated calls."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "code_changes",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("hetu_ciphertext", sa.LargeBinary(), nullable=True),
        sa.Column("change", sa.SmallInteger(), nullable=False),
        sa.Column("nobody", sa.Text(), nullable=False),
        sa.Column("prepared_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("request_id", name="pk_code_changes"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["persons.person_id"], name="fk_code_changes_person_id_persons", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_code_changes_person_id", "code_changes", ["person_id"])
    op.create_table(
        "role_changes",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_role_changes"),
    )


def downgrade() -> None:
    op.drop_table("role_changes")
    op.drop_index("ix_code_changes_person_id", "code_changes")
    op.drop_table("code_changes")
