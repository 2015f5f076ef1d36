"""A call repeated with its `request_id` in capitals is the same call (AIP-155), whatever the RPC."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.auth_service_pb2 import (
    LogInRequest,
    LogInResponse,
    OrderPasswordRequest,
    RefreshSessionRequest,
    RefreshSessionResponse,
)
from liity.v1.book_tips_service_pb2 import GetBookTipsRequest
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_FORMAT_CSV,
    RegisterClassListRequest,
    RegisterClassListResponse,
)
from liity.v1.consent_service_pb2 import DeclineConsentRequest
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import ConfirmEmailRequest
from liity.v1.customership_link_service_pb2 import (
    EndOwnCustomershipRequest,
    ExtendNeedRequest,
    GetOwnContactDataRequest,
    UpdateOwnContactDataRequest,
)
from liity.v1.disclosure_service_pb2 import CreateDisclosureResponse
from liity.v1.work_service_pb2 import ReportDeliveryRequest
from services.identity.hetu import parse
from services.runtime.clock import helsinki_day, now, to_proto_date
from tests.support.registration_forms import date_from_today
from tests.system.conftest import Api
from tests.system.customers.test_transfer import customer_of, set_email
from tests.system.privacy.test_disclosure import ready
from tests.system.support.accounts import new_account
from tests.system.support.calls import CALLS, caller_of, of_service, right
from tests.system.support.class_lists import csv_of, done, pupil_row
from tests.system.support.prepared_calls import World
from tests.system.support.public_api import METHODS, Gateway, Stores, changes, request_class
from tests.system.support.public_api_facts import create_facts, customership_link
from tests.system.support.registering import (
    MailCounter,
    adult,
    link_token,
    pupil,
    save,
    settings,
)
from tests.system.support.walks import walk

CONSENTS = "/liity.v1.ConsentService"
LISTS = "/liity.v1.ClassListService"
LINKS = "/liity.v1.CustomershipLinkService"

WITH_ID = sorted(path for path in METHODS if "request_id" in request_class(path).DESCRIPTOR.fields_by_name)

_NOT_CALLED = {f"{LISTS}/CancelClassList": "a short list is done before it can be cancelled"}

_BY_EVERY_CALL = {
    "/liity.v1.AuthService/RefreshSession": "identity.sessions",
    "/liity.v1.FeedbackService/AnswerFeedback": "workflows",
    "/liity.v1.MessageService/CloseMessage": "workflows",
}
"""What a repetition changes: it prolongs the session, or begins the run again, which finds all done."""

_OF_THE_MOMENT = ("access_token", "access_token_expire_time", "refresh_token_expire_time")
"""Fields of a session that are made anew for each answer."""


@pytest.fixture(scope="module")
async def world(stack: Stack, api: Api) -> World:
    """Facts of this file's own: its calls use up their links."""
    facts = await create_facts(stack, api.registrar, api.teacher, api.staff, api.anybody, MailCounter(stack))
    return World(stack, api, facts, await save(api.teacher, pupil()))


Prepared = tuple[str, Any]
"""The caller, and a request that succeeds."""


async def _asked(path: str, world: World) -> Prepared:
    """A call by the link of a guardian of its own."""
    child = pupil()
    saved = await save(world.api.teacher, child)
    mails = MailCounter(world.stack)
    token = link_token(await mails.wait_for(child, "consent_request", saved))
    anybody = world.api.anybody
    if path.endswith("/TakeBackDecline"):
        decline = DeclineConsentRequest(token=token, request_id=new_request_id())
        await anybody.call(anybody.consents.DeclineConsent, decline)
    if path.endswith("/WithdrawConsent"):
        accept = right(f"{CONSENTS}/AcceptConsent", world.facts, token=token)
        await anybody.call(anybody.consents.AcceptConsent, accept)
    return "anybody", right(path, world.facts, token=token)


async def _by_own_link(path: str, world: World) -> Prepared:
    """A call by the link of a temporary customer of its own."""
    person = adult()
    person.form.temporary = True
    person.form.expected_end_date.CopyFrom(date_from_today(30))
    saved = await save(world.api.registrar, person)
    customer = await customer_of(world.api.registrar, person)
    token = await customership_link(world.stack, customer.registration or saved.name)
    born = parse(person.personal_identity_code, today=helsinki_day(now()), allow_artificial=True).birth_date
    birth_date = to_proto_date(born)
    if path.endswith("/ExtendNeed"):
        end = date_from_today(60)
        return "anybody", ExtendNeedRequest(token=token, request_id=new_request_id(), expected_end_date=end)
    if path.endswith("/EndOwnCustomership"):
        return "anybody", EndOwnCustomershipRequest(token=token, request_id=new_request_id())
    anybody = world.api.anybody
    read = GetOwnContactDataRequest(token=token, birth_date=birth_date)
    own = await anybody.call(anybody.customership_links.GetOwnContactData, read)
    return "anybody", UpdateOwnContactDataRequest(
        token=token,
        birth_date=birth_date,
        request_id=new_request_id(),
        etag=own.etag,
        update_mask=FieldMask(paths=["phone"]),
        form=CustomerForm(phone="+358401234567"),
    )


