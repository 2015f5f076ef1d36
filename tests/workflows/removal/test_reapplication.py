"""Who was erased and comes back with an old backup is found by the erasure ledger, and erased again."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from liity.v1.registration_pb2 import STAGE_LAPSED, STAGE_WAITING_FOR_IDENTITY_CHECK, STAGE_WITHDRAWN
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.registration.test_decisions import address, customer_row, link, without_code
from tests.workflows.removal.test_erasure import end, traces, waiting
from workflows.privacy.erasure_ledger import Erased, read
from workflows.privacy.reapplication import CameBack, Reapplication

GUARDIAN = "huoltaja.palautettu@example.org"

BACKED_UP = {
    "identity": {"persons": "person_id = :p", "links": "subject IN (:p, :r)"},
    "registration": {"registrations": "registration_id = :r"},
    "notification": {"messages": "subject_id = :r"},
}
"""Which rows of whom are in a backup."""

Rows = dict[str, list[Any]]


async def backup(world: World, service: str, **ids: str) -> Rows:
    kept = {}
    for table, whose in BACKED_UP[service].items():
        used = {name: value for name, value in ids.items() if f":{name}" in whose}
        statement = f"SELECT to_jsonb({table}) AS row FROM {table} WHERE {whose}"  # noqa: S608
        kept[table] = [found["row"] for found in await world.rows(service, statement, **used)]
    assert all(kept.values())
    return kept


async def restore(world: World, service: str, rows: Rows) -> None:
    """Puts rows back as they were, whatever has become of them."""
    for table, kept in rows.items():
        [key] = await world.rows(
            service,
            "SELECT column_name FROM information_schema.key_column_usage"
            " WHERE table_name = :t AND constraint_name = 'pk_' || :t",
            t=table,
        )
        name = key["column_name"]
        delete = f"DELETE FROM {table} WHERE {name}::text = :id"  # noqa: S608
        row_type = f"jsonb_populate_record(NULL::{table}, CAST(:row AS jsonb))"
        insert = f"INSERT INTO {table} SELECT * FROM {row_type}"  # noqa: S608
        for row in kept:
            await world.change(service, delete, id=str(row[name]))
            await world.change(service, insert, row=json.dumps(row))


def reapplication(world: World) -> Reapplication:
    return Reapplication(*world.worker.values(), erasure=world.erasure())


async def there_again(world: World, person_id: str) -> Sequence[CameBack]:
    ledger = {
        erased: moment for erased, moment in read(world.ledger_dir).items() if erased.person_id == person_id
    }
    assert ledger
    return [came_back async for came_back in reapplication(world).find(ledger)]


async def test_who_comes_back_with_a_backup_of_any_service_is_erased_again(world: World) -> None:
    registration, run = await world.save(child_form(GUARDIAN), born(9))
    await world.skip(run, timedelta(hours=1))
    ids = {"p": registration.person_id, "r": registration.registration_id}
    before = {service: await backup(world, service, **ids) for service in BACKED_UP}
    await end(world, run, registration.person_id, STAGE_WITHDRAWN)
    assert await traces(world, *ids.values()) == []
    # The mail to the registrar that came after it tells of nobody.
    assert await there_again(world, registration.person_id) == []
    erased = Erased("person", registration.person_id, (registration.registration_id,))
    for services in (["identity"], ["registration"], ["notification"], list(BACKED_UP)):
        for service in services:
            await restore(world, service, before[service])
        assert await traces(world, *ids.values()) != []
        assert await there_again(world, registration.person_id) == [CameBack(erased, services)]
        await reapplication(world).erase(erased)
        assert await traces(world, *ids.values()) == []
        assert await there_again(world, registration.person_id) == []


async def test_an_ended_registration_of_a_customer_that_comes_back_ends_again(world: World) -> None:
    made, _ = await waiting(world)
    erased = Erased("registration", made.person_id, (made.registration_id,), "LAPSED")
    await world.erasure().erase_registration(made.person_id, made.registration_id, STAGE_LAPSED)
    assert await there_again(world, made.person_id) == [CameBack(erased, ["registration"])]
    for _ in range(2):
        await reapplication(world).erase(erased)
        assert (await world.stored(made)).stage == STAGE_LAPSED
        assert "form" not in await traces(world, made.person_id, made.registration_id)
    assert await there_again(world, made.person_id) == []


async def test_whose_link_a_backup_undoes_waits_for_the_decision_again(world: World) -> None:
    there, _ = await world.save(adult_form(address()), born(40))
    customer = await customer_row(world, there.person_id)
    made, run = await without_code(world)
    person = await world.rows(
        "identity", "SELECT to_jsonb(persons) AS row FROM persons WHERE person_id = :p", p=made.person_id
    )
    identity = {"persons": [found["row"] for found in person]}
    undecided = await backup(world, "registration", r=made.registration_id)
    await link(world, made, customer["customer_id"], world.unit_id)
    await run.result()
    linked = await backup(world, "registration", r=made.registration_id)
    assert await there_again(world, made.person_id) == []
    await restore(world, "identity", identity)
    await restore(world, "registration", undecided)
    # A living person waits there.
    assert await there_again(world, made.person_id) == []
    assert (await world.stored(made)).stage == STAGE_WAITING_FOR_IDENTITY_CHECK
    # Identity alone is behind.
    await restore(world, "registration", linked)
    erased = Erased("linked", made.person_id, ())
    assert await there_again(world, made.person_id) == [CameBack(erased, ["identity"])]
    await reapplication(world).erase(erased)
    assert await there_again(world, made.person_id) == []
    assert (await world.stored(made)).customer_id == customer["customer_id"]
