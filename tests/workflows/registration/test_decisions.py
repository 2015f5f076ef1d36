"""What waits for customer service, its weeks skipped: reactivations (R19) and identity checks (R24)."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from datetime import date, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError

from deploy.demo.polling import eventually
from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registrar, Registration
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE, CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.reason_pb2 import (
    REASON_BEING_REGISTERED,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_NOT_WAITING_FOR_DECISION,
    REASON_UNDO_REMOVAL_FIRST,
)
from liity.v1.registration_pb2 import (
    CONSENT_STATE_GIVEN,
    CONSENT_STATE_NOT_NEEDED,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_LINKED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    DeclineConsentRequest,
    LinkToCustomerRequest,
    ReactivateRequest,
    RecordConsentRequest,
    RegistrationWorkflowInput,
    RejectRequest,
    VerifyIdentityRequest,
    WithdrawRequest,
)
from services.runtime.clock import helsinki_day, now
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import TASK_QUEUE, RegistrationWorkflowNames, RemovalWorkflowNames
from services.runtime.temporal.search_attributes import STAGE
from services.runtime.text.references import of_registration
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.messages.test_message import linked_item

CUSTOMER_SERVICE = "customer-service@liity.example"
NOTE = "Lomake oli väärältä vuodelta."

ASKED = {
    "Rekisteröinti odottaa asiakkuuden palautusta",
    "Rekisteröinti ilman henkilötunnusta odottaa tarkistusta",
}
REMINDED = "Muistutus: rekisteröinti odottaa yhä asiakaspalvelun päätöstä"
MISSED = "Rekisteröinti raukesi ilman asiakaspalvelun päätöstä"
REACTIVATED = "Asiakkuus on palautettu"
NOT_REACTIVATED = "Asiakkuutta ei palautettu"
CHECKED = "Henkilöllisyys on tarkistettu"
NOT_CHECKED = "Rekisteröinti ilman henkilötunnusta hylättiin"
LAPSED = "Rekisteröinti raukesi: asiakaspalvelu ei ehtinyt päättää siitä"
NAMED = {NOT_REACTIVATED, NOT_CHECKED, LAPSED}
"""The mails of an end, which name who it was."""
MOVED = "Asiakas on siirretty toiseen yksikköön"

Run = WorkflowHandle[Any, Any]


@pytest.fixture(autouse=True)
async def registrar(world: World) -> AsyncIterator[str]:
    """The address of who saves here: what the world's registrar is told, other tests count."""
    before = world.registrar
    account = await world.account(world.unit_id)
    world.registrar = Registrar(account_id=account.account_id, display_name=account.display_name)
    yield account.email
    world.registrar = before


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def request_id() -> str:
    return str(uuid.uuid4())


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    text: str = body.get_content()
    return text


def about(world: World, email: str, registration: Registration) -> list[str]:
    """The subjects of the mails to an address that name a registration.

    They name nobody, but that it has ended for somebody: that mail is the last to know who it was.
    """
    mails = [
        mail
        for mail in world.mails_to(email)
        if of_registration(registration.registration_id) in text_of(mail)
    ]
    assert not any("Esimerkki " in text_of(mail) for mail in mails)
    assert all("Etunimet: Aino" not in text_of(mail) or mail["Subject"] in NAMED for mail in mails)
    return [mail["Subject"] for mail in mails]


async def told(world: World, email: str, registration: Registration, subject: str) -> None:
    """Somebody is told, sooner or later."""

    async def subjects() -> list[str]:
        return about(world, email, registration)

    await eventually(subjects, lambda found: subject in found, 60)


async def person_is_known(world: World, person_id: str) -> bool:
    rows = await world.rows("identity", "SELECT 1 FROM persons WHERE person_id = :p", p=person_id)
    return bool(rows)


async def customer_row(world: World, person_id: str) -> Any:
    (row,) = await world.rows("registration", "SELECT * FROM customers WHERE person_id = :p", p=person_id)
    return row


