"""A customership ends: it is kept, may be undone, and is erased on its day, years later (R19, R20)."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from deploy.demo.polling import eventually
from liity.registration.v1.customer_service_pb2 import (
    Customer,
    EndCustomershipRequest,
    GetCustomerRequest,
    ReportLoanRequest,
)
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, ACTOR_KIND_LINK, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_REGISTRAR, Role
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    CustomerForm,
)
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    CUSTOMER_STATE_MARKED_FOR_DELETION,
    END_REASON_CONSENT_WITHDRAWN,
    END_REASON_DECEASED,
    END_REASON_OWN_WISH,
    EndReason,
)
from liity.v1.reason_pb2 import (
    REASON_CUSTOMER_HAS_ENDED,
    REASON_CUSTOMER_NOT_ENDED,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_REGISTRATION_UNDECIDED,
)
from liity.v1.registration_pb2 import (
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WELCOMED,
)
from liity.workflows.v1.registration_workflow_pb2 import RecordConsentRequest, RejectRequest
from liity.workflows.v1.removal_workflow_pb2 import RemovalWorkflowInput, RemovedCustomer
from services.runtime.clock import helsinki_day
from services.runtime.rpc.context import set_current_actor
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import TASK_QUEUE, RemovalWorkflowNames
from services.runtime.temporal.search_attributes import DEADLINE, STAGE
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, adult_form, born, child_form
from tests.workflows.removal.test_erasure import traces
from workflows.removal.retention import Retention

ENDED = "Asiakkuus kirjastossa on päättynyt"
LOGIN_IS_OVER = "Kirjaston tunnuksesi ja salasanasi eivät enää toimi."
BEGUN = "Olet nyt kirjaston asiakas"
ENDED_NOTICE = "Asiakkuus on päättynyt"
GOES_ON = "Asiakkuutesi kirjastossa jatkuu"
UNDONE = "Päättynyt asiakkuus on palautettu"
CREDENTIALS = "Tunnukset kirjaston palveluun"
WELCOME = "Tervetuloa kirjastoon, tässä muutama kirjavinkki"
GOOD_LINKS = """
    SELECT count(*) FILTER (WHERE voided_at IS NULL) AS number FROM links
    WHERE subject = :s AND expires_at > now()
"""
DAY = timedelta(days=1)

Run = WorkflowHandle[Any, Any]


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def subjects(world: World, email: str) -> list[str]:
    return [mail["Subject"] for mail in world.mails_to(email)]


def last(world: World, email: str, subject: str) -> EmailMessage:
    return [mail for mail in world.mails_to(email) if mail["Subject"] == subject][-1]


def words(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return " ".join(body.get_content().split())


async def customer_of(world: World, form: CustomerForm) -> tuple[Registration, Customer, Run]:
    registration, run = await world.save(form, born(40))
    return registration, await world.customer(registration), run


async def end(
    world: World,
    customer: Customer,
    reason: EndReason.ValueType = END_REASON_OWN_WISH,
    request_id: str = "",
) -> RemovedCustomer:
    request = EndCustomershipRequest(
        request_id=request_id or str(uuid.uuid4()),
        customer_id=customer.customer_id,
        unit_id=customer.unit_id,
        reason=reason,
    )
    return await world.removals.end(request)


async def undo(world: World, customer: Customer, request_id: str = "") -> None:
    await world.removals.undo(customer.customer_id, customer.unit_id, request_id or str(uuid.uuid4()))


def removal(world: World, customer: Customer) -> Run:
    """The newest run of a customer's removal."""
    return world.temporal.get_workflow_handle(RemovalWorkflowNames.workflow_id(customer.customer_id))


async def stored(world: World, customer: Customer) -> Customer:
    stub = CustomerServiceStub(world.gateway["registration"].channel)
    request = GetCustomerRequest(customer_id=customer.customer_id)
    return (await world.gateway["registration"].call(stub.GetCustomer, request)).customer


async def mailed(world: World, email: str, subject: str, number: int = 1) -> None:
    """Waits until so many mails with a subject have come."""

    async def count() -> int:
        return subjects(world, email).count(subject)

    await eventually(count, lambda found: found >= number, 60)
    assert subjects(world, email).count(subject) == number


