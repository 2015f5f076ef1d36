"""A registrar's way: check, form, answers, Save; and a session that ends in the middle."""

import asyncio
import re
import uuid

import pytest

from deploy.demo.forms import DemoPerson
from deploy.local.ports import HOST
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from frontends.client import ApiClient
from frontends.web.forms import Form, values_of
from frontends.web.registrations.fields import NEW_CUSTOMER
from frontends.web.sessions import WebSession
from liity.v1.customer_form_pb2 import SCHOOL_SUPPORT_PUPIL_SPECIFIC
from liity.v1.registration_pb2 import STAGE_CREDENTIALS_SENT, STAGE_WAITING_FOR_CONSENT
from liity.v1.registration_service_pb2 import GetRegistrationRequest
from liity.v1.unit_service_pb2 import UNIT_KIND_SCHOOL
from services.runtime.clock import helsinki_day, now
from tests.support.web_visitor import Seen, Visitor
from tests.system.conftest import Api
from tests.system.support.accounts import new_account
from tests.system.support.class_lists import adult_row, changed, csv_of, done, pupil_row
from tests.system.support.registering import MailCounter, adult, get, link_token, pupil, reaches, save
from tests.system.support.registering import accept as accept_consent
from tests.system.units.test_units import (
    PASSWORD,
    accept,
    create,
    invite,
    join,
    named,
    registrars,
    remove,
    token_mailed_to,
)


def grown_up() -> DemoPerson:
    """An adult whom a school registers, which tells the support."""
    person = adult()
    person.form.school_support = SCHOOL_SUPPORT_PUPIL_SPECIFIC
    return person


def typed(person: DemoPerson) -> dict[str, str]:
    """A person's form as it would be typed."""
    return values_of(person.form, Form(NEW_CUSTOMER).fields)


async def checked(visitor: Visitor, person: DemoPerson) -> Seen:
    page = await visitor.get("/register")
    seen = await visitor.send(page.form, {"personal_identity_code": person.personal_identity_code})
    assert person.personal_identity_code in seen.text, "which code was checked"
    return seen


async def filled(visitor: Visitor, person: DemoPerson) -> Seen:
    """The answers to be checked."""
    page = await visitor.send((await checked(visitor, person)).form)
    return await visitor.send(page.form, typed(person), ("act", "check"))


async def test_a_child_is_registered(teacher: Visitor, api: Api) -> None:
    child = pupil()
    answers = await filled(teacher, child)
    assert answers.status == 200, answers.text
    assert "Check the answers" in answers.text
    assert child.form.related_person.email in answers.text
    saved = await teacher.send(answers.form, button=("act", "save"))
    assert saved.path.endswith("/saved")
    assert child.personal_identity_code not in saved.url
    assert "guardian" in saved.text
    name = saved.path.removesuffix("/saved").strip("/")
    assert (await get(api.teacher, name)).stage == STAGE_WAITING_FOR_CONSENT
    # Sent twice: the same registration.
    assert (await teacher.send(answers.form, button=("act", "save"))).path == saved.path


async def test_change_leads_back_with_all_that_was_typed(teacher: Visitor) -> None:
    person = pupil()
    answers = await filled(teacher, person)
    form = await teacher.send(answers.form, button=("act", "change"))
    assert {name: form.form.fields.get(name) for name in typed(person)} == typed(person)
    # And on to the answers with what was changed, and with the code that was typed a page before.
    again = await teacher.send(form.form, {"address.post_office": "Vantaa"}, ("act", "check"))
    assert "Check the answers" in again.text
    changed_alone = {name: again.form.fields.get(name) for name in typed(person)}
    assert changed_alone == typed(person) | {"address.post_office": "Vantaa"}
    assert person.personal_identity_code in again.text


