"""Each path of a registration, its weeks skipped."""

import re
import uuid
from datetime import UTC, timedelta
from email.message import EmailMessage

import pytest
from babel.dates import format_date

from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_CONSENT,
    CheckLinkRequest,
    GetConsentLinkRequest,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.registration.v1.registration_service_pb2 import ConsentEvidence
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_REGISTRAR
from liity.v1.consent_service_pb2 import (
    CONSENT_REQUEST_STATE_ACCEPTED,
    CONSENT_REQUEST_STATE_DECLINED,
    CONSENT_REQUEST_STATE_LAPSED,
    CONSENT_REQUEST_STATE_NO_LONGER_NEEDED,
    CONSENT_REQUEST_STATE_WITHDRAWN,
    ConsentRequestState,
)
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_UNSPECIFIED,
    CUSTOMER_KIND_CD_BORROWER,
    PaperConsent,
)
from liity.v1.reason_pb2 import REASON_LINK_USED, REASON_LINK_VOID, REASON_NOT_WAITING_FOR_CONSENT
from liity.v1.registration_pb2 import (
    CONSENT_STATE_GIVEN,
    CONSENT_STATE_OUTGROWN,
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
)
from liity.workflows.v1.registration_workflow_pb2 import (
    DeclineConsentRequest,
    RecordConsentRequest,
    TakeBackDeclineRequest,
    WithdrawRequest,
)
from services.runtime.clock import helsinki_day, helsinki_moment, last_good_day, now, to_proto_date
from services.runtime.rpc.context import set_current_actor
from services.runtime.rpc.errors import Refusal
from services.runtime.temporal.search_attributes import DEADLINE, KIND, STAGE, UNIT
from services.runtime.text.references import of_registration
from tests.workflows.conftest import REGISTRARS_ADDRESS, World, adult_form, born, child_form
from workflows.support.spread import own_share

WITHDRAWN = "Rekisteröinti on peruttu"
BEGUN = "Olet nyt kirjaston asiakas"
CONSENTED = "Huoltajan suostumus on saatu"


def address() -> str:
    return f"{uuid.uuid4().hex}@example.org"


def subjects(world: World, email: str) -> list[str]:
    return [mail["Subject"] for mail in world.mails_to(email)]


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    text: str = body.get_content()
    return text


def token_in(mail: EmailMessage) -> str:
    found = re.search(r"/consent/([\w.~-]+)", text_of(mail))
    assert found is not None
    return found[1]


async def link_id(world: World, token: str) -> str:
    identity = world.gateway["identity"]
    check = CheckLinkRequest(token=token, purpose=LINK_PURPOSE_CONSENT)
    return (await identity.call(LinkServiceStub(identity.channel).CheckLink, check)).link_id


async def became_of(world: World, token: str) -> ConsentRequestState.ValueType:
    """What the guardian's link tells of the request."""
    identity = world.gateway["identity"]
    request = GetConsentLinkRequest(token=token)
    return (await identity.call(LinkServiceStub(identity.channel).GetConsentLink, request)).state


async def test_an_adult_is_welcomed_at_nine_on_the_fourteenth_day(world: World) -> None:
    email = address()
    registration, run = await world.save(adult_form(email), born(40))
    assert registration.stage == STAGE_ACTIVE
    await world.skip_to_end(run)
    await run.result()
    stored = await world.stored(registration)
    assert stored.stage == STAGE_WELCOMED
    assert len(world.mails_to(email)) == 2
    # One timer at a time: the reminder of the address (R27), then the welcome.
    reminder, welcome = [
        event
        async for event in run.fetch_history_events()
        if event.HasField("timer_started_event_attributes")
    ]
    begun = reminder.event_time.ToDatetime(UTC)
    assert welcome.event_time.ToDatetime(UTC) >= begun + timedelta(days=7)
    timer = welcome.timer_started_event_attributes.start_to_fire_timeout.ToTimedelta()
    due = welcome.event_time.ToDatetime(UTC) + timer
    # In the morning, at a moment of its own (R26).
    morning = helsinki_moment(helsinki_day(begun) + timedelta(days=14), 9)
    own = own_share(timedelta(hours=1), registration.registration_id)
    assert abs(due - (morning + own)) < timedelta(seconds=60)


