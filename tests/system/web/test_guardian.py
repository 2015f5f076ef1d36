"""The guardian's way through a mailed link, and what programs that open links cannot do."""

import uuid
from collections.abc import Awaitable, Callable

import pytest

from deploy.demo.forms import DemoPerson
from deploy.demo.polling import eventually
from deploy.local.stack import Stack
from frontends.client import new_request_id
from frontends.refusals import Refusal
from liity.v1.consent_service_pb2 import WithdrawConsentRequest
from liity.v1.customer_form_pb2 import RelatedPerson
from liity.v1.customer_service_pb2 import GetCustomerRequest
from liity.v1.registration_pb2 import (
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_WAITING_FOR_CONSENT,
    Registration,
)
from liity.v1.registration_service_pb2 import ExplainedEvent, ExplainRegistrationRequest
from liity.v1.work_service_pb2 import AcknowledgeDissentRequest, GetWorkItemRequest
from tests.support.web_visitor import Visitor
from tests.system.conftest import Api
from tests.system.support.registering import (
    PATIENCE,
    MailCounter,
    get,
    link_token,
    pupil,
    reaches,
    save,
    settings,
)

Asked = tuple[Registration, DemoPerson, str]


@pytest.fixture
async def asked(api: Api, mails: MailCounter) -> Callable[[], Awaitable[Asked]]:
    """A child whose guardian is asked: the registration, the child, and the link's path."""

    async def ask() -> Asked:
        child = pupil()
        registration = await save(api.teacher, child)
        mail = await mails.wait_for(child, "consent_request")
        return registration, child, f"/consent/{link_token(mail)}"

    return ask


async def test_a_guardian_consents(api: Api, web: str, asked: Callable[[], Awaitable[Asked]]) -> None:
    registration, child, link = await asked()
    async with Visitor(web) as guardian:
        page = await guardian.get(link)
        # The token has left the address, which the browser keeps.
        assert link.rpartition("/")[2] not in page.url
        assert child.form.first_names in page.text
        assert "Esimerkkilän koulu" in page.text
        assert not page.form.fields.get("choice")
        done = await guardian.send(page.form, {"choice": "accept", "guardian_name": "Outi Huoltaja"})
        assert "Thank you" in done.text
        # Sent twice, by reloading or a double click: the same answer.
        again = await guardian.send(page.form, {"choice": "accept", "guardian_name": "Outi Huoltaja"})
        assert again.text == done.text
    async with Visitor(web) as guardian:
        # The same link tells later what was answered, to whoever has it, and names nobody.
        later = await guardian.get(link)
        assert "Thank you" in later.text
        assert child.form.first_names not in later.text
    saved = await reaches(api.teacher, registration.name, STAGE_CREDENTIALS_SENT)
    async with Visitor(web) as guardian:
        # And takes the consent back, asked once more (R38).
        later = await guardian.get(link)
        (path,) = [each for each in later.links if each.endswith("/withdraw")]
        sure = await guardian.get(path)
        assert (await guardian.send(sure.form)).status == 422
        assert "Thank you" in (await guardian.send(sure.form, {"sure": "no"})).text
        withdrawn = await guardian.send(sure.form, {"sure": "yes"})
        assert "The consent is withdrawn" in withdrawn.text
        assert "The consent is withdrawn" in (await guardian.get(link)).text
        assert (await guardian.get(path)).text == withdrawn.text
    with pytest.raises(Refusal, match="CUSTOMER_NOT_FOUND"):
        await api.teacher.call(api.teacher.customers.GetCustomer, GetCustomerRequest(name=saved.customer))


async def test_a_guardian_declines_after_a_second_question(
    api: Api, web: str, asked: Callable[[], Awaitable[Asked]]
) -> None:
    registration, _, link = await asked()
    async with Visitor(web) as guardian:
        page = await guardian.get(link)
        sure = await guardian.send(page.form, {"choice": "decline"})
        assert "what was stored of your child is erased" in sure.text
        assert (await guardian.send(sure.form)).status == 422
        assert (await guardian.send(sure.form, {"sure": "no"})).path == page.path
        assert (await get(api.teacher, registration.name)).stage == STAGE_WAITING_FOR_CONSENT
        done = await guardian.send(sure.form, {"sure": "yes"})
        assert "no consent" in done.text
    await reaches(api.teacher, registration.name, STAGE_DECLINED)