async def _refresh(world: World) -> Prepared:
    account = await new_account(world.stack)
    log_in = LogInRequest(email=account.email, password=account.password)
    anybody = world.api.anybody
    answer: LogInResponse = await anybody.call(anybody.auth.LogIn, log_in)
    return "anybody", RefreshSessionRequest(
        refresh_token=answer.session.refresh_token, request_id=new_request_id()
    )


async def _order_password(world: World) -> Prepared:
    account = await new_account(world.stack)
    return "anybody", OrderPasswordRequest(email=account.email, request_id=new_request_id())


async def _of_catalogue(path: str, world: World) -> Prepared:
    return caller_of(path), CALLS[path].right(world.facts)


async def _confirm_email(world: World) -> Prepared:
    person, registrar = adult(), world.api.registrar
    saved = await save(registrar, person)
    await set_email(registrar, await customer_of(registrar, person), f"uusi.{person.email}")
    confirmation = await MailCounter(world.stack).wait_for(person, "email_confirmation", saved)
    return "anybody", ConfirmEmailRequest(token=link_token(confirmation), request_id=new_request_id())


async def _class_list(world: World) -> Prepared:
    return "teacher", RegisterClassListRequest(
        parent=world.facts.school,
        request_id=new_request_id(),
        content=csv_of([pupil_row(2)]),
        format=CLASS_LIST_FORMAT_CSV,
    )


async def _report_delivery(world: World) -> Prepared:
    person = adult()
    await save(world.api.registrar, person)
    sent = await MailCounter(world.stack).wait_for(person, "credentials")
    return "staff", ReportDeliveryRequest(
        request_id=new_request_id(), message_id=sent.message_id, status="5.1.1"
    )


async def _book_tips(world: World) -> Prepared:
    staff = world.api.staff
    request: Any = CALLS["/liity.v1.BookTipsService/UpdateBookTips"].right(world.facts)
    read = GetBookTipsRequest(name=request.book_tips.name)
    request.book_tips.etag = (await staff.call(staff.book_tips.GetBookTips, read)).book_tips.etag
    return "staff", request


PREPARED: dict[str, Callable[[World], Awaitable[Prepared]]] = {
    **{path: partial(_asked, path) for path in of_service("liity.v1.ConsentService", WITH_ID)},
    **{path: partial(_by_own_link, path) for path in of_service("liity.v1.CustomershipLinkService", WITH_ID)},
    **{
        path: partial(_of_catalogue, path)
        for path in (
            "/liity.v1.AuthService/AcceptInvitation",
            "/liity.v1.AuthService/ChooseAccountPassword",
            "/liity.v1.CredentialService/ChoosePassword",
            "/liity.v1.CredentialService/OrderCustomerPassword",
            "/liity.v1.FeedbackService/SendFeedback",
        )
    },
    "/liity.v1.AuthService/RefreshSession": _refresh,
    "/liity.v1.AuthService/OrderPassword": _order_password,
    "/liity.v1.BookTipsService/UpdateBookTips": _book_tips,
    "/liity.v1.CustomerService/ConfirmEmail": _confirm_email,
    "/liity.v1.WorkService/ReportDelivery": _report_delivery,
    f"{LISTS}/RegisterClassList": _class_list,
}
"""Successful calls beside those of the catalogue."""


async def prepared(path: str, world: World) -> Prepared:
    """A successful call of an RPC."""
    if path in PREPARED:
        return await PREPARED[path](world)
    logged = CALLS[path].logged
    assert logged is not None, path
    called = await logged(world)
    return called.caller, called.request


def standing(answer: Message) -> Message:
    """An answer without what is made anew for each."""
    kept = type(answer)()
    kept.CopyFrom(answer)
    if isinstance(kept, RefreshSessionResponse):
        for field in _OF_THE_MOMENT:
            kept.session.ClearField(field)  # type: ignore[arg-type] # each is one of its fields
    return kept


@pytest.mark.parametrize("service", sorted({path.split("/")[1] for path in WITH_ID}))
async def test_a_call_repeated_in_capitals_is_the_same_call(
    stack: Stack, gateway: Gateway, world: World, stores: Stores, service: str
) -> None:
    async def check(path: str) -> None:
        caller, request = await prepared(path, world)
        assert request.request_id == request.request_id.lower()
        first = await gateway.call(path, request, caller)
        if isinstance(first, CreateDisclosureResponse):
            # Its run gathers for longer than the stores look whether all is at rest.
            await ready(world.api.staff, first.disclosure.name)
        if isinstance(first, RegisterClassListResponse):
            await done(world.api.teacher, first.class_list.name)
        async with stores.connected():
            before = await stores.contents(changed_since=True)
            again = standing(await gateway.call(path, request, caller))
            request.request_id = request.request_id.upper()
            assert standing(await gateway.call(path, request, caller)) == again
            changed = changes(before, await stores.contents(changed_since=True))
        assert changed.keys() <= {_BY_EVERY_CALL.get(path)}
        await stores.forget_attempts()

    paths = [path for path in of_service(service, WITH_ID) if path not in _NOT_CALLED]
    restarted = ["worker"] if CONSENTS.endswith(service) else []
    # A decline can be taken back.
    async with settings(stack, {"LIITY_WORKFLOWS_DECLINE_GRACE": "PT1H"}, *restarted):
        await walk({path: partial(check, path) for path in paths})
