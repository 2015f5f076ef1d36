"""Customer service's page that takes a merge back (R43)."""

from collections.abc import Sequence

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.web.language import N_
from frontends.web.pages import Visit
from liity.v1.customer_service_pb2 import Customer, GetCustomerRequest, UndoMergeRequest


async def ask(visit: Visit) -> Response:
    """Offers the merges that can be undone."""
    return await _page(visit, {}, [])


async def undo(visit: Visit) -> Response:
    """Takes a merge back, and opens the customer who is there again."""
    if visit.switches_language:
        return await _page(visit, {}, [])
    if visit.typed.get("sure") == "no":
        return visit.redirect(f"/{_name(visit)}")
    errors = {}
    if not visit.typed.get("merged_customer"):
        errors["merged_customer"] = N_("Choose the customer who is another person.")
    if visit.typed.get("sure") != "yes":
        errors["sure"] = N_("Choose whether the merge is undone.")
    if errors:
        return await _page(visit, errors, [])
    request = UndoMergeRequest(
        name=_name(visit),
        request_id=visit.request_id,
        merged_customer=visit.typed["merged_customer"],
    )
    try:
        undone = await visit.call(visit.site.api.customers.UndoMerge, request)
    except Refusal as refusal:
        if refusal.code is not grpc.StatusCode.FAILED_PRECONDITION:
            raise
        return await _page(visit, {}, [refusal.text])
    return visit.redirect(f"/{undone.restored.name}")


async def _page(visit: Visit, errors: dict[str, str], general: Sequence[str]) -> Response:
    request = GetCustomerRequest(name=_name(visit))
    customer: Customer = (await visit.call(visit.site.api.customers.GetCustomer, request)).customer
    options = [
        (
            merged.name,
            f"{merged.form.first_names} {merged.form.last_name}, {merged.unit_display_name}",
        )
        for merged in customer.merged_customers
        if merged.HasField("undo_expire_time")
    ]
    status = 422 if errors or general else 200
    return visit.render(
        "customers/undo_merge.html",
        status,
        customer=customer,
        options=options,
        typed=visit.typed,
        errors=errors,
        general=general,
    )


def _name(visit: Visit) -> str:
    return f"units/{visit.part('unit')}/customers/{visit.part('customer')}"
