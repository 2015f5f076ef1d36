"""The proof that the log of use is whole, and that it names the first link that is not."""

import contextlib
import re
import subprocess
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from deploy.admin.migrate import migrate_database
from deploy.local.postgres import EmbeddedPostgres
from services.registration.audit.anchors import Anchor
from services.registration.audit.entries import use_row
from services.registration.audit.hash_chain import BrokenChain, verify
from services.registration.audit.restores import GrownOver, NothingLost, Restore, enter_restore, restores
from services.registration.db.models import use_entries
from tests.conftest import running_postgres
from tests.support.program import Program

LINKS = 8
"""How long the chain is that gets damaged."""

INSERT = """
    INSERT INTO use_entries VALUES (
        $1, now(), 1, $2, 1, $3, 'registration:read', $4, 'OK', $5, 'trace'
    )
"""


@pytest.fixture(scope="module")
async def damaged(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedPostgres]:
    """A server of its own, for a log that nobody else needs."""
    async with running_postgres(tmp_path_factory.mktemp("damaged")) as server:
        await migrate_database("registration", server.owner_url("registration"))
        connection = await asyncpg.connect(server.url("registration").replace("+asyncpg", ""))
        for number in range(LINKS):
            subjects = [f"s{number}", "both"] if number % 2 else []
            await connection.execute(INSERT, uuid.uuid4(), f"ac{number}", "un1", subjects, "re1")
        await connection.close()
        yield server


@pytest.fixture(scope="module")
async def owner_engine(damaged: EmbeddedPostgres) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(damaged.owner_url("registration"))
    yield engine
    await engine.dispose()