async def test_operators_see_what_an_adults_run_waits_for(world: World) -> None:
    registration, run = await world.save(adult_form(address()), born(40))
    await world.skip(run, timedelta(days=1))
    description = await run.describe()
    attributes = description.typed_search_attributes
    assert attributes[STAGE] == "CREDENTIALS_SENT"
    assert attributes[UNIT] == world.unit_id
    assert attributes[KIND] == "ONLINE"
    stored = await world.stored(registration)
    assert stored.stage == STAGE_CREDENTIALS_SENT
    assert attributes[DEADLINE] == stored.deadline.ToDatetime(UTC)
    assert await description.static_summary() == "Registration of a customer"


async def test_an_adults_history_is_short(world: World) -> None:
    _, run = await world.save(adult_form(address()), born(40))
    await world.skip(run, timedelta(days=1))
    events = [event async for event in run.fetch_history_events()]
    until_timer = next(
        index for index, event in enumerate(events) if event.HasField("timer_started_event_attributes")
    )
    assert until_timer < 20
    assert sum(event.ByteSize() for event in events[: until_timer + 1]) < 12 * 1024


async def test_a_cd_borrower_ends_active_and_gets_an_own_link_alone(world: World) -> None:
    email = address()
    form = adult_form(
        email, kind=CUSTOMER_KIND_CD_BORROWER, credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED
    )
    registration, run = await world.save(form, born(40))
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_ACTIVE
    (begun,) = world.mails_to(email)
    assert begun["Subject"] == BEGUN
    assert "/customership/" in str(begun.get_body(("plain",)))


async def test_a_cd_borrower_with_a_registrars_address_gets_no_link(world: World) -> None:
    before = len(world.mails_to(REGISTRARS_ADDRESS))
    form = adult_form(
        REGISTRARS_ADDRESS,
        kind=CUSTOMER_KIND_CD_BORROWER,
        credentials_recipient=CREDENTIALS_RECIPIENT_UNSPECIFIED,
    )
    _, run = await world.save(form, born(40))
    await run.result()
    assert len(world.mails_to(REGISTRARS_ADDRESS)) == before


