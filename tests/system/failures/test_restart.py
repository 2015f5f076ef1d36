"""The whole stack stopped and started anew on its folder: everything goes on where it was."""

from datetime import UTC, timedelta

from deploy.local.stack import Stack
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WAITING_FOR_CONSENT
from services.runtime.clock import helsinki_day, helsinki_moment, now
from tests.system.conftest import Api
from tests.system.support.registering import (
    MailCounter,
    accept,
    adult,
    get,
    link_token,
    pupil,
    reaches,
    save,
    settings,
)

OTHER_DURATIONS = {
    "LIITY_WORKFLOWS_CONSENT_REMINDERS": '["P1D"]',
    "LIITY_WORKFLOWS_CONSENT_LAPSE": "P2D",
    "LIITY_WORKFLOWS_WELCOME_DELAY": "P3D",
    "LIITY_WORKFLOWS_WELCOME_HOUR": "17",
}


async def test_registrations_go_on_with_the_deadlines_they_were_given(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    child, customer = pupil(), adult()
    waiting = await save(api.teacher, child)
    asked = await mails.wait_for(child, "consent_request")
    saved = await save(api.registrar, customer)
    sent = await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT)

    await stack.stop()
    async with settings(stack, OTHER_DURATIONS):
        await stack.start()
        still = await get(api.teacher, waiting.name)
        assert (still.stage, still.deadline) == (STAGE_WAITING_FOR_CONSENT, waiting.deadline)
        assert (await get(api.registrar, saved.name)).deadline == sent.deadline
        begun = now()
        await accept(api.anybody, link_token(asked), child)
        welcome = (await reaches(api.teacher, waiting.name, STAGE_CREDENTIALS_SENT)).deadline
        another = await save(api.teacher, pupil())
    await stack.restart_component("worker")

    possible = {helsinki_day(begun), helsinki_day(now())}
    mornings = [helsinki_moment(day + timedelta(days=14), 9) for day in possible]
    assert any(nine <= welcome.ToDatetime(UTC) < nine + timedelta(hours=1) for nine in mornings)
    assert timedelta(days=29) < waiting.deadline.ToDatetime(UTC) - begun <= timedelta(days=31)
    assert timedelta(days=1) < another.deadline.ToDatetime(UTC) - begun < timedelta(days=3)
    await mails.wait_for(child, "consent_given")
    assert mails.templates(child) == {
        "consent_request": 1,
        "consent_given": 1,
        "consent_receipt_given": 1,
        "credentials": 1,
    }
    assert mails.templates(customer) == {"credentials": 1}
