"""What waits for customer service: found where it waits, claimed by one officer at a time (R19, R24)."""

import asyncio
import secrets
import uuid
from collections.abc import Iterable
from datetime import UTC, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from liity.registration.v1 import work_service_pb2 as pb
from liity.registration.v1.customer_service_pb2 import (
    Customer,
    MarkEmailDeliveredRequest,
    MarkEmailUndeliverableRequest,
)
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import Registration
from liity.registration.v1.unit_service_pb2 import Unit
from liity.registration.v1.work_service_pb2_grpc import WorkServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_REGISTRAR
from liity.v1.registration_pb2 import (
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WITHDRAWN,
    Stage,
)
from liity.v1.work_service_pb2 import (
    CLAIM_FILTER_MINE,
    CLAIM_FILTER_UNCLAIMED,
    WORK_ITEM_KIND_IDENTITY_CHECK,
    WORK_ITEM_KIND_POSSIBLE_DUPLICATE,
    WORK_ITEM_KIND_REACTIVATION,
    WORK_ITEM_KIND_UNDELIVERABLE_MAIL,
    GetFiguresResponse,
    StageFigure,
    WorkFigure,
    WorkItemKind,
)
from services.runtime.clock import now
from services.runtime.rpc.context import set_current_actor
from services.runtime.stages import UNDER_WAY
from tests.services.registration.conftest import ServiceFactory
from tests.support.registration_forms import changed, child_form
from tests.support.registration_service import DEADLINE, Service, birth_of_child, refusal

AINO, VEIKKO = "Aino Asiakaspalvelija", "Veikko Virkailija"
ALONE = (WORK_ITEM_KIND_REACTIVATION, WORK_ITEM_KIND_IDENTITY_CHECK, WORK_ITEM_KIND_UNDELIVERABLE_MAIL)
"""What is about one person."""

ACCOUNTS = {AINO: "ac7", VEIKKO: "ac8"}


def acting(officer: str = AINO) -> None:
    """From now on calls are made on behalf of an officer."""
    set_current_actor(
        Actor(kind=ACTOR_KIND_ACCOUNT, account_id=ACCOUNTS[officer], role=ROLE_CUSTOMER_SERVICE)
    )


