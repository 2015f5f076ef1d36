"""What sweeps and lists look for is found by an index; the namesakes of before are marked."""

from alembic import op

from services.runtime.data.migrations import create_index_concurrently

revision = "0019"
down_revision = "0018"

# Beside the trigger, which marks those of now: nothing is locked.
_MARK_ALL = """
INSERT INTO namesakes (customer_id)
SELECT customer_id FROM (
    SELECT customer_id, count(*) OVER (PARTITION BY birth_date, sort_key) AS number
    FROM customers WHERE state = 1 AND birth_date IS NOT NULL
) AS alike WHERE number > 1
ON CONFLICT DO NOTHING
"""


def upgrade() -> None:
    op.execute(_MARK_ALL)
    create_index_concurrently(
        "ix_registrations_rejection_note",
        "registrations",
        ["updated_at"],
        where="rejection_note IS NOT NULL",
    )
    create_index_concurrently(
        "ix_class_lists_running", "class_lists", ["created_at"], where="ended_at IS NULL"
    )
    create_index_concurrently("ix_work_claims_expires_at", "work_claims", ["expires_at"])
    create_index_concurrently("ix_limits_ends_at", "limits", ["ends_at"])


def downgrade() -> None:
    op.drop_index("ix_limits_ends_at", "limits")
    op.drop_index("ix_work_claims_expires_at", "work_claims")
    op.drop_index("ix_class_lists_running", "class_lists")
    op.drop_index("ix_registrations_rejection_note", "registrations")
