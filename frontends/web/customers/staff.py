"""What customer service alone does: code, merge, online, a removal undone (R19, R23, R24, R34)."""

from collections.abc import Sequence

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web import words
from frontends.web.comparing import compare, customer_in
from frontends.web.customers import search
from frontends.web.forms import Field, Form, Group, Kind
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.customer_service_pb2 import (
    CodeOfAnotherPerson,
    ConvertToOnlineRequest,
    CorrectBirthDateRequest,
    Customer,
    GetCustomerRequest,
    MergeCustomersRequest,
    SetPersonalIdentityCodeRequest,
    UndoRemovalRequest,
)
from liity.v1.registration_pb2 import (
    ACTION_CONVERT_TO_ONLINE,
    ACTION_MARK_PROTECTED,
    ACTION_MERGE,
    ACTION_REMOVE_PROTECTION,
    ACTION_SET_PERSONAL_IDENTITY_CODE,
    ACTION_TRANSFER,
    ACTION_UNDO_REMOVAL,
    PARTY_CUSTOMER_SERVICE,
)
from liity.v1.registration_service_pb2 import CheckPersonalIdentityCodeRequest

_ACTIONS = {
    ACTION_SET_PERSONAL_IDENTITY_CODE: "code",
    ACTION_MERGE: "merge",
    ACTION_CONVERT_TO_ONLINE: "online",
    ACTION_UNDO_REMOVAL: "undo",
    ACTION_MARK_PROTECTED: "protect",
    ACTION_REMOVE_PROTECTION: "unprotect",
}
_CODE = Group(
    N_("Personal identity code"),
    [
        Field(
            "personal_identity_code",
            N_("Personal identity code"),
            hint=N_("For example 010516B903X. Small letters and spaces do not matter."),
            width="medium",
        ),
        Field("change", N_("What has happened"), Kind.CHOICE, enum="CodeChange"),
    ],
)
_EMAIL = Field(
    "email", N_("E-mail address of the customer"), Kind.EMAIL, N_("None is on file."), optional=True
)
_RECIPIENT = Field(
    "credentials_recipient", N_("Where the credentials go"), Kind.CHOICE, enum="CredentialsRecipient"
)
_BIRTH_DATE = Group(
    N_("Date of birth"),
    [Field("birth_date", N_("Date of birth"), Kind.DATE, N_("For example 31.12.2012."), width="short")],
)
_EITHER = "either"
_DONE = {
    "code": N_("The personal identity code is set"),
    "merge": N_("The two customers are one now"),
    "online": N_("The customer is an online customer now"),
    "undo": N_("The customership goes on"),
}


def can(customer: Customer) -> frozenset[str]:
    """The pages of customer service that can do something for the customer now."""
    return frozenset(
        _ACTIONS[each.action]
        for each in customer.available_actions
        if each.action in _ACTIONS and PARTY_CUSTOMER_SERVICE in each.parties
    )


async def find_by_code(visit: Visit) -> Response:
    """Opens the person of a code, if the unit has them; ended customers are found in no other way."""
    code = visit.typed.get("personal_identity_code", "").strip()
    path = f"/units/{visit.part('unit')}/customers"
    if visit.switches_language:
        return visit.redirect(path)
    errors: dict[str, str] = {}
    answer = ""
    if not code:
        errors["personal_identity_code"] = N_("Write the personal identity code.")
    else:
        request = CheckPersonalIdentityCodeRequest(
            parent=f"units/{visit.part('unit')}", personal_identity_code=code
        )
        try:
            found = await visit.call(visit.site.api.registrations.CheckPersonalIdentityCode, request)
        except Refusal as refusal:
            if not refusal.violations:
                raise
            errors = {violation.field: violation.text for violation in refusal.violations}
        else:
            name = found.customer or found.registration
            if name:
                return visit.redirect(f"/{name}")
            answer = found.recognition or "nobody"
            if not found.recognition and any(
                each.action == ACTION_TRANSFER for each in found.available_actions
            ):
                answer = "protected"
    nothing = search.Search(visit.opened.email)
    return search.render(visit, nothing, errors=errors, answer=answer, path=path)


