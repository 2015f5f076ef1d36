"""One customer: their data, what has happened, and what can be done."""

from collections.abc import Sequence

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web import editing, guardian_address, same_address, words
from frontends.web.customers import staff
from frontends.web.forms import Field, Form, Group, Kind, values_of
from frontends.web.language import N_
from frontends.web.pages import Visit
from frontends.web.registrations.fields import EDITABLE, NEW_CUSTOMER
from liity.v1.customer_form_pb2 import CustomerForm, SameAddress
from liity.v1.customer_service_pb2 import (
    Customer,
    EndCustomershipRequest,
    GetCustomerRequest,
    SendCredentialsRequest,
    UpdateCustomerRequest,
)
from liity.v1.registration_pb2 import (
    ACTION_EDIT,
    ACTION_END_CUSTOMERSHIP,
    ACTION_SEND_CREDENTIALS,
    PARTY_REGISTRAR,
)
from liity.v1.registration_service_pb2 import ExplainRegistrationRequest

_RECIPIENT = Group(
    N_("Where the credentials go"),
    [Field("recipient", N_("Where the credentials go"), Kind.CHOICE, enum="CredentialsRecipient")],
)
_END = Group(
    N_("Why the customership ends"), [Field("reason", N_("Why it ends"), Kind.CHOICE, enum="EndReason")]
)
_ACTIONS = {ACTION_EDIT: "edit", ACTION_SEND_CREDENTIALS: "credentials", ACTION_END_CUSTOMERSHIP: "end"}


async def show(visit: Visit) -> Response:
    """The data, what has happened and why, and what can be done."""
    customer = await _get(visit)
    explain = ExplainRegistrationRequest(name=_name(visit))
    why = await visit.call(visit.site.api.registrations.ExplainRegistration, explain)
    data = Form(NEW_CUSTOMER)
    data.values = values_of(customer.form, data.fields)
    can = {
        _ACTIONS[each.action]
        for each in customer.available_actions
        if each.action in _ACTIONS and PARTY_REGISTRAR in each.parties
    }
    return visit.render(
        "customers/one.html", customer=customer, why=why, data=data, can=can, staff_can=staff.can(customer)
    )


async def show_form(visit: Visit) -> Response:
    """The data, to be corrected."""
    customer = await _get(visit)
    return visit.render(
        "customers/edit.html", customer=customer, editing=editing.opened(visit, customer.form, customer.etag)
    )


async def update(visit: Visit) -> Response:
    """Stores what was changed; shows what others changed meanwhile."""
    customer = await _get(visit)

    others: list[SameAddress] = []
    emails: list[str] = []

    async def send(request_id: str, etag: str, paths: Sequence[str], form: CustomerForm) -> None:
        request = UpdateCustomerRequest(
            name=_name(visit),
            request_id=request_id,
            etag=etag,
            form=form,
            guardian_email_confirmed=guardian_address.is_confirmed(visit),
        )
        request.update_mask.paths.extend(paths)
        saved = await visit.call(visit.site.api.customers.UpdateCustomer, request)
        others.extend(saved.same_address)
        visit.tell(Form(tuple(EDITABLE.values())).told(saved.notices))
        emails.append(form.related_person.email)

    unsaved = await editing.save(visit, customer.form, customer.etag, send)
    if unsaved is None and others:
        return same_address.offer(visit, f"/{_name(visit)}", emails[-1], others)
    if unsaved is None:
        return visit.redirect(f"/{_name(visit)}")
    return visit.render("customers/edit.html", unsaved.status, customer=customer, editing=unsaved)


async def show_credentials(visit: Visit) -> Response:
    """The address first, then the credentials (R17)."""
    return visit.render("customers/credentials.html", customer=await _get(visit), form=Form([_RECIPIENT]))


async def send_credentials(visit: Visit) -> Response:
    """Sends new credentials; earlier links are void."""
    customer = await _get(visit)
    form = Form([_RECIPIENT], visit.typed)
    recipient = words.value_of("CredentialsRecipient", visit.typed.get("recipient", ""))
    if visit.switches_language:
        return visit.render("customers/credentials.html", customer=customer, form=form)
    if not recipient:
        form.errors["recipient"] = N_("Choose where the credentials go.")
        return visit.render("customers/credentials.html", 422, customer=customer, form=form)
    request = SendCredentialsRequest(
        name=_name(visit),
        request_id=visit.request_id,
        recipient=recipient,  # type: ignore[arg-type]
    )
    try:
        await visit.call(visit.site.api.customers.SendCredentials, request)
    except Refusal as refusal:
        if not refusal.violations:
            raise
        form.general += [violation.text for violation in refusal.violations]
        return visit.render("customers/credentials.html", 422, customer=customer, form=form)
    return visit.render("customers/credentials_sent.html", customer=customer)


async def ask_to_end(visit: Visit) -> Response:
    """Tells what happens, and asks why."""
    return visit.render("customers/end.html", customer=await _get(visit), form=Form([_END]))


async def end(visit: Visit) -> Response:
    """Ends the customership (R19)."""
    form = Form([_END], visit.typed)
    reason = words.value_of("EndReason", visit.typed.get("reason", ""))
    if visit.switches_language:
        return visit.render("customers/end.html", customer=await _get(visit), form=form)
    if not reason:
        form.errors["reason"] = N_("Choose why the customership ends.")
        return visit.render("customers/end.html", 422, customer=await _get(visit), form=form)
    # The customer is not read first: after the first click of two there is none any more.
    request = EndCustomershipRequest(
        name=_name(visit),
        request_id=visit.request_id,
        reason=reason,  # type: ignore[arg-type]
    )
    ended = await visit.call(visit.site.api.customers.EndCustomership, request)
    return visit.render("customers/ended.html", ended=ended)


def _name(visit: Visit) -> str:
    return f"units/{visit.part('unit')}/customers/{visit.part('customer')}"


async def _get(visit: Visit) -> Customer:
    request = GetCustomerRequest(name=_name(visit))
    return (await visit.call(visit.site.api.customers.GetCustomer, request)).customer
