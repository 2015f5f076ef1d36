"""An index by which a lock-out's account is found: the list of lock-outs would read all accounts."""

from alembic import op
from sqlalchemy import text

from services.runtime.data.migrations import create_index_concurrently

revision = "0022"
down_revision = "0021"

# As `convert_to`, which PostgreSQL does not take for immutable: UTF-8 as it is stored.
_KEY = r"sha256(decode(replace('log-in:account:' || email, '\', '\\'), 'escape'))"


def upgrade() -> None:
    # Unique as the address is: without statistics the planner knows it by that alone.
    create_index_concurrently("ix_accounts_lock_out_key", "accounts", [text(_KEY)], unique=True)
    # No statistics of what is made of an address.
    op.execute("ALTER INDEX ix_accounts_lock_out_key ALTER COLUMN 1 SET STATISTICS 0")


def downgrade() -> None:
    op.drop_index("ix_accounts_lock_out_key", "accounts")
