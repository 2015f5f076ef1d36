"""Since when mail to the address of a customer's guardian or contact person is refused."""

import sqlalchemy as sa
from alembic import op

revision = "0038"
down_revision = "0037"


def upgrade() -> None:
    op.add_column("customers", sa.Column("related_undeliverable_since", sa.DateTime(timezone=True)))
    op.create_index(
        "ix_customers_related_email",
        "customers",
        [sa.text("((profile -> 'related_person') ->> 'email')")],
        postgresql_where=sa.text("((profile -> 'related_person') ->> 'email') <> email"),
    )
    op.create_index(
        "ix_customers_related_undeliverable",
        "customers",
        ["customer_id"],
        postgresql_where=sa.text("related_undeliverable_since IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_customers_related_undeliverable", "customers")
    op.drop_index("ix_customers_related_email", "customers")
    op.drop_column("customers", "related_undeliverable_since")
