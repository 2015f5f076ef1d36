"""Registrations in the public API's form, and page sizes of lists."""

from collections.abc import Mapping, Sequence

from liity.registration.v1.registration_service_pb2 import Registration as StoredRegistration
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.registration_pb2 import (
    ACTION_ANSWER_CONSENT_REQUEST,
    ACTION_EDIT,
    ACTION_LINK_TO_CUSTOMER,
    ACTION_REACTIVATE,
    ACTION_RECORD_CONSENT,
    ACTION_REJECT,
    ACTION_REMIND_GUARDIAN,
    ACTION_VERIFY_IDENTITY,
    ACTION_WITHDRAW,
    PARTY_CUSTOMER_SERVICE,
    PARTY_GUARDIAN,
    PARTY_REGISTRAR,
    PARTY_SYSTEM,
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_RECEIVED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    AvailableAction,
    Party,
    Registration,
    Stage,
)
from services.gateway.resource_names import CUSTOMER, REGISTRATION
from services.runtime.text import references

DEFAULT_PAGE = 50
"""Items on a page if the request gives no number."""

LARGEST_PAGE = 200
"""The most items on a page."""

_WITHDRAW = AvailableAction(action=ACTION_WITHDRAW, parties=[PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE])
_EDIT = AvailableAction(action=ACTION_EDIT, parties=[PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE])
_WHILE_WAITING_FOR_CONSENT = (
    AvailableAction(action=ACTION_ANSWER_CONSENT_REQUEST, parties=[PARTY_GUARDIAN]),
    AvailableAction(action=ACTION_RECORD_CONSENT, parties=[PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE]),
    AvailableAction(action=ACTION_REMIND_GUARDIAN, parties=[PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE]),
    _EDIT,
    _WITHDRAW,
)
_REJECT = AvailableAction(action=ACTION_REJECT, parties=[PARTY_CUSTOMER_SERVICE])
_WHILE_WAITING: Mapping[Stage.ValueType, Sequence[AvailableAction]] = {
    STAGE_WAITING_FOR_CONSENT: _WHILE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_REACTIVATION: (
        AvailableAction(action=ACTION_REACTIVATE, parties=[PARTY_CUSTOMER_SERVICE]),
        _REJECT,
        _EDIT,
        _WITHDRAW,
    ),
    STAGE_WAITING_FOR_IDENTITY_CHECK: (
        AvailableAction(action=ACTION_VERIFY_IDENTITY, parties=[PARTY_CUSTOMER_SERVICE]),
        AvailableAction(action=ACTION_LINK_TO_CUSTOMER, parties=[PARTY_CUSTOMER_SERVICE]),
        _REJECT,
        _EDIT,
        _WITHDRAW,
    ),
}


def to_public(stored: StoredRegistration) -> Registration:
    """A registration in the public API's form, with the parties it waits for and the available actions."""
    public = Registration(
        name=REGISTRATION.format(stored.unit_id, stored.registration_id),
        reference=references.of_registration(stored.registration_id),
        stage=stored.stage,
        customer_display_name=stored.customer_display_name,
        kind=stored.kind,
        consent_state=stored.consent_state,
        create_time=stored.create_time,
        update_time=stored.update_time,
        waiting_for=_waiting_for(stored),
        available_actions=_WHILE_WAITING.get(stored.stage, ()),
        guardians=stored.guardians,
        registrar_display_name=stored.registrar_display_name,
        customer=CUSTOMER.format(stored.unit_id, stored.customer_id) if stored.customer_id else "",
        rejection_note=stored.rejection_note,
        missing_code_reason=stored.missing_code_reason,
    )
    if stored.HasField("deadline"):
        public.deadline.CopyFrom(stored.deadline)
    if stored.HasField("decline_end_time"):
        public.decline_end_time.CopyFrom(stored.decline_end_time)
    return public


def _waiting_for(stored: StoredRegistration) -> tuple[Party.ValueType, ...]:
    if stored.stage == STAGE_WAITING_FOR_CONSENT:
        return (PARTY_GUARDIAN,)
    if stored.stage in {STAGE_WAITING_FOR_REACTIVATION, STAGE_WAITING_FOR_IDENTITY_CHECK}:
        return (PARTY_CUSTOMER_SERVICE,)
    goes_on = stored.stage in {STAGE_RECEIVED, STAGE_CREDENTIALS_SENT} or (
        stored.stage == STAGE_ACTIVE and stored.kind == CUSTOMER_KIND_ONLINE
    )
    return (PARTY_SYSTEM,) if goes_on else ()
