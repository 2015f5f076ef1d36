"""A class list is registered row after row, can be cancelled, and whoever uploaded it is told."""

import asyncio
import uuid
from datetime import UTC, timedelta

import grpc
import pytest
from temporalio.workflow import Info

from deploy.demo.polling import eventually
from liity.registration.v1 import class_list_service_pb2 as pb
from liity.registration.v1.registration_service_pb2 import CreateRegistrationRequest
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_OUTCOME_CANCELLED,
    CLASS_LIST_OUTCOME_REFUSED,
    CLASS_LIST_OUTCOME_REGISTERED,
    CLASS_LIST_OUTCOME_WAITING,
    CLASS_LIST_STATE_CANCELLED,
    CLASS_LIST_STATE_DONE,
)
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    CustomerForm,
)
from liity.v1.reason_pb2 import (
    REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
    REASON_INTERNAL,
    REASON_INVALID_EMAIL,
    REASON_NOT_DECIDED_IN_TIME,
    REASON_PERSON_NOT_FOUND,
    REASON_UNAVAILABLE,
    REASON_UNIT_CLOSED,
)
from liity.workflows.v1.class_list_workflow_pb2 import CancelClassListRequest, ClassListInput
from services.runtime.clock import now
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import ClassListWorkflowNames, RegistrationWorkflowNames
from services.runtime.temporal.search_attributes import DEADLINE, STAGE, UNIT
from services.runtime.temporal.updates import save_registration
from tests.workflows.class_lists.class_lists import Lists, address
from tests.workflows.conftest import World, adult_form, born, child_form
from workflows.class_lists import activities
from workflows.class_lists import workflow as class_list_workflow


def cd_form() -> CustomerForm:
    return adult_form(
        "", kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )


async def savers(world: World, rows: list[pb.ClassListRow]) -> list[str]:
    """On behalf of which accounts rows were registered, by the log of use."""
    uses = await world.rows(
        "registration",
        "SELECT account_id FROM use_entries WHERE action = 'registration:create' AND subject_ids && :whom",
        whom=[row.person_id for row in rows],
    )
    return [use["account_id"] for use in uses]


@pytest.fixture
def lists(world: World) -> Lists:
    return Lists(world)


async def test_every_row_comes_to_what_a_save_comes_to(world: World, lists: Lists) -> None:
    guardian, known_email = address(), address()
    known, _ = await world.save(adult_form(known_email), born(50))
    twice = await lists.row(5, adult_form(address()), born(50))
    twice.person_id = known.person_id
    gone = await lists.row(6, adult_form(address()), born(50))
    gone.person_id = uuid.uuid4().hex
    wrong = pb.WrongField(field="form.email", reason=REASON_INVALID_EMAIL)
    rows = [
        await lists.row(2, adult_form(address()), born(40)),
        await lists.row(3, child_form(guardian), born(9)),
        await lists.row(4, cd_form(), born(41)),
        twice,
        gone,
        pb.ClassListRow(row_number=7, wrong_fields=[wrong]),
    ]
    of = await lists.store(rows)
    handle = await lists.run(of)
    stored = await lists.get(of)
    assert stored.state == CLASS_LIST_STATE_DONE
    counts = stored.counts
    assert (counts.total, counts.registered, counts.waiting, counts.refused) == (6, 2, 1, 3)
    outcomes = await lists.outcomes(of)
    assert [outcome.outcome for outcome in outcomes.values()] == [
        CLASS_LIST_OUTCOME_REGISTERED,
        CLASS_LIST_OUTCOME_WAITING,
        CLASS_LIST_OUTCOME_REGISTERED,
        CLASS_LIST_OUTCOME_REFUSED,
        CLASS_LIST_OUTCOME_REFUSED,
        CLASS_LIST_OUTCOME_REFUSED,
    ]
    assert [outcomes[row].wrong_fields[0].reason for row in (5, 6, 7)] == [
        REASON_ALREADY_REGISTERED_IN_THIS_UNIT,
        REASON_PERSON_NOT_FOUND,
        REASON_INVALID_EMAIL,
    ]
    (text,) = lists.told(of)
    assert "Rivejä yhteensä: 6" in text
    assert "Ei rekisteröity: 3" in text
    assert "Aino" not in text
    attributes = (await handle.describe()).typed_search_attributes
    assert (attributes[STAGE], attributes[UNIT]) == ("DONE", world.unit_id)
    assert await savers(world, rows[:3]) == [world.registrar.account_id] * 3


