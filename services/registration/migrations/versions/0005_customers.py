"""Customers that can be edited, searched by name and ended. No samples of what is personal."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0005"
down_revision = "0004"

# The release before writes no new column: each has a default. Whoever it has stored gets the keys of a search
# with the next change.
_DEFAULTS = {"state": "1", "version": "1", "email_state": "1"}

_PERSONAL = {
    "customers": ("birth_date", "sort_key"),
    "registrations": ("birth_date",),
    "customer_names": ("key",),
}


def upgrade() -> None:
    for name, kind in (
        ("state", sa.SmallInteger()),
        ("version", sa.BigInteger()),
        ("email_state", sa.SmallInteger()),
    ):
        op.add_column("customers", sa.Column(name, kind, nullable=False, server_default=_DEFAULTS[name]))
    op.add_column("customers", sa.Column("birth_date", sa.Date(), nullable=True))
    op.add_column(
        "customers", sa.Column("sort_key", sa.String(collation="C"), nullable=False, server_default="")
    )
    op.add_column("customers", sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True))
    op.create_unique_constraint("uq_customers_customer_id_unit_id", "customers", ["customer_id", "unit_id"])
    op.add_column("registrations", sa.Column("birth_date", sa.Date(), nullable=True))
    op.create_table(
        "customer_names",
        sa.Column("unit_id", sa.String(), nullable=False),
        sa.Column("key", sa.String(collation="C"), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("unit_id", "key", "customer_id", name="pk_customer_names"),
        sa.ForeignKeyConstraint(
            ["customer_id", "unit_id"],
            ["customers.customer_id", "customers.unit_id"],
            name="fk_customer_names_customer_id_unit_id_customers",
            ondelete="CASCADE",
            onupdate="CASCADE",
        ),
    )
    op.create_index("ix_customer_names_customer_id", "customer_names", ["customer_id"])
    op.create_table(
        "customer_changes",
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("paths", ARRAY(sa.String()), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "version", name="pk_customer_changes"),
        sa.UniqueConstraint("request_id", name="uq_customer_changes_request_id"),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.customer_id"],
            name="fk_customer_changes_customer_id_customers",
            ondelete="CASCADE",
        ),
    )
    for table, columns in _PERSONAL.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")


def downgrade() -> None:
    op.drop_table("customer_changes")
    op.drop_table("customer_names")
    op.drop_column("registrations", "birth_date")
    op.drop_constraint("uq_customers_customer_id_unit_id", "customers")
    for name in ("state", "version", "email_state", "birth_date", "sort_key", "ended_at"):
        op.drop_column("customers", name)
