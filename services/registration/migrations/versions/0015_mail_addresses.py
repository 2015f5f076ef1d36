"""A customer's address is where mail to them goes: of many a child, the guardian's."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    # EMAIL_STATE_UNCONFIRMED
    op.execute(
        """
        UPDATE customers SET email = profile #>> '{related_person,email}', email_state = 1
        WHERE email = '' AND coalesce(profile #>> '{related_person,email}', '') <> ''
        """
    )


def downgrade() -> None:
    # EMAIL_STATE_UNSPECIFIED
    op.execute("UPDATE customers SET email = '', email_state = 0 WHERE NOT profile ? 'email' AND email <> ''")
