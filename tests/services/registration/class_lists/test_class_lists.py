"""Class lists in the registration service: checked, stored, decided row by row, erased."""

import secrets
import uuid
from typing import Any

import pytest
from sqlalchemy import text

from liity.registration.v1 import class_list_service_pb2 as pb
from liity.registration.v1.unit_service_pb2 import CloseUnitRequest, Unit
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_OUTCOME_CANCELLED,
    CLASS_LIST_OUTCOME_ELSEWHERE,
    CLASS_LIST_OUTCOME_ENDED,
    CLASS_LIST_OUTCOME_REFUSED,
    CLASS_LIST_OUTCOME_REGISTERED,
    CLASS_LIST_OUTCOME_REMAINING,
    CLASS_LIST_OUTCOME_TRANSFERRED,
    CLASS_LIST_OUTCOME_WAITING,
    CLASS_LIST_OUTCOME_YOURS,
    CLASS_LIST_STATE_CANCELLED,
    CLASS_LIST_STATE_DONE,
    CLASS_LIST_STATE_RECEIVED,
    CLASS_LIST_STATE_RUNNING,
)
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER, PaperConsent, RelatedPerson
from liity.v1.reason_pb2 import (
    REASON_BEING_REGISTERED,
    REASON_GUARDIAN_EMAIL_IS_REGISTRARS,
    REASON_GUARDIAN_EMAIL_OF_MANY,
    REASON_NOT_DECIDED_IN_TIME,
    REASON_PERSON_NOT_FOUND,
    REASON_REQUIRED,
    REASON_TERMS_NOT_ACCEPTED,
)
from liity.v1.registration_pb2 import (
    MISSING_CODE_REASON_NOT_KNOWN,
    STAGE_ACTIVE,
    STAGE_DECLINED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
)
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    STANDING_REGISTERED_IN_ANOTHER_UNIT,
    STANDING_REGISTERED_IN_THIS_UNIT,
    MissingPersonalIdentityCode,
)
from services.registration.class_lists.service import sweep_class_lists
from services.runtime.class_list_limits import MOST_ROWS, PATIENCE
from services.runtime.clock import helsinki_day, now, to_proto_date
from tests.services.registration.audit.test_look_ups import act
from tests.services.registration.conftest import ServiceFactory
from tests.services.registration.customers.test_transfers import asked, move
from tests.support.registration_forms import adult_form, changed, child_form
from tests.support.registration_service import BIRTH_OF_ADULT, REGISTRAR, Service, birth_of_child, refusal


def row(number: int, person_id: str = "", **fields: Any) -> pb.ClassListRow:
    return pb.ClassListRow(
        row_number=number,
        person_id=person_id or secrets.token_hex(16),
        birth_date=BIRTH_OF_ADULT,
        form=changed(adult_form(), **fields),
    )


def wrong_row(number: int) -> pb.ClassListRow:
    wrong = pb.WrongField(field="form.email", reason=REASON_REQUIRED)
    return pb.ClassListRow(row_number=number, wrong_fields=[wrong])


async def checked(
    service: Service, unit: Unit, *rows: pb.ClassListRow, complete: bool = True
) -> pb.CheckClassListResponse:
    request = pb.CheckClassListRequest(unit_id=unit.unit_id, rows=rows, complete=complete)
    return await service.gateway.call(service.lists.CheckClassList, request)


async def check(service: Service, unit: Unit, *rows: pb.ClassListRow) -> dict[int, list[tuple[str, int]]]:
    answer = await checked(service, unit, *rows)
    return {
        wrong.row_number: [(field.field, field.reason) for field in wrong.wrong_fields]
        for wrong in answer.wrong_rows
    }


async def create(
    service: Service, unit: Unit, *rows: pb.ClassListRow, class_list_id: str = "", account_id: str = ""
) -> pb.ClassList:
    request = pb.CreateClassListRequest(
        class_list_id=class_list_id or uuid.uuid4().hex, unit_id=unit.unit_id, registrar=REGISTRAR, rows=rows
    )
    request.registrar.account_id = account_id or REGISTRAR.account_id
    return (await service.gateway.call(service.lists.CreateClassList, request)).class_list


