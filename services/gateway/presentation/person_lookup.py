"""A person's status in the public API's form, with the available actions (R10)."""

from collections.abc import Mapping

from liity.registration.v1.registration_service_pb2 import LookUpPersonResponse
from liity.v1.registration_pb2 import (
    ACTION_ASK_CUSTOMER_SERVICE,
    ACTION_OPEN,
    ACTION_REGISTER,
    ACTION_TRANSFER,
    ACTION_UNDO_REMOVAL,
    PARTY_CUSTOMER_SERVICE,
    PARTY_REGISTRAR,
    Action,
    AvailableAction,
)
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    STANDING_MARKED_FOR_DELETION,
    STANDING_NOT_REGISTERED,
    STANDING_REGISTERED_IN_ANOTHER_UNIT,
    STANDING_REGISTERED_IN_THIS_UNIT,
    CheckPersonalIdentityCodeResponse,
    Standing,
)
from services.gateway.resource_names import CUSTOMER, REGISTRATION

_NEXT: Mapping[Standing.ValueType, Action.ValueType] = {
    STANDING_NOT_REGISTERED: ACTION_REGISTER,
    STANDING_REGISTERED_IN_THIS_UNIT: ACTION_OPEN,
    STANDING_REGISTERED_IN_ANOTHER_UNIT: ACTION_TRANSFER,
    STANDING_BEING_REGISTERED: ACTION_TRANSFER,
}
"""The next action by status. For a person whom the unit itself is registering it is ACTION_OPEN."""

_OF_ONE_MARKED = (
    AvailableAction(action=ACTION_REGISTER, parties=(PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE)),
    AvailableAction(action=ACTION_ASK_CUSTOMER_SERVICE, parties=(PARTY_REGISTRAR,)),
    AvailableAction(action=ACTION_UNDO_REMOVAL, parties=(PARTY_CUSTOMER_SERVICE,)),
)
"""Actions for a person marked for deletion: a registration then waits for customer service (R19)."""


_OF_ONE_PROTECTED = (
    AvailableAction(action=ACTION_TRANSFER, parties=(PARTY_CUSTOMER_SERVICE,)),
    AvailableAction(action=ACTION_ASK_CUSTOMER_SERVICE, parties=(PARTY_REGISTRAR,)),
)


def standing_of(
    known: LookUpPersonResponse, unit_id: str, *, for_staff: bool
) -> CheckPersonalIdentityCodeResponse:
    """The answer to a unit; a person of another unit is described only as far as recognising them needs.

    Customer service also gets the customer whose removal it may undo: search does not find them (R19).
    """
    if known.standing == STANDING_MARKED_FOR_DELETION:
        return _of_one_marked(known, unit_id, for_staff=for_staff)
    response = CheckPersonalIdentityCodeResponse(standing=known.standing)
    own = known.registration.unit_id == unit_id
    if known.standing == STANDING_BEING_REGISTERED:
        response.stage = known.registration.stage
    if own:
        response.registration = REGISTRATION.format(unit_id, known.registration.registration_id)
    if known.standing == STANDING_REGISTERED_IN_THIS_UNIT:
        response.customer = CUSTOMER.format(unit_id, known.customer_id)
    action = _NEXT.get(known.standing)
    if known.standing == STANDING_BEING_REGISTERED and own:
        action = ACTION_OPEN
    elif known.standing == STANDING_BEING_REGISTERED and known.customer_id:
        # Marked for deletion: no transfer until customer service has decided.
        action = ACTION_ASK_CUSTOMER_SERVICE
    if action == ACTION_TRANSFER and known.is_protected:
        # A registrar's wish goes to customer service (R37). Nothing tells who it is, where, or why.
        response.available_actions.extend(_OF_ONE_PROTECTED)
        return response
    if action == ACTION_TRANSFER:
        response.recognition = f"{known.initials}, {known.unit_display_name}"
    if action is not None:
        parties = (PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE)
        response.available_actions.append(AvailableAction(action=action, parties=parties))
    return response


def _of_one_marked(
    known: LookUpPersonResponse, unit_id: str, *, for_staff: bool
) -> CheckPersonalIdentityCodeResponse:
    response = CheckPersonalIdentityCodeResponse(standing=known.standing, available_actions=_OF_ONE_MARKED)
    if for_staff:
        response.customer = CUSTOMER.format(known.customer_unit_id, known.customer_id)
    if known.customer_unit_id != unit_id and not known.is_protected:
        response.recognition = f"{known.initials}, {known.unit_display_name}"
    return response