async def test_a_decline_is_taken_back_within_the_hour(
    api: Api, stack: Stack, web: str, asked: Callable[[], Awaitable[Asked]]
) -> None:
    async with settings(stack, {"LIITY_WORKFLOWS_DECLINE_GRACE": "PT1H"}, "worker"):
        registration, child, link = await asked()
        async with Visitor(web) as guardian:
            page = await guardian.get(link)
            sure = await guardian.send(page.form, {"choice": "decline"})
            declined = await guardian.send(sure.form, {"sure": "yes"})
            assert "Nothing is erased yet" in declined.text
            assert (await guardian.send(declined.form)).status == 422
            again = await guardian.send(declined.form, {"sure": "yes"})
            assert child.form.first_names in again.text
            await guardian.send(again.form, {"choice": "accept", "guardian_name": "Outi Huoltaja"})
    await reaches(api.teacher, registration.name, STAGE_CREDENTIALS_SENT)


async def test_the_other_guardian_does_not_agree_and_customer_service_knows_it(
    api: Api, web: str, mails: MailCounter, teacher: Visitor
) -> None:
    child, other_address = pupil(), f"{uuid.uuid4().hex}@posti.example"
    child.form.other_guardian.CopyFrom(RelatedPerson(full_name="Ismo Huoltaja", email=other_address))
    registration = await save(api.teacher, child)

    async def asked() -> dict[str, str]:
        requests = [copy for copy in mails.copies(child) if copy.template == "consent_request"]
        return {copy.recipient: f"/consent/{link_token(copy)}" for copy in requests}

    links = await eventually(asked, lambda found: len(found) > 1, PATIENCE)
    async with Visitor(web) as guardian:
        page = await guardian.get(links[child.email])
        await guardian.send(page.form, {"choice": "accept", "guardian_name": "Outi Huoltaja"})
    begun = await reaches(api.teacher, registration.name, STAGE_CREDENTIALS_SENT)
    async with Visitor(web) as other:
        told = await other.get(links[other_address])
        assert "other guardian has consented" in told.text
        # Nobody withdraws what somebody else has given.
        assert not [each for each in told.links if each.endswith("/withdraw")]
        withdraw = WithdrawConsentRequest(
            token=links[other_address].rpartition("/")[2], request_id=new_request_id()
        )
        with pytest.raises(Refusal, match="NO_CONSENT_TO_WITHDRAW"):
            await api.anybody.call(api.anybody.consents.WithdrawConsent, withdraw)
        assert (await other.send(told.form)).status == 422
        kept = await other.send(told.form, {"sure": "yes"})
        assert "you do not agree" in kept.text
    shown = await teacher.get(f"/{registration.name}")
    assert (shown.status, "Does not consent" in shown.text) == (200, True), shown.text
    await mails.wait_for(child, "consent_receipt_dissent")
    explain = ExplainRegistrationRequest(name=registration.name)
    why = await api.teacher.call(api.teacher.registrations.ExplainRegistration, explain)
    assert ExplainedEvent.KIND_DISSENT in {event.kind for event in why.events}
    name = f"workItems/15-{registration.name.rpartition('/')[2]}"
    staff = api.staff
    item = (await staff.call(staff.work.GetWorkItem, GetWorkItemRequest(name=name))).work_item
    assert [subject.name for subject in item.subjects] == [begun.customer]
    acknowledge = AcknowledgeDissentRequest(name=name, request_id=new_request_id())
    for _ in range(2):
        await staff.call(staff.work.AcknowledgeDissent, acknowledge)
    with pytest.raises(Refusal, match="WORK_ITEM_NOT_FOUND"):
        await staff.call(staff.work.GetWorkItem, GetWorkItemRequest(name=name))
    # It has ended nothing.
    assert (await get(api.teacher, registration.name)).stage == STAGE_CREDENTIALS_SENT


async def test_an_answer_takes_few_screens_and_each_asks_one_thing(
    web: str, asked: Callable[[], Awaitable[Asked]]
) -> None:
    """From the mail to the end (S1): two to consent, three to decline."""
    (_, _, consents), (_, _, declines) = await asked(), await asked()
    async with Visitor(web) as guardian:
        screens = [await guardian.get(consents)]
        typed = {"choice": "accept", "guardian_name": "Outi Huoltaja"}
        screens.append(await guardian.send(screens[-1].form, typed))
        assert [screen.title.partition(" – ")[0] for screen in screens] == [
            "Do you consent to your child's customership?",
            "Thank you: the consent is recorded",
        ]
        screens = [await guardian.get(declines)]
        screens.append(await guardian.send(screens[-1].form, {"choice": "decline"}))
        screens.append(await guardian.send(screens[-1].form, {"sure": "yes"}))
    questions = [screen for screen in screens if any(form.id == "main-form" for form in screen.forms)]
    assert len(questions) == 2
    for screen in questions:
        assert screen.title.partition(" – ")[0].endswith("?")
        assert [*screen.form.choices] in (["choice"], ["sure"])


