"""Each path of a registration, gone once: what its recorded history is of."""

import re
import uuid
from collections.abc import Mapping
from datetime import UTC, date, timedelta
from typing import Any

from temporalio.client import WorkflowHandle
from temporalio.service import RPCError

from deploy.demo.polling import eventually
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_CONSENT, CheckLinkRequest
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.registration.v1.customer_service_pb2 import EndCustomershipRequest
from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    LANGUAGE_FI,
    CustomerForm,
    PaperConsent,
)
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION, END_REASON_OWN_WISH
from liity.workflows.v1.class_list_workflow_pb2 import CancelClassListRequest
from liity.workflows.v1.registration_workflow_pb2 import (
    DeclineConsentRequest,
    LinkToCustomerRequest,
    ReactivateRequest,
    RecordConsentRequest,
    RejectRequest,
    RemindGuardianRequest,
    VerifyIdentityRequest,
    WithdrawRequest,
)
from services.runtime.clock import helsinki_day, now, to_proto_date
from services.runtime.temporal.names import (
    CodeChangeWorkflowNames,
    NeedWorkflowNames,
    RemovalWorkflowNames,
    TransferWorkflowNames,
)
from tests.replay.told_paths import TOLD_PATHS, Path
from tests.workflows.class_lists.class_lists import Lists
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.customers import code_changes
from tests.workflows.feedback import feedback
from tests.workflows.messages import messages

Run = WorkflowHandle[Any, Any]

_PATIENCE = 60.0


async def _saved(world: World, form: CustomerForm, birth_date: date) -> Run:
    return (await world.save(form, birth_date))[1]


async def _after_its_waits(world: World, run: Run) -> Run:
    """Lets time pass until there is nothing more to wait for."""
    await world.skip_to_end(run)
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
    found = re.search(r"/consent/([\w.~-]+)", mail.get_body(("plain",)).get_content())
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


async def reminded(world: World) -> Run:
    """A child whose guardian the unit has reminded, shortly before an automatic reminder."""
    run = await _saved(world, child_form(_address()), born(9))
    await world.skip(run, timedelta(days=5))
    await world.workflows.remind_guardian(_person(run), RemindGuardianRequest(request_id=_request_id()))
    return await _after_its_waits(world, run)


async def declined_by_link(world: World) -> Run:
    """A child whose guardian declines by the link."""
    guardian = _address()
    run = await _saved(world, child_form(guardian), born(9))
    request = DeclineConsentRequest(request_id=_request_id(), link_id=await _link_id(world, guardian))
    await world.workflows.decline_consent(_person(run), request)
    return await _after_its_waits(world, run)


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
    return await _after_its_waits(world, run)


async def withdrawn_by_signal(world: World) -> Run:
    """A child whose registration an operator withdraws with a signal."""
    run = await _saved(world, child_form(_address()), born(9))
    await run.signal("withdraw", {})
    return await _ended(run)


async def moved_while_waiting(world: World) -> Run:
    """A child who is moved to another unit while consent is awaited, which never comes."""
    registration, run = await world.save(child_form(_address()), born(9))
    await _moved(world, registration)
    return await _after_its_waits(world, run)


async def moved_before_the_welcome(world: World) -> Run:
    """An adult who is moved to another unit before the welcome."""
    registration, run = await world.save(adult_form(_address()), born(40))
    await _moved(world, registration)
    return await _after_its_waits(world, run)


async def registrars_address_kept(world: World) -> Run:
    """An adult with a registrar's own address, who is reminded and never changes it."""
    registrar = await world.account(world.unit_id)
    return await _after_its_waits(world, await _saved(world, adult_form(registrar.email), born(40)))


async def registrars_address_changed(world: World) -> Run:
    """An adult whose registrar's own address is changed while the welcome waits for that."""
    registrar = await world.account(world.unit_id)
    registration, run = await world.save(adult_form(registrar.email), born(40))
    # Day by day: a mail is only sent while time stands.
    for _ in range(16):
        await world.skip(run, timedelta(days=1))
    await world.change_address(registration, _address())
    return await _ended(run)


async def ended_before_the_welcome(world: World) -> Run:
    """An adult whose customership ends before the welcome."""
    registration, run = await world.save(adult_form(_address()), born(40))
    await _end(world, registration)
    return await _ended(run)


async def removal_that_erases(world: World) -> Run:
    """An ended customership, until the data is erased on the yearly day."""
    registration, run = await world.save(adult_form(_address()), born(40))
    removal = await _end(world, registration)
    await _ended(run)
    return await _after_its_waits(world, removal)


