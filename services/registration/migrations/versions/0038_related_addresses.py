"""Since when mail to the address of a customer's guardian or contact person is refused."""

import sqlalchemy as sa
from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    op.add_column(
        "customers", sa.Column("related_undeliverable_since", sa.DateTime(timezone=True)), if_not_exists=True
    )
    create_index_concurrently(
        "ix_customers_related_email",
        "customers",
        [sa.text("((profile -> 'related_person') ->> 'email')")],
        where="((profile -> 'related_person') ->> 'email') <> email",
    )
    create_index_concurrently(
        "ix_customers_related_undeliverable",
        "customers",
        ["customer_id"],
        where="related_undeliverable_since IS NOT NULL",
    )


def downgrade() -> None:
    op.drop_index("ix_customers_related_undeliverable", "customers")
    op.drop_index("ix_customers_related_email", "customers")
    op.drop_column("customers", "related_undeliverable_since")
