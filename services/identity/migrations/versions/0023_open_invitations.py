"""An index of the links of open invitations, which reconciliation lists every few minutes."""

from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    create_index_concurrently(
        "ix_links_open_invitations",
        "links",
        ["expires_at"],
        where="(purpose = 10 AND used_at IS NULL AND voided_at IS NULL)",
    )


def downgrade() -> None:
    op.drop_index("ix_links_open_invitations", "links")
