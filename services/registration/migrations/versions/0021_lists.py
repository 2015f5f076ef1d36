"""Lists are filtered by registrar, deadline, failed address, temporary need and welcome, each by an index."""

from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0021"
down_revision = "0020"

_PLACE = ["unit_id", "created_at", "registration_id"]
_BY_NAME = ["unit_id", "sort_key", "customer_id"]

_INDEXES = (
    (
        "ix_registrations_unit_registrar",
        "registrations",
        ["unit_id", "registrar_account_id", "stage", "created_at", "registration_id"],
        None,
    ),
    (
        "ix_registrations_unit_deadline",
        "registrations",
        ["unit_id", "deadline", "registration_id"],
        "deadline IS NOT NULL",
    ),
    (
        "ix_registrations_unit_undeliverable",
        "registrations",
        _PLACE,
        "stage = 2 AND undeliverable_since IS NOT NULL",
    ),
    (
        "ix_registrations_not_welcomed",
        "registrations",
        ["unit_id", "customer_id"],
        "stage IN (3, 4) AND kind = 1 AND NOT over",
    ),
    ("ix_customers_unit", "customers", _BY_NAME, "state = 1"),
    ("ix_customers_unit_undeliverable", "customers", _BY_NAME, "email_state = 3"),
    (
        "ix_customers_unit_temporary",
        "customers",
        _BY_NAME,
        "state = 1 AND profile ->> 'temporary' = 'true'",
    ),
)


def upgrade() -> None:
    for name, table, columns, condition in _INDEXES:
        create_index_concurrently(name, table, columns, where=condition)


def downgrade() -> None:
    for name, table, _, _ in _INDEXES:
        op.drop_index(name, table)
