"""What the service's own role may not do to the log of use, whatever it tries."""

import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from deploy.local.postgres import EmbeddedPostgres
from services.registration.audit.entries import require_append_only
from services.registration.audit.hash_chain import verify
from services.runtime.settings import SettingsError
from tests.services.registration.audit.uses import INSERT_ENTRY, an_account, owner, record, service_role
from tests.support.ports import free_port
from tests.support.program import Program
from tests.support.registration_service import Service


@pytest.fixture(autouse=True)
async def _as_it_was(service: Service) -> AsyncIterator[None]:
    """Sees that no test changes what was there: entries are added, and the chain is whole."""
    await record(service, an_account(), "sub1")
    before = await snapshot(service)
    yield
    after = await snapshot(service)
    assert after[: len(before)] == before
    async with service.engine.connect() as connection:
        assert (await verify(connection)).sequence == len(after)


async def snapshot(service: Service) -> list[object]:
    rows = await service.rows(
        "SELECT use_chain::text AS link, use_entries::text AS entry"
        " FROM use_chain LEFT JOIN use_entries USING (use_id) ORDER BY sequence"
    )
    return [tuple(row.values()) for row in rows]


FORBIDDEN = [
    "UPDATE use_entries SET outcome = 'OK'",
    "UPDATE use_chain SET hash = hash",
    "DELETE FROM use_entries",
    "DELETE FROM use_chain",
    "TRUNCATE use_entries",
    "TRUNCATE use_chain",
    "TRUNCATE use_entries, use_chain CASCADE",
    "INSERT INTO use_chain VALUES (9999999, gen_random_uuid(), sha256(''))",
    "INSERT INTO use_waiting VALUES (gen_random_uuid())",
    "DELETE FROM use_waiting",
    "TRUNCATE use_waiting",
    "INSERT INTO use_turn VALUES (false)",
    "DELETE FROM use_turn",
    "UPDATE use_turn SET turn = turn",
    "SELECT * FROM use_turn FOR UPDATE",
    "SELECT * FROM use_turn FOR KEY SHARE",
    "BEGIN; LOCK TABLE use_turn IN ROW EXCLUSIVE MODE",
    "BEGIN; LOCK TABLE use_waiting IN SHARE MODE",
    "SELECT take_use_turn()",
    "SELECT link_use(use_entries) FROM use_entries",
    "INSERT INTO use_entries TABLE use_entries ON CONFLICT (use_id) DO UPDATE SET outcome = 'CHANGED'",
    "MERGE INTO use_entries USING use_chain c ON use_entries.use_id = c.use_id WHEN MATCHED THEN DELETE",
    "COPY use_chain FROM STDIN",
    "COPY use_entries TO PROGRAM 'cat'",
    "COPY use_entries FROM PROGRAM 'cat'",
    "SELECT * FROM use_entries FOR UPDATE",
    "SELECT * FROM use_chain FOR SHARE",
    "BEGIN; LOCK TABLE use_entries IN ACCESS EXCLUSIVE MODE",
    "BEGIN; LOCK TABLE use_chain IN SHARE MODE",
    "DROP TABLE use_entries",
    "DROP TABLE use_chain",
    "DROP TRIGGER chain_use ON use_entries",
    "DROP FUNCTION chain_use() CASCADE",
    "DROP SCHEMA public CASCADE",
    "DROP OWNED BY registration_owner",
    "DROP DATABASE registration",
    "ALTER TABLE use_entries DISABLE TRIGGER chain_use",
    "ALTER TABLE use_entries DISABLE TRIGGER ALL",
    "ALTER TABLE use_entries RENAME TO other",
    "ALTER TABLE use_entries DROP COLUMN account_id",
    "ALTER TABLE use_entries OWNER TO registration",
    "ALTER TABLE use_entries ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE use_chain SET SCHEMA pg_temp",
    "ALTER FUNCTION chain_use() SET search_path = pg_temp",
    "ALTER FUNCTION chain_use() SECURITY INVOKER",
    "ALTER TRIGGER chain_use ON use_entries RENAME TO other",
    "ALTER SCHEMA public RENAME TO other",
    "ALTER DATABASE registration SET session_replication_role = replica",
    "ALTER ROLE registration SUPERUSER",
    "ALTER ROLE registration_owner PASSWORD 'x'",
    "CREATE TABLE use_entries_too (LIKE use_entries)",
    "CREATE TABLE public.other (x int)",
    "CREATE SCHEMA other",
    "CREATE TRIGGER x BEFORE INSERT ON use_entries EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE other AS ON INSERT TO use_entries DO INSTEAD NOTHING",
    "CREATE POLICY other ON use_entries USING (false)",
    "CREATE INDEX other ON use_entries (account_id)",
    "CREATE TEMP TABLE other () INHERITS (use_entries)",
    "CREATE OR REPLACE FUNCTION chain_use() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    "CREATE OR REPLACE FUNCTION use_text(bigint, use_entries) RETURNS text LANGUAGE sql AS 'SELECT $1'",
    "CREATE FUNCTION public.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1'",
    "CREATE EVENT TRIGGER other ON ddl_command_start EXECUTE FUNCTION chain_use()",
    "SELECT use_text(1, use_entries) FROM use_entries",
    "SET session_replication_role = replica",
    "SET ROLE registration_owner",
    "SET SESSION AUTHORIZATION registration_owner",
    "GRANT registration_owner TO registration",
    "SELECT lo_import('/etc/passwd')",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT set_config('session_replication_role', 'replica', false)",
    "UPDATE pg_trigger SET tgenabled = 'D'",
    "UPDATE pg_class SET relowner = 'registration'::regrole",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
async def test_the_role_of_the_service_may_not(postgres: EmbeddedPostgres, statement: str) -> None:
    async with service_role(postgres) as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "GRANT UPDATE, DELETE ON use_entries TO registration",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO registration",
        "GRANT EXECUTE ON FUNCTION chain_use() TO registration",
    ],
)
async def test_the_role_of_the_service_gives_itself_no_right(
    service: Service, postgres: EmbeddedPostgres, statement: str
) -> None:
    async with service_role(postgres) as connection:
        # Or PostgreSQL only warns that nothing was granted.
        with contextlib.suppress(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)
    await require_append_only(service.engine)