async def test_what_people_type_otherwise_is_understood(teacher: Visitor, api: Api) -> None:
    """Spaces, dashes, dots and small letters (S10)."""
    person = grown_up()
    await save(api.teacher, person)
    code = person.personal_identity_code
    for spelling in (
        code.lower(),
        f"  {code[:6]} {code[6]} {code[7:]} ",
        f"{code[:2]}.{code[2:4]}.{code[4:]}",
        f"{code[:6]}\N{EN DASH}{code[7:]}" if code[6] == "-" else f"{code}.",
    ):
        page = await teacher.get("/register")
        found = await teacher.send(page.form, {"personal_identity_code": spelling})
        assert found.status == 200, (spelling, found.text)
    child = pupil()
    page = await teacher.send((await checked(teacher, child)).form)
    email = child.form.related_person.email
    otherwise = {
        "address.postcode": " 00 100 ",
        "related_person.phone": "+358 (0)40-123 45.67",
        "related_person.email": f" {email.replace('@', '@').upper()} ",
        "first_names": f"  {child.form.first_names} ",
        "temporary": "yes",
        "expected_end_date": f"1 9 {helsinki_day(now()).year + 1}",
    }
    answers = await teacher.send(page.form, typed(child) | otherwise, ("act", "check"))
    assert (answers.status, "Check the answers" in answers.text) == (200, True), answers.text


async def test_each_group_of_the_answers_leads_back_to_its_place_in_the_form(teacher: Visitor) -> None:
    person = pupil()
    answers = await filled(teacher, person)
    places = re.findall(r'formaction="/register/save#(group-\d)"', answers.html)
    assert len(places) == len(NEW_CUSTOMER)
    form = await teacher.send(answers.form, button=("act", "change"))
    assert set(places) <= set(form.ids)
    assert {name: form.form.fields.get(name) for name in typed(person)} == typed(person)


async def test_who_may_be_not_entitled_is_asked_about_and_told_what_else_there_is(teacher: Visitor) -> None:
    person = grown_up()
    page = await teacher.send((await checked(teacher, person)).form)
    given = typed(person) | {"entitlement_declared": ""}
    asked = await teacher.send(page.form, given, ("act", "check"))
    assert (asked.status, "Can the person read ordinary print?" in asked.text) == (200, True)
    nothing_chosen = await teacher.send(asked.form, button=("act", "check"))
    assert (nothing_chosen.status, nothing_chosen.title[:6]) == (422, "Error:")
    no = await teacher.send(asked.form, {"entitled": "no"}, ("act", "check"))
    assert (no.status, "The person cannot become a customer" in no.text) == (200, True)
    back = await teacher.send(no.form, button=("act", "change"))
    assert back.form.fields["first_names"] == person.form.first_names
    # Told now: the answers, and Save.
    answers = await teacher.send(asked.form, {"entitled": "yes"}, ("act", "check"))
    assert "Check the answers" in answers.text
    saved = await teacher.send(answers.form, button=("act", "save"))
    assert saved.path.endswith("/saved"), "the API refuses who is not entitled"


async def test_a_form_that_was_open_for_too_long_asks_for_the_code_once_more(teacher: Visitor) -> None:
    person = grown_up()
    page = await teacher.send((await checked(teacher, person)).form)
    late = {**typed(person), "sealed_code": ""}
    asked = await teacher.send(page.form, late, ("act", "check"))
    assert asked.status == 422
    assert asked.form.fields["first_names"] == person.form.first_names
    assert asked.form.fields["personal_identity_code"] == ""
    answers = await teacher.send(
        asked.form, {"personal_identity_code": person.personal_identity_code}, ("act", "check")
    )
    assert "Check the answers" in answers.text


async def test_all_errors_come_at_once_and_nothing_is_lost(teacher: Visitor) -> None:
    person = pupil()
    page = await teacher.send((await checked(teacher, person)).form)
    given = typed(person) | {"address.postcode": "1", "related_person.phone": "040", "terms_accepted": ""}
    given["expected_end_date"] = "next summer"
    wrong = await teacher.send(page.form, given, ("act", "check"))
    assert wrong.status == 422
    assert wrong.form.fields["expected_end_date"] == "next summer"
    given["expected_end_date"] = ""
    wrong = await teacher.send(wrong.form, given, ("act", "check"))
    assert (wrong.status, wrong.title[:6]) == (422, "Error:")
    for path in ("address.postcode", "related_person.phone", "terms_accepted"):
        assert f'id="{path.replace(".", "-")}-error"' in wrong.html
    assert wrong.form.fields["address.postcode"] == "1"


