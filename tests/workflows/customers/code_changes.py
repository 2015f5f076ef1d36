"""Changes of personal identity codes, as the gateway asks for them."""

import uuid

from liity.identity.v1.person_service_pb2 import FindPersonRequest, PrepareCodeChangeRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1.customer_service_pb2 import Customer, RecordCodeChangeRequest
from liity.v1.customer_service_pb2 import CODE_CHANGE_CORRECTED, CodeChange
from tests.workflows.conftest import World


async def prepared(
    world: World, customer: Customer, code: str, change: CodeChange.ValueType = CODE_CHANGE_CORRECTED
) -> RecordCodeChangeRequest:
    """A change that identity keeps."""
    identity = world.gateway["identity"]
    prepare = PrepareCodeChangeRequest(
        request_id=str(uuid.uuid4()),
        person_id=customer.person_id,
        personal_identity_code=code,
        change=change,
    )
    answer = await identity.call(PersonServiceStub(identity.channel).PrepareCodeChange, prepare)
    return RecordCodeChangeRequest(
        request_id=prepare.request_id,
        customer_id=customer.customer_id,
        change=change,
        birth_date=answer.birth_date,
    )


async def make(world: World, customer: Customer, record: RecordCodeChangeRequest) -> str:
    """Makes a change; gives who else has the code, if somebody does."""
    return await world.customers.change_code(customer.person_id, record, customer.unit_id)


async def person_of(world: World, code: str) -> str:
    """Whose code it is; empty if it is nobody's."""
    identity = world.gateway["identity"]
    find = FindPersonRequest(personal_identity_code=code)
    return (await identity.call(PersonServiceStub(identity.channel).FindPerson, find)).person_id
