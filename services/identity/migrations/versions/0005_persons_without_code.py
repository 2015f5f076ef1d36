"""Persons without a personal identity code. The previous release creates none and ignores them."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_OF_THE_CODE = ("hetu_ciphertext", "hetu_key_id", "hetu_index", "index_key_id")


def upgrade() -> None:
    for column in _OF_THE_CODE:
        op.alter_column("persons", column, nullable=True)
    op.add_column("persons", sa.Column("without_code_request_id", sa.Text(), nullable=True))
    op.create_unique_constraint("uq_persons_without_code_request_id", "persons", ["without_code_request_id"])


def downgrade() -> None:
    op.execute("DELETE FROM persons WHERE hetu_index IS NULL")
    op.drop_column("persons", "without_code_request_id")
    for column in _OF_THE_CODE:
        op.alter_column("persons", column, nullable=False)
