"""Who is erased is erased from every service, however often that breaks off and is tried again (R30)."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.client import WorkflowHandle
from temporalio.testing import ActivityEnvironment

from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_CONSENT, IssueLinkRequest
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.identity.v1.person_service_pb2 import RetainPersonRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1.registration_service_pb2 import Registration
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.registration_pb2 import STAGE_DECLINED, STAGE_LAPSED, STAGE_WITHDRAWN, Stage
from liity.workflows.v1.registration_workflow_pb2 import (
    DeclineConsentRequest,
    EndStep,
    RegistrationStep,
    Timetable,
    WithdrawRequest,
)
from services.runtime.clock import now
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer
from services.runtime.settings import SettingsError
from services.runtime.text.references import of_registration
from tests.services.conftest import peer
from tests.support.ports import free_port
from tests.workflows.conftest import World, born, child_form
from tests.workflows.customers.test_transfer import text_of
from workflows.mail.customership_links import CustomershipLinks
from workflows.mail.notifier import Mailing
from workflows.privacy.erasure import Erasure
from workflows.privacy.erasure_ledger import Erased, ErasureLedger, read
from workflows.registration.activities import RegistrationActivities

REGISTRAR = "rekisteroija@kirjasto.example"


async def traces(world: World, person_id: str, registration_id: str) -> list[str]:
    """Where somebody still is."""
    places = {
        "person": ("identity", "SELECT 1 FROM persons WHERE person_id = :p"),
        "credentials": ("identity", "SELECT 1 FROM credentials WHERE person_id = :p"),
        "links": ("identity", "SELECT 1 FROM links WHERE subject IN (:p, :r)"),
        "customer": ("registration", "SELECT 1 FROM customers WHERE person_id = :p"),
        "person of the registration": ("registration", "SELECT 1 FROM registrations WHERE person_id = :p"),
        "form": (
            "registration",
            "SELECT 1 FROM registrations WHERE registration_id = :r AND form IS NOT NULL",
        ),
        "mail": (
            "notification",
            # The registrar's mail comes after the erasure, and tells of nobody.
            "SELECT 1 FROM messages WHERE subject_id = :r AND template NOT LIKE 'consent_%ed'",
        ),
    }
    found = []
    for name, (service, statement) in places.items():
        parameters = {"p": person_id, "r": registration_id}
        used = {key: value for key, value in parameters.items() if f":{key}" in statement}
        if await world.rows(service, statement, **used):
            found.append(name)
    return found


@pytest.mark.parametrize("stage", [STAGE_DECLINED, STAGE_WITHDRAWN, STAGE_LAPSED])
async def test_nothing_is_left_of_who_did_not_become_a_customer(world: World, stage: Stage.ValueType) -> None:
    guardian = f"{uuid.uuid4().hex}@example.org"
    registration, run = await world.save(child_form(guardian), born(9))
    person_id = registration.person_id
    await world.skip(run, timedelta(hours=1))
    assert len(world.mails_to(guardian)) == 1
    assert await traces(world, person_id, registration.registration_id) == [
        "person",
        "links",
        "person of the registration",
        "form",
        "mail",
    ]
    await end(world, run, person_id, stage)
    assert await traces(world, person_id, registration.registration_id) == []
    stored = await world.stored(registration)
    assert (stored.stage, stored.create_time) == (stage, registration.create_time)
    # The registrar is told once that it ended; runs of other tests mail the same address meanwhile.
    mails = {STAGE_DECLINED: 1, STAGE_LAPSED: 1, STAGE_WITHDRAWN: 0}
    told = [
        text
        for text in map(text_of, world.mails_to(REGISTRAR))
        if of_registration(registration.registration_id) in text
    ]
    # What still waited has a page that the mail opens; what has ended has none.
    assert len([text for text in told if "/registrations/" not in text]) == mails[stage]


async def end(
    world: World, run: WorkflowHandle[object, object], person_id: str, stage: Stage.ValueType
) -> None:
    if stage == STAGE_DECLINED:
        decline = DeclineConsentRequest(request_id=str(uuid.uuid4()))
        await world.workflows.decline_consent(person_id, decline)
        await world.skip_to_end(run)
    elif stage == STAGE_WITHDRAWN:
        await world.workflows.withdraw(person_id, WithdrawRequest(request_id=str(uuid.uuid4())))
    else:
        await world.skip_to_end(run)
    await run.result()


async def waiting(world: World) -> tuple[Registration, str]:
    """A registration that waits for consent without a run of its own, and the link that was mailed for it."""
    birth_date = born(9)
    person_id = await world.person(birth_date)
    identity, registration = world.worker["identity"], world.worker["registration"]
    retain = RetainPersonRequest(person_id=person_id)
    await identity.call(PersonServiceStub(identity.channel).RetainPerson, retain)
    save = world.save_request(person_id, child_form("huoltaja@example.org"), birth_date)
    for deadline in (save.consent_deadline, save.reactivation_deadline, save.identity_check_deadline):
        deadline.FromDatetime(now() + timedelta(days=30))
    create = RegistrationServiceStub(registration.channel).CreateRegistration
    made = (await registration.call(create, save)).registration
    issue = IssueLinkRequest(
        request_id=str(uuid.uuid4()),
        purpose=LINK_PURPOSE_CONSENT,
        subject=made.registration_id,
        expire_time=save.consent_deadline,
    )
    await identity.call(LinkServiceStub(identity.channel).IssueLink, issue)
    links = await world.rows(
        "identity", "SELECT link_id FROM links WHERE subject = :r", r=made.registration_id
    )
    return made, links[0]["link_id"]


@asynccontextmanager
async def peers_without(world: World, keys_dir: Path, away: str) -> AsyncIterator[dict[str, Peer]]:
    """The services as the worker calls them, while one does not answer."""
    async with peer(away, f"127.0.0.1:{free_port()}", keys_dir, "worker") as dead:
        yield {**world.worker, away: dead}


def registering(
    world: World, identity: Peer, registration: Peer, notification: Peer
) -> RegistrationActivities:
    """The steps of a registration over these services."""
    ledger = ErasureLedger(world.ledger_dir, timedelta(days=400))
    mailing = Mailing(identity, registration, notification, "customer-service@liity.example")
    erasure = Erasure(identity, registration, notification, ledger)
    links = CustomershipLinks(identity, timedelta(days=1))
    return RegistrationActivities(identity, registration, mailing, links, erasure, Timetable())


@pytest.mark.parametrize("away", ["notification", "identity"])
async def test_an_ending_that_breaks_off_between_services_is_finished_by_repeating_it(
    world: World, keys_dir: Path, away: str
) -> None:
    made, link_id = await waiting(world)
    step = RegistrationStep(
        registration_id=made.registration_id,
        person_id=made.person_id,
        registrar_account_id=made.registrar_account_id,
        event_id=str(uuid.uuid4()),
    )
    declined = EndStep(step=step, stage=STAGE_DECLINED, link_id=link_id)
    try_once = ActivityEnvironment()
    if away == "identity":
        # It redeems the link first: that was done by an earlier try.
        declined.link_id = ""
    async with peers_without(world, keys_dir, away) as peers:
        activities = registering(world, *peers.values())
        with pytest.raises(Refusal, match="UNAVAILABLE"):
            await try_once.run(activities.end_registration, declined)
    # Mail stops at once; what leads to the rest is still there.
    left = await traces(world, made.person_id, made.registration_id)
    assert "form" not in left
    assert "person of the registration" in left
    # Identity is called before the erasure begins; notification after it stands in the ledger.
    erased = Erased("person", made.person_id, (made.registration_id,))
    assert (erased in read(world.ledger_dir)) == (away == "notification")
    activities = registering(world, *world.worker.values())
    for _ in range(2):
        ended = await try_once.run(activities.end_registration, declined)
        assert ended.stage == STAGE_DECLINED
        assert ended.registrar_account_id == made.registrar_account_id
        assert await traces(world, made.person_id, made.registration_id) == []
        assert erased in read(world.ledger_dir)


async def test_what_cannot_be_recorded_is_not_begun(world: World, tmp_path: Path) -> None:
    made, _ = await waiting(world)
    before = await traces(world, made.person_id, made.registration_id)
    assert "form" in before
    (tmp_path / "full").touch()
    ledger = ErasureLedger(tmp_path / "full", timedelta(days=400))
    with pytest.raises(SettingsError, match="LIITY_ERASURE_LEDGER_DIR"):
        await Erasure(**world.worker, ledger=ledger).erase_person(made.person_id)
    assert await traces(world, made.person_id, made.registration_id) == before


async def test_erasing_nobody_is_fine(world: World) -> None:
    await world.erasure().erase_person(uuid.uuid4().hex)
