"""A stranger who reaches Temporal's frontend without our keys acts as an operator, never as a user."""

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import (
    Client,
    Interceptor,
    OutboundInterceptor,
    StartWorkflowUpdateInput,
    WorkflowHandle,
    WorkflowUpdateHandle,
    WorkflowUpdateStage,
)

from deploy.local.postgres import EmbeddedPostgres
from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, ACTOR_KIND_LINK, ACTOR_KIND_OPERATOR, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_form_pb2 import PaperConsent
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_WAITING_FOR_CONSENT
from liity.workflows.v1.registration_workflow_pb2 import RecordConsentRequest
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.temporal.actor_header import HEADER
from services.runtime.temporal.names import RegistrationWorkflowNames as Names
from tests.services.registration.audit.uses import acting_as, an_account
from tests.workflows.audit.test_use_log import uses_of
from tests.workflows.class_lists.class_lists import address
from tests.workflows.conftest import World, born, child_form

TYPED = {
    "evidence": {"method": "METHOD_LINK", "guardian_name": "Vieras Nimi", "wording_version": "2026-01"},
    "link_id": "typed",
}
"""A consent that claims to be the guardian's own, as typed into Temporal UI."""


STAFF = Actor(kind=ACTOR_KIND_ACCOUNT, account_id="forged", role=ROLE_CUSTOMER_SERVICE)

Run = WorkflowHandle[Any, Any]


class Stranger(Interceptor):
    """Sends its own header with each update."""

    def __init__(self, headers: Mapping[str, Payload]) -> None:
        self.headers = headers

    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:  # noqa: A002
        headers = self.headers

        class Outbound(OutboundInterceptor):
            async def start_workflow_update(
                self,
                input: StartWorkflowUpdateInput,  # noqa: A002
            ) -> WorkflowUpdateHandle[Any]:
                input.headers = headers
                return await super().start_workflow_update(input)

        return Outbound(next)


def stranger(world: World, headers: Mapping[str, Payload] | None = None) -> Client:
    """A client that reaches the frontend, but has neither our codec nor our keys."""
    return Client(
        world.temporal.service_client,
        namespace=world.temporal.namespace,
        interceptors=[Stranger(headers or {})],
    )


async def update(client: Client, run: Run, name: str, body: object, update_id: str = "") -> None:
    """Sends an update, and ignores its answer, which is encrypted."""
    handle = client.get_workflow_handle(run.id)
    sent = await handle.start_update(
        name, body, id=update_id or str(uuid.uuid4()), wait_for_stage=WorkflowUpdateStage.COMPLETED
    )
    assert sent.workflow_id == run.id


async def consents(world: World, registration: Registration) -> list[tuple[Any, ...]]:
    """Stored consents: method, name and wording."""
    rows = await world.rows(
        "registration",
        "SELECT method, guardian_name, wording_version FROM consents WHERE registration_id = :id",
        id=registration.registration_id,
    )
    return [(row["method"], row["guardian_name"], row["wording_version"]) for row in rows]


OPERATORS = [(ConsentEvidence.METHOD_OPERATOR, "Outi Huoltaja", "")]
"""The consent that an operator records: on behalf of the guardian on the form."""


@pytest.fixture
async def waiting(world: World) -> tuple[Registration, Run]:
    """A child who waits for consent, saved by an account."""
    return await acting_as(an_account(), world.save(child_form(address()), born(9)))


async def headers_of(run: Run) -> dict[str, Payload]:
    """The headers of updates in a history, which the frontend shows to every client."""
    found = {}
    async for event in run.fetch_history_events():
        request = event.workflow_execution_update_accepted_event_attributes.accepted_request
        if request.input.name:
            found[request.meta.update_id] = request.input.header.fields[HEADER]
    return found


def made_up(actor: Actor) -> Payload:
    return Payload(metadata={"encoding": b"binary/protobuf"}, data=actor.SerializeToString())


# Evidence


async def test_a_signal_brings_no_evidence_of_its_own(
    world: World, waiting: tuple[Registration, Run]
) -> None:
    registration, run = waiting
    await stranger(world).get_workflow_handle(run.id).signal(Names.RECORD_CONSENT, TYPED)
    await world.skip(run, timedelta(hours=1))
    assert await consents(world, registration) == OPERATORS


async def test_an_update_without_an_actor_brings_no_evidence_of_its_own(
    world: World, waiting: tuple[Registration, Run]
) -> None:
    registration, run = waiting
    await update(stranger(world), run, Names.RECORD_CONSENT, TYPED)
    assert await consents(world, registration) == OPERATORS


