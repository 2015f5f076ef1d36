"""Addresses stand in letters and not in `xn--`: an account is found however its address is written."""

import sqlalchemy as sa
from alembic import op

from services.runtime.text.email_addresses import fold

revision = "0016"
down_revision = "0015"

_TABLES = {"accounts": "account_id", "invitations": "invitation_id"}


def upgrade() -> None:
    connection = op.get_bind()
    for table, key in _TABLES.items():
        # The names are constants above.
        found = connection.execute(
            sa.text(f"SELECT {key}, email FROM {table} WHERE email LIKE '%@%xn--%'")  # noqa: S608
        ).all()
        for row_id, email in found:
            connection.execute(
                sa.text(f"UPDATE {table} SET email = :email WHERE {key} = :id"),  # noqa: S608
                {"email": fold(email), "id": row_id},
            )


def downgrade() -> None:
    """Nothing to undo: an earlier release sends mail to both spellings."""
