"""Scenarios for every workflow: each makes a run execute some of its activities.

The caller moves the run's time.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.client import WorkflowHandle

from deploy.demo.polling import eventually
from liity.identity.v1.person_service_pb2 import EnsurePersonWithoutCodeRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.identity.v1.registrar_service_pb2 import InviteRegistrarRequest
from liity.registration.v1.customer_service_pb2 import (
    ConvertToOnlineRequest,
    Customer,
    EndCustomershipRequest,
    MergeCustomersRequest,
    OrderCredentialsRequest,
    TransferCustomerRequest,
    UndoMergeRequest,
    UpdateCustomerRequest,
)
from liity.registration.v1.personal_data_service_pb2 import ErasePersonRequest
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub
from liity.registration.v1.registration_service_pb2 import (
    ConsentEvidence,
    CreateRegistrationRequest,
    Registrar,
    Registration,
)
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_MAIN_USER, ROLE_REGISTRAR
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    LANGUAGE_EN,
    CustomerForm,
    RelatedPerson,
)
from liity.v1.customer_service_pb2 import (
    CODE_OF_MERGED,
    CUSTOMER_STATE_ACTIVE,
    END_REASON_CONSENT_WITHDRAWN,
    END_REASON_OWN_WISH,
)
from liity.v1.registration_pb2 import MISSING_CODE_REASON_NOT_YET_GIVEN
from liity.workflows.v1.need_workflow_pb2 import ExtendRequest
from liity.workflows.v1.operators_pb2 import WaitsFor
from liity.workflows.v1.password_order_workflow_pb2 import PasswordOrderWorkflowInput
from liity.workflows.v1.registration_workflow_pb2 import (
    Adopt,
    DeclineConsentRequest,
    DissentRequest,
    LinkToCustomerRequest,
    RecordConsentRequest,
    RegistrationWorkflowInput,
    ReportWrongRecipientRequest,
    TakeBackDeclineRequest,
    VerifyIdentityRequest,
)
from liity.workflows.v1.removal_workflow_pb2 import UndoRequest
from services.gateway.temporal.password_resets import PasswordOrderWorkflows
from services.gateway.temporal.units import UnitWorkflows
from services.runtime.guardians import FIRST_GUARDIAN, OTHER_GUARDIAN
from services.runtime.rpc.context import set_current_actor
from services.runtime.temporal.names import (
    TASK_QUEUE,
    AddressChangeWorkflowNames,
    CodeChangeWorkflowNames,
    CredentialsWorkflowNames,
    DisclosureWorkflowNames,
    FeedbackWorkflowNames,
    InvitationWorkflowNames,
    MergeUndoWorkflowNames,
    MergeWorkflowNames,
    MessageWorkflowNames,
    PasswordOrderWorkflowNames,
    PasswordReminderWorkflowNames,
    ReconciliationWorkflowNames,
    RegistrationWorkflowNames,
    RemovalWorkflowNames,
    TransferWorkflowNames,
    UnitClosingWorkflowNames,
    WorkDigestWorkflowNames,
)
from tests.support.registration_forms import date_from_today
from tests.workflows.class_lists.class_lists import Lists
from tests.workflows.conftest import World, adult_form, born, child_form
from tests.workflows.customers import code_changes
from tests.workflows.customers.test_need import temporary_form, watched
from tests.workflows.feedback import feedback
from tests.workflows.messages import messages
from tests.workflows.privacy.test_disclosure import Disclosures
from tests.workflows.reconciliation.test_reconciliation import store
from tests.workflows.registration.test_editing import edit
from tests.workflows.removal.test_removal import due_already
from workflows.accounts.password_reminder import PasswordReminderWorkflow
from workflows.accounts.password_reset import PasswordOrderWorkflow
from workflows.class_lists.workflow import ClassListWorkflow
from workflows.customers.address_change import AddressChangeWorkflow
from workflows.customers.code_change import CodeChangeWorkflow
from workflows.customers.credentials import CredentialsWorkflow
from workflows.customers.merge import MergeWorkflow
from workflows.customers.merge_undo import MergeUndoWorkflow
from workflows.customers.need import NeedWorkflow
from workflows.customers.transfer import TransferWorkflow
from workflows.feedback.workflow import FeedbackWorkflow
from workflows.messages.workflow import MessageWorkflow
from workflows.privacy.disclosure import DisclosureWorkflow
from workflows.reconciliation.workflow import ReconciliationWorkflow
from workflows.registration.workflow import RegistrationWorkflow
from workflows.removal.workflow import RemovalWorkflow
from workflows.units.invitation import InvitationWorkflow
from workflows.units.unit_closing import UnitClosingWorkflow
from workflows.worklist.digest import WorkDigestWorkflow

Run = WorkflowHandle[Any, Any]


@dataclass
class Scene:
    """A run, which may have to be started, and what makes it execute its activities."""

    workflow_id: str
    go: Callable[[], Awaitable[object]]
    request: Any = None
    """The request, if it has a `request_id`: a repeated request gets the first answer."""

    def run(self, world: World) -> Run:
        """The newest run."""
        return world.temporal.get_workflow_handle(self.workflow_id)


Story = Callable[[World], Awaitable[Scene]]
"""Prepares a run's scene."""


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def new_id() -> str:
    return str(uuid.uuid4())


