"""What was saved can be read, as it was saved or edited since, and no edit is lost."""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

from google.protobuf.message import Message

from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import Customer, UpdateCustomerRequest
from liity.v1.registration_service_pb2 import (
    STANDING_NOT_REGISTERED,
    CheckPersonalIdentityCodeResponse,
    GetRegistrationResponse,
    RegisterCustomerRequest,
    UpdateRegistrationRequest,
)
from tests.support.history.records import (
    EDITS,
    ENDS,
    Act,
    History,
    last_part,
    messages_in,
    registration_of,
    those,
    unit_of,
)
from tests.support.history.registers import Write, possible

FIELDS = (
    "first_names",
    "last_name",
    "email",
    "address.municipality",
    "related_person.full_name",
    "related_person.email",
    "additional_information",
)
"""Paths within the form that are compared: they are stored as they are typed."""


def judge(history: History) -> Iterator[str]:
    """Tells which acknowledged Saves and edits cannot be read afterwards."""
    acts = history.acts_by_person()
    yield from _known(history, acts)
    yield from _found(history, acts)
    yield from _kept(history, acts)
    yield from _as_written(history, acts)
    yield from _no_edit_over_another(history)


def _known(history: History, acts: dict[str, list[Act]]) -> Iterator[str]:
    """Nobody is told that a person is not registered who was saved before."""
    for call in history.calls:
        if not isinstance(call.answer, CheckPersonalIdentityCodeResponse):
            continue
        about = acts.get(call.about, [])
        saved = any(save.ended < call.began for save in those(about, "RegisterCustomer"))
        ended = any(end.began <= call.ended for end in those(about, *ENDS))
        if saved and not ended and call.answer.standing == STANDING_NOT_REGISTERED:
            yield f"is said not to be registered: {call}"


def _found(history: History, acts: dict[str, list[Act]]) -> Iterator[str]:
    """Nobody is told that there is nobody where the person must be."""
    registrations = _saves(acts)
    for call in history.calls:
        if call.refused is None or call.rpc not in ("GetRegistration", "GetCustomer"):
            continue
        name = call.request.name  # type: ignore[attr-defined]
        about = acts.get(call.about, [])
        ends = [end for end in those(about, *ENDS) if end.began <= call.ended]
        if ends or (call.rpc == "GetRegistration" and last_part(name) not in registrations):
            continue
        if possible(_placements(about), call.began, call.ended) == {unit_of(name)}:
            yield f"is not found where the person must be, {name}: {call}"


def _placements(acts: Sequence[Act]) -> list[Write]:
    """The units that a person was saved in or moved to."""
    placing = those(acts, "RegisterCustomer", "TransferCustomer")
    return [
        Write(act.request.parent, act.began, act.ended)  # type: ignore[attr-defined]
        for act in placing
    ] + [
        Write(unit_of(act.request.name), act.began, act.ended, replaces=False)  # type: ignore[attr-defined]
        for act in those(acts, "Reactivate")
    ]


def _kept(history: History, acts: dict[str, list[Act]]) -> Iterator[str]:
    """At the end somebody reads each registration that was saved and not ended."""
    last_read: dict[str, float] = {}
    for call in history.calls:
        if isinstance(call.answer, GetRegistrationResponse):
            registration_id = last_part(call.answer.registration.name)
            last_read[registration_id] = max(last_read.get(registration_id, -math.inf), call.began)
    for registration_id, save in _saves(acts).items():
        about = acts[save.about]
        if those(about, *ENDS):
            continue
        acknowledged = max(act.ended for act in about if act.acknowledged)
        if last_read.get(registration_id, -math.inf) < acknowledged:
            yield f"acknowledged, but read by nobody at the end: {save}"


def _as_written(history: History, acts: dict[str, list[Act]]) -> Iterator[str]:
    """Every form read holds what was saved, or what an edit that replaced it wrote."""
    saves = _saves(acts)
    for call in history.calls:
        if call.answer is None or not call.about:
            continue
        for registration_id, form in _forms_in(call.answer):
            save = saves.get(registration_id)
            if save is None:
                continue
            writes = _writes(save, acts[save.about])
            for path in FIELDS:
                found = _value(form, path)
                if found not in possible(writes[path], call.began, call.ended):
                    yield f"{path} is {found!r}, which nobody wrote or somebody replaced: {call}"


def _forms_in(answer: Message) -> Iterator[tuple[str, CustomerForm]]:
    """The forms that an answer tells, each with the ID of the registration that made the customer."""
    for part in messages_in(answer):
        if isinstance(part, Customer):
            yield last_part(part.registration), part.form
        elif isinstance(part, GetRegistrationResponse) and part.HasField("form"):
            yield last_part(part.registration.name), part.form


def _saves(acts: dict[str, list[Act]]) -> dict[str, Act]:
    """The acknowledged Saves by the ID of their registration."""
    saves = [save for about in acts.values() for save in those(about, "RegisterCustomer")]
    return {registration_of(save): save for save in saves if save.acknowledged}


def _writes(save: Act, acts: Sequence[Act]) -> dict[str, list[Write]]:
    """What was written to each field of a registration and its customer.

    A later Save of an ended customer writes over it only if customer service has it so: it may, at any time.
    """
    writes: dict[str, list[Write]] = defaultdict(list)
    others = those(acts, "RegisterCustomer") if those(acts, "Reactivate") else [save]
    for other in others:
        assert isinstance(other.request, RegisterCustomerRequest)
        ended = save.ended if other is save else math.inf
        for path in FIELDS:
            writes[path].append(Write(_value(other.request.form, path), other.began, ended))
    for edit in those(acts, *EDITS):
        assert isinstance(edit.request, UpdateCustomerRequest | UpdateRegistrationRequest)
        for path in edit.request.update_mask.paths:
            writes[path].append(Write(_value(edit.request.form, path), edit.began, edit.ended))
    return writes


def _value(form: Message, path: str) -> str:
    value: object = form
    for part in path.split("."):
        value = getattr(value, part)
    return str(value)


def _no_edit_over_another(history: History) -> Iterator[str]:
    """Of two edits of the same version only one is acknowledged."""
    edits: dict[tuple[str, str], Act] = {}
    for edit in those(history.acts(), *EDITS):
        if edit.acknowledged is None:
            continue
        assert isinstance(edit.request, UpdateCustomerRequest | UpdateRegistrationRequest)
        version = last_part(edit.request.name), edit.request.etag
        if version in edits:
            yield f"two edits of one version were acknowledged: {edits[version]}; {edit}"
        edits[version] = edit
