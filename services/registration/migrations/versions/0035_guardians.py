"""Two guardians who are asked for consent: what each has answered, and whether each address works."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0035"
down_revision = "0034"

_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column(
        "registrations",
        sa.Column("both_guardians_needed", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.create_table(
        "guardians",
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("guardian", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("undeliverable_since", _MOMENT, nullable=True),
        sa.Column("wrong_recipient_since", _MOMENT, nullable=True),
        sa.Column("answer", sa.SmallInteger(), nullable=True),
        sa.Column("answered_at", _MOMENT, nullable=True),
        sa.Column("link_email", sa.String(), nullable=True),
        sa.Column("evidence", postgresql.JSONB(), nullable=True),
        sa.Column("withdrawn_at", _MOMENT, nullable=True),
        sa.Column("acknowledged_at", _MOMENT, nullable=True),
        sa.PrimaryKeyConstraint("registration_id", "guardian", name="pk_guardians"),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registrations.registration_id"],
            name="fk_guardians_registration_id_registrations",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_guardians_dissents",
        "guardians",
        ["answered_at"],
        postgresql_where=sa.text("answer = 2 AND acknowledged_at IS NULL"),
    )
    # The planner's statistics would keep samples of them, and long after a row is erased.
    for column in ("link_email", "evidence"):
        op.execute(f"ALTER TABLE guardians ALTER COLUMN {column} SET STATISTICS 0")


def downgrade() -> None:
    op.drop_table("guardians")
    op.drop_column("registrations", "both_guardians_needed")