async def at_rest(world: World, customer: Customer) -> None:
    """Waits until a removal has told everybody, and waits for its day."""

    async def pending() -> int:
        description = await removal(world, customer).describe()
        return len(description.raw_description.pending_activities)

    await eventually(pending, lambda number: number == 0, 60)


async def due_already(world: World, customer: Customer, kept: RemovedCustomer) -> Run:
    """The removal of somebody as it were if the customership had ended three years earlier."""
    kept.erase_time.CopyFrom(kept.end_time)
    return await begun_earlier(world, customer, kept, years=3)


async def begun_earlier(world: World, customer: Customer, kept: RemovedCustomer, *, years: int) -> Run:
    """The removal as it were if the customership had ended years earlier, to be erased as `kept` says."""
    await at_rest(world, customer)
    await removal(world, customer).terminate()
    earlier = "UPDATE customers SET ended_at = ended_at - make_interval(days => :d) WHERE customer_id = :c"
    await world.change("registration", earlier, c=customer.customer_id, d=365 * years)
    return await world.temporal.start_workflow(
        RemovalWorkflowNames.WORKFLOW,
        RemovalWorkflowInput(customer_id=customer.customer_id, kept=kept),
        id=RemovalWorkflowNames.workflow_id(customer.customer_id),
        task_queue=TASK_QUEUE,
    )


async def to_its_end(world: World, customer: Customer) -> tuple[int, datetime]:
    """Lets time pass until a removal ends; gives in how many runs, and when."""
    runs: set[str | None] = set()
    while True:
        description = await removal(world, customer).describe()
        run = world.temporal.get_workflow_handle(description.id, run_id=description.run_id)
        runs.add(description.run_id)
        assert len(runs) < 10
        if description.status != WorkflowExecutionStatus.RUNNING:
            last = (await run.fetch_history()).events[-1]
            return len(runs), last.event_time.ToDatetime(UTC)
        await world.skip_to_end(run)


def erase_time(kept: RemovedCustomer, years: int) -> datetime:
    return Retention(1, 31, years, years).erase_time(kept.end_time.ToDatetime(UTC), lent=False)


async def test_the_end_is_told_and_nothing_more_is_sent(world: World) -> None:
    email = address()
    registration, customer, run = await customer_of(world, adult_form(email))
    kept = await end(world, customer)
    assert kept.erase_time.ToDatetime(UTC) == erase_time(kept, 2)
    assert (await stored(world, customer)).state == CUSTOMER_STATE_MARKED_FOR_DELETION
    # The registration ends at once: nobody is welcomed.
    await run.result()
    await mailed(world, email, ENDED)
    assert WELCOME not in subjects(world, email)
    # The last day of the keeping, to its end (R44): no hour, and the same day for whoever looks.
    day = helsinki_day(kept.erase_time.ToDatetime(UTC)) - DAY
    told = words(world.mails_to(email)[-1])
    assert f"säilytetään {day.day}. tammikuuta {day.year} saakka" in told
    history = await removal(world, customer).fetch_history()
    timers = [event.user_metadata.summary.data.decode() for event in history.events]
    assert f'"Erasure, data is kept until {day}"' in timers
    description = await removal(world, customer).describe()
    assert description.typed_search_attributes[STAGE] == "MARKED_FOR_DELETION"
    assert description.typed_search_attributes[DEADLINE] == kept.erase_time.ToDatetime(UTC)
    [credentials] = await world.rows(
        "identity",
        "SELECT count(*) FILTER (WHERE voided_at IS NULL) AS good FROM links WHERE subject = :p",
        p=registration.person_id,
    )
    assert credentials["good"] == 0


async def test_a_guardian_is_told_too_and_nobody_of_the_dead(world: World) -> None:
    guardian, own, of_the_dead = address(), address(), address()
    form = child_form(guardian)
    form.email = own
    registration, _ = await world.save(form, born(16))
    await end(world, await world.customer(registration))
    for email in (guardian, own):
        await mailed(world, email, ENDED)
        assert LOGIN_IS_OVER in words(last(world, email, ENDED))
    _, customer, run = await customer_of(world, adult_form(of_the_dead))
    await end(world, customer, END_REASON_DECEASED)
    await run.result()
    await at_rest(world, customer)
    assert ENDED not in subjects(world, of_the_dead)