@pytest.fixture
async def owning(owner_engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """The owner's connection, in a transaction that comes to nothing: the next test finds all whole."""
    async with owner_engine.connect() as connection:
        yield connection
        await connection.rollback()


async def broken(connection: AsyncConnection, anchor: Anchor | None = None) -> str:
    """What the proof says of a log that is not whole."""
    with pytest.raises(BrokenChain) as caught:
        await verify(connection, anchor)
    return str(caught.value)


async def change(connection: AsyncConnection, statement: str, **parameters: object) -> None:
    changed = await connection.execute(text(statement), parameters)
    assert changed.rowcount, "a change that changes nothing proves nothing"


def of_link(sequence: int) -> str:
    return f"use_id = (SELECT use_id FROM use_chain WHERE sequence = {sequence})"  # noqa: S608


async def test_a_whole_log_is_whole(owning: AsyncConnection) -> None:
    end = await verify(owning)
    assert end.sequence == LINKS
    for anchor in (end, await place(owning, 1), await place(owning, 5)):
        assert await verify(owning, anchor) == end


async def place(connection: AsyncConnection, sequence: int) -> Anchor:
    """A place of the chain, as somebody has kept it elsewhere."""
    found = text("SELECT hash FROM use_chain WHERE sequence = :sequence")
    return Anchor(sequence, (await connection.scalar(found, {"sequence": sequence})).hex())


# What the owner of the tables may change

CHANGES: list[tuple[str, str]] = [
    ("use_id", "gen_random_uuid()"),
    ("used_at", "used_at + interval '1 microsecond'"),
    ("used_at", "'infinity'"),
    ("used_at", "'4000-01-01 BC'"),
    ("actor_kind", "2"),
    ("actor_kind", "NULL"),
    ("account_id", "'ac'"),
    ("account_id", "NULL"),
    ("account_id", "account_id || ' '"),
    ("actor_role", "3"),
    ("for_unit_id", "''"),
    ("action", "'registration:list'"),
    ("subject_ids", "'{}'"),
    ("subject_ids", "ARRAY['']"),
    ("subject_ids", "ARRAY['both', 's3']"),
    ("subject_ids", "ARRAY['s3 both']"),
    ("subject_ids", "ARRAY['s3,both']"),
    ("subject_ids", "ARRAY['s3', 'both', NULL]"),
    ("subject_ids", "ARRAY['s3', 'both', '']"),
    ("subject_ids", "ARRAY[['s3', 'both']]"),
    ("subject_ids", "NULL"),
    ("outcome", "'NOT_FOUND'"),
    ("call_id", "'re2'"),
    ("trace_id", "''"),
    ("trace_id", "'trace2:s3'"),
]


def test_a_change_of_every_column_is_tried() -> None:
    assert {column for column, _ in CHANGES} == set(use_entries.c.keys())


@pytest.mark.parametrize(("column", "value"), CHANGES)
async def test_a_changed_field_is_found(owning: AsyncConnection, column: str, value: str) -> None:
    await without_constraints(owning)
    await change(owning, f"UPDATE use_entries SET {column} = {value} WHERE {of_link(4)}")  # noqa: S608
    found = "Link 4 has lost its entry" if column == "use_id" else "Link 4 is broken"
    assert (await broken(owning)).startswith(found)


@pytest.mark.parametrize("value", ["ARRAY['']", "ARRAY['s1']", "ARRAY[NULL]::varchar[]"])
async def test_who_was_nobody_cannot_become_somebody(owning: AsyncConnection, value: str) -> None:
    await without_constraints(owning)
    await change(owning, f"UPDATE use_entries SET subject_ids = {value} WHERE {of_link(3)}")  # noqa: S608
    assert (await broken(owning)).startswith("Link 3 is broken")


async def without_constraints(connection: AsyncConnection) -> None:
    """An owner who wants to change what they should not does not stop at these."""
    for column in use_entries.c:
        if not column.primary_key:
            await connection.execute(text(f"ALTER TABLE use_entries ALTER {column.name} DROP NOT NULL"))
    for name in ("ck_use_entries_subject_ids", "ck_use_entries_used_at"):
        await connection.execute(text(f"ALTER TABLE use_entries DROP CONSTRAINT {name}"))


async def test_a_text_cannot_flow_from_one_field_into_the_next(owning: AsyncConnection) -> None:
    """All that could stand for a border between two fields is tried as what they hold."""
    odd = ("", ",", ":", "1:", ",1:a", "a,1:b", "ä", "\u202e", "𝄞", "'", "\n", "\\", " ", "4:,1:a")
    at = await count(owning)
    for left in odd:
        for right in odd:
            await insert(owning, left, right, [])
    for value in odd:
        await insert(owning, "", "", [value, value])
    await owning.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    assert (await verify(owning)).sequence == at + len(odd) ** 2 + len(odd)
    for moved in (
        "account_id = account_id || for_unit_id, for_unit_id = ''",
        "account_id = '', for_unit_id = account_id || for_unit_id",
        "for_unit_id = for_unit_id || ',17:registration:read', action = ''",
        "account_id = for_unit_id, for_unit_id = account_id",
    ):
        nested = await owning.begin_nested()
        borders = "account_id = 'a,1:b' AND for_unit_id = ',1:a'"
        await change(owning, f"UPDATE use_entries SET {moved} WHERE {borders}")  # noqa: S608
        assert "is broken" in await broken(owning)
        await nested.rollback()


async def insert(connection: AsyncConnection, account_id: str, unit_id: str, subjects: list[str]) -> None:
    driver = (await connection.get_raw_connection()).driver_connection
    assert driver is not None
    await driver.execute(INSERT, uuid.uuid4(), account_id, unit_id, subjects, "")


async def count(connection: AsyncConnection) -> int:
    return int(await connection.scalar(text("SELECT count(*) FROM use_chain")) or 0)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        ([f"DELETE FROM use_entries WHERE {of_link(4)}"], "Link 4 has lost its entry"),  # noqa: S608
        (["DELETE FROM use_chain WHERE sequence = 4"], "Link 4 is missing: the next one there is 5"),
        (["DELETE FROM use_chain WHERE sequence = 1"], "Link 1 is missing: the next one there is 2"),
        (["DELETE FROM use_chain"], f"{LINKS} entries are in no link"),
        ([f"DELETE FROM use_chain WHERE sequence = {LINKS}"], "1 entries are in no link"),  # noqa: S608
        (["UPDATE use_chain SET hash = sha256('') WHERE sequence = 4"], "Link 4 is broken"),
        (["UPDATE use_chain SET hash = '' WHERE sequence = 1"], "Link 1 is broken"),
        (["UPDATE use_chain SET sequence = 99 WHERE sequence = 4"], "Link 4 is missing"),
        (["UPDATE use_chain SET sequence = 0 WHERE sequence = 1"], "Link 1 is missing"),
        (
            [
                "UPDATE use_chain SET sequence = -4 WHERE sequence = 4",
                "UPDATE use_chain SET sequence = 4 WHERE sequence = 5",
                "UPDATE use_chain SET sequence = 5 WHERE sequence = -4",
            ],
            "Link 4 is broken",
        ),
        (
            [
                f"DELETE FROM use_entries WHERE {of_link(4)}",  # noqa: S608
                "DELETE FROM use_chain WHERE sequence = 4",
                "UPDATE use_chain SET sequence = sequence - 1 WHERE sequence > 4",
            ],
            "Link 4 is broken",
        ),
        (
            [
                "ALTER TABLE use_entries DISABLE TRIGGER chain_use",
                "INSERT INTO use_entries VALUES (uuidv4(), now(), 1, '', 1, '', '', '{}', '', '', '')",
            ],
            "1 entries are in no link",
        ),
        (
            [f"INSERT INTO use_chain SELECT {LINKS + 1}, gen_random_uuid(), sha256('')"],
            f"Link {LINKS + 1} has lost its entry",
        ),
        # Two damages: the first one is named.
        (
            [
                f"UPDATE use_entries SET outcome = 'X' WHERE {of_link(6)}",  # noqa: S608
                f"UPDATE use_entries SET outcome = 'X' WHERE {of_link(2)}",  # noqa: S608
            ],
            "Link 2 is broken",
        ),
    ],
)
async def test_the_first_broken_link_is_named(owning: AsyncConnection, damage: list[str], says: str) -> None:
    for statement in damage:
        await owning.execute(text(statement))
    assert (await broken(owning)).startswith(says)