async def test_the_function_of_the_chain_is_nobodys_to_trigger(postgres: EmbeddedPostgres) -> None:
    """Else it would call, as the owner, whatever turns somebody's own row into an entry."""
    async with service_role(postgres) as connection:
        await connection.execute(
            """
            CREATE TEMP TABLE fake (use_id uuid DEFAULT gen_random_uuid());
            CREATE FUNCTION pg_temp.as_owner(fake) RETURNS use_entries LANGUAGE plpgsql AS $$
            BEGIN
                ALTER TABLE public.use_entries DISABLE TRIGGER ALL;
                RETURN NULL;
            END $$;
            CREATE CAST (pg_temp.fake AS use_entries) WITH FUNCTION pg_temp.as_owner(fake) AS IMPLICIT
            """
        )
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(
                "CREATE TRIGGER own AFTER INSERT ON fake FOR EACH ROW EXECUTE FUNCTION chain_use()"
            )
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute("SELECT chain_use()")


@pytest.mark.parametrize("search_path", ["pg_temp, public", "pg_temp", "''", "pg_temp, pg_catalog, public"])
async def test_no_search_path_misleads_the_chain(
    service: Service, postgres: EmbeddedPostgres, search_path: str
) -> None:
    before = len(await snapshot(service))
    async with service_role(postgres) as connection:
        await connection.execute(
            """
            CREATE TEMP TABLE use_chain (sequence bigint, use_id uuid, hash bytea);
            CREATE TEMP TABLE use_entries (LIKE public.use_entries);
            INSERT INTO pg_temp.use_chain VALUES (4711, gen_random_uuid(), 'x');
            CREATE FUNCTION pg_temp.use_text(bigint, public.use_entries) RETURNS text
            LANGUAGE sql AS 'SELECT ''mine''::text';
            CREATE FUNCTION pg_temp.sha256(bytea) RETURNS bytea LANGUAGE sql AS 'SELECT $1';
            CREATE FUNCTION pg_temp.convert_to(text, name) RETURNS bytea
            LANGUAGE sql AS 'SELECT ''x''::bytea';
            """
        )
        await connection.execute(f"SET search_path = {search_path}")
        await connection.execute(INSERT_ENTRY.replace("use_entries", "public.use_entries"), 1)
        assert await connection.fetchval("SELECT count(*) FROM pg_temp.use_chain") == 1
    assert len(await snapshot(service)) == before + 1


async def test_no_moment_of_the_chain_is_chosen_to_its_harm(
    service: Service, postgres: EmbeddedPostgres
) -> None:
    """Links written at once, put off, taken back to a savepoint: what is committed is in the chain once."""
    before = len(await snapshot(service))
    async with service_role(postgres) as connection:
        async with connection.transaction():
            await connection.execute(INSERT_ENTRY, 1)
            await connection.execute("SET CONSTRAINTS chain_use IMMEDIATE")
            await connection.execute(INSERT_ENTRY, 2)
            await connection.execute("SET CONSTRAINTS ALL DEFERRED")
            await connection.execute(INSERT_ENTRY, 3)
        # The link goes with the savepoint, the entry does not: it is linked anew.
        await connection.execute("BEGIN")
        await connection.execute(INSERT_ENTRY, 4)
        await connection.execute("SAVEPOINT here")
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        await connection.execute("ROLLBACK TO SAVEPOINT here")
        await connection.execute("COMMIT")
        # Nor does an entry that is taken back to a savepoint leave a link.
        await connection.execute("BEGIN")
        await connection.execute("SAVEPOINT here")
        await connection.execute(INSERT_ENTRY, 5)
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
        await connection.execute("ROLLBACK TO SAVEPOINT here")
        await connection.execute("COMMIT")
    assert len(await snapshot(service)) == before + 4