class Work:
    """The work list, as the gateway calls it."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stub: Any = WorkServiceStub(service.gateway.channel)

    async def page(self, *kinds: WorkItemKind.ValueType, **fields: Any) -> pb.ListWorkItemsResponse:
        request = pb.ListWorkItemsRequest(kinds=kinds, **{"page_size": 200, **fields})
        return await self._call(self._stub.ListWorkItems, request)  # type: ignore[no-any-return]

    async def items(self, *kinds: WorkItemKind.ValueType, **fields: Any) -> list[pb.WorkItem]:
        """All of them, page by page."""
        found: list[pb.WorkItem] = []
        while True:
            page = await self.page(*kinds, **fields)
            found += page.work_items
            if not page.next_page_token:
                return found
            fields["page_token"] = page.next_page_token

    async def of(self, row_id: str) -> pb.WorkItem:
        """The one item about a row, whatever it is but a possible duplicate."""
        (item,) = [item for item in await self.items(*ALONE) if row_id in item.work_item_id]
        return item

    async def figures(self) -> GetFiguresResponse:
        answer = await self._call(self._stub.GetFigures, pb.GetFiguresRequest())
        return answer.figures  # type: ignore[no-any-return]

    async def get(self, item_id: str) -> pb.WorkItem:
        answer = await self._call(self._stub.GetWorkItem, pb.GetWorkItemRequest(work_item_id=item_id))
        return answer.work_item  # type: ignore[no-any-return]

    async def claim(self, item_id: str, officer: str = AINO, request_id: str = "") -> pb.WorkItem:
        acting(officer)
        request = pb.ClaimWorkItemRequest(
            request_id=request_id or str(uuid.uuid4()), work_item_id=item_id, display_name=officer
        )
        return (await self._call(self._stub.ClaimWorkItem, request)).work_item  # type: ignore[no-any-return]

    async def release(self, item_id: str, officer: str = AINO) -> None:
        acting(officer)
        request = pb.ReleaseWorkItemRequest(request_id=str(uuid.uuid4()), work_item_id=item_id)
        await self._call(self._stub.ReleaseWorkItem, request)

    async def dismiss(self, item_id: str, officer: str = AINO, request_id: str = "") -> None:
        acting(officer)
        request = pb.DismissDuplicateRequest(request_id=request_id or str(uuid.uuid4()), work_item_id=item_id)
        await self._call(self._stub.DismissDuplicate, request)

    async def check(self, item_id: str, officer: str = AINO) -> None:
        acting(officer)
        await self._call(self._stub.CheckClaim, pb.CheckClaimRequest(work_item_id=item_id))

    async def check_customer(self, customer_id: str, officer: str = AINO) -> None:
        acting(officer)
        await self._call(self._stub.CheckClaim, pb.CheckClaimRequest(customer_id=customer_id))

    async def _call(self, method: Any, request: Any) -> Any:
        return await self._service.gateway.call(method, request)


@pytest.fixture
def work(service: Service) -> Work:
    acting()
    return Work(service)


async def in_stage(service: Service, unit: Unit, stage: Stage.ValueType, **fields: Any) -> Registration:
    """A registration that waits for customer service."""
    registration = await service.waiting(unit.unit_id, **fields)
    async with service.engine.begin() as connection:
        await connection.execute(
            text("UPDATE registrations SET stage = :stage WHERE registration_id = :id"),
            {"stage": stage, "id": registration.registration_id},
        )
    return registration


async def mark(service: Service, person_id: str, address: str) -> None:
    """A mail server has refused mail."""
    refused = MarkEmailUndeliverableRequest(person_id=person_id, email=address)
    await service.worker.call(CustomerServiceStub(service.worker.channel).MarkEmailUndeliverable, refused)


async def deliver(service: Service, person_id: str, address: str) -> None:
    """It has taken mail after all."""
    taken = MarkEmailDeliveredRequest(person_id=person_id, email=address)
    await service.worker.call(CustomerServiceStub(service.worker.channel).MarkEmailDelivered, taken)


async def undeliverable(service: Service, customer: Customer) -> None:
    await mark(service, customer.person_id, customer.form.email)


async def namesakes(service: Service, unit: Unit, number: int = 2) -> list[Customer]:
    """Customers of one name, written differently, and one birth date."""
    name = secrets.token_hex(8)
    written = (f"Andre {name}", f"ANDRÉ  {name}", f"andrè {name}")
    return [
        await service.customer(unit.unit_id, first_names=written[index], last_name="Lindström")
        for index in range(number)
    ]


def ids(items: Iterable[pb.WorkItem]) -> list[str]:
    return [item.work_item_id for item in items]


async def test_what_waits_is_found_where_it_waits(service: Service, unit: Unit, work: Work) -> None:
    asked = await in_stage(service, unit, STAGE_WAITING_FOR_REACTIVATION)
    checked = await in_stage(service, unit, STAGE_WAITING_FOR_IDENTITY_CHECK)
    refused = await service.customer(unit.unit_id)
    await undeliverable(service, refused)
    for row_id, kind in (
        (asked.registration_id, WORK_ITEM_KIND_REACTIVATION),
        (checked.registration_id, WORK_ITEM_KIND_IDENTITY_CHECK),
        (refused.customer_id, WORK_ITEM_KIND_UNDELIVERABLE_MAIL),
    ):
        item = await work.of(row_id)
        assert item.kind == kind
        assert item == await work.get(item.work_item_id)
        (subject,) = item.subjects
        assert (subject.unit_id, subject.unit_display_name) == (unit.unit_id, unit.display_name)
        assert row_id in {subject.registration_id, subject.customer_id}
        assert item.work_item_id in ids(await work.items(kind))
        assert item.HasField("deadline")
    assert (await work.of(asked.registration_id)).deadline.ToJsonString() == f"{DEADLINE:%Y-%m-%dT%H:%M:%SZ}"
    assert not {WORK_ITEM_KIND_REACTIVATION} & {
        item.kind for item in await work.items(WORK_ITEM_KIND_IDENTITY_CHECK)
    }


async def test_an_item_is_gone_when_its_cause_is(service: Service, unit: Unit, work: Work) -> None:
    refused = await service.customer(unit.unit_id)
    await undeliverable(service, refused)
    item = await work.of(refused.customer_id)
    customer = await service.get_customer(refused.customer_id)
    await service.update(customer, "email", email="toimiva@koti.example")
    acting()
    assert item.work_item_id not in ids(await work.items(*ALONE))
    assert await refusal(work.get(item.work_item_id)) == ("NOT_FOUND", "WORK_ITEM_NOT_FOUND")
    assert await refusal(work.claim(item.work_item_id)) == ("NOT_FOUND", "WORK_ITEM_NOT_FOUND")


async def test_since_when_an_address_does_not_work_is_told(service: Service, unit: Unit, work: Work) -> None:
    refused = await service.customer(unit.unit_id)
    await undeliverable(service, refused)
    first = await work.of(refused.customer_id)
    await undeliverable(service, refused)
    assert await work.of(refused.customer_id) == first
    assert first.create_time.ToDatetime() > refused.create_time.ToDatetime()


async def test_credentials_refused_at_a_guardians_address_are_work_until_it_works_or_is_corrected(
    service: Service, unit: Unit, work: Work
) -> None:
    """Also where the child has an address of its own that works."""

    async def child() -> Customer:
        own, guardian = (f"{uuid.uuid4().hex}@posti.example" for _ in range(2))
        form = changed(child_form(), email=own, related_person__email=guardian)
        made = await service.create(unit.unit_id, form, birth_date=birth_of_child())
        active = await service.activate(made.registration.registration_id, None)
        return await service.get_customer(active.customer_id)

    async def listed(customer: Customer) -> bool:
        acting()
        return f"3-{customer.customer_id}" in ids(await work.items(WORK_ITEM_KIND_UNDELIVERABLE_MAIL))

    works_again, corrected = await child(), await child()
    for customer in (works_again, corrected):
        await mark(service, customer.person_id, customer.form.related_person.email)
        assert await listed(customer)
        assert (await service.mailing(customer.registration_id)).mailing_details.was_refused
        # With its own address refused, too, it is one item.
        await undeliverable(service, customer)
        assert await listed(customer)
        await deliver(service, customer.person_id, customer.form.email)
        assert await listed(customer)
    await deliver(service, works_again.person_id, works_again.form.related_person.email)
    corrected = await service.get_customer(corrected.customer_id)
    await service.update(corrected, "related_person.email", related_person__email="uusi@posti.example")
    assert not await listed(works_again)
    assert not await listed(corrected)


async def test_what_has_no_deadline_of_its_own_has_one_all_the_same(
    service: Service, unit: Unit, work: Work
) -> None:
    refused = await service.customer(unit.unit_id)
    await undeliverable(service, refused)
    one, other = sorted(customer.customer_id for customer in await namesakes(service, unit))
    for item, days in (
        (await work.of(refused.customer_id), 14),
        (await work.get(f"4-{one}-{other}"), 30),
    ):
        assert item.deadline.ToDatetime() - item.create_time.ToDatetime() == timedelta(days=days)


async def test_a_guardian_who_cannot_be_mailed_is_work_until_they_can_or_the_wait_ends(
    service: Service, unit: Unit, work: Work
) -> None:
    waiting, other = [await service.waiting(unit.unit_id) for _ in range(2)]
    guardian = (await service.mailing(waiting.registration_id)).mailing_details.related_person_email
    await mark(service, waiting.person_id, "aivan@muu.example")
    assert not (await service.mailing(waiting.registration_id)).mailing_details.was_refused
    await mark(service, waiting.person_id, guardian)
    await mark(service, other.person_id, guardian)
    assert (await service.mailing(waiting.registration_id)).mailing_details.was_refused
    acting()
    item = await work.of(waiting.registration_id)
    assert item.kind == WORK_ITEM_KIND_UNDELIVERABLE_MAIL
    assert item == await work.get(item.work_item_id)
    assert item.subjects[0].registration_id == waiting.registration_id
    # No later than the wait itself.
    assert item.deadline.ToJsonString() <= f"{DEADLINE:%Y-%m-%dT%H:%M:%SZ}"
    await deliver(service, waiting.person_id, guardian)
    await service.end(other.registration_id, STAGE_WITHDRAWN)
    acting()
    left = " ".join(ids(await work.items(WORK_ITEM_KIND_UNDELIVERABLE_MAIL)))
    assert waiting.registration_id not in left
    assert other.registration_id not in left


async def test_what_is_late_and_what_will_be_is_counted(service: Service, unit: Unit, work: Work) -> None:
    async def count() -> tuple[int, int]:
        request = pb.CountDueWorkRequest()
        request.until.FromDatetime(now() + timedelta(days=3))
        stub = WorkServiceStub(service.worker.channel)
        counted = (await service.worker.call(stub.CountDueWork, request)).due
        found = [due for due in counted if due.kind == WORK_ITEM_KIND_UNDELIVERABLE_MAIL]
        return (found[0].due_soon, found[0].overdue) if found else (0, 0)

    soon, late = await count()
    for days in (2, 12, 13, 15):
        refused = await service.customer(unit.unit_id)
        await undeliverable(service, refused)
        async with service.engine.begin() as connection:
            await connection.execute(
                text("UPDATE customers SET undeliverable_since = :since WHERE customer_id = :id"),
                {"since": now() - timedelta(days=days), "id": refused.customer_id},
            )
    assert await count() == (soon + 2, late + 1)


async def test_what_is_under_way_is_counted(service: Service, unit: Unit, work: Work) -> None:
    stage, kind = STAGE_WAITING_FOR_REACTIVATION, WORK_ITEM_KIND_REACTIVATION

    async def figures() -> tuple[StageFigure, WorkFigure]:
        found = await work.figures()
        assert [each.stage for each in found.registrations] == list(UNDER_WAY)
        assert [each.kind for each in found.work] == [value for value in WorkItemKind.values() if value]
        (of_stage,) = [each for each in found.registrations if each.stage == stage]
        (of_kind,) = [each for each in found.work if each.kind == kind]
        return of_stage, of_kind

    of_stage, of_kind = await figures()
    ages = {age.from_days: age.count for age in of_stage.ages}
    assert list(ages) == [0, 1, 7, 14, 30]
    moment = now()
    for days in (0, 1, 6, 7, 100):
        one = await in_stage(service, unit, stage)
        # A minute less than a whole number of days would depend on the clock.
        since = moment - timedelta(days=days, minutes=1)
        async with service.engine.begin() as connection:
            await connection.execute(
                text(
                    "UPDATE registrations SET updated_at = :since, created_at = :since, deadline = :deadline"
                    " WHERE registration_id = :id"
                ),
                {"since": since, "deadline": since + timedelta(days=30), "id": one.registration_id},
            )
    later, waiting = await figures()
    assert later.count == of_stage.count + 5
    assert {age.from_days: age.count - ages[age.from_days] for age in later.ages} == {
        0: 1,
        1: 2,
        7: 1,
        14: 0,
        30: 1,
    }
    assert (waiting.count, waiting.overdue) == (of_kind.count + 5, of_kind.overdue + 1)
    assert waiting.oldest_time.ToDatetime(UTC) == moment - timedelta(days=100, minutes=1)
    late = await work.items(kind, overdue=True)
    assert len(late) == waiting.overdue
    assert all(item.deadline.ToDatetime(UTC) <= now() for item in late)


async def test_pages_follow_one_another_oldest_first(service: Service, unit: Unit, work: Work) -> None:
    for _ in range(5):
        await in_stage(service, unit, STAGE_WAITING_FOR_REACTIVATION)
    whole = await work.items(WORK_ITEM_KIND_REACTIVATION)
    assert [item.create_time.ToJsonString() for item in whole] == sorted(
        item.create_time.ToJsonString() for item in whole
    )
    assert await work.items(WORK_ITEM_KIND_REACTIVATION, page_size=2) == whole
    assert await refusal(work.page(page_token="none of ours")) == ("INVALID_ARGUMENT", "INVALID_PAGE_TOKEN")


async def test_of_two_officers_exactly_one_claims(service: Service, unit: Unit, work: Work) -> None:
    registration = await in_stage(service, unit, STAGE_WAITING_FOR_IDENTITY_CHECK)
    item_id = (await work.of(registration.registration_id)).work_item_id
    claimed = await asyncio.gather(
        *(asyncio.create_task(work.claim(item_id, officer)) for officer in (AINO, VEIKKO) for _ in range(3))
    )
    holder = {item.claim.display_name for item in claimed}
    assert len(holder) == 1
    (other,) = set(ACCOUNTS) - holder
    assert await refusal(work.release(item_id, other)) == ("FAILED_PRECONDITION", "CLAIMED_BY_ANOTHER")
    assert await refusal(work.check(item_id, other)) == ("FAILED_PRECONDITION", "CLAIMED_BY_ANOTHER")
    await work.check(item_id, *holder)
    await work.release(item_id, *holder)
    assert (await work.claim(item_id, other)).claim.display_name == other


async def test_a_claim_is_renewed_and_ends_by_itself(
    service: Service, service_with: ServiceFactory, unit: Unit, work: Work
) -> None:
    registration = await in_stage(service, unit, STAGE_WAITING_FOR_IDENTITY_CHECK)
    item_id = (await work.of(registration.registration_id)).work_item_id
    first = await work.claim(item_id)
    again = await work.claim(item_id)
    assert again.claim.expire_time.ToDatetime() > first.claim.expire_time.ToDatetime()
    async with service_with(work_claim_lifetime=timedelta(microseconds=1)) as short:
        brief = Work(short)
        await brief.release(item_id)
        assert not (await brief.claim(item_id)).HasField("claim")
    assert (await work.claim(item_id, VEIKKO)).claim.display_name == VEIKKO


async def test_a_repeated_claim_leaves_one_entry_in_the_log(service: Service, unit: Unit, work: Work) -> None:
    registration = await in_stage(service, unit, STAGE_WAITING_FOR_IDENTITY_CHECK)
    item_id, request_id = (await work.of(registration.registration_id)).work_item_id, str(uuid.uuid4())
    first = await work.claim(item_id, request_id=request_id)
    assert await work.claim(item_id, request_id=request_id) == first
    used = await service.rows(
        "SELECT account_id FROM use_entries"
        " WHERE action = 'work:claim' AND subject_ids @> ARRAY[:id]::varchar[]",
        id=registration.registration_id,
    )
    assert [row["account_id"] for row in used] == [ACCOUNTS[AINO]]


async def test_the_list_tells_claimed_from_free(service: Service, unit: Unit, work: Work) -> None:
    registrations = [await in_stage(service, unit, STAGE_WAITING_FOR_REACTIVATION) for _ in range(3)]
    mine, others, free = [(await work.of(row.registration_id)).work_item_id for row in registrations]
    await work.claim(others, VEIKKO)
    await work.claim(mine)
    assert mine in ids(await work.items(*ALONE, claims=CLAIM_FILTER_MINE))
    assert others not in ids(await work.items(*ALONE, claims=CLAIM_FILTER_MINE))
    unclaimed = ids(await work.items(*ALONE, claims=CLAIM_FILTER_UNCLAIMED))
    assert free in unclaimed
    assert not {mine, others} & set(unclaimed)


async def test_namesakes_of_one_birth_date_are_pairs(service: Service, unit: Unit, work: Work) -> None:
    three = {customer.customer_id for customer in await namesakes(service, unit, 3)}
    pairs = [
        {subject.customer_id for subject in item.subjects}
        for item in await work.items(WORK_ITEM_KIND_POSSIBLE_DUPLICATE)
    ]
    assert sorted(map(sorted, (pair for pair in pairs if pair <= three))) == sorted(
        sorted(three - {one}) for one in three
    )


async def test_customers_whose_codes_differ_by_the_sign_alone_are_a_pair(
    service: Service, unit: Unit, work: Work
) -> None:
    """Once both are customers; until they are told apart, or one is erased (R45)."""
    one, other, third = [
        await service.customer(unit.unit_id, last_name=f"Merkki{uuid.uuid4().hex[:6]}") for _ in range(3)
    ]

    async def record(*persons: str) -> None:
        pairs = [pb.SimilarCodes(person_id=persons[0], other_person_id=each) for each in persons[1:]]
        await service.gateway.call(
            WorkServiceStub(service.gateway.channel).RecordSimilarCodes,
            pb.RecordSimilarCodesRequest(pairs=pairs),
        )

    def pair(*customers: Customer) -> str:
        return "-".join(("4", *sorted(each.customer_id for each in customers)))

    await record(one.person_id, other.person_id, third.person_id, uuid.uuid4().hex)
    await record(other.person_id, one.person_id)
    listed = ids(await work.items(WORK_ITEM_KIND_POSSIBLE_DUPLICATE))
    assert [listed.count(pair(one, each)) for each in (other, third)] == [1, 1]
    await work.dismiss(pair(one, other))
    await service.erase(third.person_id)
    listed = ids(await work.items(WORK_ITEM_KIND_POSSIBLE_DUPLICATE))
    assert not {pair(one, other), pair(one, third)} & set(listed)
    kept = await service.rows(
        "SELECT 1 FROM similar_codes WHERE :id IN (person_id, other_person_id)", id=third.person_id
    )
    assert kept == []


async def test_two_persons_of_one_name_are_told_apart_for_good(
    service: Service, unit: Unit, work: Work
) -> None:
    one, other = sorted(customer.customer_id for customer in await namesakes(service, unit))
    item = await work.get(f"4-{one}-{other}")
    await work.claim(item.work_item_id, VEIKKO)
    refused = await refusal(work.dismiss(item.work_item_id))
    assert refused == ("FAILED_PRECONDITION", "CLAIMED_BY_ANOTHER")
    await work.dismiss(item.work_item_id, VEIKKO)
    await work.dismiss(item.work_item_id, VEIKKO)
    assert item.work_item_id not in ids(await work.items(WORK_ITEM_KIND_POSSIBLE_DUPLICATE))
    assert await service.rows("SELECT 1 FROM work_claims WHERE item_id = :id", id=item.work_item_id) == []
    assert await refusal(work.dismiss("4-none-such")) == ("NOT_FOUND", "WORK_ITEM_NOT_FOUND")


@pytest.mark.parametrize("item_id", ["1-a-b", "4-a", "3-none"])
async def test_an_id_of_nothing_is_not_found(work: Work, item_id: str) -> None:
    assert await refusal(work.get(item_id)) == ("NOT_FOUND", "WORK_ITEM_NOT_FOUND")


async def test_somebody_who_may_be_the_same_is_shown_before_it_is_decided(
    service: Service, unit: Unit, work: Work
) -> None:
    registration = await in_stage(service, unit, STAGE_WAITING_FOR_IDENTITY_CHECK)
    (stored,) = await service.rows(
        "SELECT form, birth_date FROM registrations WHERE registration_id = :id",
        id=registration.registration_id,
    )
    customer = await service.customer(
        unit.unit_id, first_names=stored["form"]["first_names"].upper(), last_name=stored["form"]["last_name"]
    )
    change = text("UPDATE customers SET birth_date = :born, state = 2 WHERE customer_id = :id")
    for born, alike in ((stored["birth_date"] - timedelta(days=1), False), (stored["birth_date"], True)):
        async with service.engine.begin() as connection:
            await connection.execute(change, {"born": born, "id": customer.customer_id})
        found = (await work.of(registration.registration_id)).possible_duplicates
        assert (customer.customer_id in {each.customer_id for each in found}) is alike


async def test_two_who_wait_and_may_be_one_are_shown_to_each_other(
    service: Service, unit: Unit, work: Work
) -> None:
    name = secrets.token_hex(8)
    saved = [
        await service.create(
            unit.unit_id,
            changed(child_form(), first_names="Elli", last_name=written),
            birth_date=birth_of_child(),
        )
        for written in (name, name.upper(), f"{name}nen")
    ]
    one, same, another = [each.registration.registration_id for each in saved]
    async with service.engine.begin() as connection:
        await connection.execute(
            text("UPDATE registrations SET stage = 10 WHERE registration_id = :id"), {"id": one}
        )
    found = [each.registration_id for each in (await work.of(one)).possible_duplicates]
    assert found == [same]
    assert another not in found


@pytest.mark.parametrize("kind", [WORK_ITEM_KIND_UNDELIVERABLE_MAIL, WORK_ITEM_KIND_POSSIBLE_DUPLICATE])
async def test_whoever_claims_what_waits_of_a_customer_has_the_customer(
    service: Service, unit: Unit, work: Work, kind: WorkItemKind.ValueType
) -> None:
    one, _ = await namesakes(service, unit)
    await undeliverable(service, one)
    items = [item for item in await work.items(kind) if one.customer_id in item.work_item_id]
    await work.check_customer(one.customer_id)
    await work.claim(items[0].work_item_id, VEIKKO)
    await work.check_customer(one.customer_id, VEIKKO)
    refused = await refusal(work.check_customer(one.customer_id))
    assert refused == ("FAILED_PRECONDITION", "CLAIMED_BY_ANOTHER")
    stranger = await service.customer(unit.unit_id)
    await work.check_customer(stranger.customer_id)
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="ac1", role=ROLE_REGISTRAR))
    request = pb.CheckClaimRequest(customer_id=one.customer_id)
    await service.gateway.call(WorkServiceStub(service.gateway.channel).CheckClaim, request)


async def test_with_a_person_their_claims_and_dismissals_are_erased(
    service: Service, unit: Unit, work: Work
) -> None:
    customers = await namesakes(service, unit, 3)
    pairs = [
        item.work_item_id
        for item in await work.items(WORK_ITEM_KIND_POSSIBLE_DUPLICATE)
        if customers[0].customer_id in item.work_item_id
    ]
    await work.dismiss(pairs[0])
    await work.claim(pairs[1])
    await service.erase(customers[0].person_id)
    named = f"%{customers[0].customer_id}%"
    assert await service.rows("SELECT 1 FROM work_claims WHERE item_id LIKE :id", id=named) == []
    assert (
        await service.rows(
            "SELECT 1 FROM dismissed_duplicates WHERE customer_id LIKE :id OR other_customer_id LIKE :id",
            id=named,
        )
        == []
    )
