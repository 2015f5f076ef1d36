"""What undoes a merge of two persons, until it is final."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "merge_undos",
        sa.Column("merged_person_id", sa.Text(), nullable=False),
        sa.Column("person_id", sa.Text(), nullable=False),
        sa.Column("codes", sa.SmallInteger(), nullable=False),
        sa.Column("merged_at", _MOMENT, nullable=False),
        sa.Column("expires_at", _MOMENT, nullable=False),
        sa.Column("retained_at", _MOMENT, nullable=True),
        sa.Column("without_code_request_id", sa.Text(), nullable=True),
        sa.Column("user_name", sa.Text(), nullable=True),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("password_chosen_at", _MOMENT, nullable=True),
        sa.Column("credential_created_at", _MOMENT, nullable=True),
        sa.Column("detached_link_ids", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("voided_link_ids", postgresql.ARRAY(sa.String()), nullable=False),
        sa.Column("dropped_person_ids", postgresql.ARRAY(sa.String()), nullable=False),
        sa.PrimaryKeyConstraint("merged_person_id", name="pk_merge_undos"),
        sa.ForeignKeyConstraint(
            ["person_id"],
            ["persons.person_id"],
            name="fk_merge_undos_person_id_persons",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_merge_undos_person_id", "merge_undos", ["person_id"])
    op.create_index("ix_merge_undos_expires_at", "merge_undos", ["expires_at"])


def downgrade() -> None:
    op.drop_table("merge_undos")