async def get(service: Service, class_list_id: str) -> pb.ClassList:
    request = pb.GetClassListRequest(class_list_id=class_list_id)
    return (await service.gateway.call(service.lists.GetClassList, request)).class_list


async def undecided(service: Service, class_list_id: str, most: int = 100) -> list[pb.ClassListRow]:
    request = pb.ListUndecidedRowsRequest(class_list_id=class_list_id, page_size=most)
    return list((await service.worker.call(service.list_changes.ListUndecidedRows, request)).rows)


async def decide(service: Service, class_list_id: str, *decisions: pb.RowDecision) -> None:
    request = pb.DecideRowsRequest(class_list_id=class_list_id, decisions=decisions)
    await service.worker.call(service.list_changes.DecideRows, request)


async def cancel(service: Service, class_list_id: str) -> pb.CancelClassListResponse:
    request = pb.CancelClassListRequest(class_list_id=class_list_id)
    return await service.worker.call(service.list_changes.CancelClassList, request)


async def finish(service: Service, class_list_id: str) -> pb.ClassList:
    request = pb.FinishClassListRequest(class_list_id=class_list_id)
    return (await service.worker.call(service.list_changes.FinishClassList, request)).class_list


async def outcomes(service: Service, class_list_id: str) -> dict[int, int]:
    request = pb.ListOutcomesRequest(class_list_id=class_list_id)
    answer = await service.gateway.call(service.lists.ListOutcomes, request)
    return {outcome.row_number: outcome.outcome for outcome in answer.outcomes}


async def test_a_check_finds_every_error_of_every_row_and_stores_nothing(
    service: Service, unit: Unit
) -> None:
    own, others, waits = (secrets.token_hex(16) for _ in range(3))
    made = await service.create(unit.unit_id, adult_form(), person_id=own)
    await service.create((await service.unit()).unit_id, adult_form(), person_id=others)
    waiting = await service.waiting(unit.unit_id, person_id=waits)
    before = await service.everything_stored()
    rows = (
        row(2),
        row(3, address__post_office="", terms_accepted=False),
        row(4, own),
        row(5, others, last_name=""),
        row(6, waits),
    )
    assert await check(service, unit, *rows) == {
        3: [
            ("form.address.post_office", REASON_REQUIRED),
            ("form.terms_accepted", REASON_TERMS_NOT_ACCEPTED),
        ],
    }
    known = (await checked(service, unit, *rows)).standings
    for standing in known:
        # Who is recognised without a code is told to the gateway.
        standing.ClearField("person_id")
    assert list(known) == [
        pb.RowStanding(
            row_number=4,
            standing=STANDING_REGISTERED_IN_THIS_UNIT,
            customer_id=made.registration.customer_id,
        ),
        pb.RowStanding(row_number=5, standing=STANDING_REGISTERED_IN_ANOTHER_UNIT),
        pb.RowStanding(
            row_number=6, standing=STANDING_BEING_REGISTERED, registration_id=waiting.registration_id
        ),
    ]
    assert await service.everything_stored() == before


