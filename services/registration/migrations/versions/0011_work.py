"""The work list of customer service: claims, dismissed duplicates, messages; what finds them quickly."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("customers", sa.Column("undeliverable_since", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_customers_birth_date_sort_key",
        "customers",
        ["birth_date", "sort_key", "state", "customer_id"],
    )
    op.create_index(
        "ix_customers_undeliverable",
        "customers",
        ["customer_id"],
        postgresql_where=sa.text("email_state = 3"),
    )
    op.create_index(
        "ix_registrations_work",
        "registrations",
        ["created_at", "registration_id"],
        postgresql_where=sa.text("stage IN (9, 10)"),
    )
    op.create_table(
        "work_claims",
        sa.Column("item_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("item_id", name="pk_work_claims"),
    )
    op.create_table(
        "dismissed_duplicates",
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("other_customer_id", sa.String(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("dismissed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", "other_customer_id", name="pk_dismissed_duplicates"),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.customer_id"],
            name="fk_dismissed_duplicates_customer_id_customers",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["other_customer_id"],
            ["customers.customer_id"],
            name="fk_dismissed_duplicates_other_customer_id_customers",
            ondelete="CASCADE",
        ),
    )
    op.create_index(
        "ix_dismissed_duplicates_other_customer_id", "dismissed_duplicates", ["other_customer_id"]
    )
    op.create_table(
        "messages",
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("unit_id", sa.String(), nullable=False),
        sa.Column("sender_account_id", sa.String(), nullable=False),
        sa.Column("sender_display_name", sa.String(), nullable=False),
        sa.Column("registration_id", sa.String(), nullable=True),
        sa.Column("context", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("answer", sa.String(), nullable=True),
        sa.Column("close_request_id", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("message_id", name="pk_messages"),
        sa.UniqueConstraint("request_id", name="uq_messages_request_id"),
        sa.UniqueConstraint("reference", name="uq_messages_reference"),
        sa.ForeignKeyConstraint(["unit_id"], ["units.unit_id"], name="fk_messages_unit_id_units"),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registrations.registration_id"],
            name="fk_messages_registration_id_registrations",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_messages_unit", "messages", ["unit_id", "created_at", "message_id"])
    op.create_index(
        "ix_messages_open", "messages", ["created_at", "message_id"], postgresql_where=sa.text("state = 1")
    )
    op.create_index("ix_messages_registration_id", "messages", ["registration_id"])
    op.create_index("ix_messages_closed_at", "messages", ["closed_at"])
    # The planner's statistics would keep samples of what is personal, and long after the row is erased.
    for column in ("text", "answer"):
        op.execute(f"ALTER TABLE messages ALTER COLUMN {column} SET STATISTICS 0")


def downgrade() -> None:
    op.drop_table("messages")
    op.drop_table("dismissed_duplicates")
    op.drop_table("work_claims")
    op.drop_index("ix_registrations_work", "registrations")
    op.drop_index("ix_customers_undeliverable", "customers")
    op.drop_index("ix_customers_birth_date_sort_key", "customers")
    op.drop_column("customers", "undeliverable_since")
