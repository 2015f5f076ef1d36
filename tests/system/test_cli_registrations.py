"""`liity registrations` against the running stack."""

import json
import random
from datetime import UTC, datetime

import pytest

from deploy.api_client import new_request_id
from deploy.demo_forms import pupil
from deploy.ports import HOST
from deploy.seed import DemoAccount
from deploy.stack import Stack
from liity.v1.registration_pb2 import Registration
from liity.v1.registration_service_pb2 import RegisterCustomerRequest
from services.runtime.clock import helsinki_day
from tests.system.conftest import Api, Liity


@pytest.fixture
async def waiting(api: Api) -> Registration:
    """A child whose guardian has not consented yet."""
    child = pupil(helsinki_day(datetime.now(UTC)), random.Random())  # noqa: S311
    answer = await api.teacher.call(
        api.teacher.registrations.RegisterCustomer,
        RegisterCustomerRequest(
            parent=api.teacher.unit,
            request_id=new_request_id(),
            personal_identity_code=child.personal_identity_code,
            form=child.form,
        ),
    )
    return answer.registration


async def test_list_shows_what_waits(liity: Liity, waiting: Registration) -> None:
    listed = liity("teacher", "registrations", "list", "--stage", "waiting_for_consent", "--json")
    table = liity("teacher", "registrations", "list", "--limit", "1")

    assert json.loads(listed.stdout)[0]["name"] == waiting.name
    assert {found["stage"] for found in json.loads(listed.stdout)} == {"STAGE_WAITING_FOR_CONSENT"}
    assert waiting.name.rpartition("/")[2] in table.stdout
    assert waiting.customer_display_name in table.stdout
    assert "GUARDIAN" in table.stdout


async def test_show_tells_who_can_act(liity: Liity, waiting: Registration) -> None:
    shown = liity("teacher", "registrations", "show", waiting.name.rpartition("/")[2])

    assert waiting.name in shown.stdout
    assert "WAITING_FOR_CONSENT" in shown.stdout
    assert "WITHDRAW by REGISTRAR" in shown.stdout


async def test_staff_record_a_consent(liity: Liity, waiting: Registration) -> None:
    recorded = liity(
        "staff", "registrations", "consent", waiting.name, "--guardian", "Huolto Esimerkki", "--json"
    )

    assert json.loads(recorded.stdout)["consentState"] == "CONSENT_STATE_GIVEN"


async def test_what_is_withdrawn_takes_no_consent(liity: Liity, waiting: Registration) -> None:
    withdrawn = liity("teacher", "registrations", "withdraw", waiting.name)
    refused = liity(
        "teacher",
        "registrations",
        "--language",
        "fi",
        "consent",
        waiting.name,
        "--guardian",
        "Huolto Esimerkki",
    )

    assert "WITHDRAWN" in withdrawn.stdout
    assert "erased" in withdrawn.stdout
    assert refused.returncode == 1
    assert "suostumus" in refused.stderr
    assert "(NOT_WAITING_FOR_CONSENT)" in refused.stderr


async def test_every_wrong_field_is_shown(liity: Liity, waiting: Registration) -> None:
    refused = liity(
        "teacher", "registrations", "consent", waiting.name, "--guardian", "", "--signed", "2020-01-01"
    )

    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "  consent.guardian_name: " in refused.stderr
    assert "(CONSENT_TOO_OLD)" in refused.stderr


async def test_another_units_registration_is_not_found(liity: Liity, waiting: Registration) -> None:
    refused = liity("registrar", "registrations", "show", waiting.name)

    assert refused.returncode == 1
    assert "(UNIT_NOT_FOUND)" in refused.stderr


async def test_staff_must_name_the_unit(liity: Liity) -> None:
    refused = liity("staff", "registrations", "list")

    assert refused.returncode == 2
    assert "name the unit with --unit" in refused.stderr


async def test_a_wrong_password_is_told_in_one_line(
    liity: Liity, stack: Stack, accounts: dict[str, DemoAccount]
) -> None:
    tls = ("--gateway-ca", str(stack.ca)) if stack.ca else ()
    gateway = ("--gateway", f"{HOST}:{stack.ports.gateway}", *tls)
    account = ("--as", "", "--email", accounts["teacher"].email, "--password", "not the password")
    refused = liity("teacher", "registrations", *gateway, *account, "list")

    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "(WRONG_CREDENTIALS)" in refused.stderr