async def test_a_check_tells_what_registering_would_do(service: Service, unit: Unit) -> None:
    other = RelatedPerson(full_name="Timo Huoltaja", email="timo.huoltaja@koti.example", relation="isä")
    paper = PaperConsent(guardian_name="Kerttu Huoltaja", sign_date=to_proto_date(helsinki_day(now())))
    child = {"person_id": secrets.token_hex(16), "birth_date": birth_of_child()}
    no_code = MissingPersonalIdentityCode(birth_date=birth_of_child(), reason=MISSING_CODE_REASON_NOT_KNOWN)
    answer = await checked(
        service,
        unit,
        row(2),
        row(3, kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=None),
        pb.ClassListRow(row_number=4, form=child_form(), **child),
        pb.ClassListRow(row_number=5, form=changed(child_form(), other_guardian=other), **child),
        pb.ClassListRow(row_number=6, form=changed(child_form(), paper_consent=paper), **child),
        pb.ClassListRow(row_number=7, form=child_form(), missing_code=no_code),
        row(8, last_name="", first_names=""),
    )
    assert {row.row_number for row in answer.wrong_rows} == {8}
    assert [(each.row_number, each.stage, each.mails) for each in answer.consequences] == [
        (2, STAGE_ACTIVE, 1),
        (3, STAGE_ACTIVE, 0),
        (4, STAGE_WAITING_FOR_CONSENT, 1),
        (5, STAGE_WAITING_FOR_CONSENT, 2),
        (6, STAGE_ACTIVE, 1),
        (7, STAGE_WAITING_FOR_IDENTITY_CHECK, 0),
    ]


async def test_guardians_addresses_of_many_families_and_of_the_sender_are_asked_about(
    service: Service, unit: Unit
) -> None:
    """R40. Families of the list itself count; a row that is confirmed is right."""

    def pupil(number: int, last_name: str, email: str) -> pb.ClassListRow:
        form = changed(child_form(), last_name=last_name, related_person__email=email)
        return pb.ClassListRow(
            row_number=number, person_id=secrets.token_hex(16), birth_date=birth_of_child(), form=form
        )

    shared = f"kanslia-{secrets.token_hex(4)}@koulu.example"
    await service.create(
        unit.unit_id,
        changed(child_form(), last_name="Ennen", related_person__email=shared),
        birth_date=birth_of_child(),
    )
    names = ("Yksi", "YKSI", "Kaksi", "Kolme", "Neljä")
    rows = [pupil(number, name, shared) for number, name in enumerate(names, 2)]
    rows += [pupil(7, "Oma", "Opettaja+lapsi@koulu.example"), row(8, related_person=None)]
    request = pb.CheckClassListRequest(
        unit_id=unit.unit_id, rows=rows, registrars_email="opettaja@koulu.example"
    )

    async def asked() -> dict[int, set[tuple[str, int]]]:
        answer = await service.gateway.call(service.lists.CheckClassList, request)
        return {
            wrong.row_number: {(field.field, field.reason) for field in wrong.wrong_fields}
            for wrong in answer.wrong_rows
        }

    field = "form.related_person.email"
    of_many = {number: {(field, REASON_GUARDIAN_EMAIL_OF_MANY)} for number in range(2, 7)}
    assert await asked() == of_many | {7: {(field, REASON_GUARDIAN_EMAIL_IS_REGISTRARS)}}
    request.confirmed_address_rows.extend(range(2, 8))
    assert not await asked()
    # Four families are not many.
    del request.rows[4], request.confirmed_address_rows[:]
    assert list(await asked()) == [7]


async def test_the_next_list_tells_who_is_gone(service: Service, unit: Unit) -> None:
    """Of the last list with half of the same persons, those who are the unit's customers still."""
    persons = [secrets.token_hex(16) for _ in range(6)]
    for number, person in enumerate(persons[:5]):
        named = changed(adult_form(), first_names=f"Oppilas {number}", last_name="Lähtenyt")
        await service.create(unit.unit_id, named, person_id=person)
    yours = [
        pb.ClassListRow(row_number=2 + number, person_id=person, outcome=CLASS_LIST_OUTCOME_YOURS)
        for number, person in enumerate(persons[:5])
    ]
    class_list_id = (await create(service, unit, *yours, row(9, persons[5]))).class_list_id
    another_class = [row(2), row(3, persons[0]), row(4)]
    await create(service, unit, *another_class)
    await move(service, asked(persons[4], await service.unit("Toinen koulu")))

    next_list = [row(2 + number, person) for number, person in enumerate(persons[:3])]
    found = await checked(service, unit, *next_list, row(8))
    assert [gone.display_name for gone in found.gone] == ["Oppilas 3 Lähtenyt"]
    assert found.gone[0].person_id == persons[3]
    assert found.HasField("earlier_list_time")
    assert not (await checked(service, unit, *next_list, complete=False)).gone
    assert not (await checked(service, unit, row(2), row(3))).HasField("earlier_list_time")

    # A new class with one old pupil is not the old class; new pupils are not known by an ID yet.
    new_class = [row(2, persons[0]), *(row(3 + number) for number in range(9))]
    for new in new_class[1:]:
        new.person_id = ""
    assert not (await checked(service, unit, *new_class)).gone

    # Who was not registered, and who is erased, stood in no list.
    await finish(service, class_list_id)
    await service.erase(persons[3])
    left = await service.rows(
        "SELECT person_id FROM class_list_members WHERE class_list_id = :id", id=class_list_id
    )
    assert {found["person_id"] for found in left} == {*persons[:3], persons[4]}