# What only a place kept elsewhere tells


async def test_a_restore_that_is_entered_excuses_exactly_the_link_that_it_names(
    owning: AsyncConnection,
) -> None:
    kept, between, lost = [await place(owning, sequence) for sequence in (5, LINKS - 1, LINKS)]
    after = "(SELECT use_id FROM use_chain WHERE sequence > 5)"
    await change(owning, f"DELETE FROM use_entries WHERE use_id IN {after}")  # noqa: S608
    await change(owning, "DELETE FROM use_chain WHERE sequence > 5")
    assert (await broken(owning, lost)).startswith("The chain ends with link 5")
    for _ in range(2):
        await enter_restore(owning, lost)
        await owning.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        assert (await verify(owning, lost)).sequence == 6
    [entered] = await restores(owning)
    assert entered == Restore(kept, lost, entered.time)
    assert (await broken(owning, between)).startswith("The chain ends with link 6")
    # The chain grows over the place.
    for _ in range(5):
        await insert(owning, "ac", "un", [])
    assert (await verify(owning, lost)).sequence == 11
    assert (await broken(owning, between)).endswith("the chain was written anew")
    for known in (kept, await place(owning, 8)):
        with pytest.raises(NothingLost):
            await enter_restore(owning, known)
    # An entry that names another link as the last one kept excuses nothing.
    forged = [f"kept=5:{'0' * 64}", f"lost={between}"]
    row = use_entries.insert().values(use_row("log:restore", forged))
    await owning.execute(row)
    assert (await broken(owning, between)).endswith("the chain was written anew")
    assert await restores(owning) == [entered]


async def test_a_chain_that_was_written_anew_is_excused_by_no_restore(owning: AsyncConnection) -> None:
    lost = await place(owning, LINKS - 1)
    await rewrite(owning, 5)
    with pytest.raises(GrownOver):
        await enter_restore(owning, lost)
    # Nor by an entry that names a link after the lost one as the last one kept.
    forged = [f"kept={await place(owning, LINKS)}", f"lost={lost}"]
    await owning.execute(use_entries.insert().values(use_row("log:restore", forged)))
    await owning.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    assert (await broken(owning, lost)).endswith("the chain was written anew")
    assert await restores(owning) == []


async def cut_off(connection: AsyncConnection, after: int) -> None:
    """Takes the end away, entries and links."""
    last = "SELECT use_id FROM use_chain WHERE sequence > :after"
    await change(connection, f"DELETE FROM use_entries WHERE use_id IN ({last})", after=after)  # noqa: S608
    await change(connection, "DELETE FROM use_chain WHERE sequence > :after", after=after)


