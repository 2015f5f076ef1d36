"""Customers are found by names whose letters, apostrophes and hyphens are folded as people type them.

Only names with other signs than letters of Finnish are folded anew. A rolling update runs this before the new
release writes; what the old release saves meanwhile is folded with its next edit.
"""

import sqlalchemy as sa
from alembic import op

from services.registration.forms import name_keys

revision = "0027"
down_revision = "0026"

_AT_A_TIME = 500

_AFFECTED = sa.text(
    """
    SELECT customer_id, unit_id, first_names, last_name, sort_key FROM customers
    WHERE customer_id > :after AND first_names || last_name ~ '[^a-zA-ZåäöÅÄÖéÉüÜ ]'
    ORDER BY customer_id LIMIT :most
    """
)
_KEY = sa.text(
    """
    INSERT INTO customer_names (customer_id, unit_id, key) VALUES (:customer_id, :unit_id, :key)
    ON CONFLICT DO NOTHING
    """
)
_SORT_KEY = sa.text("UPDATE customers SET sort_key = :sort_key WHERE customer_id = :customer_id")


def upgrade() -> None:
    connection = op.get_bind()
    after = ""
    while rows := connection.execute(_AFFECTED, {"after": after, "most": _AT_A_TIME}).mappings().all():
        after = rows[-1]["customer_id"]
        keys = [
            {"customer_id": row["customer_id"], "unit_id": row["unit_id"], "key": key}
            for row in rows
            for key in name_keys.search_keys(row["first_names"], row["last_name"])
        ]
        connection.execute(_KEY, keys)
        changed = [
            {"customer_id": row["customer_id"], "sort_key": sort_key}
            for row in rows
            if (sort_key := name_keys.sort_key(row["last_name"], row["first_names"])) != row["sort_key"]
        ]
        if changed:
            connection.execute(_SORT_KEY, changed)


def downgrade() -> None:
    """Nothing to undo: the keys of the earlier release are among these."""