async def test_rows_with_whom_nothing_is_done_keep_nothing(service: Service, unit: Unit) -> None:
    rows = [
        pb.ClassListRow(row_number=number, person_id=secrets.token_hex(16), outcome=outcome)
        for number, outcome in enumerate(
            (CLASS_LIST_OUTCOME_YOURS, CLASS_LIST_OUTCOME_ELSEWHERE, CLASS_LIST_OUTCOME_TRANSFERRED), 2
        )
    ]
    stored = await create(service, unit, *rows)
    counts = stored.counts
    assert (counts.total, counts.yours, counts.elsewhere, counts.transferred) == (3, 1, 1, 1)
    kept = await service.rows(
        "SELECT person_id, form FROM class_list_rows WHERE class_list_id = :id", id=stored.class_list_id
    )
    assert {(found["person_id"], found["form"]) for found in kept} == {(None, None)}
    rows[0].outcome = CLASS_LIST_OUTCOME_REGISTERED
    assert (await refusal(create(service, unit, *rows)))[0] == "INVALID_ARGUMENT"


async def test_rows_have_a_limit_of_their_own(service_with: ServiceFactory) -> None:
    """A list that is refused does not count; neither do look-ups."""
    async with service_with(class_list_rows_per_account=5, look_ups_per_account=1) as service:
        unit = await service.unit()
        account_id = act(unit)
        await service.look_up("", unit.unit_id)
        await check(service, unit, row(2), row(3), row(4))
        refused = await refusal(check(service, unit, row(2), row(3), row(4)))
        assert refused == ("RESOURCE_EXHAUSTED", "TOO_MANY_LOOK_UPS")
        await check(service, unit, row(2), row(3))
        assert (await refusal(check(service, unit, row(2))))[0] == "RESOURCE_EXHAUSTED"
        act(await service.unit(), account_id)
        assert (await refusal(check(service, unit, row(2))))[0] == "RESOURCE_EXHAUSTED"
        act(unit)
        await check(service, unit, row(2))


async def test_the_longest_list_can_be_checked_several_times(service: Service, unit: Unit) -> None:
    act(unit)
    longest = [row(number) for number in range(2, MOST_ROWS + 2)]
    for _ in range(6):
        assert await check(service, unit, *longest) == {}
    assert (await refusal(check(service, unit, row(2))))[0] == "RESOURCE_EXHAUSTED"


async def test_rows_of_a_unit_have_a_limit(service_with: ServiceFactory) -> None:
    async with service_with(class_list_rows_per_unit=3) as service:
        unit = await service.unit()
        act(unit)
        await check(service, unit, row(2), row(3))
        act(unit)
        assert (await refusal(check(service, unit, row(2), row(3))))[0] == "RESOURCE_EXHAUSTED"
        await check(service, unit, row(2))


