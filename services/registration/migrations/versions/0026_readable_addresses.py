"""Addresses stand in letters and not in `xn--`: that is how people write and compare them."""

import json
from typing import Any

import sqlalchemy as sa
from alembic import op

from services.runtime.text.email_addresses import normal

revision = "0026"
down_revision = "0025"

_FORMS = (("customers", "customer_id", "profile"), ("registrations", "registration_id", "form"))


def upgrade() -> None:
    connection = op.get_bind()
    # The names are constants.
    for table, key, column in _FORMS:
        found = connection.execute(
            sa.text(f"SELECT {key}, {column} FROM {table} WHERE {column}::text LIKE '%@%xn--%'")  # noqa: S608
        ).all()
        for row_id, form in found:
            connection.execute(
                sa.text(f"UPDATE {table} SET {column} = CAST(:form AS jsonb) WHERE {key} = :id"),  # noqa: S608
                {"form": json.dumps(_readable(form)), "id": row_id},
            )
    found = connection.execute(
        sa.text("SELECT customer_id, email FROM customers WHERE email LIKE '%@%xn--%'")
    ).all()
    for row_id, email in found:
        connection.execute(
            sa.text("UPDATE customers SET email = :email WHERE customer_id = :id"),
            {"email": normal(email), "id": row_id},
        )


def downgrade() -> None:
    """Nothing to undo: an earlier release sends mail to both spellings."""


def _readable(form: dict[str, Any]) -> dict[str, Any]:
    readable = dict(form)
    if isinstance(form.get("related_person"), dict):
        readable["related_person"] = _readable(form["related_person"])
    if form.get("email"):
        readable["email"] = normal(form["email"])
    return readable