async def removal_undone(world: World) -> Run:
    """A customership that is ended before the welcome, and brought back."""
    registration, run = await world.save(adult_form(_address()), born(40))
    removal = await _end(world, registration)
    await _ended(run)
    customer_id = (await world.customer(registration)).customer_id
    await world.removals.undo(customer_id, registration.unit_id, _request_id())
    return await _ended(removal)


async def temporary_need(world: World) -> Run:
    """An adult whose need is temporary, and is watched from the beginning."""
    day = to_proto_date(helsinki_day(now()) + timedelta(days=90))
    form = adult_form(_address(), temporary=True, expected_end_date=day)
    return await _after_its_waits(world, await _saved(world, form, born(40)))


async def need_unanswered(world: World) -> Run:
    """A temporary need about which nobody answers."""
    return await _after_its_waits(world, await _watched(world, days=30))


async def need_of_more_than_a_year(world: World) -> Run:
    """A temporary need that goes on in a new run: the first one."""
    run = await _watched(world, days=400)
    first = world.temporal.get_workflow_handle(run.id, run_id=(await run.describe()).run_id)
    await world.skip_to_end(first)
    return first


async def identity_verified(world: World) -> Run:
    """An adult without a code, whom customer service knows after a reminder."""
    registration, run = await world.save_without_code(adult_form(_address()), born(40))
    # Day by day: a mail is only sent while time stands.
    for _ in range(24):
        await world.skip(run, timedelta(days=1))
    verify = VerifyIdentityRequest(request_id=_request_id())
    await world.workflows.verify_identity(registration.person_id, verify)
    return await _after_its_waits(world, run)


async def identity_verified_of_a_child(world: World) -> Run:
    """A child without a code, verified by a signal; the guardian's consent is recorded by one, too."""
    _, run = await world.save_without_code(child_form(_address()), born(9))
    await world.skip(run, timedelta(hours=1))
    await run.signal("verify_identity", {})
    await world.skip(run, timedelta(hours=1))
    await run.signal("record_consent", {})
    return await _after_its_waits(world, run)


async def identity_check_lapsed(world: World) -> Run:
    """An adult without a code, about whom customer service never decides."""
    _, run = await world.save_without_code(adult_form(_address()), born(40))
    for _ in range(28):
        await world.skip(run, timedelta(days=1))
    return await _after_its_waits(world, run)


async def linked_to_a_customer(world: World) -> Run:
    """An adult without a code, who is a customer of another unit already."""
    there, _ = await world.save(adult_form(_address()), born(40))
    customer = await world.customer(there)
    unit_id = await world.unit()
    await world.move(there, unit_id, await world.account(unit_id))
    registration, run = await world.save_without_code(adult_form(_address()), born(40))
    await world.skip(run, timedelta(hours=1))
    link = LinkToCustomerRequest(request_id=_request_id(), customer_id=customer.customer_id, unit_id=unit_id)
    await world.workflows.link_to_customer(registration.person_id, link)
    return await _ended(run)


async def reactivated(world: World) -> Run:
    """An adult who was marked for deletion, and comes back to another unit."""
    registration, run = await _returning(world)
    await world.skip(run, timedelta(hours=1))
    reactivate = ReactivateRequest(request_id=_request_id())
    await world.workflows.reactivate(registration.person_id, reactivate)
    return await _after_its_waits(world, run)


async def reactivation_rejected(world: World) -> Run:
    """An adult who was marked for deletion, and stays so."""
    registration, run = await _returning(world)
    await world.skip(run, timedelta(hours=1))
    reject = RejectRequest(request_id=_request_id(), note="Asiakas on muuttanut ulkomaille.")
    await world.workflows.reject(registration.person_id, reject)
    return await _ended(run)


async def made_way(world: World) -> Run:
    """An adult whose customership has ended before the welcome, and who is saved anew."""
    registration, run = await world.save(adult_form(_address()), born(40))
    await world.skip(run, timedelta(hours=1))
    await _marked(world, registration.person_id)
    await world.workflows.make_way(registration.person_id, _request_id())
    return await _ended(run)


async def _returning(world: World) -> tuple[Registration, Run]:
    """Somebody of another unit who is marked for deletion, saved anew."""
    before, run = await world.save(adult_form(_address()), born(40))
    unit_id = await world.unit()
    await world.move(before, unit_id, await world.account(unit_id))
    await _after_its_waits(world, run)
    await _marked(world, before.person_id)
    request = world.save_request(before.person_id, adult_form(_address()), born(40))
    registration = await world.workflows.save(request)
    return registration, world.temporal.get_workflow_handle(run.id)