async def show_code(visit: Visit) -> Response:
    """Asks for the code, and what has happened."""
    return visit.render("customers/code.html", customer=await _get(visit), form=Form([_CODE]), other="")


async def set_code(visit: Visit) -> Response:
    """Attaches, corrects or renews the code; finds who has it already."""
    form = Form([_CODE], visit.typed)
    request = SetPersonalIdentityCodeRequest(name=_name(visit), request_id=visit.request_id)
    form.fill(request)
    other = ""
    if not visit.switches_language:
        if not request.personal_identity_code:
            form.errors["personal_identity_code"] = N_("Write the personal identity code.")
        if not request.change:
            form.errors["change"] = N_("Choose what has happened.")
    if not visit.switches_language and not form.errors:
        try:
            await visit.call(visit.site.api.customers.SetPersonalIdentityCode, request)
        except Refusal as refusal:
            if isinstance(refusal.detail, CodeOfAnotherPerson):
                other = refusal.detail.customer or refusal.detail.registration
            _take(form, refusal)
        else:
            return visit.redirect(f"/{_name(visit)}/done/code")
    status = 422 if form.is_wrong else 200
    return visit.render("customers/code.html", status, customer=await _get(visit), form=form, other=other)


async def show_birth_date(visit: Visit) -> Response:
    """Asks for the right date of birth."""
    return visit.render("customers/birth_date.html", name=_person(visit), form=Form([_BIRTH_DATE]))


async def correct_birth_date(visit: Visit) -> Response:
    """Corrects the date of birth of a customer, or of a registration that waits."""
    form = Form([_BIRTH_DATE], visit.typed)
    request = CorrectBirthDateRequest(name=_person(visit), request_id=visit.request_id)
    form.fill(request)
    if not visit.switches_language and not request.HasField("birth_date"):
        form.errors.setdefault("birth_date", N_("Write the date of birth."))
    if not visit.switches_language and not form.errors:
        try:
            await visit.call(visit.site.api.customers.CorrectBirthDate, request)
        except Refusal as refusal:
            _take(form, refusal)
        else:
            return visit.redirect(f"/{_person(visit)}")
    status = 422 if form.is_wrong else 200
    return visit.render("customers/birth_date.html", status, name=_person(visit), form=form)


def _person(visit: Visit) -> str:
    """The name of the customer or the registration that the page is about."""
    if "registration" in visit.request.path_params:
        return f"units/{visit.part('unit')}/registrations/{visit.part('registration')}"
    return _name(visit)


async def show_merge(visit: Visit) -> Response:
    """Asks for the other customer, or shows the two side by side."""
    name = customer_in(visit.request.query_params.get("with", ""))
    return await _merge_page(visit, name, {}, [])


async def merge(visit: Visit) -> Response:
    """Makes one customer of two."""
    name = customer_in(visit.typed.get("address", ""))
    if visit.switches_language:
        return await _merge_page(visit, name, {}, [])
    if not name or name == _name(visit):
        errors = {"address": N_("Copy here the address of the other customer's page.")}
        return await _merge_page(visit, "", errors, [])
    if visit.typed.get("act") != "merge":
        return visit.redirect(f"/{_name(visit)}/merge?with={name}")
    if visit.typed.get("sure") == "no":
        return visit.redirect(f"/{_name(visit)}")
    return await _merge(visit, name)


async def _merge(visit: Visit, name: str) -> Response:
    errors, code_of = {}, visit.typed.get("code_of", "")
    if code_of != _EITHER and not words.value_of("CodeOf", code_of):
        errors["code_of"] = N_("Choose whose personal identity code counts.")
    if visit.typed.get("sure") != "yes":
        errors["sure"] = N_("Choose whether they are merged.")
    if errors:
        return await _merge_page(visit, name, errors, [])
    request = MergeCustomersRequest(
        name=_name(visit),
        request_id=visit.request_id,
        merged_customer=name,
        personal_identity_code_of=words.value_of("CodeOf", code_of),  # type: ignore[arg-type]
    )
    try:
        await visit.call(visit.site.api.customers.MergeCustomers, request)
    except Refusal as refusal:
        if refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        return await _merge_page(visit, name, {}, [refusal.text])
    return visit.redirect(f"/{_name(visit)}/done/merge")


