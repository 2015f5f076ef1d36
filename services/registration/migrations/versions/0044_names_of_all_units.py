"""An index of names over all units, by which customer service finds a person (R15)."""

from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    create_index_concurrently("ix_customer_names_key", "customer_names", ["key"])


def downgrade() -> None:
    op.drop_index("ix_customer_names_key", "customer_names")
