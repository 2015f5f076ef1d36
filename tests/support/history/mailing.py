"""Each mail goes out once, and none that what was done before contradicts."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from liity.v1.customer_service_pb2 import UpdateCustomerRequest
from liity.v1.registration_service_pb2 import RegisterCustomerRequest
from tests.support.history.records import Act, History, Mail, registration_of, those

SMTP_WINDOW = 30.0
"""Seconds for which a mail may still be on its way to a mail server that is stopped."""

_WORD = re.compile(r"\w+")

_BEGINS = ("RegisterCustomer", "Reactivate", "UndoRemoval")

_CONSENTS = ("AcceptConsent", "RecordConsent")

CAUSES: Mapping[str, tuple[str, ...]] = {
    "consent_request": ("RegisterCustomer",),
    "consent_given": _CONSENTS,
    "consent_receipt_given": _CONSENTS,
    "consent_declined": ("DeclineConsent",),
    "consent_receipt_declined": ("DeclineConsent",),
    "registration_withdrawn": ("WithdrawRegistration",),
    "credentials": (*_BEGINS, "SendCredentials"),
    "welcome": _BEGINS,
    "moved_to_another_unit": ("TransferCustomer", "Reactivate"),
    "email_changed": ("UpdateCustomer",),
    "email_confirmation": ("UpdateCustomer",),
    "customership_ended": ("EndCustomership",),
    "customership_goes_on": ("UndoRemoval",),
    "removal_undone": ("UndoRemoval",),
    "reactivation_asked": ("RegisterCustomer",),
    "reactivation_done": ("Reactivate",),
    "reactivation_declined": ("RejectRegistration",),
}
"""What each template is mailed for: at most once per act and recipient."""

_CONTRADICTED = {
    "WithdrawRegistration": ("consent_request", "credentials", "welcome"),
    "DeclineConsent": ("consent_request", "credentials", "welcome"),
    "RejectRegistration": ("welcome",),
    "EndCustomership": ("welcome",),
}
"""Templates that must not be mailed any more after an act, unless the person begins anew."""


class _About(NamedTuple):
    acts: Sequence[Act]
    mails: Sequence[Mail]


def judge(history: History) -> Iterator[str]:
    """Tells which mails were doubled, lost, or sent though they were not due any more."""
    yield from lost(history)
    for code, about in _by_person(history).items():
        for fault in (*_doubled(about), *_late(about)):
            yield f"{code}: {fault}"


def lost(history: History) -> Iterator[str]:
    """Tells which mails have not gone out, or not yet."""
    for code, about in _by_person(history).items():
        for fault in _lost(about):
            yield f"{code}: {fault}"


def _by_person(history: History) -> dict[str, _About]:
    """The mails to and about each person: their address, first names or registration are nobody else's."""
    acts = history.acts_by_person()
    marks: dict[str, str] = {}
    for code, about in acts.items():
        for act in about:
            for mark in _marks(act):
                marks[mark] = code
    mails: dict[str, list[Mail]] = defaultdict(list)
    for mail in history.mails:
        words = (mail.recipient, *_WORD.findall(mail.text))
        for code in {marks[word] for word in words if word in marks}:
            mails[code].append(mail)
    return {code: _About(about, mails[code]) for code, about in acts.items()}


def _marks(act: Act) -> Iterator[str]:
    if isinstance(act.request, RegisterCustomerRequest):
        form = act.request.form
        yield form.first_names
        yield from (address for address in (form.email, form.related_person.email) if address)
        # The names may be erased before the registrar is told of the end.
        yield registration_of(act)
    if isinstance(act.request, UpdateCustomerRequest) and act.request.form.email:
        yield act.request.form.email


def _doubled(about: _About) -> Iterator[str]:
    """A mail server that dies after it has taken a mail gets it again, with the same Message-ID."""
    sent = {(mail.template, mail.recipient, mail.message_id) for mail in about.mails}
    for (template, recipient), number in Counter(each[:2] for each in sent).items():
        causes = those(about.acts, *CAUSES.get(template, ()))
        if not causes:
            yield f"{template} to {recipient} for no reason"
        elif number > len(causes):
            yield f"{number} mails {template} to {recipient} for {len(causes)} acts"


def _late(about: _About) -> Iterator[str]:
    first: dict[str, Mail] = {}
    for mail in sorted(about.mails, key=lambda mail: mail.time):
        first.setdefault(mail.message_id, mail)
    for act in about.acts:
        anew = any(other.began > act.began or not other.acknowledged for other in those(about.acts, *_BEGINS))
        begun = act.rpc != "EndCustomership" and those(about.acts, *_CONSENTS)
        if anew or begun or len(those(about.acts, "RegisterCustomer")) > 1:
            continue
        for mail in first.values():
            if mail.template in _CONTRADICTED.get(act.rpc, ()) and mail.time > act.ended + SMTP_WINDOW:
                yield f"{mail.template} to {mail.recipient} at {mail.time:.3f} after {act}"


def _lost(about: _About) -> Iterator[str]:
    sent = {mail.template for mail in about.mails}
    ended = those(about.acts, *_CONTRADICTED)
    for act in about.acts:
        if act.ended == math.inf:
            continue
        due = set()
        # Who has come back meanwhile is told only that.
        if act.rpc == "EndCustomership" and not those(about.acts, "UndoRemoval", "Reactivate"):
            due.add("customership_ended")
        # The guardian's receipt is left out once the registration, and with it the address, is erased.
        if act.rpc == "DeclineConsent" and not those(about.acts, *_CONSENTS):
            due.add("consent_declined")
        if isinstance(act.request, RegisterCustomerRequest) and not ended:
            child = bool(act.request.form.related_person.email)
            on_paper = bool(those(about.acts, "RecordConsent"))
            answered = bool([accept for accept in those(about.acts, "AcceptConsent") if accept.acknowledged])
            if child and not on_paper:
                due.add("consent_request")
            if answered:
                due |= {"consent_given", "consent_receipt_given"}
            if answered or not child:
                due |= {"credentials", "welcome"}
        for template in due - sent:
            yield f"no {template} after {act}"
