"""The stages of a registration up to its end, after which nothing personal is left."""

import asyncio
import secrets
from datetime import UTC, timedelta

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.unit_service_pb2 import (
    Unit,
)
from liity.v1 import registration_pb2 as life
from services.runtime.rpc.errors import Refusal
from tests.support.registration_forms import adult_form, child_form
from tests.support.registration_service import (
    DEADLINE,
    REGISTRAR,
    Service,
    birth_of_child,
    refusal,
    violations,
)


async def test_stages_go_forward_only(service: Service, unit: Unit) -> None:
    made = (await service.create(unit.unit_id, adult_form())).registration
    sent = await service.advance(made.registration_id, life.STAGE_CREDENTIALS_SENT, DEADLINE)
    assert sent.stage == life.STAGE_CREDENTIALS_SENT
    assert sent.deadline.ToDatetime(UTC) == DEADLINE
    assert sent.update_time.ToDatetime() > made.update_time.ToDatetime()
    assert sent.customer_display_name == made.customer_display_name
    moved = await service.advance(
        made.registration_id, life.STAGE_CREDENTIALS_SENT, DEADLINE + timedelta(days=1)
    )
    assert moved.deadline.ToDatetime(UTC) == DEADLINE + timedelta(days=1)
    assert moved.update_time == sent.update_time
    welcomed = await service.advance(made.registration_id, life.STAGE_WELCOMED)
    assert (welcomed.stage, welcomed.HasField("deadline")) == (life.STAGE_WELCOMED, False)
    late = await service.advance(made.registration_id, life.STAGE_CREDENTIALS_SENT, DEADLINE)
    assert late == welcomed == await service.get(made.registration_id)


