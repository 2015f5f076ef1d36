"""Customers who have, or had, a namesake of the same birth date: possible duplicates are among them."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

# All who share a name and birth date are marked, once there are two: so it is enough to find one other.
# Two who are saved at the same moment do not see each other: they go one after the other. A mark stays when
# the other has gone; it only says where to look.
_MARK = """
CREATE FUNCTION mark_namesakes() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp AS $$
DECLARE
    other varchar;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(NEW.birth_date::text || NEW.sort_key, 0));
    SELECT customer_id INTO other FROM customers
    WHERE birth_date = NEW.birth_date AND sort_key = NEW.sort_key AND state = 1
    AND customer_id <> NEW.customer_id LIMIT 1;
    IF FOUND THEN
        INSERT INTO namesakes (customer_id) VALUES (NEW.customer_id), (other) ON CONFLICT DO NOTHING;
    END IF;
    RETURN NULL;
END
$$
"""

# State 1 is ACTIVE.
_TRIGGER = """
CREATE TRIGGER {name} AFTER {event} ON customers FOR EACH ROW
WHEN ({changed}NEW.state = 1 AND NEW.birth_date IS NOT NULL) EXECUTE FUNCTION mark_namesakes()
"""
_CHANGED = """
    (OLD.birth_date, OLD.sort_key, OLD.state) IS DISTINCT FROM (NEW.birth_date, NEW.sort_key, NEW.state) AND
"""


def upgrade() -> None:
    op.create_table(
        "namesakes",
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["customer_id"],
            ["customers.customer_id"],
            name="fk_namesakes_customer_id_customers",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("customer_id", name="pk_namesakes"),
    )
    op.execute(_MARK)
    op.execute(_TRIGGER.format(name="mark_namesakes_of_new", event="INSERT", changed=""))
    op.execute(_TRIGGER.format(name="mark_namesakes_of_changed", event="UPDATE", changed=_CHANGED))


def downgrade() -> None:
    op.execute("DROP FUNCTION mark_namesakes() CASCADE")
    op.drop_table("namesakes")
