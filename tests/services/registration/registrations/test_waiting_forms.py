"""The form of a registration that waits is read and corrected (R14)."""

import uuid
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.registration_service_pb2 import Registration
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.registration_pb2 import STAGE_WITHDRAWN
from tests.support.registration_forms import adult_form, changed
from tests.support.registration_service import Service, refusal, violations


async def form_of(service: Service, registration: Registration) -> pb.GetFormResponse:
    request = pb.GetFormRequest(registration_id=registration.registration_id)
    return await service.gateway.call(service.reads.GetForm, request)


async def correct(
    service: Service, registration: Registration, read: pb.GetFormResponse, *paths: str, **fields: Any
) -> pb.UpdateFormResponse:
    """Changes `paths` of a form as read; `fields` set the form, or parts of the request as in `of_etag`."""
    given = {name.removeprefix("of_"): fields.pop(name) for name in list(fields) if name.startswith("of_")}
    form = CustomerForm()
    form.CopyFrom(read.form)
    request = pb.UpdateFormRequest(
        **{
            "registration_id": registration.registration_id,
            "unit_id": registration.unit_id,
            "etag": read.etag,
            "update_mask": FieldMask(paths=paths),
            **given,
        },
        form=changed(form, **fields),
    )
    return await service.worker.call(service.changes.UpdateForm, request)


async def test_what_waits_is_read_and_corrected(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    read = await form_of(service, waiting)
    last_name = f"Korjattu{uuid.uuid4().hex[:6]}"
    updated = await correct(service, waiting, read, "last_name", last_name=last_name)
    assert updated.registration.customer_display_name.endswith(last_name)
    assert updated.registration.update_time == waiting.update_time
    again = await form_of(service, waiting)
    assert again.form.last_name == last_name
    assert again.etag != read.etag
    assert again.form.related_person == read.form.related_person
    uses = await service.rows("SELECT * FROM use_entries WHERE action = 'registration:update'")
    assert [use["subject_ids"] for use in uses if waiting.registration_id in use["subject_ids"]] == [
        sorted([waiting.registration_id, waiting.person_id])
    ]
    # The customer is made of what was corrected.
    active = await service.activate(waiting.registration_id, None)
    assert (await service.get_customer(active.customer_id)).form.last_name == last_name


async def test_of_two_who_correct_at_once_the_later_is_told_which_fields(
    service: Service, unit: Unit
) -> None:
    waiting = await service.waiting(unit.unit_id)
    read = await form_of(service, waiting)
    await correct(service, waiting, read, "last_name", "phone", last_name="Eka", phone="0401234567")
    late = await correct(service, waiting, read, "last_name", last_name="Toka")
    assert list(late.changed_meanwhile.paths) == ["last_name", "phone"]
    assert (await form_of(service, waiting)).form.last_name == "Eka"
    for etag in ("", "rubbish", "b2Zub3RoaW5n", "å"):
        told = await correct(service, waiting, read, "last_name", last_name="Toka", of_etag=etag)
        assert len(told.changed_meanwhile.paths) == len(CustomerForm.DESCRIPTOR.fields)


async def test_what_is_there_already_may_be_said_again(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    read = await form_of(service, waiting)
    for _ in range(2):
        updated = await correct(service, waiting, read, "last_name", last_name="Sama")
        assert not updated.HasField("changed_meanwhile")
    uses = await service.rows("SELECT * FROM use_entries WHERE action = 'registration:update'")
    assert sum(waiting.registration_id in use["subject_ids"] for use in uses) == 1


async def test_every_rule_of_the_form_holds(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    read = await form_of(service, waiting)
    wrong = await violations(
        correct(service, waiting, read, "language", "address.postcode", language=0, address__postcode="1")
    )
    assert set(wrong) == {"form.language", "form.address.postcode"}
    fixed = await violations(correct(service, waiting, read, "kind", "no_such_field"))
    assert fixed == {"form.kind": "NOT_EDITABLE", "update_mask": "UNKNOWN_VALUE"}
    assert await form_of(service, waiting) == read


async def test_only_the_units_own_and_only_while_it_waits(service: Service, unit: Unit) -> None:
    waiting = await service.waiting(unit.unit_id)
    read = await form_of(service, waiting)
    other = await service.unit("Toinen kirjasto")
    strange = correct(service, waiting, read, "last_name", last_name="Muu", of_unit_id=other.unit_id)
    assert await refusal(strange) == ("NOT_FOUND", "REGISTRATION_NOT_FOUND")
    await service.end(waiting.registration_id, STAGE_WITHDRAWN)
    late = correct(service, waiting, read, "last_name", last_name="Muu")
    assert await refusal(late) == ("FAILED_PRECONDITION", "NOT_WAITING")
    begun = (await service.create(unit.unit_id, adult_form())).registration
    for registration in (waiting, begun):
        assert await form_of(service, registration) == pb.GetFormResponse()