async def test_no_stage_before_the_customership_or_after_the_end(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    refused = ("FAILED_PRECONDITION", "NOT_WAITING")
    early = service.advance(waiting.registration_id, life.STAGE_CREDENTIALS_SENT)
    assert await refusal(early) == refused
    await service.end(waiting.registration_id, life.STAGE_LAPSED)
    assert await refusal(service.advance(waiting.registration_id, life.STAGE_WELCOMED)) == refused


@pytest.mark.parametrize("stage", [life.STAGE_UNSPECIFIED, life.STAGE_ACTIVE, life.STAGE_DECLINED, 99])
async def test_a_stage_that_is_not_advanced_to(
    service: Service, unit: Unit, stage: life.Stage.ValueType
) -> None:
    made = (await service.create(unit.unit_id, adult_form())).registration
    wrong = service.advance(made.registration_id, stage)
    assert await violations(wrong) == {"stage": "UNKNOWN_VALUE"}
    request = pb.AdvanceRegistrationRequest(
        registration_id=made.registration_id,
        stage=life.STAGE_WELCOMED,
        deadline=Timestamp(seconds=10**15),
    )
    wrong_deadline = service.worker.call(service.changes.AdvanceRegistration, request)
    assert await violations(wrong_deadline) == {"deadline": "INVALID_FORMAT"}


@pytest.mark.parametrize("stage", [life.STAGE_DECLINED, life.STAGE_LAPSED, life.STAGE_WITHDRAWN])
async def test_an_ended_registration_keeps_nothing_personal(
    service: Service, unit: Unit, stage: life.Stage.ValueType
) -> None:
    mark = secrets.token_hex(6)
    form = child_form()
    form.first_names = f"Etunimi{mark}"
    form.last_name = f"Sukunimi{mark}"
    form.address.street_address = f"Katu{mark}"
    form.email = f"lapsi{mark}@koti.example"
    form.related_person.full_name = f"Huoltaja{mark}"
    form.related_person.email = f"huoltaja{mark}@koti.example"
    form.additional_information = f"Tieto{mark}"
    person_id = secrets.token_hex(16)
    waiting = (
        await service.create(unit.unit_id, form, person_id=person_id, birth_date=birth_of_child())
    ).registration
    stored = await service.everything_stored()
    assert stored.count(mark) == 7
    assert person_id in stored

    ended = await service.end(waiting.registration_id, stage)

    assert mark not in await service.everything_stored()
    assert ended == pb.Registration(
        registration_id=waiting.registration_id,
        unit_id=unit.unit_id,
        person_id=person_id,
        registrar_account_id=REGISTRAR.account_id,
        registrar_display_name=REGISTRAR.display_name,
        told_account_id=REGISTRAR.account_id,
        stage=stage,
        kind=waiting.kind,
        consent_state=life.CONSENT_STATE_NOT_GIVEN,
        create_time=waiting.create_time,
        update_time=ended.update_time,
    )
    assert ended.update_time.ToDatetime() > waiting.update_time.ToDatetime()
    assert await service.get(waiting.registration_id) == ended
    assert await service.end(waiting.registration_id, stage) == ended
    assert (await service.look_up(person_id, unit.unit_id)).registration == pb.Registration()
    # What becomes of the rest when the person is erased from all services.
    assert await service.erase(person_id) == [waiting.registration_id]
    assert await service.get(waiting.registration_id) == ended
    await service.forget(person_id)
    ended.ClearField("person_id")
    assert await service.get(waiting.registration_id) == ended
    # The log of use goes on saying whose data was used, by an ID that leads to nobody any more.
    assert person_id not in await service.everything_stored(log=False)


async def test_only_a_waiting_registration_ends(service: Service, unit: Unit) -> None:
    refused = ("FAILED_PRECONDITION", "NOT_WAITING")
    active = (await service.create(unit.unit_id, adult_form())).registration
    assert await refusal(service.end(active.registration_id, life.STAGE_WITHDRAWN)) == refused
    assert await service.get(active.registration_id) == active
    waiting = await service.waiting(unit.unit_id)
    await service.end(waiting.registration_id, life.STAGE_DECLINED)
    assert await refusal(service.end(waiting.registration_id, life.STAGE_LAPSED)) == refused
    consented = service.activate(
        waiting.registration_id, pb.ConsentEvidence(method=pb.ConsentEvidence.METHOD_LINK)
    )
    assert await refusal(consented) == ("FAILED_PRECONDITION", "NOT_WAITING_FOR_CONSENT")
    wrong = service.end(waiting.registration_id, life.STAGE_ACTIVE)
    assert await violations(wrong) == {"stage": "UNKNOWN_VALUE"}


async def test_a_race_of_consent_and_withdrawal_has_one_winner(service: Service, unit: Unit) -> None:
    for _ in range(10):
        waiting = await service.waiting(unit.unit_id)
        evidence = pb.ConsentEvidence(method=pb.ConsentEvidence.METHOD_LINK)
        answers = await asyncio.gather(
            service.activate(waiting.registration_id, evidence),
            service.end(waiting.registration_id, life.STAGE_WITHDRAWN),
            return_exceptions=True,
        )
        [winner] = [answer for answer in answers if isinstance(answer, pb.Registration)]
        [loser] = [answer for answer in answers if isinstance(answer, Refusal)]
        assert loser.code is grpc.StatusCode.FAILED_PRECONDITION
        assert await service.get(waiting.registration_id) == winner
        customers = await service.rows("SELECT 1 FROM customers WHERE person_id = :p", p=waiting.person_id)
        assert len(customers) == (winner.stage == life.STAGE_ACTIVE)


async def test_a_person_may_be_registered_again_after_a_withdrawal(service: Service, unit: Unit) -> None:
    person_id = secrets.token_hex(16)
    first = await service.waiting(unit.unit_id, person_id=person_id)
    await service.end(first.registration_id, life.STAGE_WITHDRAWN)
    assert await service.prepare(unit.unit_id, adult_form(), person_id=person_id) is None
    second = await service.waiting(unit.unit_id, person_id=person_id)
    assert second.registration_id != first.registration_id
