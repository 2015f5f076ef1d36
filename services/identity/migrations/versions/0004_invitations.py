"""Invitations of registrars, and the age of passwords."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "invitations",
        sa.Column("invitation_id", sa.Text(), nullable=False),
        sa.Column("link_id", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("role", sa.SmallInteger(), nullable=False),
        sa.Column("language", sa.SmallInteger(), nullable=False),
        sa.Column("inviter_account_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("invitation_id", name="pk_invitations"),
        sa.UniqueConstraint("link_id", name="uq_invitations_link_id"),
        sa.ForeignKeyConstraint(
            ["link_id"], ["links.link_id"], name="fk_invitations_link_id_links", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_invitations_unit_id_email", "invitations", ["unit_id", "email"])
    op.create_table(
        "registrar_removals",
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("unit_id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request_id", name="pk_registrar_removals"),
    )
    op.create_index("ix_memberships_unit_id", "memberships", ["unit_id"])
    # The previous release inserts accounts without this column: the default is the moment of insertion.
    op.add_column(
        "accounts",
        sa.Column(
            "password_chosen_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")
        ),
    )
    op.execute("UPDATE accounts SET password_chosen_at = created_at")
    op.add_column("accounts", sa.Column("password_reminded_at", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    op.drop_column("accounts", "password_reminded_at")
    op.drop_column("accounts", "password_chosen_at")
    op.drop_index("ix_memberships_unit_id", "memberships")
    op.drop_table("registrar_removals")
    op.drop_table("invitations")
