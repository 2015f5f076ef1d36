"""Two customers become one: what runs for the one ends, what runs for the other goes on (R24, R34)."""

import uuid
from datetime import timedelta
from email.message import EmailMessage

import pytest
from temporalio.client import WorkflowHandle

from deploy.demo.polling import eventually
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_EMAIL, CheckLinkRequest, IssueLinkRequest
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.identity.v1.person_service_pb2 import FindPersonRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1.customer_service_pb2 import Customer, MergeCustomersRequest, UndoMergeRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import Registration
from liity.v1.customer_service_pb2 import CODE_OF_KEPT, CODE_OF_MERGED, CODE_OF_UNSPECIFIED, CodeOf
from liity.v1.reason_pb2 import (
    REASON_BOTH_HAVE_PERSONAL_IDENTITY_CODES,
    REASON_CHANGED_SINCE_MERGE,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_LINK_VOID,
    REASON_MERGE_FINAL,
    REASON_REQUEST_ID_REUSED,
    REASON_SAME_CUSTOMER,
)
from liity.v1.registration_pb2 import STAGE_MERGED, STAGE_WELCOMED
from services.runtime.clock import now
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.names import (
    MergeUndoWorkflowNames,
    MergeWorkflowNames,
    RegistrationWorkflowNames,
)
from services.runtime.temporal.search_attributes import STAGE
from services.runtime.text.references import of_registration
from tests.support.registration_service import timestamp
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, adult_form, born, child_form
from tests.workflows.customers.test_transfer import address, text_of, told

CREDENTIALS = "Tunnukset kirjaston palveluun"
WELCOME = "Tervetuloa kirjastoon, tässä muutama kirjavinkki"


async def merge(
    world: World,
    kept: Customer,
    merged: Customer,
    code_of: CodeOf.ValueType = CODE_OF_UNSPECIFIED,
    request_id: str = "",
) -> str:
    """Merges two customers; gives the call's ID, once all of it is done."""
    request = merge_request(world, kept, merged, request_id or str(uuid.uuid4()))
    await world.customers.merge(request, code_of)
    await world.temporal.get_workflow_handle(MergeWorkflowNames.workflow_id(request.request_id)).result()
    return request.request_id


def merge_request(world: World, kept: Customer, merged: Customer, request_id: str) -> MergeCustomersRequest:
    return MergeCustomersRequest(
        request_id=request_id,
        customer_id=kept.customer_id,
        unit_id=kept.unit_id,
        merged_customer_id=merged.customer_id,
        merged_unit_id=merged.unit_id,
        merger=world.registrar,
    )


async def saved(world: World, email: str) -> tuple[Registration, WorkflowHandle[object, object], Customer]:
    registration, run = await world.save(adult_form(email), born(40))
    return registration, run, await world.customer(registration)


async def person_of(world: World, code: str) -> str:
    stub = PersonServiceStub(world.gateway["identity"].channel)
    request = FindPersonRequest(personal_identity_code=code)
    return (await world.gateway["identity"].call(stub.FindPerson, request)).person_id


async def test_the_merged_run_mails_nothing_more_and_the_other_goes_on(world: World) -> None:
    mail_of_kept, mail_of_merged = address(), address()
    kept_registration, kept_run, kept = await saved(world, mail_of_kept)
    merged_registration, merged_run, merged = await saved(world, mail_of_merged)
    request_id = await merge(world, kept, merged, CODE_OF_MERGED)
    # A repetition finds all done.
    assert await merge(world, kept, merged, CODE_OF_MERGED, request_id) == request_id
    await merged_run.result()
    assert (await world.stored(merged_registration)).stage == STAGE_MERGED
    assert (await merged_run.describe()).typed_search_attributes[STAGE] == "MERGED"
    await world.skip_to_end(kept_run)
    await kept_run.result()
    assert (await world.stored(kept_registration)).stage == STAGE_WELCOMED
    assert [mail["Subject"] for mail in world.mails_to(mail_of_kept)].count(WELCOME) == 1
    assert WELCOME not in [mail["Subject"] for mail in world.mails_to(mail_of_merged)]
    # Of one unit: nobody has lost sight of anybody, and the registrar hears that the two are one.
    assert not told(world, REGISTRARS_ADDRESS, merged_registration.registration_id)
    subjects = [
        mail["Subject"]
        for mail in world.mails_to(REGISTRARS_ADDRESS)
        if of_registration(merged_registration.registration_id) in text_of(mail)
    ]
    assert subjects == ["Yksikkösi kaksi asiakasta oli sama henkilö"]


