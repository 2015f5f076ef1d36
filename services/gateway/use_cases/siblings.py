"""Others of a unit at whom a guardian's address stands that was corrected at one of them."""

from google.protobuf.field_mask_pb2 import FieldMask

from liity.registration.v1.registration_service_pb2 import ListSameGuardianRequest
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.customer_form_pb2 import CustomerForm, SameAddress
from services.gateway.resource_names import CUSTOMER, REGISTRATION
from services.runtime.rpc.context import current_request
from services.runtime.rpc.peer import Peer
from services.runtime.text.email_addresses import mailbox

_GUARDIANS_ADDRESS = frozenset({"related_person", "related_person.email"})


def corrects_guardian(mask: FieldMask) -> bool:
    """Whether an edit may change the guardian's address."""
    return not _GUARDIANS_ADDRESS.isdisjoint(mask.paths)


class Siblings:
    """Finds them, so that the caller can offer to correct the address there, too."""

    def __init__(self, registration: Peer) -> None:
        self._registration = registration
        self._registrations = RegistrationServiceStub(registration.channel)

    async def with_address_of(
        self, before: CustomerForm, after: CustomerForm, unit_id: str, row_id: str
    ) -> list[SameAddress]:
        """The unit's others with the guardian's address that was replaced; `row_id` is who was edited."""
        old, new = before.related_person.email, after.related_person.email
        if not old or not new or mailbox(old) == mailbox(new):
            return []
        find = ListSameGuardianRequest(unit_id=unit_id, email=old)
        found = await self._registration.call(self._registrations.ListSameGuardian, find)
        others = [each for each in found.others if row_id not in {each.registration_id, each.customer_id}]
        current_request().subjects.update(each.customer_id or each.registration_id for each in others)
        return [
            SameAddress(
                name=CUSTOMER.format(unit_id, each.customer_id)
                if each.customer_id
                else REGISTRATION.format(unit_id, each.registration_id),
                display_name=each.display_name,
            )
            for each in others
        ]