async def test_the_code_is_asked_about_first(teacher: Visitor, api: Api) -> None:
    page = await teacher.get("/register")
    wrong = await teacher.send(page.form, {"personal_identity_code": "010190-999X"})
    assert wrong.status == 422
    person = grown_up()
    registration = await save(api.teacher, person)
    await reaches(api.teacher, registration.name, STAGE_CREDENTIALS_SENT)
    known = await checked(teacher, person)
    assert "customer already" in known.text
    elsewhere = adult()
    await save(api.registrar, elsewhere)
    found = await checked(teacher, elsewhere)
    assert "another unit" in found.text
    assert elsewhere.form.last_name not in found.text
    moved = await teacher.send(found.form, button=("act", "transfer"))
    assert moved.status == 200
    assert elsewhere.form.last_name in moved.text


@pytest.mark.parametrize("page", ["answers", "form"])
async def test_a_session_that_ends_in_the_middle_loses_nothing(
    teacher: Visitor, api: Api, accounts: dict[str, object], page: str
) -> None:
    person = pupil()
    answers = await filled(teacher, person)
    teacher.forget("liity-session")
    asked = await teacher.send(answers.form, button=("act", "save" if page == "answers" else "check"))
    assert asked.status == 401
    assert "What you typed is kept" in asked.text
    assert person.form.last_name not in asked.text
    account = accounts["teacher"]
    back = await teacher.send(asked.form, {"email": account.email, "password": account.password})  # type: ignore[attr-defined]
    assert "Continue where you were" in back.text
    after = await teacher.send(back.form)
    assert after.path.endswith("/saved" if page == "answers" else "/save"), after.text


async def test_a_file_sent_after_the_session_has_ended_is_asked_for_once_more(teacher: Visitor) -> None:
    asks = await teacher.get("/class-lists/new")
    teacher.forget("liity-session")
    asked = await teacher.upload(asks.form, csv_of([adult_row(1)]), "luokka.csv")
    assert asked.status == 401
    assert "Only the file must be chosen again." in asked.text


async def test_of_two_units_what_was_typed_comes_back_for_the_one_it_was_typed_for(
    stack: Stack, api: Api, stranger: Visitor
) -> None:
    library, school = await create(api), await create(api, UNIT_KIND_SCHOOL, "Uusi koulu")
    async with ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca) as somebody:
        email = await join(stack, somebody, api.staff, library.name)
        await invite(api.staff, school.name, email)
        token = await token_mailed_to(stack, email, 2)
        await accept(somebody, token, name="", password="")
    chosen = await stranger.log_in(email, PASSWORD)
    assert chosen.path == "/unit"
    assert (await stranger.send(chosen.form, {"unit": school.name})).path == "/home"
    answers = await filled(stranger, pupil())
    stranger.forget("liity-session")
    asked = await stranger.send(answers.form, button=("act", "save"))
    back = await stranger.send(asked.form, {"email": email.upper(), "password": PASSWORD})
    saved = await stranger.send(back.form)
    assert saved.path.startswith(f"/{school.name}/registrations/")


async def test_in_two_tabs_each_form_is_of_the_unit_that_it_was_opened_for(
    stack: Stack, api: Api, stranger: Visitor
) -> None:
    library, school = await create(api), await create(api, UNIT_KIND_SCHOOL, "Uusi koulu")
    async with ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca) as somebody:
        email = await join(stack, somebody, api.staff, library.name)
        await invite(api.staff, school.name, email)
        await accept(somebody, await token_mailed_to(stack, email, 2), name="", password="")
    chosen = await stranger.log_in(email, PASSWORD)
    await stranger.send(chosen.form, {"unit": school.name})
    answers = await filled(stranger, pupil())
    beside = await stranger.get("/unit")
    await stranger.send(beside.form, {"unit": library.name})
    saved = await stranger.send(answers.form, button=("act", "save"))
    assert saved.path.startswith(f"/{school.name}/registrations/")
    assert "Uusi koulu" in saved.text
    await remove(api.staff, await named(api.staff, school.name, email))
    again = await stranger.log_in(email, PASSWORD)
    assert (again.path, "Uusi koulu" in again.text) == ("/home", False)
    refused = await stranger.send(answers.form, button=("act", "save"))
    assert (refused.status, refused.title) == (403, "This page is not for your account – Liity")


