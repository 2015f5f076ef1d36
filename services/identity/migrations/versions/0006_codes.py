"""Attaching a code to a person without one (R24, R34)."""

from alembic import op

revision = "0006"
down_revision = "0005"

_COLUMNS = ("hetu_ciphertext", "hetu_key_id", "hetu_index", "index_key_id")


def upgrade() -> None:
    for column in _COLUMNS:
        op.alter_column("persons", column, nullable=True)


def downgrade() -> None:
    for column in _COLUMNS:
        op.alter_column("persons", column, nullable=False)
