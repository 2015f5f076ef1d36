"""What finds the rows that a run must know."""

from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0020"
down_revision = "0019"

_INDEXES = (
    (
        "ix_registrations_unfinished",
        "registrations",
        "registration_id",
        "stage IN (2, 3, 4, 9, 10) AND NOT over AND (stage <> 3 OR kind = 1)",
    ),
    (
        "ix_registrations_cd_borrowers",
        "registrations",
        "updated_at",
        "stage = 3 AND NOT over AND kind = 2",
    ),
    ("ix_customers_marked", "customers", "customer_id", "state = 2"),
    (
        "ix_customers_temporary",
        "customers",
        "customer_id",
        "state = 1 AND profile ->> 'temporary' = 'true'",
    ),
    ("ix_class_lists_unfinished", "class_lists", "class_list_id", "state IN (1, 2)"),
)


def upgrade() -> None:
    for name, table, column, condition in _INDEXES:
        create_index_concurrently(name, table, [column], where=condition)


def downgrade() -> None:
    for name, table, _, _ in _INDEXES:
        op.drop_index(name, table)
