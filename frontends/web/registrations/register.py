"""The form of a new customer: filled in, checked, saved (R11, R12, R24)."""

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.forms import Form
from frontends.web.guardian_address import CONFIRMED, asks_guardian, is_confirmed
from frontends.web.language import N_
from frontends.web.pages import Visit
from frontends.web.registrations.check import CODE, CODE_LIFETIME
from frontends.web.registrations.fields import NEW_CUSTOMER, WITHOUT_CODE
from liity.v1.registration_service_pb2 import RegisterCustomerRequest

_ENTITLED = "entitled"
"""The answer to the question that comes if the form does not say that the person is entitled."""

_CODE_FIELD = "personal_identity_code"


async def form(visit: Visit) -> Response:
    """The form, with what was typed before."""
    return _show(visit, _form(visit))


async def save(visit: Visit) -> Response:
    """Shows the answers to be checked, goes back to the form, or saves."""
    if visit.typed.get(_ENTITLED) == "yes":
        visit.typed = {**visit.typed, "entitlement_declared": "yes"}
    filled = _form(visit)
    act = visit.typed.get("act", "check")
    if visit.switches_language and act != "save":
        return _show(visit, filled)
    request = _request(visit, filled, validate_only=act != "save" or visit.switches_language)
    if filled.errors or act == "change":
        return _show(visit, filled)
    if not request.form.entitlement_declared:
        return _ask_for_entitlement(visit)
    try:
        saved = await visit.call(visit.site.api.registrations.RegisterCustomer, request)
    except Refusal as refusal:
        if not refusal.violations:
            raise
        filled.take_errors(refusal, "form.")
        return _show(visit, filled, asks=asks_guardian(refusal))
    if request.validate_only:
        meant = [
            (filled.labels[each.field.removeprefix("form.")], each.suggested)
            for each in saved.address_suggestions
        ]
        notices = filled.told(saved.notices)
        return visit.render(
            "registrations/answers.html", form=filled, code=_typed_code(visit), meant=meant, notices=notices
        )
    visit.tell(filled.told(saved.notices))
    return visit.redirect(f"/{saved.registration.name}/saved")


def _ask_for_entitlement(visit: Visit) -> Response:
    """A question of its own (R3): who is not entitled is told what else there is, and nothing is stored."""
    kept = {name: value for name, value in visit.kept().items() if name not in {_ENTITLED, "entitled_asked"}}
    if visit.typed.get(_ENTITLED) == "no":
        return visit.render("registrations/not_entitled.html", kept=kept)
    errors = {_ENTITLED: N_("Choose an answer.")} if "entitled_asked" in visit.typed else {}
    status = 422 if errors else 200
    return visit.render("registrations/entitlement.html", status, kept=kept, errors=errors)


def _show(visit: Visit, filled: Form, *, asks: bool = False) -> Response:
    code = _typed_code(visit)
    sealed = visit.site.seal.seal(CODE, code.encode(), CODE_LIFETIME) if code else ""
    return visit.render(
        "registrations/form.html",
        422 if filled.is_wrong else 200,
        form=filled,
        code=code,
        sealed_code=sealed,
        asks_guardian=asks or CONFIRMED in visit.typed,
    )


def _form(visit: Visit) -> Form:
    without = visit.typed.get("without_code", "") == "yes"
    return Form((*([WITHOUT_CODE] if without else []), *NEW_CUSTOMER), visit.typed)


def _typed_code(visit: Visit) -> str:
    """The code, typed in this form or checked on the page before."""
    typed = visit.typed.get(_CODE_FIELD, "").strip()
    if typed or visit.typed.get("without_code", "") == "yes":
        return typed
    sealed = visit.site.seal.unseal(CODE, visit.typed.get("sealed_code", ""))
    return sealed.decode() if sealed else ""


def _request(visit: Visit, filled: Form, *, validate_only: bool) -> RegisterCustomerRequest:
    request = RegisterCustomerRequest(
        parent=visit.unit,
        request_id=visit.request_id,
        validate_only=validate_only,
        guardian_email_confirmed=is_confirmed(visit),
    )
    if visit.typed.get("without_code", "") == "yes":
        missing = Form([WITHOUT_CODE], visit.typed)
        missing.fill(request.missing_personal_identity_code)
        filled.errors |= missing.errors
    else:
        request.personal_identity_code = _typed_code(visit)
    own = Form(NEW_CUSTOMER, visit.typed)
    own.fill(request.form)
    filled.errors |= own.errors
    return request
