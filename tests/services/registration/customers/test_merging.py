"""Two customers become one: what goes over, what is kept of the other, and what the log tells (R24, R34)."""

import asyncio
import uuid
from pathlib import Path
from typing import Any

import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

import services.registration
from deploy.local.postgres import EmbeddedPostgres
from liity.registration.v1 import customer_service_pb2 as pb
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.unit_service_pb2 import Unit
from liity.registration.v1.use_log_service_pb2 import ListUsesRequest
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER, CUSTOMER_KIND_ONLINE
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_MERGED, STAGE_WELCOMED
from services.runtime.rpc.context import set_current_actor
from tests.support.registration_service import BIRTH_OF_ADULT, REGISTRAR, Service, refusal


@pytest.fixture
async def other(service: Service) -> Unit:
    return await service.unit("Toinen kirjasto")


def asked(kept: pb.Customer, merged: pb.Customer, **fields: Any) -> pb.MergeCustomersRequest:
    request = {"request_id": str(uuid.uuid4()), "merger": REGISTRAR, **fields}
    return pb.MergeCustomersRequest(
        customer_id=kept.customer_id,
        unit_id=kept.unit_id,
        merged_customer_id=merged.customer_id,
        merged_unit_id=merged.unit_id,
        **request,
    )


async def merge(service: Service, request: pb.MergeCustomersRequest) -> pb.MergeCustomersResponse:
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="st0", unit_id=request.unit_id))
    stub = CustomerServiceStub(service.worker.channel)
    checked = await service.worker.call(stub.CheckMerge, pb.CheckMergeRequest(merge=request))
    merged = await service.worker.call(stub.MergeCustomers, request)
    assert (checked.person_id, checked.merged_person_id) == (merged.person_id, merged.merged_person_id)
    return merged


async def uses(service: Service, subject_id: str) -> set[tuple[str, str]]:
    request = ListUsesRequest(subject_id=subject_id, page_size=200)
    stub = UseLogServiceStub(service.gateway.channel)
    found = (await service.gateway.call(stub.ListUses, request)).uses
    return {(use.unit, use.action) for use in found}


async def test_the_one_that_stays_takes_over_what_the_other_had(
    service: Service, unit: Unit, other: Unit
) -> None:
    kept = await service.customer(unit.unit_id, phone="+358401111111")
    merged = await service.customer(other.unit_id, phone="+358402222222")
    await service.advance(merged.registration_id, STAGE_WELCOMED)
    answer = await merge(service, asked(kept, merged))
    assert answer.moved.registration_id == merged.registration_id
    assert answer.moved.previous_unit_id == other.unit_id
    assert answer.moved.previous_registrar_account_id == REGISTRAR.account_id
    now = await service.get_customer(kept.customer_id)
    assert now.form == kept.form
    assert now.etag != kept.etag
    (told,) = now.merged_customers
    assert told.form == merged.form
    assert list(told.differing.paths) == ["phone"]
    assert told.unit_display_name == "Toinen kirjasto"
    assert told.name == f"{other.unit_id}/{merged.customer_id}"
    registration = await service.get(merged.registration_id)
    assert registration.stage == STAGE_MERGED
    assert (registration.person_id, registration.customer_id) == (kept.person_id, kept.customer_id)
    assert registration.unit_id == unit.unit_id
    gone = service.get_customer(merged.customer_id)
    assert await refusal(gone) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")
    assert not (await service.search(other.unit_id, merged.form.last_name)).customers


async def test_what_was_still_to_come_for_the_other_comes_no_more(service: Service, unit: Unit) -> None:
    kept = await service.customer(unit.unit_id)
    merged = await service.customer(unit.unit_id)
    await service.advance(merged.registration_id, STAGE_CREDENTIALS_SENT)
    await merge(service, asked(kept, merged))
    registration = await service.get(merged.registration_id)
    assert registration.stage == STAGE_MERGED
    assert not registration.HasField("deadline")
    # A step of the merged one's run that comes too late changes nothing.
    late = await service.advance(merged.registration_id, STAGE_WELCOMED)
    assert late.stage == STAGE_MERGED
    assert (await service.get(kept.registration_id)).stage == STAGE_ACTIVE


