"""Customer service's work on the real stack: messages with their mail, claims, duplicates, and "Why?"."""

import json
import re
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_status import rpc_status

from deploy.demo.polling import eventually
from deploy.local.mailbox.client import Mail, MailboxClient
from deploy.local.stack import Stack
from frontends.client import ApiClient, new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.credential_service_pb2 import ChoosePasswordRequest
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import (
    CODE_CHANGE_RENEWED,
    GetCustomerRequest,
    SendCredentialsRequest,
    SetPersonalIdentityCodeRequest,
    UndoRemovalRequest,
    UpdateCustomerRequest,
)
from liity.v1.message_service_pb2 import (
    MESSAGE_CONTEXT_FORM,
    MESSAGE_STATE_CLOSED,
    CloseMessageRequest,
    CustomerServiceMessage,
    FindMessageRequest,
    GetMessageRequest,
    ListMessagesRequest,
    SendMessageRequest,
)
from liity.v1.registration_pb2 import (
    ACTION_DISMISS_DUPLICATE,
    ACTION_EDIT,
    ACTION_MERGE,
    ACTION_SEND_CREDENTIALS,
    PARTY_GUARDIAN,
    STAGE_CREDENTIALS_SENT,
    Registration,
)
from liity.v1.registration_service_pb2 import (
    ExplainedEvent,
    ExplainedPassword,
    ExplainRegistrationRequest,
    ExplainRegistrationResponse,
    UpdateRegistrationRequest,
    WithdrawRegistrationRequest,
)
from liity.v1.work_service_pb2 import (
    WORK_ITEM_KIND_MESSAGE,
    WORK_ITEM_KIND_POSSIBLE_DUPLICATE,
    ClaimWorkItemRequest,
    DismissDuplicateRequest,
    GetWorkItemRequest,
    ListWorkItemsRequest,
    ReleaseWorkItemRequest,
    WorkClaim,
    WorkItem,
    WorkItemKind,
)
from tests.system.conftest import Api, Liity
from tests.system.registrations.test_decisions import read, register, without_code
from tests.system.support.accounts import new_account
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    adult,
    database,
    link_token,
    namesake,
    pupil,
    reaches,
    save,
)

CUSTOMER_SERVICE = "customer-service@liity.example"


async def send(
    client: ApiClient, text: str, registration: Registration | None = None
) -> CustomerServiceMessage:
    request = SendMessageRequest(parent=client.unit, request_id=new_request_id(), text=text)
    if registration is None:
        request.context = MESSAGE_CONTEXT_FORM
    else:
        request.registration = registration.name
    return (await client.call(client.messages.SendMessage, request)).message


async def close(client: ApiClient, message: CustomerServiceMessage, answer: str) -> CustomerServiceMessage:
    request = CloseMessageRequest(name=message.name, request_id=new_request_id(), answer=answer)
    return (await client.call(client.messages.CloseMessage, request)).message


async def items(client: ApiClient, *kinds: WorkItemKind.ValueType) -> list[WorkItem]:
    """The work list, page by page."""
    found: list[WorkItem] = []
    request = ListWorkItemsRequest(kinds=kinds, page_size=200)
    while True:
        page = await client.call(client.work.ListWorkItems, request)
        found += page.work_items
        request.page_token = page.next_page_token
        if not request.page_token:
            return found


async def claim(client: ApiClient, name: str) -> WorkItem:
    request = ClaimWorkItemRequest(name=name, request_id=new_request_id())
    return (await client.call(client.work.ClaimWorkItem, request)).work_item


async def release(client: ApiClient, name: str) -> None:
    await client.call(
        client.work.ReleaseWorkItem, ReleaseWorkItemRequest(name=name, request_id=new_request_id())
    )


async def explain(client: ApiClient, name: str) -> ExplainRegistrationResponse:
    request = ExplainRegistrationRequest(name=name)
    return await client.call(client.registrations.ExplainRegistration, request)


async def refused(call: Awaitable[Any]) -> str:
    with pytest.raises(Refusal) as refusal:
        await call
    return f"{refusal.value.code.name} {reason_name(refusal.value.reason)}"


