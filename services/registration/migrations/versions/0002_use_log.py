"""The log of use: append-only, each entry chained to the one before by its hash (R36)."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0002"
down_revision = "0001"

# What an entry's hash covers: its place and every field, each with its length, so that none can flow into
# the next. The subjects come last, each a field of its own: their number may differ.
# `services/registration/audit/hash_chain.py` computes the same.
_TEXT = """
CREATE FUNCTION use_text(place bigint, entry use_entries) RETURNS text LANGUAGE sql STABLE
SET search_path = public, pg_temp AS $$
SELECT string_agg(octet_length(field)::text || ':' || field, ',' ORDER BY position)
FROM unnest(ARRAY[
    place::text,
    entry.use_id::text,
    extract(epoch FROM entry.used_at)::text,
    entry.actor_kind::text,
    entry.account_id,
    entry.actor_role::text,
    entry.for_unit_id,
    entry.action,
    entry.outcome,
    entry.call_id,
    entry.trace_id
] || entry.subject_ids::text[]) WITH ORDINALITY AS fields(field, position)
$$
"""

# It runs when the transaction commits: the lock that puts entries in a row is the last one taken, so that no
# two transactions can wait for one another, and held for the moment of the commit only.
_CHAIN = """
CREATE FUNCTION chain_use() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    last use_chain;
    place bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('liity use_chain', 0));
    SELECT * INTO last FROM use_chain ORDER BY sequence DESC LIMIT 1;
    place := coalesce(last.sequence, 0) + 1;
    INSERT INTO use_chain (sequence, use_id, hash) VALUES (
        place,
        NEW.use_id,
        sha256(coalesce(last.hash, ''::bytea) || convert_to(use_text(place, NEW), 'UTF8'))
    );
    RETURN NULL;
END
$$
"""

_TRIGGER = """
CREATE CONSTRAINT TRIGGER chain_use AFTER INSERT ON use_entries
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION chain_use()
"""

# By default everybody may call a new function. Who may call this one can have a table of their own trigger
# it, and that is the way to the rights of the owner.
_PRIVATE = "REVOKE ALL ON FUNCTION chain_use(), use_text(bigint, use_entries) FROM PUBLIC"

# Whoever may use the tables besides their owner: the role of the service.
_APPEND_ONLY = """
DO $$
DECLARE
    grantee name;
BEGIN
    FOR grantee IN
        SELECT DISTINCT rolname FROM pg_class, aclexplode(relacl) AS acl, pg_roles
        WHERE pg_class.oid IN ('use_entries'::regclass, 'use_chain'::regclass)
        AND pg_roles.oid = acl.grantee AND acl.grantee <> pg_class.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON use_entries, use_chain FROM %I', grantee);
        EXECUTE format('GRANT SELECT, INSERT ON use_entries TO %I', grantee);
        EXECUTE format('GRANT SELECT ON use_chain TO %I', grantee);
    END LOOP;
END
$$
"""


def upgrade() -> None:
    op.create_table(
        "use_entries",
        sa.Column("use_id", sa.Uuid(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_kind", sa.SmallInteger(), nullable=False),
        sa.Column("account_id", sa.String(), nullable=False),
        sa.Column("actor_role", sa.SmallInteger(), nullable=False),
        sa.Column("for_unit_id", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject_ids", ARRAY(sa.String()), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("call_id", sa.String(), nullable=False),
        sa.Column("trace_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("use_id", name="pk_use_entries"),
        # What the proof could not read again must not get in.
        sa.CheckConstraint(
            "coalesce(array_ndims(subject_ids), 1) = 1 AND array_position(subject_ids, NULL) IS NULL",
            name="subject_ids",
        ),
        sa.CheckConstraint("used_at BETWEEN '2000-01-01Z' AND '9999-01-01Z'", name="used_at"),
    )
    op.create_index("ix_use_entries_subject_ids", "use_entries", ["subject_ids"], postgresql_using="gin")
    op.create_index("ix_use_entries_account_id", "use_entries", ["account_id", "used_at"])
    op.create_index("ix_use_entries_used_at", "use_entries", ["used_at"])
    op.create_table(
        "use_chain",
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("use_id", sa.Uuid(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name="pk_use_chain"),
        sa.UniqueConstraint("use_id", name="uq_use_chain_use_id"),
    )
    for statement in (_TEXT, _CHAIN, _TRIGGER, _PRIVATE, _APPEND_ONLY):
        op.execute(statement)


def downgrade() -> None:
    op.drop_table("use_chain")
    op.execute("DROP FUNCTION chain_use() CASCADE")
    op.execute("DROP FUNCTION use_text(bigint, use_entries)")
    op.drop_table("use_entries")