async def test_on_the_day_years_later_nothing_is_left(world: World) -> None:
    registration, customer, run = await customer_of(world, adult_form(address()))
    kept = await end(world, customer)
    await run.result()
    await at_rest(world, customer)
    assert await traces(world, registration.person_id, registration.registration_id)
    # Half of it has passed: in its third run the test server's clock skips more than it should.
    kept.end_time.FromDatetime(kept.end_time.ToDatetime(UTC) - timedelta(days=365))
    due = erase_time(kept, 2)
    kept.erase_time.FromDatetime(due)
    await begun_earlier(world, customer, kept, years=1)
    # A year and some weeks: no run lasts longer than a year.
    runs, ended = await to_its_end(world, customer)
    assert runs == 2
    assert due <= ended < due + DAY
    assert await traces(world, registration.person_id, registration.registration_id) == []
    description = await removal(world, customer).describe()
    assert description.status == WorkflowExecutionStatus.COMPLETED
    assert description.typed_search_attributes[STAGE] == "ERASED"
    with pytest.raises(Refusal) as refusal:
        await undo(world, customer)
    assert refusal.value.reason == REASON_CUSTOMER_NOT_FOUND


async def test_a_cd_borrower_is_kept_for_five_years(world: World) -> None:
    form = adult_form(
        address(), kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    registration, customer, _ = await customer_of(world, form)
    kept = await end(world, customer)
    assert kept.erase_time.ToDatetime(UTC) == erase_time(kept, 5)
    await at_rest(world, customer)
    runs, ended = await to_its_end(world, customer)
    assert runs > 1
    # After some runs the test server's clock skips more than it should.
    assert ended >= kept.erase_time.ToDatetime(UTC)
    assert await traces(world, registration.person_id, registration.registration_id) == []


async def test_a_loan_that_is_reported_later_moves_the_day(world: World) -> None:
    registration, customer, _ = await customer_of(world, adult_form(address()))
    kept = await end(world, customer)
    await at_rest(world, customer)
    stub = CustomerServiceStub(world.worker["registration"].channel)
    loan = ReportLoanRequest(customer_id=customer.customer_id)
    await world.worker["registration"].call(stub.ReportLoan, loan)
    later = erase_time(kept, 5)
    _, ended = await to_its_end(world, customer)
    assert ended >= later
    assert await traces(world, registration.person_id, registration.registration_id) == []


async def test_of_two_who_end_it_at_once_one_is_told_so(world: World) -> None:
    email = address()
    _, customer, run = await customer_of(world, adult_form(email))
    answers = await asyncio.gather(end(world, customer), end(world, customer), return_exceptions=True)
    [refused] = [answer for answer in answers if isinstance(answer, Refusal)]
    assert refused.reason == REASON_CUSTOMER_HAS_ENDED
    await run.result()
    await mailed(world, email, ENDED)


async def test_a_repeated_end_answers_the_same(world: World) -> None:
    email = address()
    _, customer, run = await customer_of(world, adult_form(email))
    request_id = str(uuid.uuid4())
    first = await end(world, customer, request_id=request_id)
    assert await end(world, customer, request_id=request_id.upper()) == first
    await run.result()
    await mailed(world, email, ENDED)


async def test_an_undo_brings_credentials_and_tells_the_registrar(world: World) -> None:
    email = address()
    _, customer, run = await customer_of(world, adult_form(email))
    await end(world, customer)
    await run.result()
    told = subjects(world, REGISTRARS_ADDRESS).count(UNDONE)
    request_id = str(uuid.uuid4())
    await undo(world, customer, request_id)
    returned = await stored(world, customer)
    assert returned.state == CUSTOMER_STATE_ACTIVE
    await removal(world, customer).result()
    await undo(world, customer, request_id)
    await removal(world, customer).result()
    assert sorted(subjects(world, email)) == sorted([CREDENTIALS, ENDED, CREDENTIALS, GOES_ON])
    assert subjects(world, REGISTRARS_ADDRESS).count(UNDONE) == told + 1
    with pytest.raises(Refusal) as refusal:
        await undo(world, customer)
    assert refusal.value.reason == REASON_CUSTOMER_NOT_ENDED


async def test_after_an_undo_the_credentials_go_where_the_form_says(world: World) -> None:
    guardian, own = address(), address()
    form = child_form(guardian)
    form.email = own
    registration, _ = await world.save(form, born(16))
    customer = await world.customer(registration)
    await end(world, customer)
    await mailed(world, own, ENDED)
    before = subjects(world, guardian).count(CREDENTIALS)
    await undo(world, customer)
    await removal(world, customer).result()
    assert subjects(world, guardian).count(CREDENTIALS) == before + 1
    assert CREDENTIALS not in subjects(world, own)


async def test_after_an_undo_the_welcome_follows_on_its_day(world: World) -> None:
    email = address()
    registration, customer, run = await customer_of(world, adult_form(email))
    await world.skip(run, 3 * DAY)
    before = await world.stored(registration)
    await end(world, customer)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
    await undo(world, customer)
    await removal(world, customer).result()
    again = world.temporal.get_workflow_handle(run.id)
    await world.skip(again, 3 * DAY)
    resumed = await world.stored(registration)
    assert (resumed.stage, resumed.deadline) == (STAGE_CREDENTIALS_SENT, before.deadline)
    assert WELCOME not in subjects(world, email)
    await world.skip_to_end(again)
    await again.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
    assert subjects(world, email).count(WELCOME) == 1
    assert subjects(world, email).count(CREDENTIALS) == 2
    # The link to end it by is not the one that the end has made void (R21).
    [good] = await world.rows("identity", GOOD_LINKS, s=registration.registration_id)
    assert good["number"] == 2


async def test_an_undo_at_once_loses_no_welcome(world: World) -> None:
    email = address()
    _, customer, run = await customer_of(world, adult_form(email))
    for _ in range(2):
        await end(world, customer)
        await undo(world, customer)
    await removal(world, customer).result()
    again = world.temporal.get_workflow_handle(run.id)
    await world.skip_to_end(again)
    await again.result()
    assert subjects(world, email).count(WELCOME) == 1


async def test_who_was_welcomed_is_not_welcomed_again(world: World) -> None:
    email = address()
    _, customer, run = await customer_of(world, adult_form(email))
    await world.skip_to_end(run)
    await run.result()
    await end(world, customer)
    await undo(world, customer)
    await removal(world, customer).result()
    again = world.temporal.get_workflow_handle(run.id)
    assert (await again.describe()).run_id == (await run.describe()).run_id
    assert subjects(world, email).count(WELCOME) == 1
    assert subjects(world, email).count(GOES_ON) == 1


@pytest.mark.parametrize("temporary", [True, False], ids=["temporary", "for good"])
async def test_who_needs_the_library_for_a_time_is_told_of_longer(world: World, temporary: bool) -> None:
    email, cd_email = address(), address()
    _, customer, run = await customer_of(world, adult_form(email, temporary=temporary))
    borrowing = adult_form(
        cd_email,
        kind=CUSTOMER_KIND_CD_BORROWER,
        credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED,
        temporary=temporary,
    )
    _, borrowing_run = await world.save(borrowing, born(40))
    await borrowing_run.result()
    await world.skip_to_end(run)
    await run.result()
    await end(world, customer)
    await undo(world, customer)
    await removal(world, customer).result()
    for mail in (last(world, email, WELCOME), last(world, email, GOES_ON), last(world, cd_email, BEGUN)):
        assert ("Koska tarpeesi on tilapäinen" in words(mail)) is temporary


async def test_a_cd_borrower_and_the_contact_person_are_told_that_it_goes_on(world: World) -> None:
    own, other = address(), address()
    form = child_form(
        other, kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    form.email = own
    registration, run = await world.save(form, born(16))
    await run.result()
    customer = await world.customer(registration)
    await end(world, customer)
    await undo(world, customer)
    await removal(world, customer).result()
    assert sorted(subjects(world, own)) == sorted([BEGUN, ENDED, GOES_ON])
    # They never had a password.
    for email in (own, other):
        assert LOGIN_IS_OVER not in words(last(world, email, ENDED))
    assert sorted(subjects(world, other)) == sorted([ENDED, GOES_ON])
    assert (await world.stored(registration)).stage == STAGE_ACTIVE
    with_a_link = [mail["Subject"] for mail in world.mails_to(own) if "/customership/" in words(mail)]
    assert sorted(with_a_link) == sorted([BEGUN, GOES_ON])
    assert not any("/customership/" in words(mail) for mail in world.mails_to(other))


@pytest.mark.parametrize(
    ("role", "told"), [(ROLE_REGISTRAR, 0), (ROLE_CUSTOMER_SERVICE, 1)], ids=["registrar", "customer service"]
)
async def test_of_an_end_that_others_decide_the_registrar_is_told(
    world: World, role: Role.ValueType, told: int
) -> None:
    _, customer, _ = await customer_of(world, adult_form(address()))
    before = subjects(world, REGISTRARS_ADDRESS).count(ENDED_NOTICE)
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="a2", role=role))
    await end(world, customer)
    await at_rest(world, customer)
    assert subjects(world, REGISTRARS_ADDRESS).count(ENDED_NOTICE) == before + told
    if told:
        assert "Sen päätti asiakaspalvelumme." in words(last(world, REGISTRARS_ADDRESS, ENDED_NOTICE))


