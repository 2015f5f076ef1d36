"""An index for the sweep of links, which keeps those of consents that stand."""

from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    where = "(consent_state IS DISTINCT FROM 2 OR subject = '')"
    create_index_concurrently("ix_links_swept", "links", ["expires_at"], where=where)


def downgrade() -> None:
    op.drop_index("ix_links_swept", "links")
