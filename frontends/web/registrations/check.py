"""First the check by personal identity code: each answer offers its one next step (R10)."""

from datetime import timedelta

from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.customer_service_pb2 import TransferCustomerRequest
from liity.v1.registration_service_pb2 import (
    STANDING_NOT_REGISTERED,
    STANDING_REGISTERED_IN_ANOTHER_UNIT,
    CheckPersonalIdentityCodeRequest,
    Standing,
)

CODE = "personal-identity-code"
CODE_LIFETIME = timedelta(hours=8)
"""A form may stay open for a school day."""


async def show(visit: Visit) -> Response:
    """Asks for the code."""
    return visit.render("registrations/check.html", errors={})


async def check(visit: Visit) -> Response:
    """Where the person stands. The code never stands in an address; the form carries it sealed."""
    code = visit.typed.get("personal_identity_code", "").strip()
    if visit.switches_language:
        return await show(visit)
    if visit.typed.get("act") == "transfer":
        return await _transfer(visit)
    if not code:
        errors = {"personal_identity_code": N_("Write the personal identity code.")}
        return visit.render("registrations/check.html", 422, errors=errors)
    request = CheckPersonalIdentityCodeRequest(parent=visit.unit, personal_identity_code=code)
    try:
        found = await visit.call(visit.site.api.registrations.CheckPersonalIdentityCode, request)
    except Refusal as refusal:
        if not refusal.violations:
            raise
        errors = {violation.field: violation.text for violation in refusal.violations}
        return visit.render("registrations/check.html", 422, errors=errors)
    return visit.render(
        "registrations/checked.html",
        found=found,
        standing=Standing.Name(found.standing),
        code=code,
        sealed_code=visit.site.seal.seal(CODE, code.encode(), CODE_LIFETIME),
        is_new=found.standing == STANDING_NOT_REGISTERED,
        is_elsewhere=found.standing == STANDING_REGISTERED_IN_ANOTHER_UNIT,
    )


async def _transfer(visit: Visit) -> Response:
    """Moves a customer of another unit to this one (R16)."""
    code = visit.site.seal.unseal(CODE, visit.typed.get("sealed_code", ""))
    if code is None:
        return await show(visit)
    request = TransferCustomerRequest(
        parent=visit.unit, request_id=visit.request_id, personal_identity_code=code.decode()
    )
    moved = await visit.call(visit.site.api.customers.TransferCustomer, request)
    return visit.redirect(f"/{moved.customer.name or moved.registration}")