async def rewrite(connection: AsyncConnection, changed: int) -> None:
    """Changes an entry and writes the chain anew from there on, as whoever knows how it is made can."""
    await change(connection, f"UPDATE use_entries SET account_id = 'x' WHERE {of_link(changed)}")  # noqa: S608
    for sequence in range(changed, LINKS + 1):
        await change(
            connection,
            "UPDATE use_chain SET hash = sha256("
            " coalesce((SELECT hash FROM use_chain WHERE sequence = CAST(:s AS bigint) - 1), '')"
            " || convert_to((SELECT use_text(CAST(:s AS bigint), e) FROM use_entries e"
            " WHERE e.use_id = use_chain.use_id), 'UTF8'))"
            " WHERE sequence = CAST(:s AS bigint)",
            s=sequence,
        )


async def test_an_end_that_was_cut_off_shows_by_the_anchor(owning: AsyncConnection) -> None:
    end, kept = await verify(owning), await place(owning, 5)
    await cut_off(owning, 5)
    assert await verify(owning) == kept == await verify(owning, kept)
    says = "The chain ends with link 5, before the anchor: its end was cut off"
    assert await broken(owning, end) == says


async def test_a_chain_that_was_written_anew_shows_by_the_anchor(owning: AsyncConnection) -> None:
    end, before, after = await verify(owning), await place(owning, 3), await place(owning, 6)
    await rewrite(owning, 4)
    assert (await verify(owning)).sequence == LINKS
    await verify(owning, before)
    for anchor in (after, end):
        says = await broken(owning, anchor)
        assert says == f"Link {anchor.sequence} is not the one of the anchor: the chain was written anew"


async def test_an_end_that_was_cut_off_and_grew_again_shows_by_the_anchor(owning: AsyncConnection) -> None:
    end = await verify(owning)
    await cut_off(owning, 5)
    for _ in range(LINKS):
        await insert(owning, "ac1", "un1", ["s1"])
    await owning.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    assert (await verify(owning)).sequence > LINKS
    assert "written anew" in await broken(owning, end)


