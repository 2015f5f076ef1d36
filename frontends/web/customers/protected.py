"""Protected persons (R37): customer service marks them, and reads what is withheld for a reason."""

from urllib.parse import urlencode

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web import words
from frontends.web.forms import Field, Form, Group, Kind
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.customer_service_pb2 import (
    Customer,
    GetCustomerRequest,
    GetProtectedDetailsRequest,
    MarkProtectedRequest,
    ProtectedDetails,
    RemoveProtectionRequest,
    TransferCustomerRequest,
)

_CODE = Field(
    "personal_identity_code",
    N_("Personal identity code"),
    hint=N_("For example 010516B903X. Small letters and spaces do not matter."),
    width="medium",
    code=True,
)
_REASON = Field("reason", N_("Why you look at the details"), Kind.CHOICE, enum="ProtectedReadReason")


async def ask(visit: Visit) -> Response:
    """Tells what follows from the mark, or from its removal, and asks."""
    return visit.render("customers/protection.html", customer=await _get(visit), errors={})


async def change(visit: Visit) -> Response:
    """Marks the customer as protected, or takes the mark back."""
    if visit.switches_language:
        return await ask(visit)
    customer = await _get(visit)
    if visit.typed.get("sure") not in {"yes", "no"}:
        errors = {"sure": N_("Choose yes or no.")}
        return visit.render("customers/protection.html", 422, customer=customer, errors=errors)
    if visit.typed["sure"] == "yes":
        if customer.form.protected_person:
            remove = RemoveProtectionRequest(name=customer.name, request_id=visit.request_id)
            await visit.call(visit.site.api.customers.RemoveProtection, remove)
        else:
            mark = MarkProtectedRequest(name=customer.name, request_id=visit.request_id)
            await visit.call(visit.site.api.customers.MarkProtected, mark)
    return visit.redirect(f"/{customer.name}")


async def show(visit: Visit) -> Response:
    """Asks why the details are read; and whose, unless the address of the page says so."""
    of = visit.request.query_params.get("of", "")
    return visit.render("customers/protected.html", of=of, form=_form(of), details=None)


async def read(visit: Visit) -> Response:
    """Shows what is withheld. The log of use keeps the reason."""
    of = visit.typed.get("of", "")
    form = _form(of)
    form.values = visit.typed
    details: ProtectedDetails | None = None
    if not visit.switches_language:
        request = GetProtectedDetailsRequest(
            reason=words.value_of("ProtectedReadReason", visit.typed.get("reason", "")),  # type: ignore[arg-type]
        )
        if of:
            request.name = of
        else:
            request.personal_identity_code = visit.typed.get("personal_identity_code", "")
        if not request.reason:
            form.errors["reason"] = N_("Choose why you look at the details.")
        else:
            details = await _details(visit, form, request)
    return visit.render(
        "customers/protected.html", 422 if form.is_wrong else 200, of=of, form=form, details=details
    )


async def transfer(visit: Visit) -> Response:
    """Moves the person to the unit whose message wishes for it."""
    message = visit.typed.get("of", "")
    if visit.switches_language:
        return visit.redirect(f"/protected?{urlencode({'of': message})}")
    request = TransferCustomerRequest(
        parent="/".join(message.split("/")[:2]), request_id=visit.request_id, message=message
    )
    moved = await visit.call(visit.site.api.customers.TransferCustomer, request)
    return visit.redirect(f"/{moved.customer.name or moved.registration}")


async def _details(visit: Visit, form: Form, request: GetProtectedDetailsRequest) -> ProtectedDetails | None:
    try:
        answer = await visit.call(visit.site.api.customers.GetProtectedDetails, request)
    except Refusal as refusal:
        if not refusal.violations:
            if refusal.code not in {grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.NOT_FOUND}:
                raise
            form.general.append(refusal.text)
        else:
            form.take_errors(refusal)
        return None
    return answer.details


def _form(of: str) -> Form:
    return Form([Group(N_("Protected details"), [_REASON] if of else [_CODE, _REASON])])


async def _get(visit: Visit) -> Customer:
    name = f"units/{visit.part('unit')}/customers/{visit.part('customer')}"
    return (await visit.call(visit.site.api.customers.GetCustomer, GetCustomerRequest(name=name))).customer
