"""Customers are found by the e-mail address that they order a new password with, in any case."""

from alembic import op
from sqlalchemy import text

from services.runtime.data.migrations import create_index_concurrently

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    create_index_concurrently(
        "ix_customers_folded_email", "customers", [text("lower(email)")], where="email <> ''"
    )


def downgrade() -> None:
    op.drop_index("ix_customers_folded_email", "customers")
