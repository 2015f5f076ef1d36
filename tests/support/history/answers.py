"""Every call is answered, and refused only for documented reasons that somebody else has caused."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import grpc

from tests.support.history.records import History, those

_REASONS = Path(__file__).parents[3] / "docs" / "reasons.md"
_ROW = re.compile(r"^\| `([A-Z_]+)` \| ([A-Z_]+) \|", re.MULTILINE)

REFUSALS: Mapping[str, frozenset[str]] = {
    rpc: frozenset(reasons.split())
    for rpc, reasons in {
        "CheckPersonalIdentityCode": "",
        "RegisterCustomer": (
            "ALREADY_REGISTERED_IN_THIS_UNIT ALREADY_REGISTERED_IN_ANOTHER_UNIT BEING_REGISTERED"
        ),
        "GetRegistration": "REGISTRATION_NOT_FOUND",
        "ListRegistrations": "",
        "UpdateRegistration": "REGISTRATION_NOT_FOUND CHANGED_MEANWHILE NOT_WAITING TOO_MANY_EDITS",
        "RecordConsent": "REGISTRATION_NOT_FOUND NOT_WAITING_FOR_CONSENT",
        "WithdrawRegistration": "REGISTRATION_NOT_FOUND NOT_WAITING",
        "Reactivate": "REGISTRATION_NOT_FOUND NOT_WAITING_FOR_DECISION",
        "RejectRegistration": "REGISTRATION_NOT_FOUND NOT_WAITING_FOR_DECISION",
        "GetCustomer": "CUSTOMER_NOT_FOUND",
        "UpdateCustomer": "CUSTOMER_NOT_FOUND CHANGED_MEANWHILE CUSTOMER_HAS_ENDED",
        "SearchCustomers": "",
        "TransferCustomer": (
            "NOT_REGISTERED ALREADY_REGISTERED_IN_THIS_UNIT BEING_REGISTERED CUSTOMER_HAS_ENDED"
        ),
        "SendCredentials": "CUSTOMER_NOT_FOUND CUSTOMER_HAS_ENDED",
        "EndCustomership": "CUSTOMER_NOT_FOUND CUSTOMER_HAS_ENDED",
        "UndoRemoval": "CUSTOMER_NOT_FOUND CUSTOMER_NOT_ENDED REGISTRATION_UNDECIDED",
        "GetConsentRequest": "LINK_USED LINK_VOID LINK_EXPIRED",
        "AcceptConsent": "LINK_USED LINK_VOID LINK_EXPIRED NOT_WAITING_FOR_CONSENT",
        "DeclineConsent": "LINK_USED LINK_VOID LINK_EXPIRED NOT_WAITING_FOR_CONSENT",
        "SendMessage": "REGISTRATION_NOT_FOUND CUSTOMER_NOT_FOUND",
    }.items()
}
"""The reasons for which each RPC may refuse a right request, as its comment in `protos/` has them."""

_SAVED = ("RegisterCustomer", "TransferCustomer", "Reactivate")
_ANSWERED = ("AcceptConsent", "DeclineConsent", "RecordConsent")
_CHANGED = ("UpdateCustomer", "UpdateRegistration", "EndCustomership", "UndoRemoval", *_SAVED[1:])

CAUSES: Mapping[str, tuple[str, ...]] = {
    "ALREADY_REGISTERED_IN_THIS_UNIT": _SAVED,
    "ALREADY_REGISTERED_IN_ANOTHER_UNIT": _SAVED,
    "BEING_REGISTERED": _SAVED,
    "CHANGED_MEANWHILE": _CHANGED,
    "CUSTOMER_HAS_ENDED": ("EndCustomership",),
    "CUSTOMER_NOT_ENDED": ("UndoRemoval", "Reactivate"),
    "LINK_USED": (*_ANSWERED, "WithdrawRegistration"),
    "LINK_VOID": (*_ANSWERED, "WithdrawRegistration"),
    "NOT_WAITING": (*_ANSWERED, "WithdrawRegistration"),
    "NOT_WAITING_FOR_CONSENT": (*_ANSWERED, "WithdrawRegistration"),
    "NOT_WAITING_FOR_DECISION": ("Reactivate", "RejectRegistration", "WithdrawRegistration"),
}
"""The RPCs by which somebody must have caused a refusal: what a caller's own lost call did, is no cause."""


def judge(history: History) -> Iterator[str]:
    """Tells which calls had no answer, or a refusal that is not documented or that nobody has caused."""
    yield from _documented(history)
    yield from _caused(history)


def _caused(history: History) -> Iterator[str]:
    happened = history.acts_by_person()
    for act in history.acts():
        for call in act.calls:
            causes = CAUSES.get(call.refused.reason) if call.refused else None
            others = (other for other in those(happened.get(act.about, ()), *(causes or ())))
            if causes and not any(
                other.request_id != act.request_id and other.began <= call.ended for other in others
            ):
                yield f"refused, though nobody else has caused it: {call}"


def _documented(history: History) -> Iterator[str]:
    statuses = documented_statuses()
    for call in history.calls:
        if call.hung:
            yield f"never ended, though its deadline had passed: {call}"
        if call.refused is None:
            continue
        code, reason = call.refused
        if code is grpc.StatusCode.INTERNAL or reason not in REFUSALS[call.rpc]:
            yield f"refused with {code.name} {reason}: {call}"
        elif statuses[reason] != code.name:
            yield f"refused with {code.name}, documented as {statuses[reason]}: {call}"


def documented_statuses() -> dict[str, str]:
    """The gRPC status of each reason in docs/reasons.md."""
    return dict(_ROW.findall(_REASONS.read_text("utf-8")))
