"""Which registration stands for a customer (R14, R24), and what is remarked on in its history."""

import pytest

from liity.registration.v1 import history_service_pb2 as pb
from liity.registration.v1 import registration_service_pb2 as pb_registrations
from liity.registration.v1.history_service_pb2_grpc import HistoryServiceStub
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_LINKED
from tests.services.registration.registrations.test_decisions import unidentified
from tests.support.registration_forms import adult_form, changed, child_form
from tests.support.registration_service import Service, birth_of_child


async def test_one_that_was_linked_later_does_not_stand_for_them(service: Service, unit: Unit) -> None:
    made = (await service.create(unit.unit_id, adult_form())).registration
    customer = await service.get_customer(made.customer_id)
    linked = await unidentified(service, unit)
    await service.link(linked.registration_id, customer)
    assert (await service.get(linked.registration_id)).stage == STAGE_LINKED
    request = pb.GetHistoryRequest(unit_id=unit.unit_id, customer_id=customer.customer_id)
    stub = HistoryServiceStub(service.gateway.channel)
    history = await service.gateway.call(stub.GetHistory, request)
    assert history.registration.registration_id == made.registration_id
    assert history.registration.stage == STAGE_ACTIVE
    assert (await service.get_customer(customer.customer_id)).registration_id == made.registration_id


@pytest.mark.parametrize(
    ("name", "is_other"),
    [
        ("Kerttu Mallikas", False),
        ("KERTTU  mallikas", False),
        ("Kerttu Anna-Liisa Mallikas", False),
        ("Mallikas Kerttu", False),
        ("Kuka Tahansa", True),
        ("Olli Mallikas", True),
        ("", False),
    ],
)
async def test_a_consent_by_another_name_than_the_guardians_is_seen(
    service: Service, unit: Unit, name: str, is_other: bool
) -> None:
    form = changed(child_form(), related_person__full_name="Kerttu Mallikas")
    made = (await service.create(unit.unit_id, form, birth_date=birth_of_child())).registration
    method = pb_registrations.ConsentEvidence.METHOD_LINK
    evidence = pb_registrations.ConsentEvidence(method=method, guardian_name=name)
    await service.activate(made.registration_id, evidence)
    request = pb.GetHistoryRequest(unit_id=unit.unit_id, registration_id=made.registration_id)
    stub = HistoryServiceStub(service.gateway.channel)
    history = await service.gateway.call(stub.GetHistory, request)
    assert history.consent_by_other_name == is_other
