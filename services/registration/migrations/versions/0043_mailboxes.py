"""Addresses are compared by who reads the mail, and without regard to the case of letters."""

from alembic import op
from sqlalchemy import text

from services.runtime.data.migrations import create_index_concurrently

revision = "0043"
down_revision = "0042"

_KEY = "replace(lower(split_part(split_part({}, '@', 1), '+', 1)), '.', '')"
_RELATED = "((profile -> 'related_person') ->> 'email')"
_INDEXES = (
    (
        "ix_customers_mailbox",
        "customers",
        _KEY.format("email"),
        "email <> ''",
    ),
    ("ix_customers_folded_related_email", "customers", f"lower({_RELATED})", f"{_RELATED} <> email"),
    *(
        (
            f"ix_registrations_{name}_mailbox",
            "registrations",
            _KEY.format(f"((form -> '{part}') ->> 'email')"),
            "stage = 2",
        )
        for name, part in (("guardians", "related_person"), ("other_guardians", "other_guardian"))
    ),
)
"""Name, table, expression and condition."""


def upgrade() -> None:
    for name, table, expression, condition in _INDEXES:
        create_index_concurrently(name, table, [text(expression)], where=condition)
        # PostgreSQL would keep single values after an erasure.
        op.execute(f"ALTER INDEX {name} ALTER COLUMN 1 SET STATISTICS 0")


def downgrade() -> None:
    for name, table, *_ in reversed(_INDEXES):
        op.drop_index(name, table)
