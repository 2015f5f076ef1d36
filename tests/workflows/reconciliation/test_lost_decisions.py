"""A decision is stored, but Temporal loses the update before the run knows of it: the run takes it later."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from email.message import EmailMessage

import pytest
from temporalio.client import WorkflowExecutionStatus

from deploy.demo.polling import eventually
from liity.registration.v1.registration_service_pb2 import (
    ActivateRegistrationRequest,
    ApproveRegistrationRequest,
    ConsentEvidence,
    EndRegistrationRequest,
    LinkRegistrationRequest,
    RecordDeclineRequest,
    Registrar,
    Registration,
    TakeBackDeclineRequest,
)
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.customer_form_pb2 import LANGUAGE_FI
from liity.v1.registration_pb2 import (
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LINKED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WITHDRAWN,
    Stage,
)
from liity.workflows.v1.registration_workflow_pb2 import DeclineConsentRequest, WithdrawRequest
from services.runtime.clock import now
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.reconciliation.test_reconciliation import (
    CONSENT,
    address,
    consent,
    mailed,
    reaches,
    reconcile,
    subjects,
)
from tests.workflows.registration.test_decisions import (
    CHECKED,
    MOVED,
    NOT_CHECKED,
    NOT_REACTIVATED,
    NOTE,
    REACTIVATED,
    Run,
    customer_row,
    person_is_known,
    returning,
    text_of,
    told,
    waiting_for,
    without_code,
)

NOT_GIVEN = "Rekisteröinti päättyi: huoltaja ei antanut suostumusta"


@pytest.fixture
async def registrar(world: World) -> AsyncIterator[str]:
    """The address of a registrar of their own, who is told of nothing else."""
    before = world.registrar
    account = await world.account(world.unit_id)
    world.registrar = Registrar(account_id=account.account_id, display_name=account.display_name)
    yield account.email
    world.registrar = before


async def store_consent(world: World, registration: Registration) -> None:
    evidence = ConsentEvidence(
        method=ConsentEvidence.METHOD_LINK,
        guardian_name="Outi Huoltaja",
        wording_version="2026-1",
        wording_language=LANGUAGE_FI,
    )
    worker = world.worker["registration"]
    request = ActivateRegistrationRequest(registration_id=registration.registration_id, consent=evidence)
    await worker.call(RegistrationServiceStub(worker.channel).ActivateRegistration, request)


async def store_end(world: World, registration: Registration, stage: Stage.ValueType) -> None:
    worker = world.worker["registration"]
    request = EndRegistrationRequest(registration_id=registration.registration_id, stage=stage)
    if stage == STAGE_REJECTED:
        request.decision_request_id, request.rejection_note = str(uuid.uuid4()), NOTE
    await worker.call(RegistrationServiceStub(worker.channel).EndRegistration, request)


async def store_approval(world: World, registration: Registration) -> None:
    worker = world.worker["registration"]
    request = ApproveRegistrationRequest(
        registration_id=registration.registration_id, decision_request_id=str(uuid.uuid4())
    )
    request.decide_time.FromDatetime(now())
    request.consent_deadline.FromDatetime(now() + timedelta(days=30))
    await worker.call(RegistrationServiceStub(worker.channel).ApproveRegistration, request)


async def store_link(world: World, registration: Registration, customer_id: str, unit_id: str) -> None:
    worker = world.worker["registration"]
    request = LinkRegistrationRequest(
        registration_id=registration.registration_id,
        decision_request_id=str(uuid.uuid4()),
        customer_id=customer_id,
        unit_id=unit_id,
    )
    await worker.call(RegistrationServiceStub(worker.channel).LinkRegistration, request)


async def child_waiting(world: World) -> tuple[str, Registration, Run]:
    email = address()
    registration, run = await world.save(child_form(email), born(9))
    await mailed(world, email, CONSENT)
    return email, registration, run


async def ends(run: Run) -> None:
    """The run ends as its rules say, not by failing."""

    async def status() -> WorkflowExecutionStatus | None:
        return (await run.describe()).status

    ended = await eventually(status, lambda found: found != WorkflowExecutionStatus.RUNNING, 60)
    assert ended == WorkflowExecutionStatus.COMPLETED


async def test_a_consent_is_taken_by_reconciliation(world: World) -> None:
    email, registration, run = await child_waiting(world)
    first = await run.describe()
    await store_consent(world, registration)
    await reconcile(world)
    await reaches(world, registration, STAGE_CREDENTIALS_SENT)
    assert (await run.describe()).run_id == first.run_id
    await reconcile(world)
    assert subjects(world, email).count(CONSENT) == 1


async def test_a_decline_whose_end_is_over_is_taken_by_reconciliation(world: World) -> None:
    _, registration, run = await child_waiting(world)
    worker = world.worker["registration"]
    decline = RecordDeclineRequest(registration_id=registration.registration_id)
    decline.decline_time.FromDatetime(now() - timedelta(hours=2))
    decline.decline_end_time.FromDatetime(now() - timedelta(hours=1))
    await worker.call(RegistrationServiceStub(worker.channel).RecordDecline, decline)
    await reconcile(world)
    await reaches(world, registration, STAGE_DECLINED)
    await ends(run)


async def test_a_decline_whose_taking_back_is_lost_ends_nothing(world: World) -> None:
    _, registration, run = await child_waiting(world)
    person_id = registration.person_id
    decline = DeclineConsentRequest(request_id=str(uuid.uuid4()))
    await world.workflows.decline_consent(person_id, decline)
    worker = world.worker["registration"]
    taken_back = TakeBackDeclineRequest(registration_id=registration.registration_id)
    await worker.call(RegistrationServiceStub(worker.channel).TakeBackDecline, taken_back)
    await world.skip(run, timedelta(hours=2))
    assert (await world.stored(registration)).stage == STAGE_WAITING_FOR_CONSENT
    withdraw = WithdrawRequest(request_id=str(uuid.uuid4()))
    assert (await world.workflows.withdraw(person_id, withdraw)).stage == STAGE_WITHDRAWN


async def test_a_consent_is_taken_when_it_is_repeated(world: World) -> None:
    _, registration, _ = await child_waiting(world)
    await store_consent(world, registration)
    await consent(world, registration)
    await reaches(world, registration, STAGE_CREDENTIALS_SENT)


@pytest.mark.parametrize(
    ("stage", "subject"), [(STAGE_DECLINED, NOT_GIVEN), (STAGE_WITHDRAWN, "")], ids=["declined", "withdrawn"]
)
async def test_the_end_of_a_wait_for_consent_is_taken(
    world: World, registrar: str, stage: Stage.ValueType, subject: str
) -> None:
    """The person is erased, and the registrar is told: both come after the row is stored."""
    _, registration, run = await child_waiting(world)
    await store_end(world, registration, stage)
    assert await person_is_known(world, registration.person_id)
    await reconcile(world)
    await ends(run)
    assert not await person_is_known(world, registration.person_id)
    assert (await world.stored(registration)).stage == stage
    if subject:
        await told(world, registrar, registration, subject)


@pytest.mark.parametrize(
    ("wait", "subject"), [("reactivation", NOT_REACTIVATED), ("identity check", NOT_CHECKED)]
)
async def test_a_rejection_is_taken(world: World, registrar: str, wait: str, subject: str) -> None:
    registration, run = await waiting_for(world, wait)
    await store_end(world, registration, STAGE_REJECTED)
    await reconcile(world)
    await ends(run)
    await told(world, registrar, registration, subject)
    stored = await world.stored(registration)
    assert (stored.stage, stored.rejection_note) == (STAGE_REJECTED, NOTE)
    assert await person_is_known(world, registration.person_id) == (wait == "reactivation")


async def test_an_identity_check_is_taken(world: World, registrar: str) -> None:
    registration, _ = await without_code(world)
    await store_approval(world, registration)
    await reconcile(world)
    await reaches(world, registration, STAGE_CREDENTIALS_SENT)
    await told(world, registrar, registration, CHECKED)


async def test_a_childs_identity_check_is_followed_by_the_request_for_consent(world: World) -> None:
    email = address()
    registration, _ = await without_code(world, child_form(email), born(9))
    await store_approval(world, registration)
    await reconcile(world)
    await reaches(world, registration, STAGE_WAITING_FOR_CONSENT)
    await mailed(world, email, CONSENT)
    await consent(world, registration)
    await reaches(world, registration, STAGE_CREDENTIALS_SENT)


async def test_a_reactivation_is_taken_and_the_unit_before_is_told(world: World, registrar: str) -> None:
    registration, _ = await returning(world, unit_id=await world.unit("Entinen kirjasto"))
    await store_approval(world, registration)
    await reconcile(world)
    await reaches(world, registration, STAGE_CREDENTIALS_SENT)
    await told(world, registrar, registration, REACTIVATED)

    async def mails() -> list[EmailMessage]:
        return [m for m in world.smtp.taken if m["Subject"] == MOVED and "Entinen kirjasto" in text_of(m)]

    assert len(await eventually(mails, bool, 60)) == 1


async def test_a_link_to_a_customer_is_taken(world: World, registrar: str) -> None:
    there, _ = await world.save(adult_form(address()), born(40))
    customer = await customer_row(world, there.person_id)
    registration, run = await without_code(world)
    await store_link(world, registration, customer["customer_id"], world.unit_id)
    await reconcile(world)
    await ends(run)
    assert (await world.stored(registration)).stage == STAGE_LINKED
    assert not await person_is_known(world, registration.person_id)
    await told(world, registrar, registration, CHECKED)
