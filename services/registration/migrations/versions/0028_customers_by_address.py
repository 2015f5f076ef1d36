"""Customers are found by their e-mail address, when it takes no mail."""

from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    create_index_concurrently("ix_customers_email", "customers", ["email"], where="email <> ''")


def downgrade() -> None:
    op.drop_index("ix_customers_email", "customers")
