"""The offer to correct a guardian's address where it stands besides, such as at siblings."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

import grpc
from starlette.responses import Response

from frontends.refusals import Refusal
from frontends.siblings import correct_at
from frontends.web import guardian_address
from frontends.web.pages import Page, Visit, Who
from liity.v1.customer_form_pb2 import SameAddress

_PURPOSE = "same address"
_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True)
class _Offer:
    """Whose page comes next, the new address, and the others by name."""

    next_page: str
    email: str
    confirmed: bool
    others: dict[str, str]


def offer(visit: Visit, next_page: str, email: str, others: Sequence[SameAddress]) -> Response:
    """Asks at whom else the address is to be corrected; nothing is done without an answer."""
    found = {each.name: each.display_name for each in others}
    asked = _Offer(next_page, email, guardian_address.is_confirmed(visit), found)
    return _page(visit, asked)


async def correct(visit: Visit) -> Response:
    """Corrects the address at those who were ticked."""
    sealed = visit.site.seal.unseal(_PURPOSE, visit.typed.get("offer", ""))
    if sealed is None:
        return visit.redirect("/")
    asked = _Offer(**json.loads(sealed))
    if visit.switches_language:
        return _page(visit, asked)
    refused: dict[str, str] = {}
    for name in asked.others:
        if visit.typed.get(f"at.{name}") == "yes":
            try:
                await correct_at(visit.site.api, visit.call, name, asked.email, confirmed=asked.confirmed)
            except Refusal as refusal:
                if refusal.code is grpc.StatusCode.UNAUTHENTICATED:
                    raise
                refused[f"at.{name}"] = " ".join(refusal.lines())
    return _page(visit, asked, refused) if refused else visit.redirect(asked.next_page)


def _page(visit: Visit, asked: _Offer, errors: dict[str, str] | None = None) -> Response:
    sealed = visit.site.seal.seal(_PURPOSE, json.dumps(asdict(asked)).encode(), _LIFETIME)
    return visit.render(
        "registrations/same_address.html",
        422 if errors else 200,
        asked=asked,
        sealed_offer=sealed,
        errors=errors or {},
    )


PAGES = (Page("/same-address", Who.ACCOUNT, send=correct),)
