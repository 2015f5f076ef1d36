"""What is withheld of protected persons (R37), apart from customers and forms."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0036"
down_revision = "0035"


def upgrade() -> None:
    op.create_table(
        "protected_persons",
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("withheld", postgresql.JSONB(), nullable=False),
        sa.Column("marked_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("person_id", name="pk_protected_persons"),
    )


def downgrade() -> None:
    op.drop_table("protected_persons")
