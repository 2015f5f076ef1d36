"""A mail server that is awkward: every mail arrives all the same, or the registrar is told."""

from collections.abc import AsyncIterator

import pytest

from deploy.stack import Stack
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED, Registration
from tests.services.smtp_server import Answer, drop, hang
from tests.system.conftest import Api
from tests.system.mail_servers import standing_in
from tests.system.registering import MailCounter, adult, get, pupil, reaches, save, settings

LATER = "451 4.3.0 Try again later"
NEVER = "550 5.1.1 No such user"


@pytest.fixture(scope="module", autouse=True)
async def _short_waits(stack: Stack) -> AsyncIterator[None]:
    environment = {"LIITY_WORKFLOWS_WELCOME_DELAY": "PT8S", "LIITY_SMTP_TIMEOUT": "2"}
    async with settings(stack, environment, "worker", "notification"):
        yield


async def test_it_refuses_connections_for_a_while(stack: Stack, api: Api, mails: MailCounter) -> None:
    customer, child = adult(), pupil()
    await stack.stop_component("mailbox")
    saved = await save(api.registrar, customer)
    await save(api.teacher, child)
    await _mail_was_tried(stack, saved)

    await stack.start_component("mailbox")

    await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED)
    await mails.wait_for(child, "consent_request")
    assert mails.templates(child) == {"consent_request": 1}
    await reaches(api.registrar, saved.name, STAGE_WELCOMED)
    assert mails.templates(customer) == {"credentials": 1, "welcome": 1}