async def marked(world: World, birth_date: date, unit_id: str = "") -> Registration:
    """Somebody whose customership has ended; of the world's unit unless another is given."""
    registration, run = await world.save(adult_form(address()), born(40))
    if unit_id:
        await world.move(registration, unit_id, await world.account(unit_id))
    await world.change(
        "registration",
        "UPDATE customers SET state = :s, ended_at = now(), birth_date = :b WHERE person_id = :p",
        s=CUSTOMER_STATE_MARKED_FOR_DELETION,
        b=birth_date,
        p=registration.person_id,
    )
    with suppress(RPCError):
        # Its time flies until it is moved: it may have ended by now.
        await world.skip_to_end(run)
    await run.result()
    return await world.stored(registration)


async def saved_again(
    world: World, before: Registration, form: CustomerForm, birth_date: date
) -> tuple[Registration, Run]:
    """A registration for somebody who is marked for deletion."""
    request = world.save_request(before.person_id, form, birth_date)
    registration = await world.workflows.save(request)
    workflow_id = RegistrationWorkflowNames.workflow_id(before.person_id)
    return await _time_stands(world, registration, world.temporal.get_workflow_handle(workflow_id))


async def returning(
    world: World, form: CustomerForm | None = None, birth_date: date | None = None, unit_id: str = ""
) -> tuple[Registration, Run]:
    born_on = birth_date or born(40)
    before = await marked(world, born_on, unit_id)
    return await saved_again(world, before, form or adult_form(address()), born_on)


async def without_code(
    world: World, form: CustomerForm | None = None, birth_date: date | None = None
) -> tuple[Registration, Run]:
    """A registration for somebody who has no personal identity code."""
    saved = await world.save_without_code(form or adult_form(address()), birth_date or born(40))
    return await _time_stands(world, *saved)


async def waiting_for(world: World, wait: str) -> tuple[Registration, Run]:
    return await (returning(world) if wait == "reactivation" else without_code(world))


async def _time_stands(world: World, registration: Registration, run: Run) -> tuple[Registration, Run]:
    # Until it is moved for the first time, the time of a run that waits flies.
    await world.skip(run, timedelta(minutes=1))
    return registration, run


async def reactivate(world: World, registration: Registration) -> Registration:
    request = ReactivateRequest(request_id=request_id())
    return await world.workflows.reactivate(registration.person_id, request)


async def verify(world: World, registration: Registration) -> Registration:
    request = VerifyIdentityRequest(request_id=request_id())
    return await world.workflows.verify_identity(registration.person_id, request)


async def reject(world: World, registration: Registration) -> Registration:
    request = RejectRequest(request_id=request_id(), note=NOTE)
    return await world.workflows.reject(registration.person_id, request)


async def link(world: World, registration: Registration, customer_id: str, unit_id: str) -> Registration:
    request = LinkToCustomerRequest(request_id=request_id(), customer_id=customer_id, unit_id=unit_id)
    return await world.workflows.link_to_customer(registration.person_id, request)


async def refused(call: Awaitable[Registration]) -> int:
    with pytest.raises(Refusal) as refusal:
        await call
    return refusal.value.reason