async def test_registrations_merged_by_an_earlier_release_show_as_merged(
    service: Service, unit: Unit, postgres: EmbeddedPostgres
) -> None:
    customers = [await service.customer(unit.unit_id) for _ in range(4)]
    for customer in customers:
        await service.advance(customer.registration_id, STAGE_WELCOMED)
    kept, final, young, _ = customers
    await merge(service, asked(kept, final))
    await merge(service, asked(kept, young))
    async with service.engine.begin() as connection:
        of = {"kept": kept.customer_id, "final": final.customer_id}
        await connection.execute(
            text("UPDATE registrations SET stage = 5 WHERE customer_id = :kept AND stage = 42"), of
        )
        await connection.execute(
            text("UPDATE merges SET undo = NULL, undo_until = NULL WHERE merged_customer_id = :final"), of
        )
    await upgrade(postgres, "0041")
    stages = [(await service.get(customer.registration_id)).stage for customer in customers]
    assert stages == [STAGE_WELCOMED, STAGE_MERGED, STAGE_MERGED, STAGE_WELCOMED]


async def upgrade(postgres: EmbeddedPostgres, revision: str) -> None:
    """Does what one migration does."""
    migrations = ScriptDirectory(str(Path(services.registration.__path__[0]) / "migrations"))

    def migrate(connection: Connection) -> None:
        with Operations.context(MigrationContext.configure(connection)):
            migrations.get_revision(revision).module.upgrade()

    owner = create_async_engine(postgres.owner_url("registration"))
    try:
        async with owner.begin() as connection:
            await connection.run_sync(migrate)
    finally:
        await owner.dispose()


async def test_a_repetition_answers_the_same_and_another_merge_is_refused(
    service: Service, unit: Unit
) -> None:
    kept, merged = await service.customer(unit.unit_id), await service.customer(unit.unit_id)
    third = await service.customer(unit.unit_id)
    request = asked(kept, merged)
    assert await merge(service, request) == await merge(service, request)
    reused = merge(service, asked(kept, third, request_id=request.request_id))
    assert await refusal(reused) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    again = merge(service, asked(kept, merged))
    assert await refusal(again) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")


async def test_two_who_merge_each_other_at_once_leave_one(service: Service, unit: Unit) -> None:
    one, two = await service.customer(unit.unit_id), await service.customer(unit.unit_id)
    outcomes = await asyncio.gather(
        merge(service, asked(one, two)), merge(service, asked(two, one)), return_exceptions=True
    )
    assert sum(isinstance(outcome, pb.MergeCustomersResponse) for outcome in outcomes) == 1
    rows = await service.rows(
        "SELECT customer_id FROM customers WHERE customer_id IN (:one, :two)",
        one=one.customer_id,
        two=two.customer_id,
    )
    assert len(rows) == 1


async def test_what_cannot_be_merged_is_refused(service: Service, unit: Unit, other: Unit) -> None:
    kept, merged = await service.customer(unit.unit_id), await service.customer(other.unit_id)
    itself = merge(service, asked(kept, kept))
    assert await refusal(itself) == ("INVALID_ARGUMENT", "SAME_CUSTOMER")
    elsewhere = pb.Customer(customer_id=merged.customer_id, unit_id=unit.unit_id)
    wrong_unit = merge(service, asked(kept, elsewhere))
    assert await refusal(wrong_unit) == ("NOT_FOUND", "CUSTOMER_NOT_FOUND")
    async with service.engine.begin() as connection:
        await connection.exec_driver_sql(
            "UPDATE customers SET state = 2 WHERE customer_id = $1", (merged.customer_id,)
        )
    for request in (asked(kept, merged), asked(merged, kept)):
        ended = merge(service, request)
        assert await refusal(ended) == ("FAILED_PRECONDITION", "CUSTOMER_HAS_ENDED")


