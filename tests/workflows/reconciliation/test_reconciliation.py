"""Rows without a run that knows them get one again, which does the rest; runs without a row end."""

import re
import uuid
from datetime import timedelta
from email.message import EmailMessage
from typing import Any

from prometheus_client import REGISTRY
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from deploy.demo.polling import eventually
from liity.identity.v1.registrar_service_pb2 import (
    INVITATION_STATE_VOID,
    GetInvitationRequest,
    InviteRegistrarRequest,
)
from liity.identity.v1.registrar_service_pb2_grpc import RegistrarServiceStub
from liity.notification.v1.notification_service_pb2 import ReportDeliveryRequest
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.registration.v1.customer_service_pb2 import EndCustomershipRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.personal_data_service_pb2 import StoreDisclosureRequest
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub
from liity.registration.v1.registration_service_pb2 import (
    ConsentEvidence,
    CreateRegistrationRequest,
    Registration,
)
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.auth_service_pb2 import ROLE_MAIN_USER, ROLE_REGISTRAR
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    LANGUAGE_EN,
)
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE, END_REASON_OWN_WISH
from liity.v1.registration_pb2 import (
    MISSING_CODE_REASON_NOT_YET_GIVEN,
    STAGE_CREDENTIALS_SENT,
    STAGE_LAPSED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WELCOMED,
    Stage,
)
from liity.workflows.v1.reconciliation_workflow_pb2 import ReconciliationResult
from liity.workflows.v1.registration_workflow_pb2 import (
    Adopt,
    RecordConsentRequest,
    RegistrationWorkflowInput,
    VerifyIdentityRequest,
    WithdrawRequest,
)
from services.runtime.clock import now
from services.runtime.temporal.names import (
    TASK_QUEUE,
    DisclosureWorkflowNames,
    FeedbackWorkflowNames,
    MessageWorkflowNames,
    NeedWorkflowNames,
    ReconciliationWorkflowNames,
    RegistrationWorkflowNames,
    RemovalWorkflowNames,
    UnitClosingWorkflowNames,
)
from services.runtime.temporal.search_attributes import REGISTRATION, STAGE
from services.runtime.text.references import of_registration
from tests.workflows.class_lists.class_lists import Lists
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.customers.test_credentials import REGISTRARS_ADDRESS, UNDELIVERABLE
from tests.workflows.customers.test_need import temporary_form, watched
from tests.workflows.feedback import feedback
from tests.workflows.feedback.test_feedback import ANSWERED, RECEIVED
from tests.workflows.messages.messages import close, written
from tests.workflows.registration.test_decisions import CUSTOMER_SERVICE
from tests.workflows.removal.test_removal import BEGUN, CREDENTIALS, ENDED, GOES_ON, WELCOME, undo
from workflows.mail.notifier import Mailing
from workflows.privacy.reapplication import Reapplication
from workflows.reconciliation.counting import count_violations
from workflows.reconciliation.invariants import Invariants
from workflows.reconciliation.reconciler import Reconciler

CONSENT = "Pyydämme suostumustasi lapsesi asiakkuuteen kirjastossa"
ASKED = "Rekisteröinti ilman henkilötunnusta odottaa tarkistusta"
UNIT_CLOSED = "Yksikkösi on suljettu kirjaston asiakashallinnassa"
UNIT_TOOK_OVER = "Toisen yksikön asiakkaat on siirretty yksikköösi"
LOST = "Rekisteröinti on kadonnut tietokannasta"
WEEKS = timedelta(days=15)

Run = WorkflowHandle[Any, Any]


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def subjects(world: World, email: str) -> list[str]:
    return [mail["Subject"] for mail in world.mails_to(email)]


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    text: str = body.get_content()
    return text


async def reconcile(world: World) -> ReconciliationResult:
    """What the schedule does every few minutes."""
    return (await reconciled(world))[0]