async def test_a_list_is_stored_once(service: Service, unit: Unit) -> None:
    class_list_id = uuid.uuid4().hex
    rows = row(2), wrong_row(3)
    first = await create(service, unit, *rows, class_list_id=class_list_id)
    assert first.state == CLASS_LIST_STATE_RECEIVED
    assert (first.counts.total, first.counts.remaining, first.counts.refused) == (2, 1, 1)
    assert await create(service, unit, *rows, class_list_id=class_list_id) == first
    another = create(service, unit, *rows, class_list_id=class_list_id, account_id="ac1")
    assert await refusal(another) == ("ALREADY_EXISTS", "REQUEST_ID_REUSED")
    uses = await service.rows(
        "SELECT subject_ids FROM use_entries WHERE action = 'class-list:register' AND subject_ids = :whom",
        whom=[rows[0].person_id],
    )
    assert len(uses) == 1


async def test_what_a_list_may_not_hold(service: Service, unit: Unit) -> None:
    nobody = row(2)
    nobody.person_id = ""
    malformed = row(2, last_name="a\0b")
    for rows, field in (
        ((row(2), row(2)), "rows.row_number"),
        ((nobody,), "rows.person_id"),
        ((malformed,), "form.last_name"),
    ):
        refused = await refusal(create(service, unit, *rows))
        assert refused[0] == "INVALID_ARGUMENT", field
    nowhere = Unit(unit_id="nowhere")
    assert await refusal(create(service, nowhere, row(2))) == ("NOT_FOUND", "UNIT_NOT_FOUND")
    assert await refusal(check(service, nowhere, row(2))) == ("NOT_FOUND", "UNIT_NOT_FOUND")
    assert await refusal(get(service, "none")) == ("NOT_FOUND", "CLASS_LIST_NOT_FOUND")


async def test_a_closed_unit_has_no_lists(service: Service) -> None:
    unit = await service.unit()
    close = CloseUnitRequest(unit_id=unit.unit_id)
    await service.worker.call(UnitServiceStub(service.worker.channel).CloseUnit, close)
    assert await refusal(check(service, unit, row(2))) == ("FAILED_PRECONDITION", "UNIT_CLOSED")
    assert await refusal(create(service, unit, row(2))) == ("FAILED_PRECONDITION", "UNIT_CLOSED")
    kept = await service.rows("SELECT 1 FROM class_lists WHERE unit_id = :unit", unit=unit.unit_id)
    assert kept == []


async def test_rows_are_decided_and_their_forms_erased(service: Service, unit: Unit) -> None:
    rows = [row(number) for number in range(2, 7)]
    class_list_id = (await create(service, unit, *rows, wrong_row(7))).class_list_id
    begin = pb.BeginClassListRequest(class_list_id=class_list_id)
    begun = (await service.worker.call(service.list_changes.BeginClassList, begin)).class_list
    assert begun.state == CLASS_LIST_STATE_RUNNING
    assert await undecided(service, class_list_id, 3) == rows[:3]
    active = (await service.create(unit.unit_id, adult_form(), person_id=rows[0].person_id)).registration
    waiting = await service.waiting(unit.unit_id, person_id=rows[1].person_id)
    declined = await service.waiting(unit.unit_id, person_id=rows[2].person_id)
    await service.end(declined.registration_id, STAGE_DECLINED)
    decisions = [
        pb.RowDecision(row_number=2, registration_id=active.registration_id),
        pb.RowDecision(row_number=3, registration_id=waiting.registration_id),
        pb.RowDecision(row_number=4, registration_id=declined.registration_id),
        pb.RowDecision(row_number=5, refusal=REASON_BEING_REGISTERED),
    ]
    for _ in range(2):
        await decide(service, class_list_id, *decisions)
    assert await undecided(service, class_list_id) == rows[4:]
    assert await outcomes(service, class_list_id) == {
        2: CLASS_LIST_OUTCOME_REGISTERED,
        3: CLASS_LIST_OUTCOME_WAITING,
        4: CLASS_LIST_OUTCOME_ENDED,
        5: CLASS_LIST_OUTCOME_REFUSED,
        6: CLASS_LIST_OUTCOME_REMAINING,
        7: CLASS_LIST_OUTCOME_REFUSED,
    }
    kept = await service.rows(
        "SELECT row_number, person_id, form IS NULL AS erased FROM class_list_rows"
        " WHERE class_list_id = :id AND row_number < 6 ORDER BY row_number",
        id=class_list_id,
    )
    assert [found["erased"] for found in kept] == [True] * 4
    assert kept[3]["person_id"] is None
    await decide(service, class_list_id, pb.RowDecision(row_number=6, refusal=REASON_BEING_REGISTERED))
    for _ in range(2):
        assert (await finish(service, class_list_id)).state == CLASS_LIST_STATE_DONE
    assert await refusal(cancel(service, class_list_id)) == ("FAILED_PRECONDITION", "CLASS_LIST_HAS_ENDED")
    another = (await create(service, unit, row(2))).class_list_id
    nothing = decide(service, class_list_id, pb.RowDecision(row_number=6))
    unknown = decide(service, another, pb.RowDecision(row_number=2, registration_id="none"))
    assert await refusal(unknown) == ("NOT_FOUND", "REGISTRATION_NOT_FOUND")
    assert (await refusal(nothing))[0] == "INVALID_ARGUMENT"