async def show_online(visit: Visit) -> Response:
    """Asks where the credentials go."""
    customer = await _get(visit)
    return visit.render("customers/online.html", customer=customer, form=_online(customer))


async def convert(visit: Visit) -> Response:
    """Makes an online customer of a CD borrower."""
    customer = await _get(visit)
    form = _online(customer)
    form.values = visit.typed
    request = ConvertToOnlineRequest(name=_name(visit), request_id=visit.request_id)
    form.fill(request)
    if not visit.switches_language and not request.credentials_recipient:
        form.errors["credentials_recipient"] = N_("Choose where the credentials go.")
    if not visit.switches_language and not form.errors:
        try:
            await visit.call(visit.site.api.customers.ConvertToOnline, request)
        except Refusal as refusal:
            _take(form, refusal)
        else:
            return visit.redirect(f"/{_name(visit)}/done/online")
    status = 422 if form.is_wrong else 200
    return visit.render("customers/online.html", status, customer=customer, form=form)


async def ask_to_undo(visit: Visit) -> Response:
    """Tells what follows, and asks."""
    return visit.render("customers/undo.html", customer=await _get(visit), errors={}, general=[])


async def undo(visit: Visit) -> Response:
    """Takes the end of a customership back."""
    if visit.switches_language:
        return await ask_to_undo(visit)
    if visit.typed.get("sure") == "no":
        return visit.redirect(f"/{_name(visit)}")
    errors: dict[str, str] = {}
    general: Sequence[str] = []
    if visit.typed.get("sure") == "yes":
        request = UndoRemovalRequest(name=_name(visit), request_id=visit.request_id)
        try:
            await visit.call(visit.site.api.customers.UndoRemoval, request)
        except Refusal as refusal:
            if refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            general = [refusal.text]
        else:
            return visit.redirect(f"/{_name(visit)}/done/undo")
    else:
        errors["sure"] = N_("Choose whether the customership goes on.")
    return visit.render(
        "customers/undo.html", 422, customer=await _get(visit), errors=errors, general=general
    )


async def show_done(visit: Visit) -> Response:
    """What was done, what happens next, and for whom."""
    what = visit.part("what")
    if what not in _DONE:
        return visit.redirect(f"/{_name(visit)}")
    customer = await _get(visit)
    return visit.render("customers/staff_done.html", customer=customer, what=what, heading=_DONE[what])


def _online(customer: Customer) -> Form:
    # An address on file is changed by an edit, which confirms it.
    fields = [_RECIPIENT] if customer.form.email else [_EMAIL, _RECIPIENT]
    return Form([Group(N_("Where the credentials go"), fields)])


def _take(form: Form, refusal: Refusal) -> None:
    """Takes what is wrong with a form; any refusal of another kind is raised."""
    if not refusal.violations and refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
        raise refusal
    form.take_errors(refusal)


async def _merge_page(
    visit: Visit, other_name: str, errors: dict[str, str], general: Sequence[str]
) -> Response:
    customer = await _get(visit)
    other = pair = None
    if other_name:
        try:
            request = GetCustomerRequest(name=other_name)
            other = (await visit.call(visit.site.api.customers.GetCustomer, request)).customer
        except Refusal as refusal:
            if refusal.code is not grpc.StatusCode.NOT_FOUND:
                raise
            errors = {"address": refusal.text}
        else:
            headings = N_("This customer, who stays"), N_("The other customer")
            title = N_("The two customers side by side")
            pair = compare(title, (headings[0], customer.form), (headings[1], other.form))
    return visit.render(
        "customers/merge.html",
        422 if errors or general else 200,
        customer=customer,
        other=other,
        pair=pair,
        codes=[(_EITHER, N_("At most one of them has one")), *words.options("CodeOf")],
        errors=errors,
        general=general,
    )


def _name(visit: Visit) -> str:
    return f"units/{visit.part('unit')}/customers/{visit.part('customer')}"


async def _get(visit: Visit) -> Customer:
    request = GetCustomerRequest(name=_name(visit))
    return (await visit.call(visit.site.api.customers.GetCustomer, request)).customer
