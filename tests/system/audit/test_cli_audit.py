"""`liity audit` against the running stack."""

from deploy.local.seed import DemoAccount
from liity.v1.registration_service_pb2 import GetRegistrationRequest
from tests.system.conftest import Api, Liity
from tests.system.support.registering import adult, save


async def test_customer_service_searches_the_log(
    api: Api, liity: Liity, accounts: dict[str, DemoAccount]
) -> None:
    saved = await save(api.registrar, adult())
    await api.registrar.call(
        api.registrar.registrations.GetRegistration, GetRegistrationRequest(name=saved.name)
    )
    subject = saved.name.rpartition("/")[2]

    found = liity("staff", "audit", "search", "--subject", subject)

    assert found.returncode == 0, found.stderr
    lines = [line for line in found.stdout.splitlines() if accounts["registrar"].display_name in line]
    assert ["registration:read" in line for line in lines] == [True, False]
    assert "registration:create" in lines[1]


async def test_a_registrar_does_not(api: Api, liity: Liity) -> None:
    refused = liity("registrar", "audit", "search")
    assert refused.returncode == 1
    assert "(PERMISSION_DENIED)" in refused.stderr
    assert "Customer service: customer-service@liity.example, https://" in refused.stderr


async def test_suspicions_are_shown(api: Api, liity: Liity) -> None:
    shown = liity("staff", "audit", "suspicions", "--since", "2026-01-01", "--json")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.strip().startswith("[")


async def test_the_log_of_the_local_stack_is_whole(liity: Liity) -> None:
    proven = liity("staff", "audit", "verify")
    assert proven.returncode == 0, proven.stderr
    assert "The log of use is whole" in proven.stdout
