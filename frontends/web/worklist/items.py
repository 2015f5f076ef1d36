"""The work list and one item of it: whom it is about, who works on it, and what can be done."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import urlencode

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web import words
from frontends.web.comparing import Pair, compare
from frontends.web.forms import Form, values_of
from frontends.web.language import N_
from frontends.web.pages import Visit
from frontends.web.registrations.fields import NEW_CUSTOMER
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import CustomerState, GetCustomerRequest
from liity.v1.feedback_service_pb2 import Feedback, GetFeedbackRequest
from liity.v1.message_service_pb2 import CustomerServiceMessage, GetMessageRequest
from liity.v1.registration_pb2 import Action
from liity.v1.registration_service_pb2 import GetRegistrationRequest, GetRegistrationResponse
from liity.v1.work_service_pb2 import (
    WORK_ITEM_KIND_FEEDBACK,
    WORK_ITEM_KIND_IDENTITY_CHECK,
    WORK_ITEM_KIND_MESSAGE,
    WORK_ITEM_KIND_POSSIBLE_DUPLICATE,
    WORK_ITEM_KIND_REACTIVATION,
    AcknowledgeDissentRequest,
    ClaimWorkItemRequest,
    DismissDuplicateRequest,
    GetWorkItemRequest,
    ListWorkItemsRequest,
    ReleaseWorkItemRequest,
    WorkItem,
    WorkSubject,
)

_DISMISS, _DISSENT = "worklist/dismiss.html", "worklist/dissent.html"

_WAITING_REGISTRATIONS = frozenset({WORK_ITEM_KIND_REACTIVATION, WORK_ITEM_KIND_IDENTITY_CHECK})


@dataclass(frozen=True)
class _Person:
    """Somebody whom an item is about, or who may be the same person."""

    subject: WorkSubject
    form: CustomerForm
    state: CustomerState.ValueType | None = None
    """None for a registration."""


async def show_list(visit: Visit) -> Response:
    """A page of the list, oldest first. What is filtered stands in the address, as it tells of nobody."""
    query = visit.request.query_params
    kind, claims, overdue = query.get("kind", ""), query.get("claims", ""), query.get("overdue", "") == "yes"
    wanted = words.value_of("WorkItemKind", kind)
    request = ListWorkItemsRequest(
        kinds=[wanted] if wanted else [],  # type: ignore[list-item]
        claims=words.value_of("ClaimFilter", claims),  # type: ignore[arg-type]
        page_size=50,
        page_token=query.get("page", "")[:400],
        overdue=overdue,
    )
    found = await visit.call(visit.site.api.work.ListWorkItems, request)
    return visit.render(
        "worklist/list.html",
        found=found,
        kind=kind,
        claims=claims,
        overdue=overdue,
        kinds=words.options("WorkItemKind"),
        claim_filters=words.options("ClaimFilter"),
        filters=urlencode({"kind": kind, "claims": claims} | ({"overdue": "yes"} if overdue else {})),
        is_first=not request.page_token,
    )


async def show(visit: Visit) -> Response:
    """One item, with all that is needed to decide it."""
    return await _page(visit, await _get(visit))


async def claim(visit: Visit) -> Response:
    """Takes the item, or keeps it for longer."""
    if visit.switches_language:
        return await show(visit)
    request = ClaimWorkItemRequest(name=_name(visit), request_id=visit.request_id)
    try:
        await visit.call(visit.site.api.work.ClaimWorkItem, request)
    except Refusal as refusal:
        if refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        return await _page(visit, await _get(visit), refusal.text)
    return visit.redirect(_path(visit))


async def release(visit: Visit) -> Response:
    """Gives the item back."""
    if visit.switches_language:
        return await show(visit)
    request = ReleaseWorkItemRequest(name=_name(visit), request_id=visit.request_id)
    try:
        await visit.call(visit.site.api.work.ReleaseWorkItem, request)
    except Refusal as refusal:
        if refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        return await _page(visit, await _get(visit), refusal.text)
    return visit.redirect(_path(visit))


async def ask_to_dismiss(visit: Visit) -> Response:
    """Asks whether two customers are two persons."""
    return await _asked(visit, _DISMISS)


async def dismiss(visit: Visit) -> Response:
    """Says that they are two persons: the pair does not come back."""
    request = DismissDuplicateRequest(name=_name(visit), request_id=visit.request_id)
    missing = N_("Choose whether they are two persons.")

    async def send() -> None:
        await visit.call(visit.site.api.work.DismissDuplicate, request)

    return await _answered(visit, _DISMISS, missing, send, "/work/dismissed")


async def ask_to_acknowledge(visit: Visit) -> Response:
    """Tells of the guardian who does not agree, and asks whether that is known (R39)."""
    return await _asked(visit, _DISSENT)


async def acknowledge(visit: Visit) -> Response:
    """Says that it is known: the item does not come back."""
    request = AcknowledgeDissentRequest(name=_name(visit), request_id=visit.request_id)
    missing = N_("Choose whether the matter is known.")

    async def send() -> None:
        await visit.call(visit.site.api.work.AcknowledgeDissent, request)

    return await _answered(visit, _DISSENT, missing, send, "/work")


async def _asked(
    visit: Visit,
    template: str,
    status: int = 200,
    *,
    errors: Mapping[str, str] = MappingProxyType({}),
    general: Sequence[str] = (),
) -> Response:
    item = await _get(visit)
    return visit.render(template, status, item=item, errors=errors, general=general)


async def _answered(
    visit: Visit, template: str, missing: str, send: Callable[[], Awaitable[None]], done: str
) -> Response:
    """Does what a question asks, once it is answered with yes. `missing` is said without an answer."""
    if visit.switches_language:
        return await _asked(visit, template)
    match visit.typed.get("sure", ""):
        case "no":
            return visit.redirect(_path(visit))
        case "yes":
            try:
                await send()
            except Refusal as refusal:
                if refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
                    raise
                return await _asked(visit, template, 422, general=[refusal.text])
            return visit.redirect(done)
    return await _asked(visit, template, 422, errors={"sure": missing})


async def show_dismissed(visit: Visit) -> Response:
    """The pair is dismissed."""
    return visit.render("worklist/dismissed.html")


async def _page(visit: Visit, item: WorkItem, problem: str = "") -> Response:
    registration: GetRegistrationResponse | None = None
    message: CustomerServiceMessage | None = None
    feedback: Feedback | None = None
    persons: Sequence[_Person] = ()
    pairs: Sequence[tuple[_Person, Pair]] = ()
    data = Form(NEW_CUSTOMER)
    if item.kind in _WAITING_REGISTRATIONS:
        request = GetRegistrationRequest(name=item.subjects[0].name)
        registration = await visit.call(visit.site.api.registrations.GetRegistration, request)
        data.values = values_of(registration.form, data.fields)
        pairs = [
            (other, _with_registration(registration.form, other))
            for other in await _persons(visit, item.possible_duplicates)
        ]
    elif item.kind == WORK_ITEM_KIND_POSSIBLE_DUPLICATE:
        persons = await _persons(visit, item.subjects)
        one, other = persons
        title = N_("The two customers side by side")
        headings = N_("The first customer"), N_("The second customer")
        pairs = [(other, compare(title, (headings[0], one.form), (headings[1], other.form)))]
    elif item.kind == WORK_ITEM_KIND_MESSAGE:
        asked = GetMessageRequest(name=item.subjects[0].name)
        message = (await visit.call(visit.site.api.messages.GetMessage, asked)).message
    elif item.kind == WORK_ITEM_KIND_FEEDBACK:
        wanted = GetFeedbackRequest(name=item.subjects[0].name)
        feedback = (await visit.call(visit.site.api.feedback.GetFeedback, wanted)).feedback
    return visit.render(
        "worklist/one.html",
        422 if problem else 200,
        item=item,
        kind=words.name_of("WorkItemKind", item.kind),
        can={Action.Name(each.action) for each in item.available_actions},
        is_anothers=item.HasField("claim") and not item.claim.mine,
        registration=registration,
        message=message,
        feedback=feedback,
        data=data,
        persons=persons,
        pairs=pairs,
        problem=problem,
    )


def _with_registration(form: CustomerForm, other: _Person) -> Pair:
    title = N_("The registration and the other one side by side")
    heading = N_("The customer") if other.state is not None else N_("The other registration")
    return compare(title, (N_("This registration"), form), (heading, other.form))


async def _persons(visit: Visit, subjects: Sequence[WorkSubject]) -> Sequence[_Person]:
    return await asyncio.gather(*(_person(visit, subject) for subject in subjects))


async def _person(visit: Visit, subject: WorkSubject) -> _Person:
    if "/customers/" in subject.name:
        request = GetCustomerRequest(name=subject.name)
        customer = (await visit.call(visit.site.api.customers.GetCustomer, request)).customer
        return _Person(subject, customer.form, customer.state)
    asked = GetRegistrationRequest(name=subject.name)
    found = await visit.call(visit.site.api.registrations.GetRegistration, asked)
    return _Person(subject, found.form)


def _name(visit: Visit) -> str:
    return f"workItems/{visit.part('item')}"


def _path(visit: Visit) -> str:
    return f"/work/{visit.part('item')}"


async def _get(visit: Visit) -> WorkItem:
    request = GetWorkItemRequest(name=_name(visit))
    return (await visit.call(visit.site.api.work.GetWorkItem, request)).work_item
