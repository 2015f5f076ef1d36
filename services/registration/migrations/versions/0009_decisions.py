"""What waits for customer service: reactivations, identity checks, possible duplicates."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

_RUNNING = "uq_registrations_running_person"


def upgrade() -> None:
    op.add_column(
        "registrations", sa.Column("over", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    op.add_column("registrations", sa.Column("missing_code_reason", sa.SmallInteger(), nullable=True))
    op.add_column("registrations", sa.Column("rejection_note", sa.String(), nullable=True))
    op.add_column("registrations", sa.Column("decision_request_id", sa.Uuid(), nullable=True))
    # The planner's statistics would keep samples of it, and long after it is erased.
    op.execute("ALTER TABLE registrations ALTER COLUMN rejection_note SET STATISTICS 0")
    _index_running("stage IN (1, 2, 3, 4, 9, 10) AND NOT over")


def downgrade() -> None:
    _index_running("stage IN (1, 2, 3, 4)")
    for column in ("decision_request_id", "rejection_note", "missing_code_reason", "over"):
        op.drop_column("registrations", column)


def _index_running(which: str) -> None:
    op.drop_index(_RUNNING, "registrations")
    op.create_index(_RUNNING, "registrations", ["person_id"], unique=True, postgresql_where=sa.text(which))