async def test_a_list_of_several_batches_shows_how_far_it_is(
    world: World, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities, "_BATCH", 6)
    of = await lists.store(await lists.adults(10))
    handle = await lists.run(of)
    assert (await lists.get(of)).counts.registered == 10
    history = await handle.fetch_history()
    steps = [event.HasField("activity_task_scheduled_event_attributes") for event in history.events]
    assert sum(steps) == 3, "two batches, and the mail"
    # A run that is started once more finds everything done, and tells nobody again.
    await lists.workflows.start(of)
    await handle.result()
    assert len(lists.told(of)) == 1


async def test_a_run_that_grows_long_goes_on_as_a_new_one(
    world: World, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activities, "_BATCH", 1)
    rows = await lists.adults(4)
    of = await lists.store(rows)
    asked = iter([False, False, True])

    def suggested(run: Info) -> bool:
        # The registrations of its rows ask, too.
        return run.workflow_type == ClassListWorkflowNames.WORKFLOW and next(asked, False)

    monkeypatch.setattr(Info, "is_continue_as_new_suggested", suggested)
    handle = await lists.run(of)
    assert (await lists.get(of)).counts.registered == 4
    begin = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
    assert begin.continued_execution_run_id
    assert await savers(world, rows) == [of.account_id] * 4


@pytest.mark.parametrize("by_signal", [False, True])
async def test_a_cancelled_list_registers_no_more(
    world: World, lists: Lists, monkeypatch: pytest.MonkeyPatch, by_signal: bool
) -> None:
    monkeypatch.setattr(activities, "_BATCH", 2)
    first_saved, go_on = asyncio.Event(), asyncio.Event()
    save = activities._save

    async def save_slowly(of: pb.ClassList, row: pb.ClassListRow) -> pb.RowDecision | Refusal:
        decision = await save(of, row)
        first_saved.set()
        await go_on.wait()
        return decision

    monkeypatch.setattr(activities, "_save", save_slowly)
    rows = await lists.adults(6)
    of = await lists.store(rows)
    running = asyncio.create_task(lists.run(of))
    await first_saved.wait()
    request = CancelClassListRequest(request_id=str(uuid.uuid4()))
    if by_signal:
        await lists.handle(of).signal(ClassListWorkflowNames.CANCEL, {})
    else:
        for _ in range(2):
            await lists.workflows.cancel(of, request)
    await eventually(lambda: lists.get(of), lambda found: found.state == CLASS_LIST_STATE_CANCELLED, 30)
    go_on.set()
    await running
    outcomes = [outcome.outcome for outcome in (await lists.outcomes(of)).values()]
    registered = outcomes.count(CLASS_LIST_OUTCOME_REGISTERED)
    assert registered == 1, "the one that was being saved"
    assert outcomes.count(CLASS_LIST_OUTCOME_CANCELLED) == 5
    known = await world.rows(
        "identity",
        "SELECT person_id FROM persons WHERE person_id = ANY(:ids)",
        ids=[row.person_id for row in rows],
    )
    assert len(known) == 1, "of the others nothing is kept"
    (text,) = lists.told(of)
    assert "Peruutettu: 5" in text


async def test_a_list_that_is_done_is_not_cancelled(world: World, lists: Lists) -> None:
    of = await lists.store(await lists.adults(1))
    await lists.run(of)
    with pytest.raises(Refusal) as refusal:
        await lists.workflows.cancel(of, CancelClassListRequest(request_id=str(uuid.uuid4())))
    assert refusal.value.summary == "FAILED_PRECONDITION CLASS_LIST_HAS_ENDED"
    assert (await lists.get(of)).state == CLASS_LIST_STATE_DONE
    await lists.handle(of).result()
    assert len(lists.told(of)) == 1