async def test_of_an_end_by_the_own_link_the_registrar_is_told(world: World) -> None:
    _, customer, _ = await customer_of(world, adult_form(address()))
    before = subjects(world, REGISTRARS_ADDRESS).count(ENDED_NOTICE)
    request = EndCustomershipRequest(
        request_id=str(uuid.uuid4()),
        customer_id=customer.customer_id,
        unit_id=customer.unit_id,
        reason=END_REASON_OWN_WISH,
    )
    set_current_actor(Actor(kind=ACTOR_KIND_LINK))
    await world.removals.end(request, link_id="nolink")
    await at_rest(world, customer)
    assert subjects(world, REGISTRARS_ADDRESS).count(ENDED_NOTICE) == before + 1
    told = words(last(world, REGISTRARS_ADDRESS, ENDED_NOTICE))
    assert "asiakas tai hänen puolestaan toimiva asiakkaan omalla linkillä" in told
    assert "päätti asiakaspalvelumme" not in told


async def test_nobody_is_undone_beside_a_registration_that_waits(world: World) -> None:
    _, customer, run = await customer_of(world, adult_form(address()))
    await end(world, customer)
    await run.result()
    request = world.save_request(customer.person_id, adult_form(address()), born(40))
    waiting = await world.workflows.save(request)
    await removal(world, customer).signal("undo", {})
    with pytest.raises(Refusal) as refusal:
        await undo(world, customer)
    assert refusal.value.reason == REASON_REGISTRATION_UNDECIDED
    # The signal was heard before.
    assert (await stored(world, customer)).state == CUSTOMER_STATE_MARKED_FOR_DELETION
    reject = RejectRequest(request_id=str(uuid.uuid4()))
    await world.workflows.reject(waiting.person_id, reject)
    await undo(world, customer)
    assert (await stored(world, customer)).state == CUSTOMER_STATE_ACTIVE


