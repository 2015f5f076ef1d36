"""What the public API hints at before a Save, and what it has mended in a form."""

from datetime import date

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from deploy.demo.artificial_hetu import artificial_hetu
from frontends.client import new_request_id
from frontends.refusals import Refusal, reason_name
from liity.v1.customer_form_pb2 import (
    SCHOOL_SUPPORT_PUPIL_SPECIFIC,
    CustomerForm,
    FormNotice,
    RelatedPerson,
)
from liity.v1.customer_service_pb2 import GetCustomerRequest, UpdateCustomerRequest
from liity.v1.registration_service_pb2 import (
    CheckPersonalIdentityCodeRequest,
    CheckPersonalIdentityCodeResponse,
    GetRegistrationRequest,
    UpdateRegistrationRequest,
)
from tests.system.conftest import Api
from tests.system.support.registering import adult, pupil, save, save_request


def told(notices: list[FormNotice]) -> set[tuple[str, str]]:
    """Field and reason of each notice."""
    return {(notice.field, f"{reason_name(notice.reason)}") for notice in notices if notice.message}


async def check(api: Api, code: str) -> CheckPersonalIdentityCodeResponse:
    request = CheckPersonalIdentityCodeRequest(parent=api.teacher.unit, personal_identity_code=code)
    return await api.teacher.call(api.teacher.registrations.CheckPersonalIdentityCode, request)


async def test_another_sign_is_hinted_at_while_the_other_child_waits(api: Api) -> None:
    """Case 24: the guardian of the child in the system has not consented yet."""
    child = pupil()
    saved = await save(api.teacher, child)
    own = child.personal_identity_code
    other = own.replace(own[6], next(sign for sign in "ABCDEF" if sign != own[6]))
    found = await check(api, other)
    assert list(found.other_sign_registrations) == [saved.name]
    assert list(found.other_sign_customers) == []
    request = CheckPersonalIdentityCodeRequest(parent=api.registrar.unit, personal_identity_code=other)
    elsewhere = await api.registrar.call(api.registrar.registrations.CheckPersonalIdentityCode, request)
    assert list(elsewhere.other_sign_registrations) == [], "nothing of another unit's"


@pytest.mark.parametrize("year", [1896, 1897, 1898, 1899, 1916])
async def test_a_pupil_is_not_as_old_as_the_code_says(api: Api, year: int) -> None:
    """Case 23: `+` for `-`, or `-` for `A`; told at the check, before a form is filled in."""
    person = adult()
    person.form.school_support = SCHOOL_SUPPORT_PUPIL_SPECIFIC
    code = artificial_hetu(date(year, 12, 5), 900 + year % 100)
    with pytest.raises(Refusal) as refused:
        await check(api, code)
    assert [(field, reason_name(reason)) for field, reason, _ in refused.value.violations] == [
        ("personal_identity_code", "CENTURY_PERHAPS_WRONG")
    ]
    request = save_request(api.teacher.unit, person)
    request.personal_identity_code = code
    with pytest.raises(Refusal) as refused:
        await api.teacher.call(api.teacher.registrations.RegisterCustomer, request)
    assert [reason_name(reason) for _, reason, _ in refused.value.violations] == ["CENTURY_PERHAPS_WRONG"]


async def test_what_a_form_had_around_it_is_told(api: Api) -> None:
    """Case 1: as a class list tells it."""
    child = pupil()
    guardian = child.form.related_person.email
    child.form.related_person.email = f"<mailto:{guardian}>."
    child.form.last_name = "Virta\u00adnen\u200b"
    child.form.related_person.full_name = "Kerttu Esimerkki (äiti)"
    expected = {
        ("form.last_name", "INVISIBLE_SIGNS_REMOVED"),
        ("form.related_person.email", "EXTRA_SIGNS_REMOVED"),
        ("form.related_person.full_name", "NAME_PERHAPS_WRONG"),
    }
    request = save_request(api.teacher.unit, child)
    request.validate_only = True
    tried = await api.teacher.call(api.teacher.registrations.RegisterCustomer, request)
    assert told(list(tried.notices)) == expected
    request.validate_only = False
    saved = await api.teacher.call(api.teacher.registrations.RegisterCustomer, request)
    assert told(list(saved.notices)) == expected
    (mended,) = [each for each in saved.notices if each.field == "form.related_person.email"]
    assert mended.message.endswith(f": {guardian}")

    name = saved.registration.name
    read = await api.teacher.call(
        api.teacher.registrations.GetRegistration, GetRegistrationRequest(name=name)
    )
    assert (read.form.last_name, read.form.related_person.email) == ("Virtanen", guardian)
    edit = UpdateRegistrationRequest(
        name=name,
        request_id=new_request_id(),
        etag=read.etag,
        update_mask=FieldMask(paths=["related_person.email"]),
        form=CustomerForm(related_person=RelatedPerson(email=f"Outi Malli <{guardian}>"), last_name="x1"),
    )
    edited = await api.teacher.call(api.teacher.registrations.UpdateRegistration, edit)
    assert told(list(edited.notices)) == {("form.related_person.email", "EXTRA_SIGNS_REMOVED")}


async def test_what_an_edit_of_a_customer_had_around_it_is_told(api: Api) -> None:
    saved = await save(api.registrar, adult())
    client = api.registrar
    found = await client.call(client.registrations.GetRegistration, GetRegistrationRequest(name=saved.name))
    name = found.registration.customer
    stored = await client.call(client.customers.GetCustomer, GetCustomerRequest(name=name))
    edit = UpdateCustomerRequest(
        name=name,
        request_id=new_request_id(),
        etag=stored.customer.etag,
        update_mask=FieldMask(paths=["email", "last_name"]),
        form=CustomerForm(email=f"{stored.customer.form.email};", last_name="Malli\u200b 2"),
    )
    edited = await client.call(client.customers.UpdateCustomer, edit)
    assert told(list(edited.notices)) == {
        ("form.email", "EXTRA_SIGNS_REMOVED"),
        ("form.last_name", "INVISIBLE_SIGNS_REMOVED"),
        ("form.last_name", "NAME_PERHAPS_WRONG"),
    }
    edit.etag, edit.request_id = edited.customer.etag, new_request_id()
    edit.form.email, edit.form.last_name = stored.customer.form.email.upper(), "Mallikas"
    again = await client.call(client.customers.UpdateCustomer, edit)
    assert list(again.notices) == []