async def test_a_transaction_that_sees_an_old_chain_leaves_its_entry_to_others(
    service: Service, postgres: EmbeddedPostgres
) -> None:
    async with service_role(postgres) as connection:
        late = connection.transaction(isolation="repeatable_read")
        await late.start()
        await connection.fetchval("SELECT count(*) FROM use_chain")
        await record(service, an_account())
        await connection.execute(INSERT_ENTRY, 1)
        await late.commit()
        assert await connection.fetchval("SELECT count(*) FROM use_waiting") == 1
        assert await connection.fetchval("SELECT link_waiting_uses()") == 1


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("subject_ids", "ARRAY[['a', 'b']]"),
        ("subject_ids", "ARRAY['a', NULL]"),
        ("subject_ids", "ARRAY[NULL]::varchar[]"),
        ("subject_ids", "NULL"),
        ("used_at", "'infinity'"),
        ("used_at", "'-infinity'"),
        ("used_at", "'4000-01-01 BC'"),
        ("used_at", "'19990-01-01'"),
        ("account_id", "NULL"),
        ("trace_id", "NULL"),
        ("use_id", "(SELECT use_id FROM use_entries LIMIT 1)"),
    ],
)
async def test_no_entry_gets_in_that_the_proof_could_not_read_again(
    postgres: EmbeddedPostgres, column: str, value: str
) -> None:
    values = {
        "use_id": "gen_random_uuid()",
        "used_at": "now()",
        "actor_kind": "1",
        "account_id": "'ac1'",
        "actor_role": "1",
        "for_unit_id": "'un1'",
        "action": "'registration:read'",
        "subject_ids": "ARRAY['s1']",
        "outcome": "'OK'",
        "call_id": "''",
        "trace_id": "''",
    }
    given = ", ".join((values | {column: value}).values())
    async with service_role(postgres) as connection:
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await connection.execute(f"INSERT INTO use_entries VALUES ({given})")  # noqa: S608


async def test_copying_in_is_writing_entries_like_any_other(
    service: Service, postgres: EmbeddedPostgres
) -> None:
    before = len(await snapshot(service))
    async with service_role(postgres) as connection:
        rows = await connection.fetch("SELECT * FROM use_entries LIMIT 1")
        copies = [(await connection.fetchval("SELECT gen_random_uuid()"), *rows[0][1:]) for _ in range(3)]
        await connection.copy_records_to_table("use_entries", records=copies)
    assert len(await snapshot(service)) == before + 3


# The program


async def serve(program: Program, postgres_url: str, keys_dir: Path) -> subprocess.CompletedProcess[str]:
    """Runs the program; it ends by itself because it refuses to serve."""
    environment = {
        "LIITY_LISTEN": f"127.0.0.1:{free_port()}",
        "LIITY_DATABASE_URL": postgres_url,
        "LIITY_KEYS_DIR": str(keys_dir),
    }
    return await program.run("serve", "registration", environment=environment)


async def test_the_program_does_not_serve_with_the_rights_of_the_owner(
    postgres: EmbeddedPostgres, keys_dir: Path, program: Program
) -> None:
    ended = await serve(program, postgres.owner_url("registration"), keys_dir)
    assert ended.returncode == 2
    assert "may change the log of use" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("right", "on"),
    [
        ("UPDATE", "use_entries"),
        ("DELETE", "use_chain"),
        ("TRUNCATE", "use_entries"),
        ("TRIGGER", "use_entries"),
        ("INSERT", "use_chain"),
        ("INSERT", "use_waiting"),
        ("DELETE", "use_waiting"),
        ("INSERT", "use_turn"),
        ("UPDATE", "use_turn"),
        ("EXECUTE", "FUNCTION chain_use()"),
    ],
)
async def test_each_right_too_many_is_noticed(
    service: Service, postgres: EmbeddedPostgres, right: str, on: str
) -> None:
    await require_append_only(service.engine)
    async with owner(postgres) as connection:
        await connection.execute(f"GRANT {right} ON {on} TO registration")
        try:
            with pytest.raises(SettingsError, match="may change the log of use"):
                await require_append_only(service.engine)
        finally:
            await connection.execute(f"REVOKE {right} ON {on} FROM registration")
    await require_append_only(service.engine)


async def test_the_program_does_not_serve_without_a_log(
    postgres: EmbeddedPostgres, keys_dir: Path, program: Program
) -> None:
    ended = await serve(program, postgres.url("notification"), keys_dir)  # a database without these tables
    assert ended.returncode == 2
    assert "liity migrate registration" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