async def test_an_undo_after_a_year_meets_the_new_run(world: World) -> None:
    _, customer, _ = await customer_of(world, adult_form(address()))
    await end(world, customer)
    await at_rest(world, customer)
    first = await removal(world, customer).describe()
    handle = world.temporal.get_workflow_handle(first.id, run_id=first.run_id)
    await world.skip_to_end(handle)
    second = await removal(world, customer).describe()
    assert second.run_id != first.run_id
    await undo(world, customer)
    assert (await stored(world, customer)).state == CUSTOMER_STATE_ACTIVE
    await removal(world, customer).result()


async def test_it_may_end_and_be_undone_again(world: World) -> None:
    email = address()
    _, customer, _ = await customer_of(world, adult_form(email))
    for number in (1, 2):
        await end(world, customer)
        await mailed(world, email, ENDED, number)
        await undo(world, customer)
    await removal(world, customer).result()
    assert (await stored(world, customer)).state == CUSTOMER_STATE_ACTIVE


async def test_operators_undo_by_a_signal(world: World) -> None:
    _, customer, _ = await customer_of(world, adult_form(address()))
    await end(world, customer)
    await removal(world, customer).signal("undo", {})
    await removal(world, customer).result()
    assert (await stored(world, customer)).state == CUSTOMER_STATE_ACTIVE