async def test_the_birth_date_follows_the_code_that_goes_over(service: Service, unit: Unit) -> None:
    kept, merged = await service.customer(unit.unit_id), await service.customer(unit.unit_id)
    born = type(BIRTH_OF_ADULT)(year=1977, month=3, day=4)
    await merge(service, asked(kept, merged, birth_date=born))
    (row,) = await service.rows(
        "SELECT birth_date::text FROM customers WHERE customer_id = :id", id=kept.customer_id
    )
    assert row["birth_date"] == "1977-03-04"


async def test_a_search_of_the_log_by_the_one_that_stayed_finds_the_uses_of_both(
    service: Service, unit: Unit, other: Unit
) -> None:
    kept, merged = await service.customer(unit.unit_id), await service.customer(other.unit_id)
    last = await service.customer(unit.unit_id)
    await service.record_use("customer:read", merged.customer_id)
    await merge(service, asked(kept, merged))
    mine, away = f"units/{unit.unit_id}", f"units/{other.unit_id}"
    found = await uses(service, kept.customer_id)
    assert {(mine, "customer:merge"), (away, "customer:merge-away")} <= found
    assert "customer:read" in {action for _, action in found}
    # What was merged before goes along.
    await merge(service, asked(last, kept))
    assert "customer:read" in {action for _, action in await uses(service, last.person_id)}
    told = (await service.get_customer(last.customer_id)).merged_customers
    assert [one.name.rpartition("/")[2] for one in told] == [merged.customer_id, kept.customer_id]


async def test_a_save_that_identity_has_not_caught_up_with_is_put_off(service: Service, unit: Unit) -> None:
    kept, merged = await service.customer(unit.unit_id), await service.customer(unit.unit_id)
    await merge(service, asked(kept, merged))
    late = service.create(unit.unit_id, merged.form, person_id=merged.person_id)
    assert (await refusal(late))[0] == "UNAVAILABLE"


async def test_a_merge_is_exported_and_erased_with_the_person(service: Service, unit: Unit) -> None:
    kept = await service.customer(unit.unit_id)
    merged = await service.customer(unit.unit_id, last_name="Ainutkertainen")
    await service.record_use("customer:read", merged.customer_id)
    await merge(service, asked(kept, merged))
    told = str(await service.export(kept.person_id))
    assert "merged_customers" in told
    assert "Ainutkertainen" in told
    assert "customer:read" in told
    erased = await service.erase(kept.person_id)
    assert {kept.registration_id, merged.registration_id} <= set(erased)
    await service.forget(kept.person_id)
    assert "Ainutkertainen" not in await service.everything_stored()


async def test_an_online_customer_does_not_become_part_of_a_cd_borrower(service: Service, unit: Unit) -> None:
    """Their credentials would be erased, and nobody told."""
    borrower = await service.customer(unit.unit_id, kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=0)
    online = await service.customer(unit.unit_id)
    refused = merge(service, asked(borrower, online))
    assert await refusal(refused) == ("FAILED_PRECONDITION", "ONLINE_ACCESS_WOULD_END")
    for customer in (borrower, online):
        assert await service.get_customer(customer.customer_id) == customer
    await merge(service, asked(online, borrower))
    assert (await service.get_customer(online.customer_id)).form.kind == CUSTOMER_KIND_ONLINE


async def test_a_cd_borrowers_registration_does_not_stand_in_the_way(service: Service, unit: Unit) -> None:
    kept = await service.customer(unit.unit_id, kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=0)
    merged = await service.customer(unit.unit_id, kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=0)
    await merge(service, asked(kept, merged))
    stages = [(await service.get(one.registration_id)).stage for one in (kept, merged)]
    assert stages == [STAGE_ACTIVE, STAGE_MERGED]
