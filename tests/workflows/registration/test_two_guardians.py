"""Two guardians who are asked for consent (R39), the weeks skipped."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowHandle

from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_CONSENT,
    CheckLinkRequest,
    CheckLinkResponse,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.registration.v1.customer_service_pb2 import EndCustomershipRequest
from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.v1.consent_service_pb2 import CONSENT_REQUEST_STATE_ACCEPTED
from liity.v1.customer_form_pb2 import RelatedPerson
from liity.v1.customer_service_pb2 import END_REASON_CONSENT_WITHDRAWN
from liity.v1.reason_pb2 import REASON_NO_CONSENT_TO_WITHDRAW
from liity.v1.registration_pb2 import (
    GUARDIAN_ANSWER_CONSENTS,
    GUARDIAN_ANSWER_DECLINES,
    GUARDIAN_ANSWER_UNSPECIFIED,
    STAGE_ACTIVE,
    STAGE_DECLINED,
    STAGE_WAITING_FOR_CONSENT,
    GuardianAnswer,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    DeclineConsentRequest,
    DissentRequest,
    RecordConsentRequest,
    RemindGuardianRequest,
    TakeBackDeclineRequest,
)
from services.runtime.rpc.errors import Refusal
from tests.workflows.conftest import World, born, child_form
from tests.workflows.registration.test_registration import address, became_of, subjects, token_in

ASKED = "Pyydämme suostumustasi lapsesi asiakkuuteen kirjastossa"
REMINDED = "Muistutus: pyydämme suostumustasi lapsesi asiakkuuteen kirjastossa"
CONSENTED = "Kiitos: suostumuksesi on kirjattu"
DECLINED = "Vastauksesi on kirjattu: et anna suostumusta"
TAKEN_BACK = "Olet perunut vastauksesi: odotamme uutta vastausta"
DISSENTED = "Vastauksesi on kirjattu: et ole samaa mieltä"

FIRST, OTHER = 1, 2


class Asked:
    """A child both of whose guardians are asked, and what they do."""

    def __init__(self, world: World, registration: Registration, run: WorkflowHandle[Any, Any]) -> None:
        self.world, self.registration, self.run = world, registration, run
        self.person = run.id.partition("/")[2]
        self.addresses: dict[int, str] = {}

    def token(self, guardian: int) -> str:
        """The token of the first mail to a guardian."""
        return token_in(self.world.mails_to(self.addresses[guardian])[0])

    async def link(self, guardian: int) -> CheckLinkResponse:
        """The guardian's link, which tells whose it is."""
        identity = self.world.gateway["identity"]
        check = CheckLinkRequest(token=self.token(guardian), purpose=LINK_PURPOSE_CONSENT)
        link: CheckLinkResponse = await identity.call(LinkServiceStub(identity.channel).CheckLink, check)
        assert link.guardian == guardian
        return link

    async def consent(self, guardian: int) -> Registration:
        """Consents by the guardian's link."""
        evidence = ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name=f"Huoltaja {guardian}")
        link_id = (await self.link(guardian)).link_id
        consent = RecordConsentRequest(
            request_id=str(uuid.uuid4()), evidence=evidence, link_id=link_id, guardian=guardian
        )
        return await self.world.workflows.record_consent(self.person, consent)

    async def decline(self, guardian: int) -> Registration:
        """Declines by the guardian's link."""
        link_id = (await self.link(guardian)).link_id
        decline = DeclineConsentRequest(request_id=str(uuid.uuid4()), link_id=link_id, guardian=guardian)
        return await self.world.workflows.decline_consent(self.person, decline)

    async def take_back(self, guardian: int) -> Registration:
        """Takes the guardian's decline back."""
        take_back = TakeBackDeclineRequest(request_id=str(uuid.uuid4()), guardian=guardian)
        return await self.world.workflows.take_back_decline(self.person, take_back)

    def mails(self, guardian: int) -> list[str]:
        """Subjects of the guardian's mails."""
        return subjects(self.world, self.addresses[guardian])


async def ask(world: World, *, both_needed: bool = False) -> Asked:
    """A child both of whose guardians were mailed."""
    first, other = address(), address()
    form = child_form(first, other_guardian=RelatedPerson(full_name="Ismo Huoltaja", email=other))
    asked = Asked(world, *await world.save(form, born(9)))
    asked.addresses = {FIRST: first, OTHER: other}
    if both_needed:
        statement = "UPDATE registrations SET both_guardians_needed = true WHERE registration_id = :id"
        await world.change("registration", statement, id=asked.registration.registration_id)
    await world.skip(asked.run, timedelta(hours=1))
    assert asked.mails(FIRST) == asked.mails(OTHER) == [ASKED]
    return asked


def answers(registration: Registration) -> dict[int, GuardianAnswer.ValueType]:
    """What each guardian has answered."""
    return {state.guardian: state.answer for state in registration.guardians}