async def test_a_form_of_who_was_logged_in_before_does_nothing(
    teacher: Visitor, registrar: Visitor, accounts: dict[str, DemoAccount]
) -> None:
    person = pupil()
    answers = await filled(teacher, person)
    await teacher.send((await teacher.get("/home")).form_to("/log-out"))
    other = accounts["registrar"]
    await teacher.log_in(other.email, other.password)
    refused = await teacher.send(answers.form, button=("act", "save"))
    assert (refused.status, refused.title) == (403, "Somebody else has logged in – Liity")
    assert person.form.last_name not in refused.html
    assert "The person is not registered" in (await checked(registrar, person)).text


async def test_a_page_that_needs_a_log_in_says_so_and_opens_after_it(
    teacher: Visitor, accounts: dict[str, DemoAccount]
) -> None:
    teacher.forget("liity-session")
    asked = await teacher.get("/customers")
    assert (asked.status, "after the log-in it opens" in asked.text) == (401, True)
    assert "What you typed" not in asked.text
    account = accounts["teacher"]
    opened = await teacher.send(asked.form, {"email": account.email, "password": account.password})
    assert opened.path == "/customers"


async def test_at_a_shared_desk_nobody_is_told_what_was_mended_for_another(
    teacher: Visitor, accounts: dict[str, DemoAccount]
) -> None:
    """The page that comes next was never opened: a link was slow, say, and another one came to the desk."""
    person = pupil()
    guardian = person.form.related_person.email
    person.form.related_person.email = f"<mailto:{guardian}>."
    answers = await filled(teacher, person)
    assert f"Read as: {guardian}" in answers.text
    saved = await teacher.post(answers.form.action, answers.form.fields | {"act": "save"}, follow=False)
    assert saved.status == 303
    teacher.forget("liity-session")
    assert guardian not in (await teacher.get("/log-in")).text
    other = accounts["registrar"]
    home = await teacher.log_in(other.email, other.password)
    assert home.path == "/home"
    assert guardian not in home.text


async def test_at_a_shared_desk_nobody_gets_what_another_has_typed(
    teacher: Visitor, accounts: dict[str, DemoAccount]
) -> None:
    person = pupil()
    answers = await filled(teacher, person)
    teacher.forget("liity-session")
    asked = await teacher.send(answers.form, button=("act", "save"))
    other = accounts["registrar"]
    seen = await teacher.send(asked.form, {"email": other.email, "password": other.password})
    assert seen.path == "/home"
    assert person.form.last_name not in seen.html


async def test_a_customer_is_found_edited_and_conflicts_are_shown(teacher: Visitor, api: Api) -> None:
    person = grown_up()
    registration = await save(api.teacher, person)
    await reaches(api.teacher, registration.name, STAGE_CREDENTIALS_SENT)
    search = await teacher.get("/customers")
    found = await teacher.send(search.form, {"query": person.form.first_names})
    assert person.form.first_names not in found.url
    (link,) = {each for each in found.links if "/customers/" in each}
    form = await teacher.get(f"{link}/edit")
    beside = await teacher.get(f"{link}/edit")
    done = await teacher.send(form.form, {"phone": "040 1234567", "email": f"{uuid.uuid4().hex}@gmial.com"})
    assert done.path == link
    assert "@gmail.com? If so, correct the address." in done.text
    conflict = await teacher.send(beside.form, {"phone": "050 7654321"})
    assert conflict.status == 422
    assert "Somebody else has changed this" in conflict.text
    assert conflict.form.fields["phone"] == "050 7654321"
    # What only the other has changed stays, though this form had it as it was before.
    third, fourth = await teacher.get(f"{link}/edit"), await teacher.get(f"{link}/edit")
    assert (await teacher.send(third.form, {"address.post_office": "Vantaa"})).path == link
    assert (await teacher.send(fourth.form, {"additional_information": "Soita iltaisin"})).path == link
    after = await teacher.get(f"{link}/edit")
    assert after.form.fields["address.post_office"] == "Vantaa"
    assert after.form.fields["additional_information"] == "Soita iltaisin"
    # Looked at, and saved again.
    conflict = await teacher.send(beside.form, {"phone": "050 7654321"})
    assert (await teacher.send(conflict.form)).path == link


