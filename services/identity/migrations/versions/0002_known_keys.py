"""Keys this database has been used with."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "known_keys",
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("check_value", sa.LargeBinary(), nullable=True),
        sa.Column("known_since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("purpose", "key_id", name="pk_known_keys"),
    )
    # Keys that stored codes use are required from now on. The next start adds the check values.
    op.execute(
        "INSERT INTO known_keys (purpose, key_id, known_since)"
        " SELECT DISTINCT 'hetu', hetu_key_id::text, now() FROM persons"
        " UNION ALL SELECT DISTINCT 'hetu-index', index_key_id::text, now() FROM persons"
    )


def downgrade() -> None:
    op.drop_table("known_keys")