async def reconciled(world: World) -> tuple[ReconciliationResult, Run]:
    """The same, and its run."""
    run: Run = await world.temporal.start_workflow(
        ReconciliationWorkflowNames.WORKFLOW,
        id=f"{ReconciliationWorkflowNames.SCHEDULE}-{uuid.uuid4()}",
        task_queue=TASK_QUEUE,
        result_type=ReconciliationResult,
    )
    await _closed(world, run)
    result: ReconciliationResult = await run.result()
    return result, run


async def mailed(world: World, email: str, *expected: str) -> None:
    """An address gets these mails in this order, and no others."""

    async def found() -> list[str]:
        return subjects(world, email)

    assert await eventually(found, lambda mails: len(mails) >= len(expected), 60) == list(expected)


async def reaches(world: World, registration: Registration, stage: Stage.ValueType) -> Registration:
    async def stored() -> Registration:
        return await world.stored(registration)

    return await eventually(stored, lambda found: found.stage == stage, 60)


async def store(world: World, request: CreateRegistrationRequest) -> Registration:
    """Stores a registration as the first step of a run does, of which no run knows."""
    for deadline in (
        request.consent_deadline,
        request.identity_check_deadline,
        request.reactivation_deadline,
    ):
        deadline.FromDatetime(now() + timedelta(days=30))
    worker = world.worker["registration"]
    stub = RegistrationServiceStub(worker.channel)
    return (await worker.call(stub.CreateRegistration, request)).registration


async def ask(world: World, form: Any, age: int) -> CreateRegistrationRequest:
    return world.save_request(await world.person(born(age)), form, born(age))


def run_of(world: World, registration: Registration) -> Run:
    return world.temporal.get_workflow_handle(RegistrationWorkflowNames.workflow_id(registration.person_id))


async def consent(world: World, registration: Registration) -> None:
    """The guardian's yes, recorded by the registrar."""
    evidence = ConsentEvidence(
        method=ConsentEvidence.METHOD_PAPER,
        guardian_name="Outi Huoltaja",
        recorded_by=world.registrar.account_id,
    )
    evidence.sign_date.year, evidence.sign_date.month, evidence.sign_date.day = 2026, 11, 1
    request = RecordConsentRequest(request_id=str(uuid.uuid4()), evidence=evidence)
    await world.workflows.record_consent(registration.person_id, request)


# Units


async def test_a_move_to_a_successor_whose_run_was_lost_goes_on(world: World) -> None:
    closed, successor = await world.unit("Vanha koulu"), await world.unit("Uusi koulu")
    old, new = await world.account(closed), await world.account(successor, ROLE_MAIN_USER)
    request = await ask(world, child_form(address()), 9)
    request.unit_id = closed
    registration = await world.workflows.save(request)
    # As after a crash between the closing and the first step of the move.
    await world.change(
        "registration",
        "UPDATE units SET closed_at = now() - interval '1 hour', successor_unit_id = :successor"
        " WHERE unit_id = :closed",
        closed=closed,
        successor=successor,
    )
    await reconcile(world)
    run: Run = world.temporal.get_workflow_handle(UnitClosingWorkflowNames.workflow_id(closed))

    async def unit_id() -> str:
        return (await world.stored(registration)).unit_id

    await eventually(unit_id, lambda found: found == successor, 60)
    await mailed(world, old.email, UNIT_CLOSED)
    await mailed(world, new.email, UNIT_TOOK_OVER)
    (told,) = world.mails_to(new.email)
    assert all(part in text_of(told) for part in ("Vanha koulu", "Uusi koulu", "Siirrettyjä henkilöitä: 1"))
    await eventually(lambda: _waits(run), bool, 60)
    await world.skip(run, timedelta(minutes=3))
    await run.result()
    # What is done gets no run again.
    first = (await run.describe()).run_id
    await reconcile(world)
    assert (await run.describe()).run_id == first
    await world.workflows.withdraw(registration.person_id, WithdrawRequest(request_id=str(uuid.uuid4())))


# Registrations


