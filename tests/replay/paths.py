"""Each path of a registration, gone once: what its recorded history is of."""

import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, timedelta
from typing import Any

from temporalio.client import WorkflowHandle

from deploy.eventually import eventually
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_CONSENT, CheckLinkRequest
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.registration.v1.registration_service_pb2 import ConsentEvidence
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    LANGUAGE_FI,
    CustomerForm,
    PaperConsent,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    DeclineConsentRequest,
    RecordConsentRequest,
    WithdrawRequest,
)
from services.runtime.clock import helsinki_day, now, to_proto_date
from tests.workflows.conftest import World, adult_form, born, child_form

Run = WorkflowHandle[Any, Any]

_PATIENCE = 60.0


async def _saved(world: World, form: CustomerForm, birth_date: date) -> Run:
    return (await world.save(form, birth_date))[1]


async def _after_its_waits(world: World, run: Run) -> Run:
    """Lets time pass until there is nothing more to wait for."""
    await world.environment.fast_forward(run)
    return await _ended(run)


async def _ended(run: Run) -> Run:
    """Waits for the end of what waits no more."""
    await run.result()
    return run


def _address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def _person(run: Run) -> str:
    return run.id.removeprefix("registration/")


def _request_id() -> str:
    return str(uuid.uuid4())


async def _link_id(world: World, guardian: str) -> str:
    """The ID of the link a guardian was mailed."""

    async def mails() -> list[Any]:
        return list(world.mails_to(guardian))

    mail = (await eventually(mails, bool, _PATIENCE))[0]
    found = re.search(r"#([\w.~-]+)", mail.get_body(("plain",)).get_content())
    assert found is not None
    identity = world.gateway["identity"]
    check = CheckLinkRequest(token=found[1], purpose=LINK_PURPOSE_CONSENT)
    return (await identity.call(LinkServiceStub(identity.channel).CheckLink, check)).link_id


async def adult_welcomed(world: World) -> Run:
    """An adult, to the welcome mail."""
    return await _after_its_waits(world, await _saved(world, adult_form(_address()), born(40)))


async def cd_borrower(world: World) -> Run:
    """A CD borrower: active, and at the end."""
    form = adult_form(
        _address(), kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    return await _ended(await _saved(world, form, born(40)))


async def accepted_by_link(world: World) -> Run:
    """A child whose guardian accepts by the link."""
    guardian = _address()
    run = await _saved(world, child_form(guardian), born(9))
    evidence = ConsentEvidence(
        method=ConsentEvidence.METHOD_LINK,
        guardian_name="Outi Huoltaja",
        wording_version="2026-1",
        wording_language=LANGUAGE_FI,
    )
    request = RecordConsentRequest(
        request_id=_request_id(), evidence=evidence, link_id=await _link_id(world, guardian)
    )
    await world.workflows.record_consent(_person(run), request)
    return await _after_its_waits(world, run)


async def consent_on_paper(world: World) -> Run:
    """A child whose guardian has signed on paper."""
    paper = PaperConsent(guardian_name="Outi Huoltaja", sign_date=to_proto_date(helsinki_day(now())))
    return await _after_its_waits(
        world, await _saved(world, child_form(_address(), paper_consent=paper), born(9))
    )


async def consent_recorded(world: World) -> Run:
    """A child whose guardian's consent the registrar records."""
    run = await _saved(world, child_form(_address()), born(9))
    evidence = ConsentEvidence(
        method=ConsentEvidence.METHOD_RECORDED,
        guardian_name="Outi Huoltaja",
        sign_date=to_proto_date(helsinki_day(now())),
        recorded_by=world.registrar.account_id,
    )
    request = RecordConsentRequest(request_id=_request_id(), evidence=evidence)
    await world.workflows.record_consent(_person(run), request)
    return await _after_its_waits(world, run)


async def declined_by_link(world: World) -> Run:
    """A child whose guardian declines by the link."""
    guardian = _address()
    run = await _saved(world, child_form(guardian), born(9))
    request = DeclineConsentRequest(request_id=_request_id(), link_id=await _link_id(world, guardian))
    await world.workflows.decline_consent(_person(run), request)
    return await _ended(run)


async def withdrawn(world: World) -> Run:
    """A child whose registration the unit withdraws."""
    run = await _saved(world, child_form(_address()), born(9))
    await world.workflows.withdraw(_person(run), WithdrawRequest(request_id=_request_id()))
    return await _ended(run)


async def lapsed(world: World) -> Run:
    """A child whose guardian never answers, for all three reminders."""
    guardian = _address()
    run = await _saved(world, child_form(guardian), born(9))
    # Day by day: a mail is only sent while time stands.
    for _ in range(29):
        await world.skip(run, timedelta(days=1))
    assert len(world.mails_to(guardian)) == 4
    return await _after_its_waits(world, run)


async def turned_15(world: World) -> Run:
    """A child who turns 15 while consent is awaited, after one reminder."""
    birthday = helsinki_day(now()) + timedelta(days=10)
    run = await _saved(world, child_form(_address()), birthday.replace(year=birthday.year - 15))
    for _ in range(12):
        await world.skip(run, timedelta(days=1))
    return await _after_its_waits(world, run)


async def credentials_undeliverable(world: World) -> Run:
    """An adult whose address does not work when the credentials are sent."""
    world.smtp.on_rcpt.append("550 5.1.1 No such mailbox")
    run = await _after_its_waits(world, await _saved(world, adult_form(_address()), born(40)))
    assert not world.smtp.on_rcpt
    return run


async def credentials_late(world: World) -> Run:
    """An adult who is saved while the mail server takes nothing."""
    # The Save tries four times, then leaves it to a step of its own.
    world.smtp.on_mail += ["451 4.3.0 Try again later"] * 6
    run = await _after_its_waits(world, await _saved(world, adult_form(_address()), born(40)))
    assert not world.smtp.on_mail
    assert any(
        event.activity_task_scheduled_event_attributes.activity_type.name == "send_credentials"
        for event in (await run.fetch_history()).events
    )
    return run


async def consent_by_signal(world: World) -> Run:
    """A child whose consent an operator records with a signal from Temporal UI."""
    run = await _saved(world, child_form(_address()), born(9))
    await run.signal("record_consent", {})
    return await _after_its_waits(world, run)


async def declined_by_signal(world: World) -> Run:
    """A child whose guardian's refusal an operator records with a signal."""
    run = await _saved(world, child_form(_address()), born(9))
    await run.signal("decline_consent", {})
    return await _ended(run)


async def withdrawn_by_signal(world: World) -> Run:
    """A child whose registration an operator withdraws with a signal."""
    run = await _saved(world, child_form(_address()), born(9))
    await run.signal("withdraw", {})
    return await _ended(run)


PATHS: Mapping[str, Callable[[World], Awaitable[Run]]] = {
    path.__name__: path
    for path in (
        adult_welcomed,
        cd_borrower,
        accepted_by_link,
        consent_on_paper,
        consent_recorded,
        declined_by_link,
        withdrawn,
        lapsed,
        turned_15,
        credentials_undeliverable,
        credentials_late,
        consent_by_signal,
        declined_by_signal,
        withdrawn_by_signal,
    )
}
"""All of them, by the names of their files."""