async def test_a_save_of_an_operator_brings_no_consent_on_paper(world: World) -> None:
    paper = PaperConsent(guardian_name="Vieras Nimi", sign_date=to_proto_date(helsinki_day(now())))
    operator = Actor(kind=ACTOR_KIND_OPERATOR)
    form = child_form(address(), paper_consent=paper)
    registration, _ = await acting_as(operator, world.save(form, born(9)))
    assert registration.stage == STAGE_WAITING_FOR_CONSENT
    assert await consents(world, registration) == []


async def test_the_guardians_own_consent_is_kept_as_it_came(
    world: World, waiting: tuple[Registration, Run]
) -> None:
    registration, _ = waiting
    evidence = ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Toinen Huoltaja")
    consent = RecordConsentRequest(request_id=str(uuid.uuid4()), evidence=evidence)
    guardian = Actor(kind=ACTOR_KIND_LINK, trace_id="guardian")
    answer = await acting_as(guardian, world.workflows.record_consent(registration.person_id, consent))
    assert answer.stage == STAGE_ACTIVE
    assert await consents(world, registration) == [(ConsentEvidence.METHOD_LINK, "Outi Toinen Huoltaja", "")]


# Names in the log of use


async def test_a_header_that_is_made_up_names_nobody(
    world: World, postgres: EmbeddedPostgres, waiting: tuple[Registration, Run]
) -> None:
    registration, run = waiting
    await update(stranger(world, {HEADER: made_up(STAFF)}), run, Names.RECORD_CONSENT, TYPED)
    assert await consents(world, registration) == OPERATORS
    assert (await uses_of(postgres, registration))[1:] == [("registration:activate", ACTOR_KIND_OPERATOR, "")]


@pytest.mark.parametrize("name", [Names.RECORD_CONSENT, Names.SAVE])
async def test_a_header_copied_from_the_history_names_nobody(
    world: World, postgres: EmbeddedPostgres, waiting: tuple[Registration, Run], name: str
) -> None:
    """Not even for the update that the header was made for."""
    registration, run = waiting
    ((update_id, header),) = (await headers_of(run)).items()
    copied = stranger(world, {HEADER: header})
    if name == Names.SAVE:
        # The same ID: Temporal returns the first answer and runs nothing.
        await update(copied, run, name, {}, update_id)
        assert (await uses_of(postgres, registration))[1:] == []
    else:
        await update(copied, run, name, TYPED)
        assert (await uses_of(postgres, registration))[1:] == [
            ("registration:activate", ACTOR_KIND_OPERATOR, "")
        ]


async def test_a_header_copied_from_another_run_names_nobody(
    world: World, postgres: EmbeddedPostgres, waiting: tuple[Registration, Run]
) -> None:
    registration, run = waiting
    other, other_run = await world.save(child_form(address()), born(9))
    evidence = ConsentEvidence(method=ConsentEvidence.METHOD_LINK)
    consent = RecordConsentRequest(request_id=str(uuid.uuid4()), evidence=evidence)
    await acting_as(an_account(), world.workflows.record_consent(other.person_id, consent))
    update_id = f"{Names.RECORD_CONSENT}/{consent.request_id}"
    header = (await headers_of(other_run))[update_id]
    await update(stranger(world, {HEADER: header}), run, Names.RECORD_CONSENT, TYPED, update_id)
    assert await consents(world, registration) == OPERATORS
    assert (await uses_of(postgres, registration))[1:] == [("registration:activate", ACTOR_KIND_OPERATOR, "")]


async def test_a_damaged_header_names_nobody(
    world: World, postgres: EmbeddedPostgres, waiting: tuple[Registration, Run]
) -> None:
    registration, run = waiting
    ((_, header),) = (await headers_of(run)).items()
    for damaged in (b"", header.data[:-1], bytes(200)):
        await update(
            stranger(world, {HEADER: Payload(metadata=header.metadata, data=damaged)}),
            run,
            Names.MAKE_WAY,
            {},
        )
    broken = Payload(metadata={"encoding": b"binary/protobuf"}, data=b"\xff\xff")
    await update(stranger(world, {HEADER: broken}), run, Names.WITHDRAW, {})
    assert (await uses_of(postgres, registration))[1:] == [("registration:end", ACTOR_KIND_OPERATOR, "")]


async def test_nothing_in_a_history_tells_who_acted(world: World, waiting: tuple[Registration, Run]) -> None:
    _, run = waiting
    account_id = an_account().account_id.encode()
    history = await run.fetch_history()
    headers = [
        payload
        for event in history.events
        for message in (
            event.workflow_execution_started_event_attributes.header,
            event.workflow_execution_update_accepted_event_attributes.accepted_request.input.header,
            event.activity_task_scheduled_event_attributes.header,
        )
        for name, payload in message.fields.items()
        if name == HEADER
    ]
    assert headers
    assert not any(account_id in payload.data for payload in headers)
