"""Registrations of customers merged by an earlier release show as merged."""

from alembic import op

revision = "0041"
down_revision = "0040"

# From STAGE_WELCOMED to STAGE_MERGED. A merge names the merged customer's latest registration; one that can
# still be undone remembers the others as well.
_MERGED = """
UPDATE registrations SET stage = 42
WHERE stage = 5 AND registration_id IN (
    SELECT registration_id FROM merges
    UNION ALL
    SELECT moved ->> 'registration_id'
    FROM merges CROSS JOIN LATERAL jsonb_array_elements(merges.undo -> 'registrations') AS moved
)
"""


def upgrade() -> None:
    op.execute(_MERGED)


def downgrade() -> None:
    """Nothing to undo: undoing a merge gives each registration the stage it had before."""