async def _marked(world: World, person_id: str) -> None:
    await world.change(
        "registration",
        "UPDATE customers SET state = :s, ended_at = now() WHERE person_id = :p",
        s=CUSTOMER_STATE_MARKED_FOR_DELETION,
        p=person_id,
    )


async def class_list(world: World) -> Run:
    """A class list of two adults, to its end."""
    lists = Lists(world)
    return await lists.run(await lists.store(await lists.adults(2)))


async def class_list_cancelled(world: World) -> Run:
    """A class list of two adults that is cancelled as it begins."""
    lists = Lists(world)
    of = await lists.store(await lists.adults(2))
    await lists.workflows.cancel(of, CancelClassListRequest(request_id=_request_id()))
    return await _ended(lists.handle(of))


async def message_answered(world: World) -> Run:
    """Customer service answers a message within the hour."""
    message, run = await messages.sent(world)
    await world.skip(run, timedelta(hours=1))
    await messages.close(world, message)
    await messages.look(world, message)
    return await _ended(run)


async def feedback_overdue(world: World) -> Run:
    """Feedback on accessibility that customer service answers a day after the deadline."""
    given, run = await feedback.sent(world, f"{_request_id()}@koti.example")
    deadline = given.deadline.ToDatetime(UTC)
    await world.skip(run, deadline + timedelta(days=1) - await world.environment.get_current_time(run))
    await feedback.answer(world, given)
    await feedback.look(world, given)
    return await _ended(run)


async def message_lapsed(world: World) -> Run:
    """Nobody answers a message."""
    _, run = await messages.sent(world)
    return await _after_its_waits(world, run)


async def code_changed(world: World) -> Run:
    """An adult is given another code."""
    registration, _ = await world.save(adult_form(_address()), born(40))
    customer = await world.customer(registration)
    change = await code_changes.prepared(world, customer, world.new_code(born(41)))
    await code_changes.make(world, customer, change)
    workflow_id = CodeChangeWorkflowNames.workflow_id(customer.person_id)
    return await _ended(world.temporal.get_workflow_handle(workflow_id))


async def _end(world: World, registration: Registration) -> Run:
    """Ends a customership; gives the run of its removal."""
    customer_id = (await world.customer(registration)).customer_id
    request = EndCustomershipRequest(
        request_id=_request_id(),
        customer_id=customer_id,
        unit_id=registration.unit_id,
        reason=END_REASON_OWN_WISH,
    )
    await world.removals.end(request)
    return world.temporal.get_workflow_handle(RemovalWorkflowNames.workflow_id(customer_id))


async def _watched(world: World, days: int) -> Run:
    """An adult whose need is temporary; gives the run that watches it."""
    day = to_proto_date(helsinki_day(now()) + timedelta(days=days))
    form = adult_form(_address(), temporary=True, expected_end_date=day)
    registration, _ = await world.save(form, born(40))
    customer = await world.customer(registration)
    run = world.temporal.get_workflow_handle(NeedWorkflowNames.workflow_id(customer.customer_id))

    async def begun() -> bool:
        try:
            await run.describe()
        except RPCError:
            return False
        return True

    await eventually(begun, bool, _PATIENCE)
    return run


async def _moved(world: World, registration: Registration) -> None:
    unit_id, request_id = await world.unit(), _request_id()
    await world.move(registration, unit_id, await world.account(unit_id), request_id)
    await _ended(world.temporal.get_workflow_handle(TransferWorkflowNames.workflow_id(request_id)))


PATHS: Mapping[str, Path] = dict(TOLD_PATHS) | {
    path.__name__: path
    for path in (
        adult_welcomed,
        cd_borrower,
        accepted_by_link,
        consent_on_paper,
        consent_recorded,
        reminded,
        declined_by_link,
        withdrawn,
        lapsed,
        turned_15,
        credentials_undeliverable,
        credentials_late,
        consent_by_signal,
        declined_by_signal,
        withdrawn_by_signal,
        moved_while_waiting,
        moved_before_the_welcome,
        registrars_address_kept,
        registrars_address_changed,
        ended_before_the_welcome,
        removal_that_erases,
        removal_undone,
        temporary_need,
        need_unanswered,
        need_of_more_than_a_year,
        identity_verified,
        identity_verified_of_a_child,
        identity_check_lapsed,
        linked_to_a_customer,
        reactivated,
        reactivation_rejected,
        made_way,
        class_list,
        class_list_cancelled,
        message_answered,
        message_lapsed,
        feedback_overdue,
        code_changed,
    )
}
"""All of them, by the names of their files."""