async def test_who_logged_in_as_the_merged_one_gets_the_credentials_that_stay(world: World) -> None:
    mail_of_kept = address()
    _, _, kept = await saved(world, mail_of_kept)
    _, _, merged = await saved(world, address())

    async def mails() -> list[EmailMessage]:
        return list(world.mails_to(mail_of_kept))

    sent = len(await eventually(mails, bool, 60))
    request_id = await merge(world, kept, merged, CODE_OF_MERGED)
    await world.temporal.get_workflow_handle(MergeWorkflowNames.workflow_id(request_id)).result()
    (anew,) = world.mails_to(mail_of_kept)[sent:]
    assert anew["Subject"] == CREDENTIALS


async def test_the_credentials_that_stay_go_where_the_form_says(world: World) -> None:
    guardian, own = address(), address()
    form = child_form(guardian)
    form.email = own
    registration, _ = await world.save(form, born(16))
    kept = await world.customer(registration)
    _, _, merged = await saved(world, address())

    async def credentials() -> int:
        return [mail["Subject"] for mail in world.mails_to(guardian)].count(CREDENTIALS)

    assert await eventually(credentials, bool, 60) == 1
    await merge(world, kept, merged, CODE_OF_MERGED)
    assert await credentials() == 2
    assert CREDENTIALS not in [mail["Subject"] for mail in world.mails_to(own)]


async def test_the_unit_of_the_merged_customer_is_told(world: World) -> None:
    _, _, kept = await saved(world, address())
    registration, _, _ = await saved(world, address())
    unit_id = await world.unit()
    registrar = await world.account(unit_id)
    await world.move(registration, unit_id, registrar)
    await merge(world, kept, await world.customer(registration), CODE_OF_MERGED)
    (text,) = told(world, registrar.email, registration.registration_id)
    assert "Aino" not in text


async def test_the_code_that_counts_leads_to_the_customer_who_stays(world: World) -> None:
    _, _, kept = await saved(world, address())
    code_of_kept = world.seen[-1]
    _, _, merged = await saved(world, address())
    code_of_merged = world.seen[-1]
    with pytest.raises(Refusal) as refusal:
        await merge(world, kept, merged)
    assert refusal.value.reason == REASON_BOTH_HAVE_PERSONAL_IDENTITY_CODES
    assert await person_of(world, code_of_merged) == merged.person_id
    await merge(world, kept, merged, CODE_OF_MERGED)
    # So does the code that was dropped: a Save by it finds the customer, too.
    assert await person_of(world, code_of_merged) == kept.person_id
    assert await person_of(world, code_of_kept) == kept.person_id
    rows = await world.rows(
        "identity", "SELECT 1 FROM credentials WHERE person_id = :person", person=merged.person_id
    )
    assert not rows


async def test_what_cannot_be_merged_is_told_and_changes_nothing(world: World) -> None:
    _, run, kept = await saved(world, address())
    for other, reason in (
        (kept, REASON_SAME_CUSTOMER),
        (Customer(customer_id="none", unit_id=world.unit_id), REASON_CUSTOMER_NOT_FOUND),
    ):
        with pytest.raises(Refusal) as refusal:
            await merge(world, kept, other)
        assert refusal.value.reason == reason
    assert (await run.describe()).status is not None


async def undo(world: World, kept: Customer, merged: Customer, request_id: str = "") -> str:
    """Takes a merge back; gives the call's ID, once all of it is done."""
    request = UndoMergeRequest(
        request_id=request_id or str(uuid.uuid4()),
        customer_id=kept.customer_id,
        unit_id=kept.unit_id,
        merged_customer_id=merged.customer_id,
    )
    await world.customers.undo_merge(request)
    run = world.temporal.get_workflow_handle(MergeUndoWorkflowNames.workflow_id(request.request_id))
    await run.result()
    return request.request_id


