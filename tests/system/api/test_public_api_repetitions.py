"""The same `request_id` again: for the same call the first answer, for another one never a false success."""

import uuid

import pytest

from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.customer_form_pb2 import PaperConsent
from liity.v1.registration_pb2 import STAGE_WITHDRAWN, Registration
from liity.v1.registration_service_pb2 import (
    GetRegistrationRequest,
    RecordConsentRequest,
    WithdrawRegistrationRequest,
)
from tests.support.registration_forms import date_from_today
from tests.system.conftest import Api
from tests.system.support.registering import get, pupil, save


async def record(client: ApiClient, name: str, request_id: str) -> Registration:
    consent = PaperConsent(guardian_name="Kerttu Huoltaja", sign_date=date_from_today(0))
    request = RecordConsentRequest(name=name, request_id=request_id, consent=consent)
    return (await client.call(client.registrations.RecordConsent, request)).registration


async def withdraw(client: ApiClient, name: str, request_id: str) -> Registration:
    request = WithdrawRegistrationRequest(name=name, request_id=request_id)
    return (await client.call(client.registrations.WithdrawRegistration, request)).registration


async def refused(client: ApiClient, name: str, request_id: str) -> str:
    with pytest.raises(Refusal) as refusal:
        await record(client, name, request_id)
    return reason_name(refusal.value.reason)


async def test_the_id_of_a_save_withdraws_as_any_other(stack: Stack, api: Api) -> None:
    request_id = new_request_id()
    saved = await save(api.teacher, pupil(), request_id)
    withdrawn = await withdraw(api.teacher, saved.name, request_id)
    assert withdrawn.stage == STAGE_WITHDRAWN
    assert (await get(api.teacher, saved.name)).stage == STAGE_WITHDRAWN


async def test_the_id_of_a_save_records_a_consent_as_any_other(stack: Stack, api: Api) -> None:
    request_id = new_request_id()
    saved = await save(api.teacher, pupil(), request_id)
    recorded = await record(api.teacher, saved.name, request_id)
    assert recorded.consent_state == (await get(api.teacher, saved.name)).consent_state
    assert recorded.consent_state != saved.consent_state


async def test_a_consent_recorded_twice_by_one_request_is_recorded_once(stack: Stack, api: Api) -> None:
    saved = await save(api.teacher, pupil())
    request_id = new_request_id()
    first = await record(api.teacher, saved.name, request_id)
    assert await record(api.teacher, saved.name, request_id) == first
    assert await refused(api.teacher, saved.name, new_request_id()) == "NOT_WAITING_FOR_CONSENT"


async def test_a_save_repeated_with_the_id_in_capitals_is_the_same_save(stack: Stack, api: Api) -> None:
    child, request_id = pupil(), str(uuid.uuid4())
    saved = await save(api.teacher, child, request_id)
    assert await save(api.teacher, child, request_id.upper()) == saved


async def test_withdrawing_again_is_fine_and_consent_then_comes_too_late(stack: Stack, api: Api) -> None:
    saved = await save(api.teacher, pupil())
    request_id = new_request_id()
    first = await withdraw(api.teacher, saved.name, request_id)
    assert await withdraw(api.teacher, saved.name, request_id) == first
    assert await withdraw(api.teacher, saved.name, new_request_id()) == first
    assert await refused(api.teacher, saved.name, request_id) == "NOT_WAITING_FOR_CONSENT"
    asked = GetRegistrationRequest(name=saved.name)
    stored = (await api.staff.call(api.staff.registrations.GetRegistration, asked)).registration
    assert not stored.customer_display_name