async def end_by_withdrawal(asked: Asked, registration: Registration, guardian: int) -> None:
    """Withdraws the consent by the guardian's link."""
    end = EndCustomershipRequest(
        request_id=str(uuid.uuid4()),
        customer_id=registration.customer_id,
        unit_id=registration.unit_id,
        reason=END_REASON_CONSENT_WITHDRAWN,
        withdrawn_registration_id=registration.registration_id,
        withdrawn_guardian=guardian,
    )
    await asked.world.removals.end(end)


async def test_one_consent_is_enough_and_a_no_beside_it_is_kept(world: World) -> None:
    asked = await ask(world)
    declined = await asked.decline(FIRST)
    assert declined.stage == STAGE_WAITING_FOR_CONSENT
    assert not declined.HasField("decline_end_time")
    # The hour of a single guardian's decline ends nothing; a reminder goes to who has not answered.
    await world.skip(asked.run, timedelta(days=4))
    reminder = RemindGuardianRequest(request_id=str(uuid.uuid4()))
    await world.workflows.remind_guardian(asked.person, reminder)
    await world.skip(asked.run, timedelta(hours=1))
    assert asked.mails(OTHER) == [ASKED, REMINDED]
    begun = await asked.consent(OTHER)
    assert begun.stage == STAGE_ACTIVE
    assert answers(begun) == {FIRST: GUARDIAN_ANSWER_DECLINES, OTHER: GUARDIAN_ANSWER_CONSENTS}
    await world.skip(asked.run, timedelta(hours=1))
    # The credentials go where the form says, as ever.
    assert asked.mails(FIRST)[:2] == [ASKED, DECLINED]
    assert CONSENTED in asked.mails(OTHER)
    (evidence,) = await world.rows(
        "registration",
        "SELECT guardian_name, link_email FROM consents WHERE registration_id = :id",
        id=begun.registration_id,
    )
    assert dict(evidence) == {"guardian_name": "Huoltaja 2", "link_email": asked.addresses[OTHER]}
    assert await became_of(world, asked.token(FIRST)) == CONSENT_REQUEST_STATE_ACCEPTED
    # Who does not agree cannot withdraw the other's consent; who consented can.
    with pytest.raises(Refusal) as refused:
        await end_by_withdrawal(asked, begun, FIRST)
    assert refused.value.reason == REASON_NO_CONSENT_TO_WITHDRAW
    await end_by_withdrawal(asked, begun, OTHER)


async def test_both_are_needed_if_the_registration_says_so(world: World) -> None:
    asked = await ask(world, both_needed=True)
    waits = await asked.consent(FIRST)
    assert waits.stage == STAGE_WAITING_FOR_CONSENT
    assert answers(waits) == {FIRST: GUARDIAN_ANSWER_CONSENTS}
    declined = await asked.decline(OTHER)
    assert declined.decline_end_time.ToDatetime() - declined.decline_time.ToDatetime() == timedelta(hours=1)
    again = await asked.take_back(OTHER)
    assert not again.HasField("decline_time")
    await world.skip(asked.run, timedelta(days=1))
    # One who has consented can change their mind by the same link, as long as the other is awaited.
    assert (await asked.decline(FIRST)).HasField("decline_time")
    assert not (await asked.consent(FIRST)).HasField("decline_time")
    assert (await asked.consent(OTHER)).stage == STAGE_ACTIVE
    await world.skip(asked.run, timedelta(hours=1))
    assert sorted(asked.mails(OTHER)[1:4]) == sorted([DECLINED, TAKEN_BACK, CONSENTED])
    kept = await world.rows(
        "registration",
        "SELECT link_email FROM guardians WHERE registration_id = :id AND evidence IS NOT NULL"
        " ORDER BY guardian",
        id=asked.registration.registration_id,
    )
    assert [row["link_email"] for row in kept] == [asked.addresses[FIRST], asked.addresses[OTHER]]


async def test_two_declines_end_it_and_a_dissent_after_the_consent_does_not(world: World) -> None:
    declined, begun = await ask(world), await ask(world)
    await declined.decline(FIRST)
    assert (await declined.decline(OTHER)).HasField("decline_end_time")
    consented = await begun.consent(FIRST)
    assert answers(consented).get(OTHER, GUARDIAN_ANSWER_UNSPECIFIED) == GUARDIAN_ANSWER_UNSPECIFIED
    dissent = DissentRequest(
        request_id=str(uuid.uuid4()), registration_id=consented.registration_id, guardian=OTHER
    )
    # Also after the run has ended: then another begins for it.
    await begun.world.skip_to_end(begun.run)
    await begun.run.result()
    for _ in range(2):
        told = await world.workflows.dissent(consented, dissent)
        assert answers(told)[OTHER] == GUARDIAN_ANSWER_DECLINES
    await world.temporal.get_workflow_handle(begun.run.id).result()
    assert DISSENTED in begun.mails(OTHER)
    await world.skip_to_end(declined.run)
    await declined.run.result()
    ended = await world.stored(declined.registration)
    assert (ended.stage, list(ended.guardians)) == (STAGE_DECLINED, [])