async def test_a_customer_without_a_run_gets_credentials_and_the_welcome(world: World) -> None:
    email = address()
    registration = await store(world, await ask(world, adult_form(email), 40))
    result = await reconcile(world)
    assert result.begun >= 1
    await mailed(world, email, CREDENTIALS)
    sent = await reaches(world, registration, STAGE_CREDENTIALS_SENT)
    await world.skip(run_of(world, registration), sent.deadline.ToDatetime() - now().replace(tzinfo=None))
    await mailed(world, email, CREDENTIALS, WELCOME)


async def test_a_child_without_a_run_is_asked_for_and_goes_on(world: World) -> None:
    email = address()
    registration = await store(world, await ask(world, child_form(email), 9))
    await reconcile(world)
    await mailed(world, email, CONSENT)
    assert (await world.stored(registration)).deadline == registration.deadline
    await consent(world, registration)
    await reaches(world, registration, STAGE_CREDENTIALS_SENT)


async def test_a_registration_without_a_code_waits_for_customer_service_again(world: World) -> None:
    request = await ask(world, adult_form(address()), 40)
    request.missing_code_reason = MISSING_CODE_REASON_NOT_YET_GIVEN
    registration = await store(world, request)
    await reconcile(world)
    verify = VerifyIdentityRequest(request_id=str(uuid.uuid4()))
    await world.workflows.verify_identity(registration.person_id, verify)
    await reaches(world, registration, STAGE_CREDENTIALS_SENT)
    told = [
        mail["Subject"]
        for mail in world.mails_to(CUSTOMER_SERVICE)
        if of_registration(registration.registration_id) in text_of(mail)
    ]
    assert told == [ASKED]