def _saving(world: World, request: CreateRegistrationRequest) -> Scene:
    workflow_id = RegistrationWorkflowNames.workflow_id(request.person_id)
    return Scene(workflow_id, lambda: world.workflows.save(request), request)


async def _new(world: World, form: CustomerForm, birth_date: Any) -> Scene:
    return _saving(world, world.save_request(await world.person(birth_date), form, birth_date))


def _of(registration: Registration, go: Callable[[], Awaitable[object]]) -> Scene:
    return Scene(RegistrationWorkflowNames.workflow_id(registration.person_id), go)


def _customer_service() -> None:
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="ac7", role=ROLE_CUSTOMER_SERVICE))


# Registrations


async def adult(world: World) -> Scene:
    """An adult, up to the welcome mail."""
    return await _new(world, adult_form(address()), born(40))


async def temporary_adult(world: World) -> Scene:
    """An adult with a temporary need."""
    return await _new(world, temporary_form(address(), 5), born(40))


async def cd_borrower(world: World) -> Scene:
    """A CD borrower."""
    form = adult_form(
        address(), kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    return await _new(world, form, born(40))


async def converted(world: World) -> Scene:
    """A CD borrower becomes an online customer, some time after the registration."""
    form = adult_form(
        "", kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    registration, run = await world.save(form, born(70))
    await run.result()
    request = ConvertToOnlineRequest(
        request_id=new_id(),
        customer_id=registration.customer_id,
        unit_id=registration.unit_id,
        email=address(),
        credentials_recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
    )
    scene = _of(registration, lambda: world.customers.convert_to_online(registration.person_id, request))
    scene.request = request
    return scene


async def child(world: World) -> Scene:
    """A child whose guardian never answers."""
    return await _new(world, child_form(address()), born(9))


async def almost_15(world: World) -> Scene:
    """A child who turns 15 while consent is awaited."""
    return await _new(world, child_form(address()), born(15, -3))


async def edited(world: World) -> Scene:
    """A child whose form and guardian's address are corrected while consent is awaited."""
    registration, _ = await world.save(child_form(address()), born(9))

    async def go() -> None:
        await edit(world, registration, "related_person.email", related_person=RelatedPerson(email=address()))

    return _of(registration, go)


async def wrong_recipient(world: World) -> Scene:
    """A child whose consent request reaches another person, who reports it."""
    registration, _ = await world.save(child_form(address()), born(9))

    async def go() -> None:
        request = ReportWrongRecipientRequest(request_id=new_id())
        await world.workflows.report_wrong_recipient(registration.person_id, request)

    return _of(registration, go)


async def consented(world: World) -> Scene:
    """A child whose guardian accepts."""
    registration, _ = await world.save(child_form(address()), born(9))

    async def go() -> None:
        evidence = ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja")
        request = RecordConsentRequest(request_id=new_id(), evidence=evidence)
        await world.workflows.record_consent(registration.person_id, request)

    return _of(registration, go)


def _declining(registration: Registration, world: World) -> Callable[[], Awaitable[object]]:
    async def go() -> None:
        request = DeclineConsentRequest(request_id=new_id())
        await world.workflows.decline_consent(registration.person_id, request)

    return go


async def declined(world: World) -> Scene:
    """A child whose guardian declines."""
    registration, _ = await world.save(child_form(address()), born(9))
    return _of(registration, _declining(registration, world))


async def decline_taken_back(world: World) -> Scene:
    """A child whose guardian declines, and takes it back."""
    registration, _ = await world.save(child_form(address()), born(9))
    await _declining(registration, world)()

    async def go() -> None:
        request = TakeBackDeclineRequest(request_id=new_id())
        await world.workflows.take_back_decline(registration.person_id, request)

    return _of(registration, go)


async def dissented(world: World) -> Scene:
    """A child one of whose guardians consents, and the other does not agree."""
    other = RelatedPerson(full_name="Ismo Huoltaja", email=address())
    registration, _ = await world.save(child_form(address(), other_guardian=other), born(9))
    evidence = ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja")
    consent = RecordConsentRequest(request_id=new_id(), evidence=evidence, guardian=FIRST_GUARDIAN)
    await world.workflows.record_consent(registration.person_id, consent)

    async def go() -> None:
        request = DissentRequest(
            request_id=new_id(), registration_id=registration.registration_id, guardian=OTHER_GUARDIAN
        )
        await world.workflows.dissent(registration, request)

    return _of(registration, go)


async def withdrawn(world: World) -> Scene:
    """A child whose registration an operator withdraws."""
    registration, run = await world.save(child_form(address()), born(9))
    return _of(registration, lambda: run.signal(RegistrationWorkflowNames.WITHDRAW, {}))


async def without_code(world: World) -> Scene:
    """A person without a personal identity code whose identity is never checked."""
    identity = world.gateway["identity"]
    stub = PersonServiceStub(identity.channel)
    person = await identity.call(
        stub.EnsurePersonWithoutCode, EnsurePersonWithoutCodeRequest(request_id=new_id())
    )
    request = world.save_request(person.person_id, adult_form(address()), born(40))
    request.missing_code_reason = MISSING_CODE_REASON_NOT_YET_GIVEN
    return _saving(world, request)


async def verified(world: World) -> Scene:
    """Customer service checks the identity of a person without a personal identity code."""
    registration, _ = await world.save_without_code(adult_form(address()), born(40))

    async def go() -> None:
        verify = VerifyIdentityRequest(request_id=new_id())
        await world.workflows.verify_identity(registration.person_id, verify)

    return _of(registration, go)


async def linked(world: World) -> Scene:
    """A person without a personal identity code turns out to be a customer of another unit."""
    there, _ = await world.save(adult_form(address()), born(40))
    customer = await world.customer(there)
    unit_id = await world.unit()
    await world.move(there, unit_id, await world.account(unit_id))
    registration, _ = await world.save_without_code(adult_form(address()), born(40))

    async def go() -> None:
        link = LinkToCustomerRequest(request_id=new_id(), customer_id=customer.customer_id, unit_id=unit_id)
        await world.workflows.link_to_customer(registration.person_id, link)

    return _of(registration, go)


async def adopted(world: World) -> Scene:
    """A row without a run: reconciliation begins the run."""
    request = world.save_request(await world.person(born(9)), child_form(address()), born(9))
    registration = await store(world, request)
    started_by = Adopt(registration_id=registration.registration_id, request_id=request.request_id)

    async def go() -> None:
        await world.temporal.start_workflow(
            RegistrationWorkflowNames.WORKFLOW,
            RegistrationWorkflowInput(person_id=registration.person_id),
            id=RegistrationWorkflowNames.workflow_id(registration.person_id),
            task_queue=TASK_QUEUE,
            start_signal=RegistrationWorkflowNames.ADOPT,
            start_signal_args=[started_by],
        )

    return _of(registration, go)


async def over(world: World) -> Scene:
    """An operator signals the end of a customership that has not ended."""
    registration, run = await world.save(adult_form(address()), born(40))
    return _of(registration, lambda: run.signal(RegistrationWorkflowNames.CUSTOMERSHIP_ENDED, {}))


async def resumed(world: World) -> Scene:
    """A customership that ended before the welcome mail is resumed, and so is the registration."""
    scene, registration = await _undoing(world)
    return _of(registration, scene.go)


async def moved(world: World) -> Scene:
    """A person moves to another unit before the welcome mail."""
    registration, _ = await world.save(adult_form(address()), born(40))
    unit_id = await world.unit()
    mover = await world.account(unit_id)
    return _of(registration, lambda: world.move(registration, unit_id, mover))


# Changes of a customer


async def transferred(world: World) -> Scene:
    """A customer moves to another unit."""
    registration, _ = await world.save(adult_form(address()), born(40))
    unit_id = await world.unit()
    mover = await world.account(unit_id)
    request = TransferCustomerRequest(
        request_id=new_id(),
        person_id=registration.person_id,
        unit_id=unit_id,
        registrar=Registrar(account_id=mover.account_id, display_name=mover.display_name),
    )
    workflow_id = TransferWorkflowNames.workflow_id(request.request_id)
    return Scene(workflow_id, lambda: world.customers.transfer(request), request)


async def credentials_sent_anew(world: World) -> Scene:
    """A registrar has credentials sent anew."""
    registration, _ = await world.save(adult_form(address()), born(40))
    order = OrderCredentialsRequest(
        request_id=new_id(),
        customer_id=registration.customer_id,
        unit_id=registration.unit_id,
        recipient=CREDENTIALS_RECIPIENT_CUSTOMER,
    )
    workflow_id = CredentialsWorkflowNames.workflow_id(order.request_id)
    return Scene(
        workflow_id, lambda: world.customers.send_credentials(order, world.registrar.account_id), order
    )


async def address_changed(world: World) -> Scene:
    """A customer's address is changed."""
    registration, _ = await world.save(adult_form(address()), born(40))
    return await _changed(world, registration, CustomerForm(email=address()), "email")


async def guardians_address_changed(world: World) -> Scene:
    """A guardian's address is changed as well as the customer's own."""
    form = child_form(address(), credentials_recipient=CREDENTIALS_RECIPIENT_CUSTOMER)
    form.email = address()
    registration, _ = await world.save(form, born(16))
    change = CustomerForm(related_person=RelatedPerson(email=address()))
    return await _changed(world, registration, change, "related_person.email")


async def need_begun(world: World) -> Scene:
    """An edit makes a customer's need temporary."""
    registration, _ = await world.save(adult_form(address()), born(40))
    form = temporary_form("", 30)
    return await _changed(world, registration, form, "temporary", "expected_end_date")


async def _changed(world: World, registration: Registration, form: CustomerForm, *paths: str) -> Scene:
    customer = await world.customer(registration)
    update = UpdateCustomerRequest(
        request_id=new_id(),
        customer_id=customer.customer_id,
        unit_id=customer.unit_id,
        etag=customer.etag,
        update_mask=FieldMask(paths=paths),
        form=form,
    )
    workflow_id = AddressChangeWorkflowNames.workflow_id(update.request_id)
    return Scene(
        workflow_id, lambda: world.customers.change_address(update, world.registrar.account_id), update
    )


async def merged(world: World) -> Scene:
    """Two customers of two units are merged, found by the code of the merged one."""
    kept, _ = await world.save(adult_form(address()), born(40))
    other, _ = await world.save(adult_form(address()), born(40))
    unit_id = await world.unit()
    await world.move(other, unit_id, await world.account(unit_id))
    request = MergeCustomersRequest(
        request_id=new_id(),
        customer_id=kept.customer_id,
        unit_id=kept.unit_id,
        merged_customer_id=other.customer_id,
        merged_unit_id=unit_id,
        merger=world.registrar,
    )
    workflow_id = MergeWorkflowNames.workflow_id(request.request_id)
    return Scene(workflow_id, lambda: world.customers.merge(request, CODE_OF_MERGED), request)


async def merged_within_a_unit(world: World) -> Scene:
    """Two customers of one unit are merged."""
    kept, _ = await world.save(adult_form(address()), born(40))
    other, _ = await world.save(adult_form(address()), born(40))
    request = MergeCustomersRequest(
        request_id=new_id(),
        customer_id=kept.customer_id,
        unit_id=kept.unit_id,
        merged_customer_id=other.customer_id,
        merged_unit_id=other.unit_id,
        merger=world.registrar,
    )
    workflow_id = MergeWorkflowNames.workflow_id(request.request_id)
    return Scene(workflow_id, lambda: world.customers.merge(request, CODE_OF_MERGED), request)


async def merge_undone(world: World) -> Scene:
    """A merge with a temporary customer whose welcome is still to come is undone."""
    kept, _ = await world.save(adult_form(address()), born(40))
    form = adult_form(address())
    form.temporary = True
    form.expected_end_date.CopyFrom(date_from_today(60))
    other, _ = await world.save(form, born(40))
    merge = MergeCustomersRequest(
        request_id=new_id(),
        customer_id=kept.customer_id,
        unit_id=kept.unit_id,
        merged_customer_id=other.customer_id,
        merged_unit_id=other.unit_id,
        merger=world.registrar,
    )
    await world.customers.merge(merge, CODE_OF_MERGED)
    undo = UndoMergeRequest(
        request_id=new_id(),
        customer_id=kept.customer_id,
        unit_id=kept.unit_id,
        merged_customer_id=other.customer_id,
    )
    workflow_id = MergeUndoWorkflowNames.workflow_id(undo.request_id)
    return Scene(workflow_id, lambda: world.customers.undo_merge(undo), undo)


async def code_changed(world: World) -> Scene:
    """A customer's personal identity code is changed."""
    registration, _ = await world.save(adult_form(address()), born(40))
    customer = await world.customer(registration)

    async def go() -> None:
        change = await code_changes.prepared(world, customer, world.new_code(born(41)))
        await code_changes.make(world, customer, change)

    return Scene(CodeChangeWorkflowNames.workflow_id(customer.person_id), go)


# The end of a customership


async def ended(world: World) -> Scene:
    """Customer service ends a customership; the data is kept."""
    registration, _ = await world.save(adult_form(address()), born(40))
    _customer_service()
    return _ending(world, registration)


async def consent_withdrawn(world: World) -> Scene:
    """A child whose guardian consents, and withdraws the consent by the link."""
    form = child_form(address())
    form.email = address()
    saved, _ = await world.save(form, born(9))
    evidence = ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja")
    consent = RecordConsentRequest(request_id=new_id(), evidence=evidence)
    registration = await world.workflows.record_consent(saved.person_id, consent)
    scene = _ending(world, registration)
    scene.request.reason = END_REASON_CONSENT_WITHDRAWN
    scene.request.withdrawn_registration_id = registration.registration_id
    return scene


async def erased(world: World) -> Scene:
    """A customership that ended years ago: the data is erased."""
    registration, _ = await world.save(adult_form(address()), born(40))
    scene = _ending(world, registration)
    kept = await world.removals.end(scene.request)
    customer = await world.customer(registration)
    return Scene(scene.workflow_id, lambda: due_already(world, customer, kept))


async def undone(world: World) -> Scene:
    """A customership with a temporary need that ended before the welcome mail is resumed."""
    return (await _undoing(world))[0]


async def returned(world: World) -> Scene:
    """A customer whose customership has ended returns by a new registration."""
    registration, _ = await world.save(adult_form(address()), born(40))
    scene = _ending(world, registration)
    await scene.go()
    statement = "UPDATE customers SET state = :s WHERE customer_id = :c"
    await world.change("registration", statement, s=CUSTOMER_STATE_ACTIVE, c=registration.customer_id)
    run = scene.run(world)
    return Scene(scene.workflow_id, lambda: run.signal(RemovalWorkflowNames.RETURNED, {}))


def _ending(world: World, registration: Registration) -> Scene:
    request = EndCustomershipRequest(
        request_id=new_id(),
        customer_id=registration.customer_id,
        unit_id=registration.unit_id,
        reason=END_REASON_OWN_WISH,
    )
    workflow_id = RemovalWorkflowNames.workflow_id(registration.customer_id)
    return Scene(workflow_id, lambda: world.removals.end(request), request)


async def _undoing(world: World) -> tuple[Scene, Registration]:
    registration, run = await world.save(temporary_form(address(), 100), born(40))
    scene = _ending(world, registration)
    await scene.go()
    await run.result()

    undo = UndoRequest(request_id=new_id())

    async def go() -> None:
        await world.removals.undo(registration.customer_id, registration.unit_id, undo.request_id)

    return Scene(scene.workflow_id, go, undo), registration


async def need_asked_about(world: World) -> Scene:
    """A temporary need about which no answer comes."""
    _, run = await with_a_temporary_need(world)
    return Scene(run.id, lambda: asyncio.sleep(0))


async def need_extended(world: World) -> Scene:
    """A temporary need is extended."""
    customer, run = await with_a_temporary_need(world)
    extend = ExtendRequest(request_id=new_id(), customer_id=customer.customer_id)
    return Scene(run.id, lambda: world.removals.extend_need(extend, customer.unit_id), extend)


async def with_a_temporary_need(world: World) -> tuple[Customer, Run]:
    """A customer with a temporary need, and the run that watches it."""
    registration, _ = await world.save(temporary_form(address(), 5), born(40))
    return await watched(world, registration)


# Other workflows


async def disclosed(world: World) -> Scene:
    """An export for an access request."""
    registration, _ = await world.save(adult_form(address()), born(40))
    disclosures = Disclosures(world, registration.person_id)
    workflow_id = DisclosureWorkflowNames.workflow_id(disclosures.input.disclosure_id)
    return Scene(workflow_id, disclosures.begin)


async def password_ordered(world: World) -> Scene:
    """A registrar orders a new password."""
    account = await world.account(world.unit_id)
    order = PasswordOrderWorkflowInput(request_id=new_id(), email=account.email)
    workflow_id = PasswordOrderWorkflowNames.workflow_id(order.request_id)
    return Scene(workflow_id, lambda: PasswordOrderWorkflows(world.temporal).start(order))


async def class_list(world: World) -> Scene:
    """A class list of one."""
    lists = Lists(world)
    of = await lists.store(await lists.adults(1))
    return Scene(lists.handle(of).id, lambda: lists.start(of))


async def class_list_cancelled(world: World) -> Scene:
    """A class list that an operator cancels as it begins."""
    lists = Lists(world)
    of = await lists.store(await lists.adults(1))

    async def go() -> None:
        run = await lists.start(of)
        await run.signal("cancel", {})

    return Scene(lists.handle(of).id, go)


async def invited(world: World) -> Scene:
    """An invitation that is not answered."""
    unit_id = await world.unit()
    inviter = await world.account(unit_id, ROLE_MAIN_USER)
    request = InviteRegistrarRequest(
        request_id=new_id(),
        unit_id=unit_id,
        email=f"{uuid.uuid4().hex}@kirjasto.example",
        role=ROLE_REGISTRAR,
        language=LANGUAGE_EN,
        inviter_account_id=inviter.account_id,
    )
    workflow_id = InvitationWorkflowNames.workflow_id(uuid.UUID(request.request_id).hex)
    return Scene(workflow_id, lambda: UnitWorkflows(world.temporal).invite(request), request)


async def invitation_withdrawn(world: World) -> Scene:
    """An invitation that an operator withdraws."""
    scene = await invited(world)
    await scene.go()
    run = scene.run(world)
    return Scene(scene.workflow_id, lambda: run.signal(InvitationWorkflowNames.WITHDRAW, {}))


async def said_to_be_accepted(world: World) -> Scene:
    """An operator signals the acceptance of an invitation that nobody has accepted."""
    scene = await invited(world)
    await scene.go()
    run = scene.run(world)
    return Scene(scene.workflow_id, lambda: run.signal(InvitationWorkflowNames.ACCEPTED, {}))


async def unit_closed(world: World) -> Scene:
    """A unit is closed that has an open invitation."""
    workflows = UnitWorkflows(world.temporal)
    unit_id = await world.unit()
    inviter = await world.account(unit_id, ROLE_MAIN_USER)
    request = InviteRegistrarRequest(
        request_id=new_id(),
        unit_id=unit_id,
        email=f"{uuid.uuid4().hex}@kirjasto.example",
        role=ROLE_REGISTRAR,
        language=LANGUAGE_EN,
        inviter_account_id=inviter.account_id,
    )
    await workflows.invite(request)
    return Scene(UnitClosingWorkflowNames.workflow_id(unit_id), lambda: workflows.close(unit_id, new_id()))


async def unit_moved(world: World) -> Scene:
    """A unit is closed into its successor, with a customer."""
    unit_id, successor = await world.unit(), await world.unit()
    request = world.save_request(await world.person(born(40)), adult_form(address()), born(40))
    request.unit_id = unit_id
    await world.workflows.save(request)
    workflows = UnitWorkflows(world.temporal)
    workflow_id = UnitClosingWorkflowNames.workflow_id(unit_id)
    return Scene(workflow_id, lambda: workflows.close(unit_id, new_id(), successor))


async def message_lapsed(world: World) -> Scene:
    """A message to customer service that is not answered."""
    message = await messages.written(world)
    workflow_id = MessageWorkflowNames.workflow_id(message.message_id)
    return Scene(workflow_id, lambda: messages.look(world, message))


async def message_answered(world: World) -> Scene:
    """A message to customer service that is answered."""
    message, run = await messages.sent(world)

    async def go() -> None:
        await messages.close(world, message)
        await messages.look(world, message)

    return Scene(run.id, go)


async def _details(run: Run) -> str:
    waits_for: WaitsFor = await run.query("waits_for", result_type=WaitsFor)
    return waits_for.details


async def message_erased(world: World) -> Scene:
    """A message to customer service that is erased with the person it is about."""
    registration, _ = await world.save(adult_form(address()), born(40))
    message, run = await messages.sent(world, registration_id=registration.registration_id)
    # Only a run that has read the message knows whom to mail after the erasure.
    await eventually(lambda: _details(run), lambda found: "Waits for customer service" in found, 60)

    async def go() -> None:
        worker = world.worker["registration"]
        erase = ErasePersonRequest(person_id=registration.person_id)
        await worker.call(PersonalDataServiceStub(worker.channel).ErasePerson, erase)
        await messages.look(world, message)

    return Scene(run.id, go)


async def feedback_overdue(world: World) -> Scene:
    """Feedback on accessibility that nobody answers."""
    given = await feedback.written(world, f"{new_id()}@koti.example")
    workflow_id = FeedbackWorkflowNames.workflow_id(given.feedback_id)
    return Scene(workflow_id, lambda: feedback.look(world, given))


async def feedback_answered(world: World) -> Scene:
    """Feedback on accessibility that is answered."""
    given, run = await feedback.sent(world, f"{new_id()}@koti.example")

    async def go() -> None:
        await feedback.answer(world, given)
        await feedback.look(world, given)

    return Scene(run.id, go)


def _scheduled(world: World, workflow: str, schedule: str) -> Scene:
    workflow_id = f"{schedule}-{uuid.uuid4()}"
    return Scene(
        workflow_id,
        lambda: world.temporal.start_workflow(workflow, id=workflow_id, task_queue=TASK_QUEUE),
    )


async def passwords_reminded_of(world: World) -> Scene:
    """A registrar whose password is old is reminded."""
    account = await world.account(await world.unit())
    statement = "UPDATE accounts SET password_chosen_at = now() - interval '2 years' WHERE account_id = :a"
    await world.change("identity", statement, a=account.account_id)
    return _scheduled(world, PasswordReminderWorkflowNames.WORKFLOW, PasswordReminderWorkflowNames.SCHEDULE)


async def work_is_due(world: World) -> Scene:
    """Customer service is mailed the work that is due."""
    return _scheduled(world, WorkDigestWorkflowNames.WORKFLOW, WorkDigestWorkflowNames.SCHEDULE)


async def reconciled(world: World) -> Scene:
    """Rows and runs are compared."""
    return _scheduled(world, ReconciliationWorkflowNames.WORKFLOW, ReconciliationWorkflowNames.SCHEDULE)


STORIES: Mapping[type, Mapping[Story, Sequence[str]]] = {
    RegistrationWorkflow: {
        adult: ("create_registration", "remind_to_change_address", "look_whose_address", "send_welcome"),
        temporary_adult: ("watch_need",),
        cd_borrower: ("tell_customership_begun",),
        converted: ("convert_to_online",),
        child: (
            "request_consent",
            "remind_of_consent",
            "tell_lapses_soon",
            "end_registration",
            "tell_consent_not_given",
        ),
        almost_15: ("activate_registration", "tell_consent_outgrown", "plan_welcome", "send_credentials"),
        edited: ("edit_registration",),
        wrong_recipient: ("report_wrong_recipient", "tell_wrong_recipient"),
        consented: ("activate_registration", "mail_receipt", "tell_consent_given"),
        declined: ("record_decline",),
        decline_taken_back: ("take_back_decline",),
        dissented: ("record_dissent", "mail_dissent_receipt"),
        withdrawn: ("end_registration", "tell_withdrawn"),
        without_code: (
            "ask_customer_service",
            "remind_customer_service",
            "tell_how_it_was_decided",
            "tell_what_was_missed",
        ),
        verified: ("approve_registration",),
        linked: ("link_registration", "tell_previous_unit"),
        adopted: ("adopt_registration",),
        over: ("look_whether_over",),
        resumed: ("resume_registration",),
        moved: ("look_which_unit",),
    },
    TransferWorkflow: {
        transferred: ("transfer_customer", "tell_previous_unit"),
    },
    CredentialsWorkflow: {
        credentials_sent_anew: ("order_credentials", "send_credentials_anew"),
    },
    AddressChangeWorkflow: {
        address_changed: (
            "change_address",
            "confirm_address",
            "tell_previous_address",
            "remind_to_confirm",
            "tell_unconfirmed",
        ),
        guardians_address_changed: ("tell_previous_related_address",),
        need_begun: ("watch_need",),
    },
    MergeWorkflow: {
        merged: ("merge_customers", "send_credentials_anew", "tell_previous_unit"),
        merged_within_a_unit: ("tell_unit_of_merge",),
    },
    MergeUndoWorkflow: {
        merge_undone: ("undo_merge", "watch_need", "resume_welcome"),
    },
    CodeChangeWorkflow: {
        code_changed: ("change_code",),
    },
    RemovalWorkflow: {
        ended: ("end_customership", "tell_customership_ended", "tell_registrar_of_the_end"),
        consent_withdrawn: ("end_customership", "tell_consent_withdrawn"),
        erased: ("erase_customer",),
        undone: (
            "undo_removal",
            "tell_removal_undone",
            "tell_customership_goes_on",
            "send_credentials_anew",
            "watch_need",
            "resume_welcome",
        ),
        returned: ("look_whether_returned",),
    },
    NeedWorkflow: {
        need_asked_about: ("look_at_need", "ask_whether_needed", "tell_need_unanswered"),
        need_extended: ("extend_need",),
    },
    DisclosureWorkflow: {
        disclosed: ("gather_disclosure", "delete_disclosure"),
    },
    PasswordOrderWorkflow: {
        password_ordered: ("mail_password_link",),
    },
    ClassListWorkflow: {
        class_list: ("begin_class_list", "register_rows", "finish_class_list", "tell_class_list_done"),
        class_list_cancelled: ("cancel_class_list",),
    },
    InvitationWorkflow: {
        invited: ("invite_registrar", "mail_invitation", "remind_of_invitation", "end_invitation"),
        invitation_withdrawn: ("void_invitation",),
        said_to_be_accepted: ("look_whether_accepted",),
    },
    UnitClosingWorkflow: {
        unit_closed: ("list_registrars", "close_unit", "tell_unit_closed"),
        unit_moved: ("move_unit_batch", "tell_unit_took_over"),
    },
    MessageWorkflow: {
        message_lapsed: (
            "look_at_message",
            "tell_customer_service",
            "confirm_receipt",
            "remind_of_message",
            "lapse_message",
            "tell_lapsed",
        ),
        message_answered: ("tell_answered",),
        message_erased: ("tell_erased",),
    },
    FeedbackWorkflow: {
        feedback_overdue: (
            "look_at_feedback",
            "tell_of_feedback",
            "confirm_feedback",
            "tell_feedback_late",
        ),
        feedback_answered: ("mail_feedback_answer",),
    },
    PasswordReminderWorkflow: {
        passwords_reminded_of: ("remind_of_passwords", "tell_of_unused_links"),
    },
    WorkDigestWorkflow: {
        work_is_due: ("tell_what_is_due",),
    },
    ReconciliationWorkflow: {
        reconciled: ("begin_missing_runs", "resume_cut_off_runs", "end_lost_runs", "tell_of_returned_mail"),
    },
}
"""The scenarios of each workflow, and the activities to test in each."""