async def test_customers_are_browsed_filtered_and_the_list_is_returned_to(
    stack: Stack, api: Api, stranger: Visitor, teacher: Visitor
) -> None:
    unit = await create(api)
    async with ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca) as somebody:
        email = await join(stack, somebody, api.staff, unit.name)
        await somebody.log_in(email, PASSWORD)
        for number in range(52):
            person = adult()
            person.form.last_name = f"Selattava{number:02}"
            await save(somebody, person)
    await stranger.log_in(email, PASSWORD)
    first = await stranger.get("/customers")
    assert (first.html.count("Selattava"), "Selattava00" in first.html) == (50, True)
    (onward,) = {link for link in first.links if "search=" in link}
    second = await stranger.get(onward)
    assert (second.html.count("Selattava"), "Selattava51" in second.html) == (2, True)
    assert {link for link in second.links if link == "/customers"}, "back to the first page"
    assert "selattava" not in second.url.lower()
    found = await stranger.send(first.form, {"query": "selattava17"})
    assert found.html.count("Selattava17,") == 1
    assert "selattava17" not in found.url.lower()
    # The address leads to the same list again, but not somebody else at the same desk.
    assert "Selattava17," in (await stranger.get(found.url)).html
    assert "Selattava17" not in (await teacher.get(found.url.removeprefix(stranger.base))).html
    nobody = await stranger.send(first.form, {"query": "", "which": "undeliverable"})
    assert "0 found" in nobody.text
    assert "0 found" in (await stranger.get("/customers?which=need-ends")).text
    waiting = await stranger.send(first.form, {"query": "selattava03", "which": "not-welcomed"})
    assert "1 found" in waiting.text


async def test_a_class_list_is_reviewed_and_registered_without_being_chosen_again(
    teacher: Visitor, api: Api
) -> None:
    elsewhere = adult()
    await save(api.registrar, elsewhere)
    support = {"Koulun tuki": "oppilaskohtainen tuki"}
    rows = [
        changed(adult_row(2), **support),
        changed(adult_row(3), Henkilötunnus=elsewhere.personal_identity_code, **support),
        changed(adult_row(4), Postinumero="100", **support),
        changed(pupil_row(5), **{"Huoltajan sähköposti": "opettaja@koulu.example"}),
        changed(adult_row(6), Katuosoite="", **support),
    ]
    asks = await teacher.get("/class-lists/new")
    pdf = await teacher.upload(asks.form, b"%PDF-1.7", "luokka.pdf")
    assert pdf.status == 422
    assert "PDF" in pdf.text
    report = await teacher.upload(asks.form, csv_of(rows), "luokka.csv")
    assert report.status == 200, report.text
    assert rows[0][0] not in report.html
    assert "<dt>New: would be registered</dt><dd>2</dd>" in report.html
    assert "Row 4, Postinumero: We put back zeros" in report.text
    assert "2 become customers at once. 2 mails with credentials go out." in report.text
    remarks = await teacher.send(report.form, {}, ("act", "annotate"))
    assert "list-with-remarks.csv" in remarks.headers["Content-Disposition"]
    assert "Remarks of Liity" in remarks.html
    other_language = await teacher.send(report.form, {"switch_language": "sv"})
    assert "<dt>Nya: skulle registreras</dt><dd>2</dd>" in other_language.html
    await teacher.get("/language/en?to=/home")
    refused = await teacher.send(report.form, {"transfer.3": "yes"}, ("act", "register"))
    assert refused.status == 422
    assert "The guardian's e-mail address is your own" in refused.text
    confirmed = {"transfer.3": "yes", "confirm.5": "yes"}
    wrong_still = await teacher.send(refused.form, confirmed, ("act", "register"))
    assert (wrong_still.status, "your own" in wrong_still.text) == (422, False)
    # The tick of a row that is right with it stays.
    listed = await teacher.send(wrong_still.form, {"skip_wrong_rows": "yes"}, ("act", "register"))
    assert listed.path.startswith(f"/{api.teacher.unit}/classLists/"), listed.text
    counts = (await done(api.teacher, listed.path.strip("/"))).counts
    assert (counts.registered, counts.transferred, counts.waiting, counts.refused) == (2, 1, 1, 1)


async def test_two_tabs_that_renew_the_session_at_once_go_on(teacher: Visitor) -> None:
    pages = await asyncio.gather(*(teacher.get("/home") for _ in range(8)))
    assert {page.status for page in pages} == {200}


async def test_nothing_of_the_session_stays_after_the_log_out(teacher: Visitor) -> None:
    home = await teacher.get("/home")
    out = await teacher.send(home.form_to("/log-out"))
    assert "Clear-Site-Data" in out.headers
    assert (await teacher.get("/home")).status == 401