async def test_who_has_moved_away_is_registered_and_nothing_more(service: Service, unit: Unit) -> None:
    class_list_id = (await create(service, unit, row(2))).class_list_id
    [listed] = await undecided(service, class_list_id)
    waiting = await service.waiting(unit.unit_id, person_id=listed.person_id)
    await decide(
        service, class_list_id, pb.RowDecision(row_number=2, registration_id=waiting.registration_id)
    )
    assert await outcomes(service, class_list_id) == {2: CLASS_LIST_OUTCOME_WAITING}
    await move(service, asked(listed.person_id, await service.unit("Toinen koulu")))
    request = pb.ListOutcomesRequest(class_list_id=class_list_id)
    [outcome] = (await service.gateway.call(service.lists.ListOutcomes, request)).outcomes
    assert (outcome.outcome, outcome.registration_id) == (CLASS_LIST_OUTCOME_REGISTERED, "")
    assert (await get(service, class_list_id)).counts.registered == 1


async def test_a_cancelled_list_keeps_what_is_registered_and_nobody_else(
    service: Service, unit: Unit
) -> None:
    shared = secrets.token_hex(16)
    rows = [row(2), row(3), row(4, shared), row(5)]
    class_list_id = (await create(service, unit, *rows)).class_list_id
    await create(service, unit, row(2, shared))
    done = (await service.create(unit.unit_id, adult_form(), person_id=rows[0].person_id)).registration
    await decide(service, class_list_id, pb.RowDecision(row_number=2, registration_id=done.registration_id))
    cancelled = await cancel(service, class_list_id)
    assert cancelled.class_list.state == CLASS_LIST_STATE_CANCELLED
    assert list(cancelled.unneeded_person_ids) == [rows[1].person_id, rows[3].person_id]
    assert await cancel(service, class_list_id) == cancelled
    assert await undecided(service, class_list_id) == []
    # One that was being saved at the very moment: it is registered, and so it stands.
    late = (await service.create(unit.unit_id, adult_form(), person_id=rows[1].person_id)).registration
    await decide(
        service,
        class_list_id,
        pb.RowDecision(row_number=3, registration_id=late.registration_id),
        pb.RowDecision(row_number=5, refusal=REASON_PERSON_NOT_FOUND),
    )
    assert (await finish(service, class_list_id)).state == CLASS_LIST_STATE_CANCELLED
    assert await outcomes(service, class_list_id) == {
        2: CLASS_LIST_OUTCOME_REGISTERED,
        3: CLASS_LIST_OUTCOME_REGISTERED,
        4: CLASS_LIST_OUTCOME_CANCELLED,
        5: CLASS_LIST_OUTCOME_CANCELLED,
    }
    stored = await service.everything_stored(log=False)
    assert rows[3].person_id not in stored


