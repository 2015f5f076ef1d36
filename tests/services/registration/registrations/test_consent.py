"""What a guardian is asked, and the customership that a consent begins."""

import asyncio
from datetime import UTC, timedelta

import pytest
from google.type.date_pb2 import Date

from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.unit_service_pb2 import (
    Unit,
)
from liity.v1 import customer_form_pb2 as form_pb
from liity.v1 import registration_pb2 as life
from services.runtime.clock import from_proto_date, helsinki_day, helsinki_moment, to_proto_date
from tests.support.registration_forms import child_form, date_from_today, paper_consent
from tests.support.registration_service import (
    DEADLINE,
    Service,
    refusal,
    violations,
)


async def test_the_deadline_is_the_15th_birthday_if_that_comes_before_the_lapse(
    service: Service, unit: Unit
) -> None:
    """From then on the guardian's answer changes nothing (R8)."""
    birthday = helsinki_day(DEADLINE) - timedelta(days=2)
    for early, deadline in ((birthday, helsinki_moment(birthday)), (birthday + timedelta(days=9), DEADLINE)):
        born = to_proto_date(early.replace(year=early.year - 15))
        response = await service.create(unit.unit_id, child_form(), birth_date=born)
        request = pb.GetConsentRequestRequest(registration_id=response.registration.registration_id)
        answer = await service.gateway.call(service.reads.GetConsentRequest, request)
        assert answer.deadline.ToDatetime(UTC) == deadline


async def test_what_a_guardian_is_asked(service: Service, unit: Unit) -> None:
    registration = await service.waiting(unit.unit_id)
    texts = {}
    for language in (form_pb.LANGUAGE_FI, form_pb.LANGUAGE_SV, form_pb.LANGUAGE_EN, 0):
        request = pb.GetConsentRequestRequest(registration_id=registration.registration_id, language=language)
        answer = await service.gateway.call(service.reads.GetConsentRequest, request)
        assert answer.child_first_names == "Eetu Ilmari"
        assert answer.unit_display_name == unit.display_name
        assert answer.deadline.ToDatetime(UTC) == DEADLINE
        assert answer.wording.version == "2026-1"
        assert answer.wording.language == (language or form_pb.LANGUAGE_FI)
        texts[language] = answer.wording.text
    assert texts[0] == texts[form_pb.LANGUAGE_FI]
    assert len(set(texts.values())) == 3
    assert all(len(wording) > 100 for wording in texts.values())
    await service.activate(registration.registration_id, None)
    request = pb.GetConsentRequestRequest(registration_id=registration.registration_id)
    asked_late = service.gateway.call(service.reads.GetConsentRequest, request)
    assert await refusal(asked_late) == ("FAILED_PRECONDITION", "NOT_WAITING_FOR_CONSENT")
    request.language = 55
    unknown = service.gateway.call(service.reads.GetConsentRequest, request)
    assert await violations(unknown) == {"language": "UNKNOWN_VALUE"}


async def test_a_consent_on_paper_is_checked(service: Service) -> None:
    async def check(consent: form_pb.PaperConsent | None) -> None:
        request = pb.CheckConsentRequest(consent=consent)
        await service.gateway.call(service.reads.CheckConsent, request)

    await check(paper_consent(days_ago=0))
    missing = {"consent.guardian_name": "REQUIRED", "consent.sign_date": "REQUIRED"}
    assert await violations(check(None)) == missing
    too_old = form_pb.PaperConsent(guardian_name=" ", sign_date=date_from_today(-100))
    assert await violations(check(too_old)) == {
        "consent.guardian_name": "REQUIRED",
        "consent.sign_date": "CONSENT_TOO_OLD",
    }