async def mailed(mailbox: MailboxClient, address: str, message: CustomerServiceMessage, subject: str) -> Mail:
    """The mail about a message, once it has come."""
    return await mailbox.wait_for(
        address, PATIENCE, lambda mail: message.reference in mail.text and mail.subject == subject
    )


async def test_a_message_is_answered_and_its_words_are_in_no_mail(
    stack: Stack, api: Api, mailbox: MailboxClient
) -> None:
    saved = await save(api.teacher, pupil())
    words, answer = f"Kysymys {new_request_id()}", f"Vastaus {new_request_id()}"
    message = await send(api.teacher, words, saved)
    assert re.fullmatch(r"L-\w{4}-\w{4}", message.reference)
    assert (message.subject, message.text) == (saved.name, words)
    told = [
        await mailed(mailbox, CUSTOMER_SERVICE, message, "Viesti odottaa asiakaspalvelun vastausta"),
        await mailed(mailbox, "opettaja@koulu.example", message, "Asiakaspalvelu on saanut viestisi"),
    ]
    find = FindMessageRequest(reference=message.reference.lower().replace("-", ""))
    assert (await api.staff.call(api.staff.messages.FindMessage, find)).message == message
    closed = await close(api.staff, message, answer)
    assert (closed.state, closed.answer) == (MESSAGE_STATE_CLOSED, answer)
    told.append(
        await mailed(mailbox, "opettaja@koulu.example", message, "Asiakaspalvelu on vastannut viestiisi")
    )
    assert not any(words in mail.text or answer in mail.text for mail in told)
    get = GetMessageRequest(name=message.name)
    assert (await api.teacher.call(api.teacher.messages.GetMessage, get)).message == closed
    assert await refused(api.registrar.call(api.registrar.messages.GetMessage, get)) == (
        "NOT_FOUND UNIT_NOT_FOUND"
    )
    listing = ListMessagesRequest(parent=api.teacher.unit, state=MESSAGE_STATE_CLOSED)
    listed = await api.teacher.call(api.teacher.messages.ListMessages, listing)
    assert closed in listed.messages


async def test_a_code_in_a_message_is_refused(stack: Stack, api: Api) -> None:
    with pytest.raises(Refusal) as refusal:
        await send(api.registrar, "Asiakas 010594Y9032 odottaa")
    assert refusal.value.violations[0].field == "text"
    assert reason_name(refusal.value.reason) == "HETU_IN_TEXT"


async def test_of_two_officers_one_works_on_it_and_the_other_is_told_who(stack: Stack, api: Api) -> None:
    message = await send(api.teacher, "Kuka vastaa tähän?")
    account = await new_account(stack, ROLE_CUSTOMER_SERVICE)
    other = ApiClient(f"127.0.0.1:{stack.ports.gateway}", ca=stack.ca)
    await other.log_in(account.email, account.password)
    name = f"workItems/5-{message.name.rpartition('/')[2]}"
    mine = await claim(api.staff, name)
    assert (mine.claim.mine, mine.claim.officer_display_name) == (True, "Aino Asiakaspalvelija")
    request = ClaimWorkItemRequest(name=name, request_id=new_request_id())
    metadata = [("authorization", f"Bearer {other.session.access_token}")]
    with pytest.raises(grpc.aio.AioRpcError) as error:
        await other.work.ClaimWorkItem(request, metadata=metadata)
    (told,) = _details(error.value, WorkClaim)
    assert (told.mine, told.officer_display_name) == (False, "Aino Asiakaspalvelija")
    for decided in (close(other, message, "Minä."), release(other, name)):
        assert await refused(decided) == "FAILED_PRECONDITION CLAIMED_BY_ANOTHER"
    seen = await other.call(other.work.GetWorkItem, GetWorkItemRequest(name=name))
    assert not seen.work_item.claim.mine
    await release(api.staff, name)
    assert (await claim(other, name)).claim.mine
    await close(other, message, "Minä vastaan.")
    assert await refused(claim(api.staff, name)) == "NOT_FOUND WORK_ITEM_NOT_FOUND"
    await other.close()