async def test_a_guardian_who_accepts_begins_the_customership(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    assert registration.stage == STAGE_WAITING_FOR_CONSENT
    await world.skip(run, timedelta(hours=1))
    token = token_in(world.mails_to(guardian)[0])
    request = RecordConsentRequest(
        request_id=str(uuid.uuid4()),
        evidence=ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja"),
        link_id=await link_id(world, token),
    )
    told = len(world.mails_to("rekisteroija@kirjasto.example"))
    answer = await world.workflows.record_consent(registration_person(run.id), request)
    assert (answer.stage, answer.consent_state) == (STAGE_ACTIVE, CONSENT_STATE_GIVEN)
    await world.skip_to_end(run)
    await run.result()
    assert (await world.stored(registration)).stage == STAGE_WELCOMED
    # The request, a receipt of the answer (R38), the credentials and the welcome.
    assert len(world.mails_to(guardian)) == 4
    assert len(world.mails_to("rekisteroija@kirjasto.example")) == told + 1
    with pytest.raises(Refusal) as refused:
        await link_id(world, token)
    assert refused.value.reason == REASON_LINK_USED
    assert await became_of(world, token) == CONSENT_REQUEST_STATE_ACCEPTED


async def test_paper_consent_waits_for_nobody(world: World) -> None:
    paper = PaperConsent(guardian_name="Outi Huoltaja", sign_date=to_proto_date(helsinki_day(now())))
    registration, _ = await world.save(child_form(address(), paper_consent=paper), born(9))
    assert (registration.stage, registration.consent_state) == (STAGE_ACTIVE, CONSENT_STATE_GIVEN)


async def test_no_answer_is_reminded_three_times_and_lapses(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    sent = []
    for day in (1, 8, 15, 22, 29):
        await world.skip(run, timedelta(days=1 if day == 1 else 7))
        sent.append(len(world.mails_to(guardian)))
    assert sent == [1, 2, 3, 4, 4]
    assert len({token_in(mail) for mail in world.mails_to(guardian)}) == 1
    token = token_in(world.mails_to(guardian)[0])
    await world.skip_to_end(run)
    await run.result()
    stored = await world.stored(registration)
    assert stored.stage == STAGE_LAPSED
    assert not stored.person_id
    assert not stored.customer_display_name
    # The registrar hears five days before, until when there is time, and then whose registration it was.
    soon, lapsed = world.mails_to("rekisteroija@kirjasto.example")[-2:]
    assert soon["Subject"] == "Huoltajan suostumus puuttuu vielä: rekisteröinti raukeaa pian"
    last_day = format_date(last_good_day(registration.deadline.ToDatetime(UTC)), "long", locale="fi")
    for mail in (*world.mails_to(guardian), soon):
        assert f"viimeistään {last_day}" in " ".join(text_of(mail).split())
    assert of_registration(registration.registration_id) in text_of(lapsed)
    assert "Etunimet: Onni" in text_of(lapsed)
    with pytest.raises(Refusal) as refused:
        await link_id(world, token)
    assert refused.value.reason == REASON_LINK_VOID
    assert await became_of(world, token) == CONSENT_REQUEST_STATE_LAPSED


async def test_a_guardian_who_declines_ends_it(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(hours=1))
    token = token_in(world.mails_to(guardian)[0])
    person = registration_person(run.id)
    request = DeclineConsentRequest(request_id=str(uuid.uuid4()), link_id=await link_id(world, token))
    answer = await world.workflows.decline_consent(person, request)
    assert answer.stage == STAGE_WAITING_FOR_CONSENT
    assert answer.decline_end_time.ToDatetime() - answer.decline_time.ToDatetime() == timedelta(hours=1)
    assert (await run.describe()).typed_search_attributes[DEADLINE] == answer.decline_end_time.ToDatetime(UTC)
    # Another answer of the same kind changes nothing.
    again = DeclineConsentRequest(request_id=str(uuid.uuid4()), link_id=request.link_id)
    assert await world.workflows.decline_consent(person, again) == answer
    await world.skip(run, timedelta(minutes=50))
    assert (await world.stored(registration)).person_id
    await world.skip_to_end(run)
    await run.result()
    ended = await world.stored(registration)
    assert ended.stage == STAGE_DECLINED
    assert not ended.person_id
    assert not ended.HasField("decline_time")
    # The request, and a receipt of the answer (R38).
    assert len(world.mails_to(guardian)) == 2
    # The registrar hears whose registration it was: the name is from before the erasure.
    told = world.mails_to("rekisteroija@kirjasto.example")[-1]
    assert told["Subject"] == "Rekisteröinti päättyi: huoltaja ei antanut suostumusta"
    assert of_registration(registration.registration_id) in text_of(told)
    assert "Etunimet: Onni" in text_of(told)
    with pytest.raises(Refusal) as refused:
        await world.workflows.record_consent(person, RecordConsentRequest(request_id=str(uuid.uuid4())))
    assert refused.value.reason == REASON_NOT_WAITING_FOR_CONSENT
    assert await became_of(world, token) == CONSENT_REQUEST_STATE_DECLINED
    identity = world.gateway["identity"]
    told = await identity.call(
        LinkServiceStub(identity.channel).GetConsentLink, GetConsentLinkRequest(token=token)
    )
    assert told.state_time == answer.decline_time


async def test_a_decline_is_taken_back_and_the_wait_goes_on(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(days=6, hours=23, minutes=30))
    deadline = (await run.describe()).typed_search_attributes[DEADLINE]
    person, asked = registration_person(run.id), len(world.mails_to(guardian))
    # It has not come yet, and then it is due while the decline stands.
    decline = DeclineConsentRequest(request_id=str(uuid.uuid4()))
    await world.workflows.decline_consent(person, decline)
    await world.skip(run, timedelta(minutes=50))
    take_back = TakeBackDeclineRequest(request_id=str(uuid.uuid4()))
    for _ in range(2):
        answer = await world.workflows.take_back_decline(person, take_back)
        assert not answer.HasField("decline_time")
    await world.skip(run, timedelta(days=1))
    assert (await world.stored(registration)).stage == STAGE_WAITING_FOR_CONSENT
    assert (await run.describe()).typed_search_attributes[DEADLINE] == deadline
    # A receipt of each answer, and no reminder that crosses the first (R38).
    answered = [mail["Subject"] for mail in world.mails_to(guardian)[asked:]]
    assert answered == [
        "Vastauksesi on kirjattu: et anna suostumusta",
        "Olet perunut vastauksesi: odotamme uutta vastausta",
    ]
    asked += 2
    await world.skip(run, timedelta(days=7))
    assert len(world.mails_to(guardian)) == asked + 1
    # A second decline has an hour of its own, within which the guardian accepts.
    decline.request_id = str(uuid.uuid4())
    assert (await world.workflows.decline_consent(person, decline)).HasField("decline_end_time")
    consent = RecordConsentRequest(
        request_id=str(uuid.uuid4()),
        evidence=ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja"),
    )
    assert (await world.workflows.record_consent(person, consent)).stage == STAGE_ACTIVE
    await world.skip(run, timedelta(hours=3))
    stored = await world.stored(registration)
    assert stored.stage == STAGE_CREDENTIALS_SENT
    receipts = [mail["Subject"] for mail in world.mails_to(guardian)[asked + 1 :]]
    assert set(receipts) >= {
        "Vastauksesi on kirjattu: et anna suostumusta",
        "Kiitos: suostumuksesi on kirjattu",
    }
    assert not stored.HasField("decline_time")


async def test_a_registrar_withdraws(world: World) -> None:
    guardian = address()
    registration, run = await world.save(child_form(guardian), born(9))
    await world.skip(run, timedelta(hours=1))
    token = token_in(world.mails_to(guardian)[0])
    request = WithdrawRequest(request_id=str(uuid.uuid4()))
    answer = await world.workflows.withdraw(registration_person(run.id), request)
    assert answer.stage == STAGE_WITHDRAWN
    await run.result()
    assert not (await world.stored(registration)).person_id
    assert await became_of(world, token) == CONSENT_REQUEST_STATE_WITHDRAWN


@pytest.mark.parametrize(
    ("actor", "told"),
    [
        (Actor(kind=ACTOR_KIND_ACCOUNT, account_id="a1", role=ROLE_REGISTRAR), 0),
        (Actor(kind=ACTOR_KIND_ACCOUNT, account_id="a2", role=ROLE_CUSTOMER_SERVICE), 1),
    ],
)
async def test_what_is_withdrawn_for_the_unit_is_told_to_it(world: World, actor: Actor, told: int) -> None:
    registration, run = await world.save(child_form(address()), born(9))
    before = subjects(world, REGISTRARS_ADDRESS).count(WITHDRAWN)
    set_current_actor(actor)
    request = WithdrawRequest(request_id=str(uuid.uuid4()))
    await world.workflows.withdraw(registration.person_id, request)
    await run.result()
    assert subjects(world, REGISTRARS_ADDRESS).count(WITHDRAWN) == before + told


@pytest.mark.parametrize("is_protected", [False, True], ids=["a child", "a protected child"])
async def test_a_consent_that_is_recorded_for_the_unit_is_told_to_it(
    world: World, *, is_protected: bool
) -> None:
    """Its link opens the registration, unless that tells where a protected child is."""
    form = child_form(address(), protected_person=is_protected)
    if is_protected:
        form.ClearField("address")
    registration, run = await world.save(form, born(9))
    before = subjects(world, REGISTRARS_ADDRESS).count(CONSENTED)
    set_current_actor(Actor(kind=ACTOR_KIND_ACCOUNT, account_id="a2", role=ROLE_CUSTOMER_SERVICE))
    evidence = ConsentEvidence(method=ConsentEvidence.METHOD_RECORDED, guardian_name="Outi Huoltaja")
    request = RecordConsentRequest(request_id=str(uuid.uuid4()), evidence=evidence)
    await world.workflows.record_consent(registration.person_id, request)
    await world.skip(run, timedelta(hours=1))
    assert subjects(world, REGISTRARS_ADDRESS).count(CONSENTED) == before + 1
    *_, told = [mail for mail in world.mails_to(REGISTRARS_ADDRESS) if mail["Subject"] == CONSENTED]
    page = f"/units/{world.unit_id}/registrations/{registration.registration_id}"
    assert (page in told.get_body(("plain",)).get_content()) is not is_protected  # type: ignore[union-attr]
    assert (world.unit_id in told.as_string()) is not is_protected


async def test_who_turns_15_needs_no_consent_any_more(world: World) -> None:
    guardian = address()
    today = helsinki_day(now())
    birthday = today + timedelta(days=10)
    registration, run = await world.save(child_form(guardian), birthday.replace(year=birthday.year - 15))
    await world.skip(run, timedelta(days=9))
    assert (await world.stored(registration)).stage == STAGE_WAITING_FOR_CONSENT
    await world.skip(run, timedelta(days=2))
    stored = await world.stored(registration)
    assert (stored.stage, stored.consent_state) == (STAGE_CREDENTIALS_SENT, CONSENT_STATE_OUTGROWN)
    mails = world.mails_to(guardian)
    assert len(mails) == 3
    assert await became_of(world, token_in(mails[0])) == CONSENT_REQUEST_STATE_NO_LONGER_NEEDED
    # Asked and reminded until the birthday, on which nothing lapses and nothing is erased.
    day, day_before = (
        format_date(each, "long", locale="fi") for each in (birthday, birthday - timedelta(days=1))
    )
    for mail in mails[:2]:
        text = " ".join(text_of(mail).split())
        assert f"viimeistään {day_before}" in text
        assert "raukeaa" not in text
        assert f"täyttää {day} 15 vuotta" in text


@pytest.mark.parametrize(
    ("signal", "stage"),
    [
        ("record_consent", STAGE_CREDENTIALS_SENT),
        ("decline_consent", STAGE_DECLINED),
        ("withdraw", STAGE_WITHDRAWN),
    ],
)
async def test_a_signal_decides_and_a_late_one_changes_nothing(world: World, signal: str, stage: int) -> None:
    registration, run = await world.save(child_form(address()), born(9))
    await run.signal(signal, {})
    await world.skip(run, timedelta(hours=2))
    assert (await world.stored(registration)).stage == stage
    if stage == STAGE_CREDENTIALS_SENT:
        await run.signal("withdraw", {})
        await world.skip(run, timedelta(hours=1))
        assert (await world.stored(registration)).stage == stage


async def test_repeating_a_save_gives_the_first_answer(world: World) -> None:
    birth_date = born(40)
    person = await world.person(birth_date)
    request = world.save_request(person, adult_form(address()), birth_date)
    answers = [await world.workflows.save(request) for _ in range(5)]
    assert len({answer.registration_id for answer in answers}) == 1


async def test_another_save_beside_a_running_one_is_told_why(world: World) -> None:
    birth_date = born(9)
    person = await world.person(birth_date)
    await world.workflows.save(world.save_request(person, child_form(address()), birth_date))
    with pytest.raises(Refusal, match="BEING_REGISTERED"):
        await world.workflows.save(world.save_request(person, child_form(address()), birth_date))


def registration_person(workflow_id: str) -> str:
    return workflow_id.removeprefix("registration/")