async def test_of_a_unit_that_was_closed_meanwhile_no_code_is_kept(world: World, lists: Lists) -> None:
    known, _ = await world.save(adult_form(address()), born(50))
    rows = [await lists.row(2, adult_form(address()), born(40)), await lists.row(3, cd_form(), born(50))]
    rows[1].person_id = known.person_id
    of = await lists.store(rows, unit_id=await world.unit())
    await world.change("registration", "UPDATE units SET closed_at = now() WHERE unit_id = :u", u=of.unit_id)
    await lists.run(of)
    outcomes = await lists.outcomes(of)
    assert [outcome.wrong_fields[0].reason for outcome in outcomes.values()] == [
        REASON_UNIT_CLOSED,
        REASON_ALREADY_REGISTERED_IN_ANOTHER_UNIT,
    ]
    persons = await world.rows(
        "identity",
        "SELECT person_id FROM persons WHERE person_id = ANY(:ids) AND retained_at IS NOT NULL",
        ids=[row.person_id for row in rows],
    )
    assert [person["person_id"] for person in persons] == [known.person_id]


async def test_a_row_that_its_closed_unit_has_refused_is_saved_in_the_successor(
    world: World, lists: Lists
) -> None:
    """Though the run that refused it goes on for minutes, and gives a repeated request the same answer."""
    closed = await world.unit()
    [row] = await lists.adults(1)
    of = await lists.store([row], unit_id=closed)
    await world.change("registration", "UPDATE units SET closed_at = now() WHERE unit_id = :u", u=closed)
    save = CreateRegistrationRequest(
        request_id=str(uuid.uuid5(uuid.UUID(of.class_list_id), str(row.row_number))),
        person_id=row.person_id,
        unit_id=closed,
        form=row.form,
        birth_date=row.birth_date,
        registrar=world.registrar,
    )
    with pytest.raises(Refusal, match="UNIT_CLOSED"):
        await save_registration(world.temporal, save)
    moved = "UPDATE class_lists SET unit_id = :u WHERE class_list_id = :l"
    await world.change("registration", moved, u=world.unit_id, l=of.class_list_id)
    async with asyncio.timeout(60):
        await lists.run(of)
    (outcome,) = (await lists.outcomes(of)).values()
    assert (outcome.outcome, outcome.registration_unit_id) == (CLASS_LIST_OUTCOME_REGISTERED, world.unit_id)


async def test_if_the_account_is_gone_the_units_people_are_told(world: World, lists: Lists) -> None:
    of = await lists.store(await lists.adults(1), account_id=uuid.uuid4().hex)
    await lists.run(of)
    assert len(lists.told(of)) == 1


