"""Two guardians (R39): which address failed, what a correction changes, who signed on paper, what is kept."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from liity.registration.v1 import customer_service_pb2 as customer_pb
from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1 import registration_pb2 as life
from liity.v1.customer_form_pb2 import CustomerForm, RelatedPerson
from services.runtime.clock import now
from tests.services.registration.registrations.test_waiting_forms import correct, form_of
from tests.support.registration_forms import child_form, paper_consent
from tests.support.registration_service import DEADLINE, Service, birth_of_child, refusal, violations

FIRST, OTHER = "kerttu.huoltaja@koti.example", "ismo.huoltaja@koti.example"


def both() -> CustomerForm:
    """A child both of whose guardians are asked."""
    form = child_form()
    form.other_guardian.CopyFrom(RelatedPerson(full_name="Ismo Huoltaja", email=f" mailto:{OTHER}"))
    return form


@pytest.fixture
async def waiting(service: Service, unit: Unit) -> pb.Registration:
    """Their registration."""
    return (await service.create(unit.unit_id, both(), birth_date=birth_of_child())).registration


def moment() -> Timestamp:
    return Timestamp(seconds=int(now().timestamp()))


def failing(registration: pb.Registration) -> list[int]:
    """The guardians whose address does not work."""
    return [state.guardian for state in registration.guardians if state.HasField("undeliverable_time")]


async def decline(service: Service, registration: pb.Registration, guardian: int) -> pb.Registration:
    request = pb.RecordDeclineRequest(
        registration_id=registration.registration_id,
        decline_time=moment(),
        decline_end_time=Timestamp(seconds=int(DEADLINE.timestamp())),
        guardian=guardian,
    )
    return (await service.worker.call(service.changes.RecordDecline, request)).registration


async def test_each_address_fails_and_is_corrected_by_itself(
    service: Service, waiting: pb.Registration
) -> None:
    assert waiting.other_guardian_asked
    mark = customer_pb.MarkEmailUndeliverableRequest(person_id=waiting.person_id, email=OTHER)
    await service.worker.call(CustomerServiceStub(service.worker.channel).MarkEmailUndeliverable, mark)
    marked = await service.get(waiting.registration_id)
    assert failing(marked) == [2]
    assert marked.HasField("undeliverable_time")
    wrong = pb.MarkWrongRecipientRequest(registration_id=waiting.registration_id, guardian=1)
    await service.worker.call(service.changes.MarkWrongRecipient, wrong)
    assert failing(await service.get(waiting.registration_id)) == [1, 2]
    for guardian, name in ((1, "Kerttu Huoltaja"), (2, "Ismo Huoltaja")):
        ask = pb.GetMailingDetailsRequest(registration_id=waiting.registration_id, guardian=guardian)
        details = (await service.worker.call(service.changes.GetMailingDetails, ask)).mailing_details
        assert (details.guardian_name, details.wrong_recipient) == (name, guardian == 1)
        assert details.other_guardian_email == OTHER
    read = await form_of(service, waiting)
    await correct(service, waiting, read, "related_person.email", related_person__email="k@koti.example")
    left = await service.get(waiting.registration_id)
    assert failing(left) == [2]
    assert not left.HasField("wrong_recipient_time")
    # Who has another address has not answered there.
    await decline(service, waiting, 1)
    await decline(service, waiting, 2)
    assert (await service.get(waiting.registration_id)).HasField("decline_time")
    read = await form_of(service, waiting)
    await correct(service, waiting, read, "other_guardian.email", other_guardian__email="i@koti.example")
    corrected = await service.get(waiting.registration_id)
    assert not corrected.HasField("decline_time")
    assert not corrected.HasField("undeliverable_time")
    assert {state.guardian: state.answer for state in corrected.guardians} == {1: 2}
    # What the answers mean must not change after the fact.
    read = await form_of(service, waiting)
    removal = correct(service, waiting, read, "other_guardian", other_guardian=None)
    assert await violations(removal) == {"form.other_guardian": "GUARDIAN_HAS_ANSWERED"}


async def test_a_paper_stays_when_only_the_address_is_corrected(service: Service, unit: Unit) -> None:
    saved = {"birth_date": birth_of_child(), "both_guardians_needed": True}
    waiting = (await service.create(unit.unit_id, both(), **saved)).registration

    async def consent(guardian: int, method: pb.ConsentEvidence.Method.ValueType) -> None:
        evidence = pb.ConsentEvidence(method=method)
        activate = pb.ActivateRegistrationRequest(
            registration_id=waiting.registration_id, consent=evidence, guardian=guardian
        )
        await service.worker.call(service.changes.ActivateRegistration, activate)

    async def answers() -> dict[int, int]:
        return {
            state.guardian: state.answer for state in (await service.get(waiting.registration_id)).guardians
        }

    async def give(guardian: str, **fields: str) -> None:
        read = await form_of(service, waiting)
        paths = [f"{guardian}.{name}" for name in fields]
        named = {f"{guardian}__{name}": value for name, value in fields.items()}
        assert not (await correct(service, waiting, read, *paths, **named)).HasField("changed_meanwhile")

    wrong = pb.MarkWrongRecipientRequest(registration_id=waiting.registration_id, guardian=2)
    await service.worker.call(service.changes.MarkWrongRecipient, wrong)
    await consent(2, pb.ConsentEvidence.METHOD_RECORDED)
    await give("other_guardian", email="i@koti.example")
    assert (await answers())[2] == life.GUARDIAN_ANSWER_CONSENTS
    assert failing(await service.get(waiting.registration_id)) == []
    # Under another name it is another person, who has signed nothing.
    await give("other_guardian", full_name="Aapo Toinen", email="a@koti.example")
    assert life.GUARDIAN_ANSWER_CONSENTS not in (await answers()).values()
    # Whoever answered by the link may have been anybody at the wrong address.
    await consent(1, pb.ConsentEvidence.METHOD_LINK)
    assert (await answers())[1] == life.GUARDIAN_ANSWER_CONSENTS
    await give("related_person", email="k@koti.example")
    assert life.GUARDIAN_ANSWER_CONSENTS not in (await answers()).values()


async def test_papers_of_both_are_recorded_one_after_the_other(service: Service, unit: Unit) -> None:
    saved = {"birth_date": birth_of_child(), "both_guardians_needed": True}
    waiting = (await service.create(unit.unit_id, both(), **saved)).registration
    consent = paper_consent()
    consent.guardian_name = "ismo huoltaja"
    check = pb.CheckConsentRequest(consent=consent, registration_id=waiting.registration_id)
    checked = await service.gateway.call(service.reads.CheckConsent, check)
    assert checked.guardian == 2
    # Counted for the guardian who is still awaited, a third person's name would be a consent nobody gave.
    check.consent.guardian_name = "Joku Muu"
    assert await violations(service.gateway.call(service.reads.CheckConsent, check)) == {
        "consent.guardian_name": "NAME_OF_NEITHER_GUARDIAN"
    }
    evidence = pb.ConsentEvidence(method=pb.ConsentEvidence.METHOD_RECORDED, guardian_name="Ismo Huoltaja")
    activate = pb.ActivateRegistrationRequest(
        registration_id=waiting.registration_id, consent=evidence, guardian=2
    )
    for _ in range(2):
        held = (await service.worker.call(service.changes.ActivateRegistration, activate)).registration
        assert held.stage == life.STAGE_WAITING_FOR_CONSENT
    evidence.guardian_name = "Joku Nimi"
    # Of nobody in particular: the first who has not consented.
    activate = pb.ActivateRegistrationRequest(registration_id=waiting.registration_id, consent=evidence)
    begun = (await service.worker.call(service.changes.ActivateRegistration, activate)).registration
    assert begun.stage == life.STAGE_ACTIVE
    exported = str(await service.export(waiting.person_id))
    assert "GUARDIAN_ANSWER_CONSENTS" in exported
    dissent = pb.RecordDissentRequest(registration_id=waiting.registration_id, guardian=2)
    late = service.worker.call(service.changes.RecordDissent, dissent)
    assert await refusal(late) == ("FAILED_PRECONDITION", "NOT_WAITING_FOR_CONSENT")
    await service.erase(waiting.person_id)
    assert (
        await service.rows("SELECT * FROM guardians WHERE registration_id = :id", id=begun.registration_id)
        == []
    )