async def test_a_cd_borrower_without_a_run_is_told_once(world: World) -> None:
    email = address()
    form = adult_form(
        email, kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    registration = await store(world, await ask(world, form, 40))
    await reconcile(world)
    await mailed(world, email, BEGUN)
    run = run_of(world, registration)
    await run.result()
    first = await run.describe()
    await reconcile(world)
    assert (await run.describe()).run_id == first.run_id
    await mailed(world, email, BEGUN)


async def test_a_run_that_knows_nothing_goes_on_with_its_row(world: World) -> None:
    email = address()
    request = await ask(world, child_form(email), 9)
    run = await world.temporal.start_workflow(
        RegistrationWorkflowNames.WORKFLOW,
        RegistrationWorkflowInput(person_id=request.person_id),
        id=RegistrationWorkflowNames.workflow_id(request.person_id),
        task_queue=TASK_QUEUE,
    )
    registration = await store(world, request)
    await reconcile(world)
    await mailed(world, email, CONSENT)
    assert (await run.describe()).typed_search_attributes[REGISTRATION] == registration.registration_id

    # The Save is repeated: it meets the run that has its row by now.
    again = await world.workflows.save(request)
    assert again.registration_id == registration.registration_id
    await world.workflows.withdraw(registration.person_id, WithdrawRequest(request_id=str(uuid.uuid4())))
    await run.result()
    await mailed(world, email, CONSENT)


async def test_a_save_whose_row_is_there_goes_on_from_its_stage(world: World) -> None:
    email = address()
    request = await ask(world, child_form(email), 9)
    registration = await store(world, request)
    assert (await world.workflows.save(request)).registration_id == registration.registration_id
    await mailed(world, email, CONSENT)
    await consent(world, registration)
    await reaches(world, registration, STAGE_CREDENTIALS_SENT)


async def test_a_wait_that_was_ended_from_outside_goes_on(world: World) -> None:
    email = address()
    registration, run = await world.save(child_form(email), born(9))
    await mailed(world, email, CONSENT)
    await run.terminate()
    await _closed(world, run)
    await reconcile(world)
    anew = run_of(world, registration)
    assert (await anew.describe()).status == WorkflowExecutionStatus.RUNNING
    assert (await world.stored(registration)).deadline == registration.deadline
    await consent(world, registration)
    await reaches(world, registration, STAGE_CREDENTIALS_SENT)
    # The guardian was asked once; what follows are the credentials.
    assert subjects(world, email).count(CONSENT) == 1


async def test_what_breaks_an_invariant_is_counted_until_it_is_mended(world: World) -> None:
    peers = world.worker["identity"], world.worker["registration"], world.worker["notification"]
    mailing = Mailing(*peers, "customer-service@liity.example")
    reconciler = Reconciler(world.temporal, *peers[:2], mailing, timedelta(0), timedelta(days=30))
    invariants = Invariants(reconciler, Reapplication(*peers, erasure=world.erasure()), {})

    async def counted() -> float:
        await count_violations(invariants)
        labels = {"invariant": "open_row_has_run"}
        return REGISTRY.get_sample_value("liity_invariant_violations", labels) or 0

    _, run = await world.save(child_form(address()), born(9))
    await reconcile(world)
    before = await counted()
    await run.terminate()
    await _closed(world, run)
    assert await counted() == before + 1
    await reconcile(world)
    assert await counted() == before


async def test_a_round_shows_what_it_has_mended(world: World) -> None:
    await reconcile(world)
    _, run = await world.save(child_form(address()), born(9))
    lost, lost_run = await world.save(child_form(address()), born(9))
    await _shown(lost_run, "WAITING_FOR_CONSENT")
    # Other tests may have left what cannot be mended.
    before, clean = await reconciled(world)
    assert (before.begun, before.ended) == (0, 0)
    assert await _round(clean) == ("INCOMPLETE" if before.failed else "CLEAN", before)

    await run.terminate()
    await _closed(world, run)
    await world.change(
        "registration", "DELETE FROM registrations WHERE registration_id = :id", id=lost.registration_id
    )
    after, mended = await reconciled(world)
    assert (after.begun, after.ended, after.failed) == (1, 1, before.failed)
    assert await _round(mended) == ("INCOMPLETE" if after.failed else "MENDED", after)


async def _round(run: Run) -> tuple[str | None, ReconciliationResult]:
    """The stage that a round shows in lists, and the numbers in its details."""
    query = "__temporal_workflow_metadata"
    metadata: WorkflowMetadata = await run.query(query, result_type=WorkflowMetadata)
    number = r"([\d,]+)"
    shown = re.fullmatch(
        rf"\*\*Complete\*\*: {number} rows checked\.\n\nMissing runs begun: {number}\. "
        rf"Runs without a row ended: {number}\. Failed: {number}\.",
        metadata.current_details,
    )
    assert shown is not None
    rows, begun, ended, failed = (int(each.replace(",", "")) for each in shown.groups())
    stage = (await run.describe()).typed_search_attributes.get(STAGE)
    return stage, ReconciliationResult(rows=rows, begun=begun, ended=ended, failed=failed)


async def test_a_wait_for_the_welcome_that_was_terminated_goes_on(world: World) -> None:
    email = address()
    registration, run = await world.save(adult_form(email), born(40))
    sent = await reaches(world, registration, STAGE_CREDENTIALS_SENT)
    await run.terminate()
    await _closed(world, run)
    await reconcile(world)
    anew = run_of(world, registration)
    await _shown(anew, "CREDENTIALS_SENT")
    await world.skip(anew, WEEKS)
    await reaches(world, sent, STAGE_WELCOMED)
    await mailed(world, email, CREDENTIALS, WELCOME)


async def test_a_wait_that_was_terminated_lapses_when_the_row_says(world: World) -> None:
    email = address()
    registration, run = await world.save(child_form(email), born(9))
    await mailed(world, email, CONSENT)
    await run.terminate()
    await _closed(world, run)
    await reconcile(world)
    anew = run_of(world, registration)
    await _shown(anew, "WAITING_FOR_CONSENT")
    await world.skip_to_end(anew)
    await reaches(world, registration, STAGE_LAPSED)
    assert len(subjects(world, email)) == 4


async def test_a_row_that_a_run_knows_is_left_alone(world: World) -> None:
    email = address()
    registration, run = await world.save(child_form(email), born(9))
    await mailed(world, email, CONSENT)
    # Nothing is to come of it until the first reminder.
    await eventually(lambda: _waits(run), bool, 60)
    before = (await run.describe()).history_length
    await reconcile(world)
    assert (await run.describe()).history_length == before
    # Whoever sends the signal by hand changes nothing either.
    await run.signal(RegistrationWorkflowNames.ADOPT, Adopt())
    await run.signal(RegistrationWorkflowNames.ADOPT, Adopt(registration_id="x", request_id="y"))
    assert (await world.stored(registration)).stage == STAGE_WAITING_FOR_CONSENT
    await world.workflows.withdraw(registration.person_id, WithdrawRequest(request_id=str(uuid.uuid4())))


async def test_a_run_whose_registration_is_lost_ends_and_customer_service_is_told(world: World) -> None:
    registration, run = await world.save(child_form(address()), born(9))
    await _shown(run, "WAITING_FOR_CONSENT")
    # As after a backup of registration's database was restored.
    await world.change(
        "registration",
        "DELETE FROM registrations WHERE registration_id = :id",
        id=registration.registration_id,
    )
    result = await reconcile(world)
    assert result.ended >= 1
    assert (await run.describe()).status == WorkflowExecutionStatus.TERMINATED
    (told,) = (
        mail
        for mail in world.mails_to(CUSTOMER_SERVICE)
        if mail["Subject"] == LOST and of_registration(registration.registration_id) in text_of(mail)
    )
    assert "Esimerkkilän kirjasto" in text_of(told)
    assert world.registrar.display_name in text_of(told)


# Other rows


async def test_a_customer_who_is_marked_without_a_run_is_kept_and_can_come_back(world: World) -> None:
    email = address()
    registration, _ = await world.save(adult_form(email), born(40))
    await reaches(world, registration, STAGE_CREDENTIALS_SENT)
    customer = await world.customer(registration)
    worker = world.worker["registration"]
    request = EndCustomershipRequest(
        request_id=str(uuid.uuid4()),
        customer_id=customer.customer_id,
        unit_id=customer.unit_id,
        reason=END_REASON_OWN_WISH,
    )
    await worker.call(CustomerServiceStub(worker.channel).EndCustomership, request)
    await reconcile(world)
    await mailed(world, email, CREDENTIALS, ENDED)
    run = world.temporal.get_workflow_handle(RemovalWorkflowNames.workflow_id(customer.customer_id))
    assert (await run.describe()).typed_search_attributes[STAGE] == "MARKED_FOR_DELETION"
    await run.terminate()
    await _closed(world, run)
    await reconcile(world)
    await undo(world, customer)
    assert (await world.customer(registration)).state == CUSTOMER_STATE_ACTIVE
    await eventually(lambda: _subjects(world, email), lambda found: GOES_ON in found, 60)
    assert subjects(world, email).count(ENDED) == 1


async def test_a_temporary_need_without_a_run_is_watched_again(world: World) -> None:
    registration, _ = await world.save(temporary_form(address(), 100), born(40))
    customer, run = await watched(world, registration)
    await run.terminate()
    await _closed(world, run)
    await reconcile(world)
    anew = world.temporal.get_workflow_handle(NeedWorkflowNames.workflow_id(customer.customer_id))
    await _shown(anew, "WAITING_FOR_EXPECTED_END")


async def test_a_message_without_a_run_is_told_and_its_answer_too(world: World) -> None:
    message = await written(world)
    await reconcile(world)
    told = await eventually(
        lambda: _texts(world, CUSTOMER_SERVICE, message.reference), lambda found: len(found) == 1, 60
    )
    assert len(told) == 1
    await close(world, message)
    run = world.temporal.get_workflow_handle(MessageWorkflowNames.workflow_id(message.message_id))
    assert (await run.describe()).status == WorkflowExecutionStatus.RUNNING
    await run.terminate()


async def test_feedback_without_a_run_gets_one_which_tells_and_mails_the_answer(world: World) -> None:
    email = address()
    given = await feedback.written(world, email)
    run: Run = world.temporal.get_workflow_handle(FeedbackWorkflowNames.workflow_id(given.feedback_id))
    result, _ = await reconciled(world)
    assert result.begun >= 1
    told = await eventually(
        lambda: _texts(world, CUSTOMER_SERVICE, given.reference), lambda found: len(found) == 1, 60
    )
    assert len(told) == 1
    await run.terminate()
    await _closed(world, run)
    await feedback.answer(world, given)
    # What is answered needs no run: the answer is the call's that gave it, which is repeated.
    await feedback.look(world, given)
    await run.result()
    await mailed(world, email, RECEIVED, ANSWERED)


async def test_a_class_list_without_a_run_is_registered(world: World) -> None:
    lists = Lists(world)
    of = await lists.store(await lists.adults(2))
    await reconcile(world)
    await lists.handle(of).result()
    assert (await lists.get(of)).counts.registered == 2


async def test_an_export_without_a_run_is_erased_in_time(world: World) -> None:
    registration, _ = await world.save(adult_form(address()), born(40))
    gateway = world.gateway["registration"]
    stub = PersonalDataServiceStub(gateway.channel)
    request = StoreDisclosureRequest(disclosure_id=uuid.uuid4().hex, person_id=registration.person_id)
    request.expire_time.FromDatetime(now() + timedelta(days=7))
    await gateway.call(stub.StoreDisclosure, request)
    await reconcile(world)
    run = world.temporal.get_workflow_handle(DisclosureWorkflowNames.workflow_id(request.disclosure_id))
    await world.skip(run, timedelta(days=8))
    await run.result()
    assert not await world.rows(
        "registration", "SELECT 1 FROM disclosures WHERE disclosure_id = :id", id=request.disclosure_id
    )


async def test_an_invitation_without_a_run_is_mailed(world: World) -> None:
    email = f"{uuid.uuid4().hex}@kirjasto.example"
    worker = world.worker["identity"]
    request = InviteRegistrarRequest(
        request_id=str(uuid.uuid4()),
        unit_id=world.unit_id,
        email=email,
        role=ROLE_REGISTRAR,
        language=LANGUAGE_EN,
        inviter_account_id=world.registrar.account_id,
    )
    await worker.call(RegistrarServiceStub(worker.channel).InviteRegistrar, request)
    await reconcile(world)
    await mailed(world, email, "An invitation to the library's customer management")


async def test_mail_that_comes_back_is_told_once_and_marks_all_who_have_the_address(world: World) -> None:
    guardian = address()
    asked, _ = await world.save(child_form(guardian), born(9))
    sibling, _ = await world.save(child_form(guardian), born(11))
    (mail, other) = await eventually(lambda: _mails(world, guardian), lambda found: len(found) == 2, 60)
    # Requests about siblings can be told apart before they are opened.
    assert len({mail["Subject"], other["Subject"]}) == 2
    assert any(subject.endswith("(2/2)") for subject in subjects(world, guardian))
    for status, told in (("4.4.7", 0), ("5.7.1", 0)):
        # Neither a delay nor a refusal that speaks of us is held against the address.
        await _report(world, other["Message-ID"], status)
        await reconcile(world)
        assert await _told(world) == told
    for _ in range(2):
        await _report(world, mail["Message-ID"], "5.1.1")
        await reconcile(world)
    assert await _told(world) == 1
    rows = await world.rows(
        "registration",
        "SELECT undeliverable_since FROM registrations WHERE registration_id IN (:one, :other)",
        one=asked.registration_id,
        other=sibling.registration_id,
    )
    assert [row["undeliverable_since"] is not None for row in rows] == [True, True]


async def test_an_invitation_that_comes_back_is_void_and_its_inviter_told(world: World) -> None:
    email = f"{uuid.uuid4().hex}@kirjasto.example"
    worker = world.worker["identity"]
    request = InviteRegistrarRequest(
        request_id=str(uuid.uuid4()),
        unit_id=world.unit_id,
        email=email,
        role=ROLE_REGISTRAR,
        language=LANGUAGE_EN,
        inviter_account_id=world.registrar.account_id,
    )
    stub = RegistrarServiceStub(worker.channel)
    invitation = (await worker.call(stub.InviteRegistrar, request)).invitation
    await reconcile(world)
    (mail,) = await eventually(lambda: _mails(world, email), lambda found: len(found) == 1, 60)
    await _report(world, mail["Message-ID"], "5.1.1")
    await reconcile(world)
    get = GetInvitationRequest(invitation_id=invitation.invitation_id)
    assert (await worker.call(stub.GetInvitation, get)).invitation.state == INVITATION_STATE_VOID


async def test_mail_that_came_back_because_of_us_is_sent_again_by_itself(world: World) -> None:
    adult, guardian = address(), address()
    customer, _ = await world.save(adult_form(adult), born(40))
    child, run = await world.save(child_form(guardian), born(9))
    await mailed(world, adult, CREDENTIALS)
    await mailed(world, guardian, CONSENT)
    told = await _told(world)
    for email in (adult, guardian):
        (mail,) = world.mails_to(email)
        await _report(world, mail["Message-ID"], "5.7.1")
    await reconcile(world)
    # Its time has not come.
    assert [len(world.mails_to(email)) for email in (adult, guardian)] == [1, 1]
    await world.change("notification", "UPDATE messages SET again_time = now() WHERE again_time IS NOT NULL")
    for _ in range(2):
        await reconcile(world)
    await mailed(world, adult, CREDENTIALS, CREDENTIALS)
    await mailed(world, guardian, CONSENT, CONSENT)
    for email, path in ((adult, "password"), (guardian, "consent")):
        links = [re.findall(rf"/{path}/([\w.~-]+)", text_of(mail))[0] for mail in world.mails_to(email)]
        assert len(set(links)) == 1
    assert await _told(world) == told
    assert (await world.stored(customer)).stage == STAGE_CREDENTIALS_SENT
    await world.workflows.withdraw(child.person_id, WithdrawRequest(request_id=str(uuid.uuid4())))
    await run.result()


async def _mails(world: World, email: str) -> list[EmailMessage]:
    return world.mails_to(email)


async def _report(world: World, message_id: str, status: str) -> None:
    gateway = world.gateway["notification"]
    report = ReportDeliveryRequest(message_id=message_id, status=status)
    await gateway.call(NotificationServiceStub(gateway.channel).ReportDelivery, report)


async def _told(world: World) -> int:
    """How often the registrar heard of an address that takes no mail."""
    return subjects(world, REGISTRARS_ADDRESS).count(UNDELIVERABLE)


async def _subjects(world: World, email: str) -> list[str]:
    return subjects(world, email)


async def _texts(world: World, email: str, word: str) -> list[str]:
    return [text for text in map(text_of, world.mails_to(email)) if word in text]


async def _closed(world: World, run: Run) -> None:
    """A run is closed, and listed so: the list lags behind."""

    async def listed_open() -> int:
        query = f"WorkflowId = '{run.id}' AND ExecutionStatus = 'Running'"
        status = (await run.describe()).status
        count = (await world.temporal.count_workflows(query)).count
        return count + (status == WorkflowExecutionStatus.RUNNING)

    await eventually(listed_open, lambda found: not found, 60)


async def _waits(run: Run) -> bool:
    """Whether a run's mail has gone out and its next timer runs."""
    events = [event async for event in run.fetch_history_events()]
    mailed = [event.HasField("activity_task_completed_event_attributes") for event in events]
    timer = [event.HasField("timer_started_event_attributes") for event in events]
    return any(mailed) and any(timer[mailed.index(True) :])


async def _shown(run: Run, stage: str) -> None:
    async def shown() -> str | None:
        return (await run.describe()).typed_search_attributes.get(STAGE)

    await eventually(shown, lambda found: found == stage, 60)