async def test_what_an_officer_has_claimed_no_other_withdraws_or_edits(stack: Stack, api: Api) -> None:
    person = adult()
    registration = await register(api.registrar, without_code(api.registrar, person))
    account = await new_account(stack, ROLE_CUSTOMER_SERVICE)
    other = ApiClient(f"127.0.0.1:{stack.ports.gateway}", ca=stack.ca)
    await other.log_in(account.email, account.password)
    await claim(api.staff, f"workItems/2-{registration.name.rpartition('/')[2]}")
    form = await read(api.registrar, registration.name)
    edit = UpdateRegistrationRequest(
        name=registration.name,
        request_id=new_request_id(),
        etag=form.etag,
        update_mask=FieldMask(paths=["phone"]),
        form=CustomerForm(phone="0401234567"),
    )
    withdraw = WithdrawRegistrationRequest(name=registration.name, request_id=new_request_id())
    for decided in (
        other.call(other.registrations.UpdateRegistration, edit),
        other.call(other.registrations.WithdrawRegistration, withdraw),
    ):
        assert await refused(decided) == "FAILED_PRECONDITION CLAIMED_BY_ANOTHER"
    await other.close()
    # The unit's own no claim stands in the way of.
    await api.registrar.call(api.registrar.registrations.WithdrawRegistration, withdraw)


def _details(error: grpc.aio.AioRpcError, kind: Any) -> list[Any]:
    status: Any = rpc_status.from_call(error)  # type: ignore[arg-type]
    found = []
    for detail in status.details:
        if detail.Is(kind.DESCRIPTOR):
            found.append(kind())
            detail.Unpack(found[-1])
    return found


async def test_two_of_one_name_and_birth_date_are_shown_and_told_apart(stack: Stack, api: Api) -> None:
    one = adult()
    other = namesake(one)
    await save(api.registrar, one)
    await save(api.registrar, other)

    async def pairs() -> list[WorkItem]:
        return [
            item
            for item in await items(api.staff, WORK_ITEM_KIND_POSSIBLE_DUPLICATE)
            if any(one.form.first_names.upper() in each.display_name.upper() for each in item.subjects)
        ]

    (pair,) = await pairs()
    assert len(pair.subjects) == 2
    actions = {available.action for available in pair.available_actions}
    assert actions == {ACTION_MERGE, ACTION_DISMISS_DUPLICATE}
    dismiss = DismissDuplicateRequest(name=pair.name, request_id=new_request_id())
    for _ in range(2):
        await api.staff.call(api.staff.work.DismissDuplicate, dismiss)
    assert await pairs() == []
    # So is one of another name whose code differs by the century sign alone.
    own, third = one.personal_identity_code, adult()
    signs = "-YX" if own[6] in "-YXWVU" else "ABC"
    sign = next(each for each in signs if each != own[6])
    saved = await save(api.registrar, replace(third, personal_identity_code=own[:6] + sign + own[7:]))
    (pair,) = await pairs()
    assert saved.customer in {subject.name for subject in pair.subjects}


async def test_whoever_has_an_item_about_a_customer_has_the_customer(stack: Stack, api: Api) -> None:
    name = (await save(api.registrar, adult())).customer
    customer_id = name.rpartition("/")[2]
    async with database(stack, "registration") as connection:
        await connection.execute("UPDATE customers SET email_state = 3 WHERE customer_id = $1", customer_id)
    account = await new_account(stack, ROLE_CUSTOMER_SERVICE)
    other = ApiClient(f"127.0.0.1:{stack.ports.gateway}", ca=stack.ca)
    await other.log_in(account.email, account.password)
    item = await claim(api.staff, f"workItems/3-{customer_id}")
    actions = [available.action for available in item.available_actions]
    assert actions == [ACTION_EDIT, ACTION_SEND_CREDENTIALS]
    send_anew = SendCredentialsRequest(name=name, request_id=new_request_id())
    edit = UpdateCustomerRequest(
        name=name,
        request_id=new_request_id(),
        etag=(await other.call(other.customers.GetCustomer, GetCustomerRequest(name=name))).customer.etag,
        update_mask=FieldMask(paths=["phone"]),
        form=CustomerForm(phone="0401234567"),
    )
    attach = SetPersonalIdentityCodeRequest(
        name=name,
        request_id=new_request_id(),
        personal_identity_code="010594Y9032",
        change=CODE_CHANGE_RENEWED,
    )
    undo = UndoRemovalRequest(name=name, request_id=new_request_id())
    customers = other.customers
    for decided in (
        other.call(customers.SendCredentials, send_anew),
        other.call(customers.UpdateCustomer, edit),
        other.call(customers.SetPersonalIdentityCode, attach),
        other.call(customers.UndoRemoval, undo),
    ):
        assert await refused(decided) == "FAILED_PRECONDITION CLAIMED_BY_ANOTHER"
    await other.close()
    await api.registrar.call(api.registrar.customers.UpdateCustomer, edit)
    await api.staff.call(api.staff.customers.SendCredentials, send_anew)