async def confirmation_link(world: World, registration: Registration) -> str:
    """A link as it is mailed to a new address of the registration's customer."""
    worker = world.worker["identity"]
    issue = IssueLinkRequest(
        request_id=str(uuid.uuid4()),
        purpose=LINK_PURPOSE_EMAIL,
        subject=registration.registration_id,
        expire_time=timestamp(now() + timedelta(days=7)),
    )
    return (await worker.call(LinkServiceStub(worker.channel).IssueLink, issue)).token


async def open_link(world: World, token: str) -> str:
    gateway = world.gateway["identity"]
    check = CheckLinkRequest(token=token, purpose=LINK_PURPOSE_EMAIL)
    return (await gateway.call(LinkServiceStub(gateway.channel).CheckLink, check)).subject


async def credentials(world: World) -> set[tuple[object, ...]]:
    rows = await world.rows("identity", "SELECT person_id, user_name, created_at FROM credentials")
    return {tuple(row) for row in rows}


@pytest.mark.parametrize("code_of", [CODE_OF_KEPT, CODE_OF_MERGED])
async def test_a_merge_that_was_wrong_is_taken_back(world: World, code_of: CodeOf.ValueType) -> None:
    mail_of_merged = address()
    _, _, kept = await saved(world, address())
    code_of_kept = world.seen[-1]
    registration, _, merged = await saved(world, mail_of_merged)
    code_of_merged = world.seen[-1]
    before = await world.stored(registration), await credentials(world)
    token = await confirmation_link(world, registration)

    merge_id = await merge(world, kept, merged, code_of)
    # What was mailed for the merged one acts for nobody, and says so.
    with pytest.raises(Refusal) as void:
        await open_link(world, token)
    assert void.value.reason == REASON_LINK_VOID
    request_id = await undo(world, kept, merged)
    assert await open_link(world, token) == registration.registration_id
    # A repetition finds all done, and one of the merge does not merge them again.
    assert await undo(world, kept, merged, request_id) == request_id
    worker = world.worker["registration"]
    repeated = merge_request(world, kept, merged, merge_id)
    with pytest.raises(Refusal) as again:
        await worker.call(CustomerServiceStub(worker.channel).MergeCustomers, repeated)
    assert again.value.reason == REASON_REQUEST_ID_REUSED

    assert await person_of(world, code_of_kept) == kept.person_id
    assert await person_of(world, code_of_merged) == merged.person_id
    assert (await world.stored(registration), await credentials(world)) == before
    back = await world.customer(registration)
    assert (back.customer_id, back.form, back.unit_id) == (merged.customer_id, merged.form, merged.unit_id)
    # The welcome that was still to come comes, once.
    run = world.temporal.get_workflow_handle(RegistrationWorkflowNames.workflow_id(merged.person_id))
    await world.skip_to_end(run)
    await run.result()
    assert [mail["Subject"] for mail in world.mails_to(mail_of_merged)].count(WELCOME) == 1
    with pytest.raises(Refusal) as refusal:
        await undo(world, kept, merged)
    assert refusal.value.reason == REASON_CUSTOMER_NOT_FOUND


async def test_what_has_changed_since_or_is_30_days_old_cannot_be_taken_back(world: World) -> None:
    _, _, first = await saved(world, address())
    _, _, second = await saved(world, address())
    _, _, third = await saved(world, address())
    inner = await merge(world, second, first, CODE_OF_KEPT)
    await merge(world, third, second, CODE_OF_MERGED)
    with pytest.raises(Refusal) as refusal:
        await undo(world, third, first)
    assert refusal.value.reason == REASON_CHANGED_SINCE_MERGE
    # The later merge first: then the earlier one, too.
    await undo(world, third, second)
    statement = "UPDATE merges SET undo_until = now() - interval '1 hour' WHERE request_id = :id"
    await world.change("registration", statement, id=uuid.UUID(inner))
    with pytest.raises(Refusal) as refusal:
        await undo(world, second, first)
    assert refusal.value.reason == REASON_MERGE_FINAL
    await world.change("registration", statement.replace("- interval", "+ interval"), id=uuid.UUID(inner))
    await undo(world, second, first)
    assert len({await person_of(world, code) for code in world.seen[-3:]}) == 3