async def test_an_erased_person_is_in_no_list(service: Service, unit: Unit) -> None:
    remaining, registered = row(2), row(3)
    class_list_id = (await create(service, unit, remaining, registered)).class_list_id
    made = (await service.create(unit.unit_id, adult_form(), person_id=registered.person_id)).registration
    await decide(service, class_list_id, pb.RowDecision(row_number=3, registration_id=made.registration_id))
    assert "class_list_rows" in {
        section.kind for section in (await service.export(remaining.person_id)).sections
    }
    for person in (remaining, registered):
        await service.erase(person.person_id)
        await service.forget(person.person_id)
    assert await outcomes(service, class_list_id) == {
        2: CLASS_LIST_OUTCOME_REFUSED,
        3: CLASS_LIST_OUTCOME_REGISTERED,
    }
    stored = await service.rows("SELECT * FROM class_list_rows WHERE class_list_id = :id", id=class_list_id)
    left = {
        (found["person_id"], found["form"], found["birth_date"], found["registration_id"]) for found in stored
    }
    assert left == {(None, None, None, None)}


async def test_lists_are_paged_newest_first(service: Service) -> None:
    unit = await service.unit()
    made = [(await create(service, unit, row(2))).class_list_id for _ in range(3)]
    listed: list[str] = []
    request = pb.ListClassListsRequest(unit_id=unit.unit_id, page_size=2)
    while not listed or request.page_token:
        page = await service.gateway.call(service.lists.ListClassLists, request)
        listed += [found.class_list_id for found in page.class_lists]
        request.page_token = page.next_page_token
    assert listed == made[::-1]


async def test_a_list_is_erased_when_its_time_is_over(service: Service, unit: Unit) -> None:
    kept, over, unended = [(await create(service, unit, row(2))).class_list_id for _ in range(3)]
    await cancel(service, over)
    async with service.engine.begin() as connection:
        await connection.execute(
            text("UPDATE class_lists SET expires_at = now() WHERE class_list_id = ANY(:ids)"),
            {"ids": [over, unended]},
        )
    await sweep_class_lists(service.engine)
    left = await service.rows(
        "SELECT class_list_id FROM class_list_rows WHERE class_list_id = ANY(:ids)",
        ids=[kept, over, unended],
    )
    assert {found["class_list_id"] for found in left} == {kept, unended}


@pytest.mark.parametrize("begun", [False, True])
async def test_a_list_that_takes_too_long_is_not_lost(service: Service, unit: Unit, begun: bool) -> None:
    """What is not decided is refused, and its run finds nothing more to do but to tell of it."""
    fresh = (await create(service, unit, row(2))).class_list_id
    done, left = row(2), row(3)
    class_list_id = (await create(service, unit, done, left)).class_list_id
    made = (await service.create(unit.unit_id, adult_form(), person_id=done.person_id)).registration
    await decide(service, class_list_id, pb.RowDecision(row_number=2, registration_id=made.registration_id))
    begin = pb.BeginClassListRequest(class_list_id=class_list_id)
    if begun:
        await service.worker.call(service.list_changes.BeginClassList, begin)
    async with service.engine.begin() as connection:
        await connection.execute(
            text("UPDATE class_lists SET created_at = :long_ago WHERE class_list_id = :id"),
            {"long_ago": now() - PATIENCE, "id": class_list_id},
        )
    for _ in range(2):
        await sweep_class_lists(service.engine)
    ended = (await service.worker.call(service.list_changes.BeginClassList, begin)).class_list
    assert ended.state == CLASS_LIST_STATE_DONE
    assert ended.HasField("end_time")
    assert (ended.counts.remaining, ended.counts.registered, ended.counts.refused) == (0, 1, 1)
    request = pb.ListOutcomesRequest(class_list_id=class_list_id)
    refused = (await service.gateway.call(service.lists.ListOutcomes, request)).outcomes[1]
    assert [wrong.reason for wrong in refused.wrong_fields] == [REASON_NOT_DECIDED_IN_TIME]
    assert await finish(service, class_list_id) == ended
    assert left.person_id not in await service.everything_stored(log=False)
    assert (await get(service, fresh)).counts.remaining == 1
