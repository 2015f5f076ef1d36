"""Customer service decides on a registration without a personal identity code (R24)."""

from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.customer_form_pb2 import SCHOOL_SUPPORT_PUPIL_SPECIFIC
from liity.v1.message_service_pb2 import MESSAGE_CONTEXT_OTHER, CloseMessageRequest, SendMessageRequest
from liity.v1.registration_pb2 import (
    MISSING_CODE_REASON_NOT_YET_GIVEN,
    STAGE_CREDENTIALS_SENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
)
from liity.v1.registration_service_pb2 import RegisterCustomerRequest
from tests.support.web_visitor import Visitor
from tests.system.conftest import Api
from tests.system.support.registering import adult, database, get, pupil, reaches, save


async def test_an_identity_is_confirmed_after_the_question_is_answered(staff: Visitor, api: Api) -> None:
    person = adult()
    person.form.school_support = SCHOOL_SUPPORT_PUPIL_SPECIFIC
    request = RegisterCustomerRequest(parent=api.teacher.unit, request_id=new_request_id(), form=person.form)
    missing = request.missing_personal_identity_code
    missing.reason = MISSING_CODE_REASON_NOT_YET_GIVEN
    missing.birth_date.year, missing.birth_date.month, missing.birth_date.day = 1990, 5, 4
    saved = (await api.teacher.call(api.teacher.registrations.RegisterCustomer, request)).registration
    assert saved.stage == STAGE_WAITING_FOR_IDENTITY_CHECK
    page = await staff.get(f"/{saved.name}/verify")
    assert person.form.last_name in page.text
    unanswered = await staff.send(page.form)
    assert (unanswered.status, unanswered.title[:6]) == (422, "Error:")
    assert (await staff.send(page.form, {"sure": "no"})).path == f"/{saved.name}"
    assert (await get(api.staff, saved.name)).stage == STAGE_WAITING_FOR_IDENTITY_CHECK
    decided = await staff.send(page.form, {"sure": "yes"})
    assert decided.path == f"/{saved.name}/decided"
    await reaches(api.staff, saved.name, STAGE_CREDENTIALS_SENT)


async def test_another_language_moves_no_protected_person(staff: Visitor) -> None:
    page = await staff.get("/protected")
    message = "units/u1/messages/m1"
    switched = page.form.fields | {"of": message, "switch_language": "sv"}
    seen = await staff.post("/protected/transfer", switched)
    assert (seen.status, seen.path) == (200, "/protected")
    assert seen.form.fields["of"] == message
    await staff.get("/language/en?to=/home")


async def test_a_message_is_found_by_the_reference_that_is_quoted(staff: Visitor, api: Api) -> None:
    text = f"Kortti puuttuu {new_request_id()}"
    request = SendMessageRequest(
        parent=api.teacher.unit, request_id=new_request_id(), context=MESSAGE_CONTEXT_OTHER, text=text
    )
    message = (await api.teacher.call(api.teacher.messages.SendMessage, request)).message
    assert "/work/find" in (await staff.get("/work")).links
    page = await staff.get("/work/find")
    for typed in (
        message.reference,
        message.reference[2:].lower(),
        f" {message.reference.replace('-', ' ')} ",
    ):
        found = await staff.send(page.form, {"reference": typed})
        assert (found.status, found.path) == (200, f"/{message.name}/answer")
        assert text in found.text
    for typed in ("", "-", "L-2222-2222", "P-2222-2222", "ä", "L" * 50, "P" * 35):
        wrong = await staff.send(page.form, {"reference": typed})
        assert (wrong.status, wrong.title[:6]) == (422, "Error:"), typed
        assert wrong.form.fields["reference"] == typed
    close = CloseMessageRequest(name=message.name, request_id=new_request_id(), answer="Uusi on tulossa.")
    await api.staff.call(api.staff.messages.CloseMessage, close)
    answered = await staff.send(page.form, {"reference": message.reference})
    assert "Uusi on tulossa." in answered.text
    assert all(form.id != "main-form" for form in answered.forms)


async def test_a_registration_is_found_by_the_reference_that_is_quoted(
    staff: Visitor, teacher: Visitor, api: Api
) -> None:
    saved = await save(api.teacher, pupil())
    assert saved.reference in (await teacher.get(f"/{saved.name}")).text
    page = await staff.get("/work/find")
    for typed in (saved.reference, saved.reference[2:].lower(), saved.name.rpartition("/")[2]):
        found = await staff.send(page.form, {"reference": typed})
        assert (found.status, found.path) == (200, f"/{saved.name}"), typed
        assert saved.reference in found.text
    wrong = await staff.send(page.form, {"reference": "R-2222-2222"})
    assert (wrong.status, wrong.title[:6]) == (422, "Error:")
    assert "/work/find" in (await staff.get("/people")).links


async def test_registrations_that_share_a_reference_are_listed(
    staff: Visitor, api: Api, stack: Stack
) -> None:
    saved = await save(api.teacher, pupil())
    id_ = saved.name.rpartition("/")[2]
    shares = id_[:-1] + ("0" if id_[-1] != "0" else "1")
    page = await staff.get("/work/find")
    async with database(stack, "registration") as connection:
        await connection.execute(
            "INSERT INTO registrations SELECT (jsonb_populate_record(r, jsonb_build_object("
            "'registration_id', $1::text, 'person_id', $1::text, 'request_id', gen_random_uuid()))).*"
            " FROM registrations r WHERE registration_id = $2",
            shares,
            id_,
        )
        try:
            found = await staff.send(page.form, {"reference": saved.reference})
        finally:
            await connection.execute("DELETE FROM registrations WHERE registration_id = $1", shares)
    assert found.status == 200
    assert {f"/{saved.name}", f"/{saved.name[: -len(id_)]}{shares}"} <= set(found.links)


async def test_a_second_unit_of_one_name_is_asked_about(staff: Visitor) -> None:
    unit = {"display_name": f"Kaimakoulu {new_request_id()}", "kind": "UNIT_KIND_SCHOOL"}
    page = await staff.get("/units/new")
    assert "same_name" not in page.form.fields
    created = await staff.send(page.form, unit)
    assert (await staff.send(page.form, unit)).path == created.path, "a second click is answered as the first"
    again = await staff.get("/units/new")
    asked = await staff.send(again.form, unit)
    assert (asked.status, asked.title[:6]) == (422, "Error:")
    assert "There is a unit of this name already" in asked.text
    other = await staff.send(asked.form, {"same_name": "yes"})
    assert other.status == 200
    assert other.path not in {created.path, "/units/new"}