async def test_a_return_by_a_new_registration_ends_the_removal(world: World) -> None:
    email = address()
    _, customer, _ = await customer_of(world, adult_form(email))
    await end(world, customer)
    await mailed(world, email, ENDED)
    await world.change(
        "registration",
        "UPDATE customers SET state = :s WHERE customer_id = :c",
        s=CUSTOMER_STATE_ACTIVE,
        c=customer.customer_id,
    )
    await removal(world, customer).signal(RemovalWorkflowNames.RETURNED, {})
    await removal(world, customer).result()
    description = await removal(world, customer).describe()
    assert description.typed_search_attributes[STAGE] == "RETURNED"


async def test_a_registration_that_waits_puts_the_erasure_off(world: World) -> None:
    registration, customer, _ = await customer_of(world, adult_form(address()))
    kept = await end(world, customer)
    waiting, consent = await world.save(child_form(address()), born(9))
    move = text("UPDATE registrations SET person_id = :p, stage = :s WHERE registration_id = :r")
    changes = {
        "p": registration.person_id,
        "s": STAGE_WAITING_FOR_REACTIVATION,
        "r": waiting.registration_id,
    }
    async with world.engines["registration"].begin() as connection:
        await connection.execute(move, changes)
    run = await due_already(world, customer, kept)
    # It looks again every day.
    await world.skip(run, 3 * DAY)
    description = await run.describe()
    assert description.status == WorkflowExecutionStatus.RUNNING
    assert (await stored(world, customer)).customer_id == customer.customer_id
    async with world.engines["registration"].begin() as connection:
        delete = text("DELETE FROM registrations WHERE registration_id = :r")
        await connection.execute(delete, {"r": waiting.registration_id})
    await world.skip_to_end(run)
    assert await traces(world, registration.person_id, registration.registration_id) == []
    await consent.terminate()


async def test_no_mail_server_keeps_a_removal_in_its_run(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # While a mail is tried, no time is skipped.
    monkeypatch.setattr("workflows.removal.workflow._ONE_RUN", timedelta(seconds=3))
    email = address()
    _, customer, _ = await customer_of(world, adult_form(email))
    world.smtp.full.add(email)
    await end(world, customer)
    first = await removal(world, customer).describe()

    async def newest() -> str | None:
        return (await removal(world, customer).describe()).run_id

    await eventually(newest, lambda run_id: run_id != first.run_id, 30)
    assert ENDED not in subjects(world, email)
    await removal(world, customer).terminate()


async def test_nobody_waits_for_a_mail_server(world: World) -> None:
    email = address()
    _, customer, _ = await customer_of(world, adult_form(email))
    world.smtp.on_mail += ["451 4.3.0 Try again later"] * 4
    await end(world, customer)
    await undo(world, customer)
    assert (await stored(world, customer)).state == CUSTOMER_STATE_ACTIVE
    await removal(world, customer).result()
    assert ENDED in subjects(world, email)


async def test_a_guardian_who_withdraws_the_consent_gets_a_receipt_and_the_registrar_is_told(
    world: World,
) -> None:
    guardian, child = address(), address()
    form = child_form(guardian)
    form.email = child
    saved, _ = await world.save(form, born(9))
    consent = RecordConsentRequest(
        request_id=str(uuid.uuid4()),
        evidence=ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja"),
    )
    registration = await world.workflows.record_consent(saved.person_id, consent)
    withdraw = EndCustomershipRequest(
        request_id=str(uuid.uuid4()),
        customer_id=registration.customer_id,
        unit_id=registration.unit_id,
        reason=END_REASON_CONSENT_WITHDRAWN,
        withdrawn_registration_id=saved.registration_id,
    )
    before = len(world.mails_to(REGISTRARS_ADDRESS))
    await world.removals.end(withdraw)

    async def told() -> tuple[bool, bool, bool]:
        registrars = [mail["Subject"] for mail in world.mails_to(REGISTRARS_ADDRESS)[before:]]
        return (
            "Olet perunut suostumuksesi" in subjects(world, guardian),
            ENDED in subjects(world, child),
            "Huoltaja on perunut suostumuksensa" in registrars,
        )

    await eventually(told, all, 60)
    # Nobody is told twice that it has ended.
    assert ENDED not in subjects(world, guardian)
    assert subjects(world, child).count(ENDED) == 1
    # The child's password is void, too.
    assert LOGIN_IS_OVER in words(last(world, child, ENDED))