async def test_two_tabs_that_renew_at_once_keep_the_session(
    stack: Stack, accounts: dict[str, DemoAccount]
) -> None:
    account = accounts["teacher"]
    async with ApiClient(f"{HOST}:{stack.ports.gateway}", ca=stack.ca) as client:
        opened = WebSession(await client.log_in(account.email, account.password), account.email)
        tabs = await asyncio.gather(*(opened.renewed(client, "en", "") for _ in range(2)))
        (token,) = {tab.session.refresh_token for tab in tabs}
        assert (await tabs[1].renewed(client, "en", "")).session.refresh_token != token


async def test_a_guardians_address_is_corrected_at_a_sibling_if_agreed(teacher: Visitor, api: Api) -> None:
    child, sibling = pupil(), pupil()
    sibling.form.related_person.email = child.form.related_person.email
    registration, other = [await save(api.teacher, each) for each in (child, sibling)]

    async def guardian_of(name: str) -> str:
        read = await api.teacher.call(
            api.teacher.registrations.GetRegistration, GetRegistrationRequest(name=name)
        )
        return read.form.related_person.email

    edit = await teacher.get(f"/{registration.name}/edit")
    email = f"{uuid.uuid4().hex}@posti.example"
    asks = await teacher.send(edit.form, {"related_person.email": email})
    assert sibling.form.first_names in asks.text, asks.text
    assert await guardian_of(other.name) == child.form.related_person.email, "nothing without asking"
    done = await teacher.send(asks.form, {f"at.{other.name}": "yes"})
    assert done.path == f"/{registration.name}"
    assert await guardian_of(other.name) == email


async def test_who_has_an_account_accepts_an_invitation_by_a_choice(web: str, stack: Stack, api: Api) -> None:
    """No program that presses buttons accepts it."""
    unit = (await create(api)).name
    account = await new_account(stack)
    await invite(api.staff, unit, account.email)
    link = f"/invitation/{await token_mailed_to(stack, account.email)}"

    async def belongs() -> bool:
        found = await registrars(api.staff, unit)
        return any(
            each.email == account.email and not each.HasField("invitation_expire_time") for each in found
        )

    async with Visitor(web) as opened:
        asked = await opened.get(link)
        assert "Choose whether you accept" in (await opened.send(asked.form)).text
        await opened.send(asked.form, {"sure": "no"})
        assert not await belongs()
        await opened.send(asked.form, {"sure": "yes"})
        assert await belongs()


async def test_what_is_mended_is_shown_before_and_after_the_save(teacher: Visitor, api: Api) -> None:
    """Before a new customer's Save with the answers; after an edit on the next page, once."""
    child = pupil()
    guardian = child.form.related_person.email
    child.form.related_person.email = f"mailto:{guardian}"
    answers = await filled(teacher, child)
    assert f": {guardian}" in answers.text, answers.text
    saved = await teacher.send(answers.form, {}, ("act", "save"))
    assert f": {guardian}" in saved.text, saved.text
    name = saved.path.removeprefix("/").removesuffix("/saved")
    assert f": {guardian}" not in (await teacher.get(saved.path)).text
    edit = await teacher.get(f"/{name}/edit")
    email = f"{uuid.uuid4().hex}@posti.example"
    done = await teacher.send(edit.form, {"related_person.email": f"<{email}>."})
    assert done.path == f"/{name}"
    assert f"Read as: {email}" in done.text, done.text


async def test_a_mail_opens_what_it_tells_of_after_the_log_in(
    stranger: Visitor, api: Api, mails: MailCounter, accounts: dict[str, DemoAccount]
) -> None:
    child = pupil()
    saved = await save(api.teacher, child)
    asked = await mails.wait_for(child, "consent_request")
    await accept_consent(api.anybody, link_token(asked), child)
    told = await mails.wait_for(child, "consent_given")
    (address,) = re.findall(rf"{stranger.base}(/units/\S+)", told.text)
    assert address == f"/{saved.name}"
    log_in = await stranger.get(address)
    assert child.form.first_names not in log_in.html
    teacher = accounts["teacher"]
    page = await stranger.send(log_in.form, {"email": teacher.email, "password": teacher.password})
    assert page.path == address
    assert child.form.first_names in page.text