@pytest.mark.parametrize(
    "anchor",
    ["", ":", "5", "5:", f":{'a' * 64}", f"x:{'a' * 64}", f"5:{'a' * 63}", f"5:{'g' * 64}"]
    + [f"{number}:{'a' * 64}" for number in ("0", "-1", "1.5", "1e3")],
)
def test_what_is_no_place_of_a_chain_is_no_anchor(anchor: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Anchor.parse(anchor)


def test_an_anchor_is_read_as_it_was_written() -> None:
    anchor = Anchor(17, "0a" * 32)
    assert Anchor.parse(str(anchor)) == anchor == Anchor.parse(str(anchor).upper())


# Long logs


async def test_a_long_chain_is_proved_in_little_memory(owning: AsyncConnection) -> None:
    before, many = await count(owning), 20_000
    await owning.execute(
        text(
            "INSERT INTO use_entries SELECT gen_random_uuid(), now(), 1, 'ac', 1, 'un', 'registration:list',"
            " (SELECT array_agg('subject' || n || '-' || m) FROM generate_series(1, 20) m), 'OK', '', ''"
            " FROM generate_series(1, :many) n"
        ),
        {"many": many},
    )
    await owning.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
    size = await owning.scalar(text("SELECT sum(pg_column_size(e.*)) FROM use_entries e"))
    tracemalloc.start()
    try:
        assert (await verify(owning)).sequence == before + many
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Held are the rows of a fetch. As objects they take several times their size, and all of them too much.
    assert peak < int(size), (peak, size)
    await change(owning, f"UPDATE use_entries SET outcome = 'X' WHERE {of_link(before + 19_999)}")  # noqa: S608
    assert (await broken(owning)).startswith(f"Link {before + 19_999} is broken")


async def test_what_is_written_meanwhile_does_not_disturb(
    damaged: EmbeddedPostgres, owner_engine: AsyncEngine
) -> None:
    writer = await asyncpg.connect(damaged.url("registration").replace("+asyncpg", ""))
    written: list[uuid.UUID] = []
    try:
        async with owner_engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            first = await verify(connection)
            for _ in range(3):
                written.append(uuid.uuid4())
                await writer.execute(INSERT, written[-1], "ac1", "un1", [], "")
            assert await verify(connection) == first  # one snapshot
        async with owner_engine.connect() as connection:
            assert (await verify(connection, first)).sequence == first.sequence + 3
    finally:
        await writer.close()
        async with owner_engine.begin() as connection:  # as it was, for those that count links
            for table in ("use_chain", "use_entries"):
                await connection.execute(
                    text(f"DELETE FROM {table} WHERE use_id = ANY(:ids)"),  # noqa: S608
                    {"ids": written},
                )


# The command


Audit = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def audit(program: Program) -> Audit:
    """`liity audit verify` on a database."""

    def verify(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"LIITY_DATABASE_URL": url, "COLUMNS": "200"}
        return program("audit", "verify", *arguments, environment=environment)

    return verify


@contextlib.asynccontextmanager
async def committed(damaged: EmbeddedPostgres, statement: str, undo: str) -> AsyncIterator[None]:
    """A change that is really there for a while."""
    connection: Any = await asyncpg.connect(damaged.owner_url("registration").replace("+asyncpg", ""))
    try:
        await connection.execute(statement)
        yield
        await connection.execute(undo)
    finally:
        await connection.close()


async def test_the_command_proves_a_whole_log(damaged: EmbeddedPostgres, audit: Audit) -> None:
    said = audit(damaged.url("registration"))
    assert (said.returncode, said.stderr) == (0, "")
    assert said.stdout.startswith(f"The log of use is whole: {LINKS} entries.\n")
    kept = re.search(r"--anchor: (\S+)$", said.stdout.strip())
    assert kept is not None
    again = audit(damaged.url("registration"), "--anchor", kept[1])
    assert (again.returncode, again.stdout) == (0, said.stdout)
    wrong = audit(damaged.url("registration"), "--anchor", f"{LINKS}:{'a' * 64}")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "written anew" in wrong.stderr
    later = audit(damaged.url("registration"), "--anchor", f"{LINKS + 1}:{'a' * 64}")
    assert (later.returncode, later.stdout) == (1, "")
    assert "cut off" in later.stderr


async def test_the_command_names_the_first_broken_link(damaged: EmbeddedPostgres, audit: Audit) -> None:
    change = f"UPDATE use_entries SET trace_id = '{{}}' WHERE {of_link(5)}"  # noqa: S608
    async with committed(damaged, change.format("x"), change.format("trace")):
        said = audit(damaged.url("registration"))
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == (
        "The log of use is not whole. Link 5 is broken: its entry, or one before it, was changed\n"
    )
    assert audit(damaged.url("registration")).returncode == 0


async def test_an_empty_log_is_whole(damaged: EmbeddedPostgres, audit: Audit) -> None:
    hide = "ALTER TABLE use_chain RENAME TO kept_chain; ALTER TABLE use_entries RENAME TO kept_entries;"
    copy = "CREATE TABLE use_chain (LIKE kept_chain); CREATE TABLE use_entries (LIKE kept_entries);"
    undo = (
        "DROP TABLE use_chain, use_entries;"
        " ALTER TABLE kept_chain RENAME TO use_chain; ALTER TABLE kept_entries RENAME TO use_entries"
    )
    async with committed(damaged, hide + copy, undo):
        said = audit(damaged.url("registration"))
    assert (said.returncode, said.stdout) == (0, "The log of use is whole: 0 entries.\n")


@pytest.mark.parametrize("anchor", ["x", "0:" + "a" * 64, "5:abc"])
def test_the_command_refuses_what_is_no_anchor(damaged: EmbeddedPostgres, anchor: str, audit: Audit) -> None:
    said = audit(damaged.url("registration"), "--anchor", anchor)
    assert (said.returncode, said.stdout) == (2, "")
    assert "An anchor has the form SEQUENCE:HASH" in said.stderr


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ("nonsense", "must be of the form postgresql+asyncpg://"),
        ("postgresql://a:b@127.0.0.1/c", "must be of the form postgresql+asyncpg://"),
        ("postgresql+asyncpg://a:b@127.0.0.1:1/c", "does not answer"),
        ("{notification}", 'relation "use_chain" does not exist'),
        ("{owner}x", "does not exist"),
        ("{wrong password}", "password authentication failed"),
    ],
)
def test_the_command_says_in_one_line_why_it_cannot_read(
    damaged: EmbeddedPostgres, wrong: str, says: str, audit: Audit
) -> None:
    url = wrong.format(
        **{
            "notification": damaged.url("notification"),
            "owner": damaged.owner_url("registration"),
            "wrong password": re.sub(":[^:@]*@", ":wrong@", damaged.url("registration")),
        }
    )
    said = audit(url)
    # Not 1: nothing was proved, neither the one nor the other.
    assert (said.returncode, said.stdout) == (2, "")
    assert says in said.stderr
    assert len(said.stderr.splitlines()) == 1