async def test_a_list_that_is_gone_ends_its_run(
    world: World, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server skips from timer to timer: few long pauses show the same as many short ones.
    monkeypatch.setattr(class_list_workflow, "_PAUSE", timedelta(minutes=4))
    of = ClassListInput(class_list_id=uuid.uuid4().hex, unit_id=world.unit_id, account_id="none")
    run = await lists.start(of)
    await world.skip_to_end(run)
    await run.result()
    assert lists.told(of) == []


async def test_a_list_that_is_stored_after_its_run_has_begun_is_registered(
    world: World, lists: Lists
) -> None:
    of = ClassListInput(
        class_list_id=uuid.uuid4().hex, unit_id=world.unit_id, account_id=world.registrar.account_id
    )
    run = await lists.start(of)
    await lists.store(await lists.adults(1), class_list_id=of.class_list_id)
    await run.result()
    assert (await lists.get(of)).counts.registered == 1
    assert len(lists.told(of)) == 1


async def test_a_list_that_is_erased_meanwhile_ends_its_run(
    world: World, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = await lists.store(await lists.adults(1))
    away = Refusal(grpc.StatusCode.UNAVAILABLE, REASON_UNAVAILABLE)

    async def save(stored: pb.ClassList, _row: pb.ClassListRow) -> Refusal:
        await world.change(
            "registration", "DELETE FROM class_lists WHERE class_list_id = :id", id=stored.class_list_id
        )
        return away

    monkeypatch.setattr(activities, "_save", save)
    result = await (await lists.start(of)).result()
    assert result.counts.total == 0
    assert lists.told(of) == []


async def test_rows_that_cannot_be_decided_are_refused_at_the_deadline(
    world: World, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = await lists.store(await lists.adults(3))
    of.deadline.FromDatetime(now() + timedelta(seconds=2))
    save, tried = activities._save, []

    async def fail_one(stored: pb.ClassList, row: pb.ClassListRow) -> pb.RowDecision | Refusal:
        if row.row_number != 3:
            return await save(stored, row)
        details = (await lists.handle(of).describe()).typed_search_attributes
        tried.append(details[DEADLINE].replace(microsecond=0))
        return Refusal(grpc.StatusCode.INTERNAL, REASON_INTERNAL)

    monkeypatch.setattr(activities, "_save", fail_one)
    run = await lists.run(of)
    assert set(tried) == {of.deadline.ToDatetime(UTC).replace(microsecond=0)}
    assert len(tried) > 1
    stored, outcomes = await lists.get(of), await lists.outcomes(of)
    assert (stored.state, stored.counts.registered) == (CLASS_LIST_STATE_DONE, 2)
    assert [wrong.reason for wrong in outcomes[3].wrong_fields] == [REASON_NOT_DECIDED_IN_TIME]
    assert DEADLINE not in (await run.describe()).typed_search_attributes
    (text,) = lists.told(of)
    assert "Ei rekisteröity: 1" in text


async def test_a_list_is_tried_for_a_day(world: World, lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    of = await lists.store(await lists.adults(1))
    save, deadlines = activities._save, []

    async def look(stored: pb.ClassList, row: pb.ClassListRow) -> pb.RowDecision | Refusal:
        deadlines.append((await lists.handle(of).describe()).typed_search_attributes[DEADLINE])
        return await save(stored, row)

    monkeypatch.setattr(activities, "_save", look)
    begun = now()
    await lists.run(of)
    assert timedelta(hours=24) <= deadlines[0] - begun <= timedelta(hours=24, minutes=1)


async def test_if_the_address_does_not_work_the_units_main_users_are_told(world: World, lists: Lists) -> None:
    unit_id = await world.unit()
    uploader, main_user = await world.account(unit_id), await world.account(unit_id, ROLE_MAIN_USER)
    of = await lists.store(await lists.adults(1), uploader.account_id, unit_id)
    world.smtp.unknown.add(uploader.email)
    await lists.run(of)
    assert lists.told(of, uploader.email) == []
    assert len(lists.told(of, main_user.email)) == 1


async def test_rows_saved_twice_are_registered_once(
    world: World, lists: Lists, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a crash between the Saves and the record of them."""
    rows = [
        await lists.row(2, adult_form(address()), born(40)),
        await lists.row(3, cd_form(), born(41)),
    ]
    of = await lists.store(rows)
    save, crashed = activities._save, []

    async def crash_once(stored: pb.ClassList, row: pb.ClassListRow) -> pb.RowDecision | Refusal:
        decision = await save(stored, row)
        if row.row_number not in crashed:
            run = world.temporal.get_workflow_handle(RegistrationWorkflowNames.workflow_id(row.person_id))
            if row.row_number == 3:
                # A CD borrower's registration ends at once: the second Save meets a finished run.
                await run.result()
            crashed.append(row.row_number)
            raise RuntimeError("killed")
        return decision

    monkeypatch.setattr(activities, "_save", crash_once)
    await lists.run(of)
    assert sorted(crashed) == [2, 3]
    assert (await lists.get(of)).counts.registered == 2
    made = await world.rows(
        "registration",
        "SELECT registration_id FROM registrations WHERE person_id = ANY(:ids)",
        ids=[row.person_id for row in rows],
    )
    assert len(made) == 2


async def test_the_deadline_of_a_wait_counts_from_the_save(world: World, lists: Lists) -> None:
    """A child's row waits for consent like any other Save, under its own workflow."""
    guardian = address()
    row = await lists.row(2, child_form(guardian), born(9))
    of = await lists.store([row])
    await lists.run(of)
    run = world.temporal.get_workflow_handle(RegistrationWorkflowNames.workflow_id(row.person_id))
    await world.skip(run, timedelta(days=31))
    await run.result()
    assert (await lists.get(of)).counts.ended == 1