async def test_why_a_pupil_has_no_password_is_one_call(stack: Stack, api: Api, mails: MailCounter) -> None:
    child = pupil()
    saved = await save(api.teacher, child)
    await mails.wait_for(child, "consent_request")
    told = await explain(api.teacher, saved.name)
    assert told.password.state == ExplainedPassword.STATE_NOT_YET
    assert [wait.party for wait in told.waits] == [PARTY_GUARDIAN]
    assert told.waits[0].deadline == saved.deadline
    assert told.next.time == saved.deadline
    assert [event.kind for event in told.events] == [ExplainedEvent.KIND_SAVED, ExplainedEvent.KIND_MAIL_SENT]
    assert told.events[0].who == "Olli Opettaja"
    assert "huoltajan suostumusta odotetaan" in told.summary
    assert await refused(explain(api.registrar, saved.name)) == "NOT_FOUND UNIT_NOT_FOUND"


async def test_an_unused_link_and_then_a_chosen_password_are_told(
    stack: Stack, api: Api, mails: MailCounter
) -> None:
    person = adult()
    saved = await save(api.registrar, person)
    credentials = await mails.wait_for(person, "credentials")
    saved = await reaches(api.registrar, saved.name, STAGE_CREDENTIALS_SENT)
    told = await explain(api.registrar, saved.customer)
    assert told.registration == saved.name
    assert told.password.state == ExplainedPassword.STATE_LINK_OPEN
    assert told.password.HasField("expire_time")
    choose = ChoosePasswordRequest(
        token=link_token(credentials), request_id=new_request_id(), password="kolme sanaa riittää"
    )
    await api.anybody.call(api.anybody.credentials.ChoosePassword, choose)

    async def explained() -> ExplainRegistrationResponse:
        return await explain(api.registrar, saved.customer)

    told = await eventually(
        explained, lambda found: found.password.state == ExplainedPassword.STATE_CHOSEN, PATIENCE
    )
    assert ExplainedEvent.KIND_PASSWORD_CHOSEN in [event.kind for event in told.events]


async def test_the_commands_do_all_of_it(stack: Stack, api: Api, liity: Liity) -> None:
    saved = await save(api.teacher, pupil())
    sent = liity("teacher", "messages", "send", "Milloin tunnukset tulevat?", "--about", saved.name, "--json")
    message = json.loads(sent.stdout)
    item = f"5-{message['name'].rpartition('/')[2]}"
    listed = liity("staff", "work", "list", "--kind", "message", "--json")
    assert item in listed.stdout, listed.stderr
    claimed = liity("staff", "work", "claim", item)
    assert "Aino Asiakaspalvelija" in claimed.stdout, claimed.stderr
    assert "free for others" in liity("staff", "work", "release", item).stdout
    assert message["reference"] in liity("staff", "messages", "find", message["reference"]).stdout
    closed = liity("staff", "messages", "close", message["name"], typed="Kun huoltaja vastaa.\n")
    assert "Kun huoltaja vastaa." in closed.stdout, closed.stderr
    assert message["reference"] in liity("teacher", "messages", "list").stdout
    explained = liity("teacher", "registrations", "explain", saved.name)
    assert "GUARDIAN" in explained.stdout, explained.stderr
    assert message["reference"] in explained.stdout
    wrong = liity("staff", "work", "list", "--kind", "tea")
    assert wrong.returncode == 2
    assert item not in {item.name for item in await items(api.staff, WORK_ITEM_KIND_MESSAGE)}