async def test_a_reactivated_customer_moves_and_gets_started_anew(world: World, registrar: str) -> None:
    old_unit = await world.unit()
    email = address()
    registration, run = await returning(world, adult_form(email, last_name="Uusi"), unit_id=old_unit)
    assert registration.stage == STAGE_WAITING_FOR_REACTIVATION
    assert (await run.describe()).typed_search_attributes[STAGE] == "WAITING_FOR_REACTIVATION"
    await told(world, CUSTOMER_SERVICE, registration, "Rekisteröinti odottaa asiakkuuden palautusta")
    before = await customer_row(world, registration.person_id)
    # What runs under the removal's ID hears of the return.
    removal = await world.temporal.start_workflow(
        RegistrationWorkflowNames.WORKFLOW,
        RegistrationWorkflowInput(person_id="nobody"),
        id=RemovalWorkflowNames.workflow_id(before["customer_id"]),
        task_queue=TASK_QUEUE,
    )
    active = await reactivate(world, registration)
    assert active.customer_id == before["customer_id"]
    row = await customer_row(world, registration.person_id)
    assert (row["state"], row["ended_at"], row["unit_id"]) == (CUSTOMER_STATE_ACTIVE, None, world.unit_id)
    assert (row["last_name"], row["email"], row["version"]) == ("Uusi", email, before["version"] + 1)
    keys = await world.rows(
        "registration",
        "SELECT key, unit_id FROM customer_names WHERE customer_id = :c",
        c=row["customer_id"],
    )
    assert {(key["key"], key["unit_id"]) for key in keys} >= {("uusi", world.unit_id)}
    assert {key["unit_id"] for key in keys} == {world.unit_id}
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
    assert len(world.mails_to(email)) == 2
    assert about(world, registrar, registration) == [REACTIVATED]
    signals = [
        event.workflow_execution_signaled_event_attributes.signal_name
        async for event in removal.fetch_history_events()
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    assert signals == [RemovalWorkflowNames.RETURNED]
    with suppress(RPCError):
        # It ends by itself after ten minutes, as no Save has come: of skipped time, or of real time.
        await removal.terminate()


async def test_the_unit_before_is_told_of_the_reactivation(world: World) -> None:
    old_unit = await world.unit("Vanha kirjasto")
    before = await marked(world, born(40), old_unit)
    (mover,) = await world.rows(
        "registration",
        "SELECT registrar_account_id FROM registrations WHERE registration_id = :r",
        r=before.registration_id,
    )
    registrar = await world.account(old_unit)
    assert mover["registrar_account_id"] != registrar.account_id
    registration, _ = await saved_again(world, before, adult_form(address()), born(40))
    await reactivate(world, registration)
    recipients = [
        mail["To"] for mail in world.smtp.taken if of_registration(before.registration_id) in text_of(mail)
    ]

    async def mails() -> list[str]:
        return [mail for mail in world.smtp.taken if mail["Subject"] == MOVED and "Vanha" in text_of(mail)]

    assert await eventually(mails, bool, 60), recipients
    uses = await world.rows(
        "registration",
        "SELECT action, for_unit_id FROM use_entries WHERE subject_ids @> ARRAY[CAST(:p AS varchar)]",
        p=registration.person_id,
    )
    assert ("customer:transfer-away", old_unit) in {(use["action"], use["for_unit_id"]) for use in uses}
    assert "registration:reactivate" in {use["action"] for use in uses}


async def test_a_reactivated_child_stays_marked_until_the_guardian_consents(world: World) -> None:
    guardian = address()
    registration, run = await returning(world, child_form(guardian), born(9))
    await world.skip(run, timedelta(days=20))
    assert not world.mails_to(guardian)
    waiting = await reactivate(world, registration)
    assert waiting.stage == STAGE_WAITING_FOR_CONSENT
    assert (await customer_row(world, registration.person_id))["state"] == CUSTOMER_STATE_MARKED_FOR_DELETION
    # The guardian has the whole time, counted from the yes.
    await world.skip(run, timedelta(days=25))
    assert (await world.stored(registration)).stage == STAGE_WAITING_FOR_CONSENT
    evidence = ConsentEvidence(method=ConsentEvidence.METHOD_RECORDED, guardian_name="Outi Huoltaja")
    consent = RecordConsentRequest(request_id=request_id(), evidence=evidence)
    active = await world.workflows.record_consent(registration.person_id, consent)
    assert active.consent_state == CONSENT_STATE_GIVEN
    row = await customer_row(world, registration.person_id)
    assert (row["state"], row["first_names"]) == (CUSTOMER_STATE_ACTIVE, "Onni")
    await world.skip(run, timedelta(hours=1))
    assert (await world.stored(registration)).stage == STAGE_CREDENTIALS_SENT


async def test_a_refused_consent_leaves_the_removal_as_it_was(world: World) -> None:
    registration, run = await returning(world, child_form(address()), born(9))
    await reactivate(world, registration)
    decline = DeclineConsentRequest(request_id=request_id())
    await world.workflows.decline_consent(registration.person_id, decline)
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_DECLINED
    row = await customer_row(world, registration.person_id)
    assert (row["state"], row["first_names"]) == (CUSTOMER_STATE_MARKED_FOR_DELETION, "Aino Kaisa")
    assert await person_is_known(world, registration.person_id)
    again, _ = await saved_again(world, registration, child_form(address()), born(9))
    assert again.stage == STAGE_WAITING_FOR_REACTIVATION


async def test_an_adult_without_a_code_waits_and_is_registered(world: World, registrar: str) -> None:
    email = address()
    registration, run = await without_code(world, adult_form(email))
    assert registration.stage == STAGE_WAITING_FOR_IDENTITY_CHECK
    await told(
        world, CUSTOMER_SERVICE, registration, "Rekisteröinti ilman henkilötunnusta odottaa tarkistusta"
    )
    active = await verify(world, registration)
    assert active.consent_state == CONSENT_STATE_NOT_NEEDED
    assert (await customer_row(world, registration.person_id))["birth_date"] == born(40)
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
    assert about(world, registrar, registration) == [CHECKED]
    assert len(world.mails_to(email)) == 2


async def test_a_child_without_a_code_waits_for_both(world: World) -> None:
    guardian = address()
    registration, run = await without_code(world, child_form(guardian), born(9))
    waiting = await verify(world, registration)
    assert waiting.stage == STAGE_WAITING_FOR_CONSENT
    await run.signal("record_consent", {})
    await world.skip(run, timedelta(hours=1))
    assert (await world.stored(registration)).stage == STAGE_CREDENTIALS_SENT


async def test_who_turns_15_while_customer_service_is_waited_for_needs_no_consent(world: World) -> None:
    birthday = helsinki_day(now()) + timedelta(days=10)
    registration, run = await without_code(
        world, child_form(address()), birthday.replace(year=birthday.year - 15)
    )
    await world.skip(run, timedelta(days=12))
    active = await verify(world, registration)
    assert active.consent_state == CONSENT_STATE_NOT_NEEDED
    assert active.customer_id


async def test_a_signal_that_cannot_be_followed_leaves_the_run_waiting(world: World) -> None:
    registration, run = await waiting_for(world, "identity check")
    statement = "UPDATE units SET closed_at = :moment WHERE unit_id = :unit"
    await world.change("registration", statement, moment=now(), unit=world.unit_id)
    try:
        await run.signal("verify_identity", {})
        await world.skip(run, timedelta(hours=1))
        assert (await run.describe()).status == WorkflowExecutionStatus.RUNNING
        assert (await world.stored(registration)).stage == STAGE_WAITING_FOR_IDENTITY_CHECK
    finally:
        await world.change("registration", statement, moment=None, unit=world.unit_id)
    await run.signal("verify_identity", {})
    await world.skip(run, timedelta(hours=1))
    assert (await world.stored(registration)).customer_id


async def test_one_who_was_a_customer_is_linked_and_moves(world: World, registrar: str) -> None:
    email = address()
    there, _ = await world.save(adult_form(email), born(40))
    old_unit = await world.unit()
    await world.move(there, old_unit, await world.account(old_unit))
    customer = await customer_row(world, there.person_id)
    registration, run = await without_code(world)
    linked = await link(world, registration, customer["customer_id"], old_unit)
    assert (linked.stage, linked.customer_id) == (STAGE_LINKED, customer["customer_id"])
    assert linked.person_id == there.person_id
    await run.result()
    assert (await customer_row(world, there.person_id))["unit_id"] == world.unit_id
    assert (await customer_row(world, there.person_id))["email"] == email
    assert not await person_is_known(world, registration.person_id)
    assert about(world, registrar, registration) == [CHECKED]
    assert (await world.stored(there)).unit_id == world.unit_id


async def test_nobody_is_linked_to_who_is_marked_or_not_there(world: World) -> None:
    gone = await marked(world, born(40))
    customer = await customer_row(world, gone.person_id)
    registration, run = await without_code(world)
    nobody = link(world, registration, "nobody", world.unit_id)
    assert await refused(nobody) == REASON_CUSTOMER_NOT_FOUND
    to_marked = link(world, registration, customer["customer_id"], world.unit_id)
    assert await refused(to_marked) == REASON_UNDO_REMOVAL_FIRST
    assert (await world.stored(registration)).stage == STAGE_WAITING_FOR_IDENTITY_CHECK
    assert (await verify(world, registration)).customer_id
    await world.skip_to_end(run)
    await run.result()


@pytest.mark.parametrize("wait", ["reactivation", "identity check"])
async def test_no_decision_is_reminded_of_and_lapses(world: World, registrar: str, wait: str) -> None:
    registration, run = await waiting_for(world, wait)
    seen = []
    for days in (1, 21, 2, 5):
        await world.skip(run, timedelta(days=days))
        seen.append(len(about(world, CUSTOMER_SERVICE, registration)))
    assert seen == [1, 1, 2, 2]
    for mail in world.mails_to(CUSTOMER_SERVICE):
        if of_registration(registration.registration_id) in text_of(mail):
            item = await linked_item(world, mail)
            assert item.subjects[0].registration_id == registration.registration_id
    await world.skip_to_end(run)
    await run.result()
    asked, reminder, missed = about(world, CUSTOMER_SERVICE, registration)
    assert asked in ASKED
    assert (reminder, missed) == (REMINDED, MISSED)
    assert about(world, registrar, registration) == [LAPSED]
    [told] = [mail for mail in world.mails_to(registrar) if mail["Subject"] == LAPSED]
    assert "Etunimet: Aino" in text_of(told)
    stored = await world.stored(registration)
    assert (stored.stage, stored.customer_display_name) == (STAGE_LAPSED, "")
    known = await person_is_known(world, registration.person_id)
    assert known == (wait == "reactivation")
    if known:
        row = await customer_row(world, registration.person_id)
        assert row["state"] == CUSTOMER_STATE_MARKED_FOR_DELETION


@pytest.mark.parametrize(
    ("wait", "subject"), [("reactivation", NOT_REACTIVATED), ("identity check", NOT_CHECKED)]
)
async def test_a_declined_registration_tells_why_at_the_registration_alone(
    world: World, registrar: str, wait: str, subject: str
) -> None:
    registration, run = await waiting_for(world, wait)
    ended = await reject(world, registration)
    assert (ended.stage, ended.rejection_note) == (STAGE_REJECTED, NOTE)
    await run.result()
    stored = await world.stored(registration)
    assert (stored.stage, stored.rejection_note) == (STAGE_REJECTED, NOTE)
    assert not stored.customer_display_name
    assert about(world, registrar, registration) == [subject]
    assert any("Etunimet: Aino" in text_of(mail) for mail in world.mails_to(registrar))
    assert not any("väärältä" in text_of(mail) for mail in world.mails_to(registrar))
    assert await person_is_known(world, registration.person_id) == (wait == "reactivation")


@pytest.mark.parametrize("wait", ["reactivation", "identity check"])
async def test_a_registrar_withdraws_what_waits_for_customer_service(
    world: World, registrar: str, wait: str
) -> None:
    registration, run = await waiting_for(world, wait)
    withdraw = WithdrawRequest(request_id=request_id())
    ended = await world.workflows.withdraw(registration.person_id, withdraw)
    assert ended.stage == STAGE_WITHDRAWN
    await run.result()
    assert about(world, registrar, registration) == []
    assert await person_is_known(world, registration.person_id) == (wait == "reactivation")


@pytest.mark.parametrize(
    ("wait", "signal", "stage"),
    [
        ("reactivation", "reactivate", STAGE_CREDENTIALS_SENT),
        ("reactivation", "verify_identity", STAGE_WAITING_FOR_REACTIVATION),
        ("reactivation", "reject", STAGE_REJECTED),
        ("identity check", "verify_identity", STAGE_CREDENTIALS_SENT),
        ("identity check", "reactivate", STAGE_WAITING_FOR_IDENTITY_CHECK),
        ("identity check", "reject", STAGE_REJECTED),
        ("identity check", "withdraw", STAGE_WITHDRAWN),
    ],
)
async def test_a_signal_decides_what_it_is_for(world: World, wait: str, signal: str, stage: int) -> None:
    registration, run = await waiting_for(world, wait)
    await run.signal(signal, {})
    await world.skip(run, timedelta(hours=1))
    assert (await world.stored(registration)).stage == stage


async def test_a_signal_with_a_code_in_its_note_is_dropped(world: World) -> None:
    registration, run = await without_code(world)
    await run.signal("reject", {"note": "Oikea tunnus on 010594Y9032."})
    await world.skip(run, timedelta(hours=1))
    assert (await world.stored(registration)).stage == STAGE_WAITING_FOR_IDENTITY_CHECK


async def test_of_two_officers_one_decides_and_the_other_is_told(world: World) -> None:
    decisions: list[Callable[[World, Registration], Awaitable[Registration]]] = [verify, reject, verify]
    for _ in range(3):
        registration, _ = await without_code(world)
        answers = await asyncio.gather(
            *(decide(world, registration) for decide in decisions), return_exceptions=True
        )
        made = [answer for answer in answers if isinstance(answer, Registration)]
        refusals = [answer for answer in answers if isinstance(answer, Refusal)]
        assert (len(made), len(refusals)) == (1, 2)
        assert {refusal.reason for refusal in refusals} == {REASON_NOT_WAITING_FOR_DECISION}
        assert (await world.stored(registration)).decision_request_id == made[0].decision_request_id


async def test_a_repeated_decision_gives_the_first_answer(world: World) -> None:
    registration, _ = await returning(world)
    request = ReactivateRequest(request_id=request_id())
    answers = [await world.workflows.reactivate(registration.person_id, request) for _ in range(3)]
    assert len({answer.customer_id for answer in answers}) == 1
    assert answers[0].decision_request_id == request.request_id


async def test_a_decision_at_the_moment_of_the_deadline_counts_or_is_refused(world: World) -> None:
    registration, run = await without_code(world)
    await world.skip(run, timedelta(days=29, hours=23, minutes=59))
    forward = asyncio.create_task(world.skip(run, timedelta(minutes=2)))
    (answer,) = await asyncio.gather(verify(world, registration), return_exceptions=True)
    await forward
    verified = isinstance(answer, Registration)
    if isinstance(answer, Refusal):
        assert answer.reason == REASON_NOT_WAITING_FOR_DECISION
    stored = await world.stored(registration)
    assert (stored.stage != STAGE_LAPSED) == verified
    assert await person_is_known(world, registration.person_id) == verified


async def test_a_run_that_still_waits_to_welcome_makes_way_for_a_return(world: World) -> None:
    first, run = await _time_stands(world, *await world.save(adult_form(address()), born(40)))
    # As long as the customership lasts, nothing makes way.
    await world.workflows.make_way(first.person_id, request_id())
    again = world.save_request(first.person_id, adult_form(address()), born(40))
    with pytest.raises(Refusal, match="ALREADY_REGISTERED_IN_THIS_UNIT"):
        await world.workflows.save(again)
    await world.change(
        "registration",
        "UPDATE customers SET state = :s WHERE person_id = :p",
        s=CUSTOMER_STATE_MARKED_FOR_DELETION,
        p=first.person_id,
    )
    run = world.temporal.get_workflow_handle(run.id, run_id=(await run.describe()).run_id)
    await world.workflows.make_way(first.person_id, request_id())
    await run.result()
    registration = await world.workflows.save(again)
    assert registration.stage == STAGE_WAITING_FOR_REACTIVATION
    await world.workflows.make_way(first.person_id, request_id())
    other = world.save_request(first.person_id, adult_form(address()), born(40))
    assert await refused(world.workflows.save(other)) == REASON_BEING_REGISTERED
    assert (await world.stored(registration)).stage == STAGE_WAITING_FOR_REACTIVATION


async def test_one_who_is_erased_meanwhile_ends_without_a_fault(world: World) -> None:
    registration, run = await returning(world)
    await world.change(
        "registration",
        "UPDATE registrations SET stage = :s, form = NULL WHERE registration_id = :r",
        s=STAGE_WITHDRAWN,
        r=registration.registration_id,
    )
    assert await refused(reactivate(world, registration)) == REASON_NOT_WAITING_FOR_DECISION
    result = await run.result()
    assert result.stage == STAGE_WITHDRAWN