async def test_who_is_not_the_guardian_says_so(
    api: Api, web: str, asked: Callable[[], Awaitable[Asked]]
) -> None:
    registration, child, link = await asked()
    async with Visitor(web) as somebody:
        page = await somebody.get(link)
        told = await somebody.send(page.form, {"choice": "not-mine"})
        assert "Thank you for telling us" in told.text
        assert child.form.first_names not in (await somebody.get(link)).text
    assert (await get(api.teacher, registration.name)).stage == STAGE_WAITING_FOR_CONSENT


async def test_a_program_that_opens_links_and_presses_buttons_answers_nothing(
    api: Api, web: str, mails: MailCounter, asked: Callable[[], Awaitable[Asked]]
) -> None:
    registration, child, link = await asked()
    before = len(mails.copies(child))
    async with Visitor(web) as scanner:
        assert (await scanner.get(link, "HEAD")).status == 200
        to_see, seen = [link], set()
        while to_see:
            path = to_see.pop()
            if path in seen:
                continue
            seen.add(path)
            page = await scanner.get(path)
            to_see += [each for each in page.links if each.startswith(("/consent", "/language"))]
            for form in page.forms:
                for button in form.buttons or [("", "")]:
                    if form.method == "post":
                        await scanner.send(form, button=button)
    assert (await get(api.teacher, registration.name)).stage == STAGE_WAITING_FOR_CONSENT
    assert len(mails.copies(child)) == before
    async with Visitor(web) as guardian:
        assert child.form.first_names in (await guardian.get(link)).text


async def test_two_links_in_two_tabs_do_not_meet(web: str, asked: Callable[[], Awaitable[Asked]]) -> None:
    (_, one, first), (_, other, second) = await asked(), await asked()
    async with Visitor(web) as guardian:
        page, beside = await guardian.get(first), await guardian.get(second)
        assert one.form.first_names in (await guardian.get(page.path)).text
        assert other.form.first_names in (await guardian.get(beside.path)).text
        token = first.rpartition("/")[2]
        for changed in (
            f"/consent%23{token}",
            f"/consent%2523{token}.",
            f"/consent/{token})/",
            f"/consent?{token}",
        ):
            assert one.form.first_names in (await guardian.get(changed)).text, changed
        for beside in ("/consents", "/consent-request"):
            assert (await guardian.get(beside)).status == 404


async def test_a_browser_without_cookies_goes_on_by_the_copied_link(
    api: Api, web: str, asked: Callable[[], Awaitable[Asked]]
) -> None:
    registration, child, link = await asked()
    async with Visitor(web, keeps_cookies=False) as guardian:
        page = await guardian.get(link)
        assert "keeps no cookies" in page.text
        found = await guardian.send(page.form, {"pasted": web + link})
        opened = await guardian.send(found.form)
        assert child.form.first_names in opened.text
        await guardian.send(opened.form, {"choice": "accept", "guardian_name": "Outi Huoltaja"})
    await reaches(api.teacher, registration.name, STAGE_CREDENTIALS_SENT)


async def test_without_a_choice_or_a_name_nothing_is_sent(
    web: str, asked: Callable[[], Awaitable[Asked]]
) -> None:
    _, _, link = await asked()
    async with Visitor(web) as guardian:
        page = await guardian.get(link)
        wrong = await guardian.send(page.form, {"guardian_name": "Outi"})
        assert (wrong.status, wrong.title[:6]) == (422, "Error:")
        assert wrong.form.fields["guardian_name"] == "Outi"
        wrong = await guardian.send(page.form, {"choice": "accept"})
        assert wrong.status == 422
        assert wrong.form.fields["choice"] == "accept"


async def test_links_that_open_nothing_say_what_to_do(web: str) -> None:
    async with Visitor(web) as stranger:
        for name in ("consent", "customership", "invitation"):
            page = await stranger.get(f"/{name}/not-a-token-of-ours")
            assert page.status == 410
            assert "This is not a link of the library" in page.text
        assert (await stranger.get("/consent")).form.fields["pasted"] == ""


async def test_the_language_is_switched_without_losing_a_letter(
    web: str, asked: Callable[[], Awaitable[Asked]]
) -> None:
    _, _, link = await asked()
    async with Visitor(web) as guardian:
        page = await guardian.get(link)
        typed = {"choice": "accept", "guardian_name": "Åsa Õun"}
        switched = await guardian.send(page.form, typed, ("switch_language", "fi"))
        assert 'lang="fi"' in switched.html
        assert switched.form.fields["guardian_name"] == "Åsa Õun"
        assert switched.form.fields["choice"] == "accept"
        assert switched.form.fields["request_id"] == page.form.fields["request_id"]
