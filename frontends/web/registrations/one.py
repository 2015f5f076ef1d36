"""One registration: how it stands and why, what can be done, and what comes next (R10, R28 to R30)."""

from collections.abc import Sequence

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web import editing, guardian_address, same_address
from frontends.web.forms import Form
from frontends.web.language import N_
from frontends.web.pages import Visit
from frontends.web.registrations.fields import EDITABLE, PAPER_CONSENT
from liity.v1.customer_form_pb2 import CustomerForm, SameAddress
from liity.v1.registration_pb2 import (
    ACTION_EDIT,
    ACTION_RECORD_CONSENT,
    ACTION_REMIND_GUARDIAN,
    ACTION_WITHDRAW,
    PARTY_REGISTRAR,
)
from liity.v1.registration_service_pb2 import (
    ExplainRegistrationRequest,
    GetRegistrationRequest,
    GetRegistrationResponse,
    RecordConsentRequest,
    RemindGuardianRequest,
    UpdateRegistrationRequest,
    WithdrawRegistrationRequest,
)


async def show(visit: Visit) -> Response:
    """How it stands, why, and what can be done."""
    found = await _get(visit)
    explain = ExplainRegistrationRequest(name=_name(visit))
    why = await visit.call(visit.site.api.registrations.ExplainRegistration, explain)
    return visit.render("registrations/one.html", found=found, why=why, can=_can(found))


async def show_saved(visit: Visit) -> Response:
    """After a Save: what happens next, by whom, by when (R28)."""
    return visit.render("registrations/saved.html", found=await _get(visit))


async def show_consent(visit: Visit) -> Response:
    """Asks who consented, and when (R29)."""
    return visit.render("registrations/consent.html", found=await _get(visit), form=Form([PAPER_CONSENT]))


async def record_consent(visit: Visit) -> Response:
    """Records a consent that came another way than by the link."""
    request = RecordConsentRequest(name=_name(visit), request_id=visit.request_id)
    form = Form([PAPER_CONSENT], visit.typed)
    form.fill(request.consent)
    if not visit.switches_language and not form.errors:
        try:
            await visit.call(visit.site.api.registrations.RecordConsent, request)
        except Refusal as refusal:
            if not refusal.violations:
                raise
            form.take_errors(refusal, "consent.")
        else:
            return visit.redirect(f"/{_name(visit)}")
    status = 422 if form.is_wrong else 200
    return visit.render("registrations/consent.html", status, found=await _get(visit), form=form)


async def show_consent_form(visit: Visit) -> Response:
    """A form to print, for a guardian who consents on paper (R29)."""
    return visit.render("registrations/consent_form.html", found=await _get(visit))


async def remind(visit: Visit) -> Response:
    """Has the guardian reminded now; refused shortly after another mail."""
    request = RemindGuardianRequest(name=_name(visit), request_id=visit.request_id)
    if not visit.switches_language:
        await visit.call(visit.site.api.registrations.RemindGuardian, request)
    return visit.redirect(f"/{_name(visit)}")


async def ask_to_withdraw(visit: Visit) -> Response:
    """Tells what is lost, and asks."""
    return visit.render("registrations/withdraw.html", found=await _get(visit), errors={})


async def withdraw(visit: Visit) -> Response:
    """Withdraws the registration, and erases its data (R30)."""
    if visit.switches_language:
        return await ask_to_withdraw(visit)
    if visit.typed.get("sure") == "no":
        return visit.redirect(f"/{_name(visit)}")
    if visit.typed.get("sure") != "yes":
        errors = {"sure": N_("Choose whether the registration is withdrawn.")}
        return visit.render("registrations/withdraw.html", 422, found=await _get(visit), errors=errors)
    request = WithdrawRegistrationRequest(name=_name(visit), request_id=visit.request_id)
    await visit.call(visit.site.api.registrations.WithdrawRegistration, request)
    return visit.redirect(f"/{_name(visit)}")


async def show_form(visit: Visit) -> Response:
    """The form of a registration that waits, to be corrected (R14)."""
    found = await _get(visit)
    return visit.render(
        "registrations/edit.html", found=found, editing=editing.opened(visit, found.form, found.etag)
    )


async def update(visit: Visit) -> Response:
    """Stores what was changed; shows what others changed meanwhile."""
    found = await _get(visit)

    others: list[SameAddress] = []
    emails: list[str] = []

    async def send(request_id: str, etag: str, paths: Sequence[str], form: CustomerForm) -> None:
        request = UpdateRegistrationRequest(
            name=_name(visit),
            request_id=request_id,
            etag=etag,
            form=form,
            guardian_email_confirmed=guardian_address.is_confirmed(visit),
        )
        request.update_mask.paths.extend(paths)
        saved = await visit.call(visit.site.api.registrations.UpdateRegistration, request)
        others.extend(saved.same_address)
        visit.tell(Form(tuple(EDITABLE.values())).told(saved.notices))
        emails.append(form.related_person.email)

    unsaved = await editing.save(visit, found.form, found.etag, send)
    if unsaved is None and others:
        return same_address.offer(visit, f"/{_name(visit)}", emails[-1], others)
    if unsaved is None:
        return visit.redirect(f"/{_name(visit)}")
    return visit.render("registrations/edit.html", unsaved.status, found=found, editing=unsaved)


def _name(visit: Visit) -> str:
    return f"units/{visit.part('unit')}/registrations/{visit.part('registration')}"


async def _get(visit: Visit) -> GetRegistrationResponse:
    request = GetRegistrationRequest(name=_name(visit))
    return await visit.call(visit.site.api.registrations.GetRegistration, request)


def _can(found: GetRegistrationResponse) -> set[str]:
    """What a registrar can do now."""
    names = {
        ACTION_EDIT: "edit",
        ACTION_RECORD_CONSENT: "consent",
        ACTION_REMIND_GUARDIAN: "remind",
        ACTION_WITHDRAW: "withdraw",
    }
    return {
        names[each.action]
        for each in found.registration.available_actions
        if each.action in names and PARTY_REGISTRAR in each.parties
    }