async def test_a_given_consent_begins_the_customership_and_is_kept(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    evidence = pb.ConsentEvidence(
        method=pb.ConsentEvidence.METHOD_LINK,
        guardian_name=" Kerttu  Toinen-Nimi ",
        wording_version="2026-1",
        wording_language=form_pb.LANGUAGE_SV,
    )
    active = await service.activate(waiting.registration_id, evidence)
    assert active.stage == life.STAGE_ACTIVE
    assert active.consent_state == life.CONSENT_STATE_GIVEN
    assert active.customer_display_name == "Eetu Ilmari Mallikas"
    assert not active.HasField("deadline")
    assert active.create_time == waiting.create_time
    assert active.update_time.ToDatetime() > waiting.update_time.ToDatetime()
    [kept] = await service.rows(
        "SELECT consents.*, customers.person_id FROM consents JOIN customers USING (customer_id) "
        "WHERE registration_id = :r",
        r=waiting.registration_id,
    )
    assert kept["person_id"] == waiting.person_id
    assert kept["method"] == pb.ConsentEvidence.METHOD_LINK
    assert kept["guardian_name"] == "Kerttu Toinen-Nimi"
    assert kept["sign_date"] == helsinki_day(kept["recorded_at"])
    assert (kept["wording_version"], kept["wording_language"]) == ("2026-1", form_pb.LANGUAGE_SV)
    [stored] = await service.rows(
        "SELECT form FROM registrations WHERE registration_id = :r", r=waiting.registration_id
    )
    assert stored["form"] is None


async def test_evidence_without_a_name_is_of_the_guardian_on_the_form(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    evidence = pb.ConsentEvidence(
        method=pb.ConsentEvidence.METHOD_RECORDED, sign_date=date_from_today(-4), recorded_by="ac7"
    )
    await service.activate(waiting.registration_id, evidence)
    [kept] = await service.rows(
        "SELECT * FROM consents WHERE registration_id = :r", r=waiting.registration_id
    )
    assert (kept["guardian_name"], kept["recorded_by"]) == ("Kerttu Huoltaja", "ac7")
    assert kept["sign_date"] == from_proto_date(evidence.sign_date)


async def test_an_outgrown_consent_leaves_no_evidence(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    active = await service.activate(waiting.registration_id, None)
    assert active.consent_state == life.CONSENT_STATE_OUTGROWN
    assert not await service.rows(
        "SELECT 1 FROM consents WHERE registration_id = :r", r=waiting.registration_id
    )


async def test_activating_again_changes_nothing(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    evidence = pb.ConsentEvidence(method=pb.ConsentEvidence.METHOD_OPERATOR)
    answers = await asyncio.gather(*(service.activate(waiting.registration_id, evidence) for _ in range(10)))
    assert all(answer == answers[0] for answer in answers)
    assert await service.activate(waiting.registration_id, None) == answers[0]
    [count] = await service.rows(
        "SELECT count(*) AS n FROM customers WHERE person_id = :p", p=waiting.person_id
    )
    assert count["n"] == 1


@pytest.mark.parametrize(
    ("evidence", "wrong"),
    [
        (pb.ConsentEvidence(), {"consent.method": "REQUIRED"}),
        (pb.ConsentEvidence(method=1, sign_date=Date(year=5)), {"consent.sign_date": "INVALID_DATE"}),
        (
            pb.ConsentEvidence(method=1, guardian_name="\x00"),
            {"consent.guardian_name": "FORBIDDEN_CHARACTERS"},
        ),
        (
            pb.ConsentEvidence(method=1, wording_version="\x00"),
            {"consent.wording_version": "FORBIDDEN_CHARACTERS"},
        ),
        (
            pb.ConsentEvidence(method=1, wording_language=99_999),
            {"consent.wording_language": "UNKNOWN_VALUE"},
        ),
        (pb.ConsentEvidence(method=1, recorded_by="Ä"), {"consent.recorded_by": "INVALID_FORMAT"}),
    ],
)
async def test_malformed_evidence_is_refused(
    service: Service, unit: Unit, evidence: pb.ConsentEvidence, wrong: dict[str, str]
) -> None:
    waiting = await service.waiting(unit.unit_id)
    assert await violations(service.activate(waiting.registration_id, evidence)) == wrong
    assert await service.get(waiting.registration_id) == waiting
