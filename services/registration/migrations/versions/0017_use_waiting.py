"""Entries of the log of use are chained by whoever's turn it is; nobody waits for a turn (R36)."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"

# Who holds the row's lock appends to the chain. The service's role may only read it, so none but the
# functions below can take its lock; an advisory lock could be taken by anybody.
_TURN = "INSERT INTO use_turn DEFAULT VALUES"

# Appends one entry; the turn must be held.
_LINK = """
CREATE FUNCTION link_use(entry use_entries) RETURNS void LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
DECLARE
    last use_chain;
    place bigint;
BEGIN
    SELECT * INTO last FROM use_chain ORDER BY sequence DESC LIMIT 1;
    place := coalesce(last.sequence, 0) + 1;
    INSERT INTO use_chain (sequence, use_id, hash) VALUES (
        place,
        entry.use_id,
        sha256(coalesce(last.hash, ''::bytea) || convert_to(use_text(place, entry), 'UTF8'))
    );
END
$$
"""

# A transaction that does not see what others commit meanwhile would append to an old end.
_TAKE_TURN = """
CREATE FUNCTION take_use_turn() RETURNS boolean LANGUAGE plpgsql
SET search_path = public, pg_temp AS $$
BEGIN
    IF current_setting('transaction_isolation') NOT IN ('read committed', 'read uncommitted') THEN
        RETURN false;
    END IF;
    PERFORM FROM use_turn FOR UPDATE SKIP LOCKED;
    RETURN FOUND;
END
$$
"""

# Bounded: who commits an entry must not have to chain all that a long pause has left.
_LINK_WAITING = """
CREATE FUNCTION link_waiting_uses() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
DECLARE
    entry use_entries;
    linked integer := 0;
BEGIN
    IF NOT EXISTS (SELECT FROM use_waiting) OR NOT take_use_turn() THEN
        RETURN 0;
    END IF;
    FOR entry IN
        SELECT use_entries.* FROM use_waiting JOIN use_entries USING (use_id)
        ORDER BY use_entries.used_at, use_id LIMIT 100
    LOOP
        PERFORM link_use(entry);
        DELETE FROM use_waiting WHERE use_id = entry.use_id;
        linked := linked + 1;
    END LOOP;
    RETURN linked;
END
$$
"""

# It runs when the transaction commits, and waits for nobody.
_CHAIN = """
CREATE OR REPLACE FUNCTION chain_use() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = public, pg_temp AS $$
BEGIN
    IF take_use_turn() THEN
        PERFORM link_waiting_uses();
        PERFORM link_use(NEW);
    ELSE
        INSERT INTO use_waiting (use_id) VALUES (NEW.use_id);
    END IF;
    RETURN NULL;
END
$$
"""

_PRIVATE = "REVOKE ALL ON FUNCTION link_use(use_entries), take_use_turn(), link_waiting_uses() FROM PUBLIC"

# Whoever may write entries besides their owner, the role of the service, may see what waits, and have it
# chained.
_APPEND_ONLY = """
DO $$
DECLARE
    grantee name;
BEGIN
    FOR grantee IN
        SELECT DISTINCT rolname FROM pg_class, aclexplode(relacl) AS acl, pg_roles
        WHERE pg_class.oid IN ('use_entries'::regclass, 'use_waiting'::regclass, 'use_turn'::regclass)
        AND pg_roles.oid = acl.grantee AND acl.grantee <> pg_class.relowner
    LOOP
        EXECUTE format('REVOKE ALL ON use_waiting, use_turn FROM %I', grantee);
        EXECUTE format('GRANT SELECT ON use_waiting, use_turn TO %I', grantee);
        EXECUTE format('GRANT EXECUTE ON FUNCTION link_waiting_uses() TO %I', grantee);
    END LOOP;
END
$$
"""

_CHAIN_OF_0002 = """
CREATE OR REPLACE FUNCTION chain_use() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
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


def upgrade() -> None:
    # None may be half-way through the old function, which waits for another lock than the new one takes.
    op.execute("LOCK TABLE use_entries IN SHARE ROW EXCLUSIVE MODE")
    op.create_table(
        "use_waiting",
        sa.Column("use_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("use_id", name="pk_use_waiting"),
    )
    op.create_table(
        "use_turn",
        sa.Column("turn", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.PrimaryKeyConstraint("turn", name="pk_use_turn"),
        sa.CheckConstraint("turn", name="one"),
    )
    for statement in (_TURN, _LINK, _TAKE_TURN, _LINK_WAITING, _CHAIN, _PRIVATE, _APPEND_ONLY):
        op.execute(statement)


def downgrade() -> None:
    op.execute("LOCK TABLE use_entries IN SHARE ROW EXCLUSIVE MODE")
    op.execute("DO $$ BEGIN WHILE link_waiting_uses() > 0 LOOP END LOOP; END $$")
    op.execute(_CHAIN_OF_0002)
    op.execute("DROP FUNCTION link_waiting_uses()")
    op.execute("DROP FUNCTION take_use_turn()")
    op.execute("DROP FUNCTION link_use(use_entries)")
    op.drop_table("use_turn")
    op.drop_table("use_waiting")
