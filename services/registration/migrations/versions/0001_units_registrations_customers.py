"""Units, registrations, customers and the evidence of consent."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "units",
        sa.Column("unit_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("display_name", sa.String(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("unit_id", name="pk_units"),
        sa.UniqueConstraint("request_id", name="uq_units_request_id"),
    )
    op.create_table(
        "customers",
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("unit_id", sa.String(), nullable=False),
        sa.Column("first_names", sa.String(), nullable=False),
        sa.Column("last_name", sa.String(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("language", sa.SmallInteger(), nullable=False),
        sa.Column("profile", JSONB(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("customer_id", name="pk_customers"),
        sa.UniqueConstraint("person_id", name="uq_customers_person_id"),
        sa.ForeignKeyConstraint(["unit_id"], ["units.unit_id"], name="fk_customers_unit_id_units"),
    )
    op.create_table(
        "registrations",
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=True),
        sa.Column("unit_id", sa.String(), nullable=False),
        sa.Column("registrar_account_id", sa.String(), nullable=False),
        sa.Column("registrar_display_name", sa.String(), nullable=False),
        sa.Column("stage", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("consent_state", sa.SmallInteger(), nullable=False),
        sa.Column("form", JSONB(), nullable=True),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=True),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("registration_id", name="pk_registrations"),
        sa.UniqueConstraint("request_id", name="uq_registrations_request_id"),
        sa.ForeignKeyConstraint(["unit_id"], ["units.unit_id"], name="fk_registrations_unit_id_units"),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.customer_id"],
            name="fk_registrations_customer_id_customers",
            ondelete="SET NULL",
        ),
    )
    op.create_index(
        "uq_registrations_running_person",
        "registrations",
        ["person_id"],
        unique=True,
        postgresql_where=sa.text("stage IN (1, 2, 3, 4)"),
    )
    op.create_index(
        "ix_registrations_person_id",
        "registrations",
        ["person_id"],
        postgresql_where=sa.text("person_id IS NOT NULL"),
    )
    op.create_index("ix_registrations_unit", "registrations", ["unit_id", "created_at", "registration_id"])
    op.create_index(
        "ix_registrations_unit_stage", "registrations", ["unit_id", "stage", "created_at", "registration_id"]
    )
    op.create_index("ix_registrations_customer_id", "registrations", ["customer_id"])
    op.create_table(
        "consents",
        sa.Column("registration_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("method", sa.SmallInteger(), nullable=False),
        sa.Column("guardian_name", sa.String(), nullable=False),
        sa.Column("sign_date", sa.Date(), nullable=False),
        sa.Column("wording_version", sa.String(), nullable=False),
        sa.Column("wording_language", sa.SmallInteger(), nullable=False),
        sa.Column("recorded_by", sa.String(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("registration_id", name="pk_consents"),
        sa.ForeignKeyConstraint(
            ["registration_id"],
            ["registrations.registration_id"],
            name="fk_consents_registration_id_registrations",
        ),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.customer_id"],
            name="fk_consents_customer_id_customers",
            ondelete="CASCADE",
        ),
    )
    op.create_index("ix_consents_customer_id", "consents", ["customer_id"])


def downgrade() -> None:
    for table in ("consents", "registrations", "customers", "units"):
        op.drop_table(table)
