"""Why is it as it is? Answered from data alone: what has happened, what is waited for, who can do what."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from liity.identity.v1.credential_service_pb2 import GetCredentialStateResponse
from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_PENDING,
    DELIVERY_STATE_RETURNED,
    DELIVERY_STATE_SENT,
    DELIVERY_STATE_UNDELIVERABLE,
    Delivery,
    DeliveryState,
    SendMessageRequest,
)
from liity.registration.v1.history_service_pb2 import (
    Customership,
    GetHistoryResponse,
    MessageOfHistory,
    RecordedChange,
)
from liity.registration.v1.registration_service_pb2 import ConsentEvidence, Registration
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, ACTOR_KIND_LINK, ACTOR_KIND_SYSTEM
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_REGISTRAR
from liity.v1.customer_form_pb2 import (
    CUSTOMER_KIND_CD_BORROWER,
    CUSTOMER_KIND_ONLINE,
    LANGUAGE_EN,
    LANGUAGE_FI,
    LANGUAGE_SV,
    Language,
)
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    CUSTOMER_STATE_MARKED_FOR_DELETION,
    EMAIL_STATE_CONFIRMED,
    EMAIL_STATE_UNCONFIRMED,
    EMAIL_STATE_UNDELIVERABLE,
)
from liity.v1.message_service_pb2 import MESSAGE_STATE_CLOSED, MESSAGE_STATE_OPEN
from liity.v1.registration_pb2 import (
    ACTION_SEND_CREDENTIALS,
    CONSENT_STATE_AWAITED,
    CONSENT_STATE_OUTGROWN,
    PARTY_CUSTOMER_SERVICE,
    PARTY_GUARDIAN,
    PARTY_REGISTRAR,
    PARTY_SYSTEM,
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_DECLINED,
    STAGE_LAPSED,
    STAGE_LINKED,
    STAGE_RECEIVED,
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WELCOMED,
    STAGE_WITHDRAWN,
    Action,
    Stage,
)
from liity.v1.registration_service_pb2 import (
    ExplainedEvent,
    ExplainedPassword,
    ExplainRegistrationResponse,
)
from liity.v1.work_service_pb2 import WorkItemKind
from services.gateway.presentation.explanation import Explanation
from services.gateway.presentation.explanation_texts import Words, texts
from services.runtime.clock import to_proto_date

REGISTRATION = "3a93a2c541c7c584b47d58cb106af0c4"  # pragma: allowlist secret
SAVED = datetime(2026, 9, 1, 7, tzinfo=UTC)
NOW = datetime(2026, 9, 10, 12, tzinfo=UTC)
ERASED = datetime(2029, 1, 31, tzinfo=UTC)
BEGUN = (STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED)
ENDED = (STAGE_DECLINED, STAGE_LAPSED, STAGE_WITHDRAWN, STAGE_REJECTED, STAGE_LINKED)


def day(number: int) -> datetime:
    """A moment some days after the Save."""
    return SAVED + timedelta(days=number)


def history(stage: Stage.ValueType, **fields: Any) -> GetHistoryResponse:
    """The history of a registration in a stage, with the customership if one has begun."""
    registration = {
        "registration_id": REGISTRATION,
        "unit_id": "u1",
        "person_id": "p1",
        "registrar_display_name": "Riitta Rekisteröijä",
        "stage": stage,
        "kind": CUSTOMER_KIND_ONLINE,
        "create_time": SAVED,
        "update_time": day(3),
        "customer_id": "c1" if stage in BEGUN else "",
    }
    found = GetHistoryResponse(registration=Registration(**(registration | fields)))
    if stage in BEGUN:
        found.customership.CopyFrom(Customership(create_time=day(1), state=CUSTOMER_STATE_ACTIVE))
    return found


def erased() -> GetHistoryResponse:
    """A customership that was, and of which nothing is left."""
    found = history(STAGE_WELCOMED, customer_id="", person_id="")
    found.ClearField("customership")
    return found


def linked() -> GetHistoryResponse:
    """A registration of somebody who was a customer already."""
    found = history(STAGE_LINKED, customer_id="c1")
    found.customership.CopyFrom(Customership(create_time=day(1), state=CUSTOMER_STATE_ACTIVE))
    return found


def mail(template: str, state: DeliveryState.ValueType = DELIVERY_STATE_SENT, number: int = 1) -> Delivery:
    return Delivery(template=template, state=state, create_time=day(number), update_time=day(number))


def told(
    of: GetHistoryResponse,
    *deliveries: Delivery,
    language: Language.ValueType = LANGUAGE_EN,
    **credentials: datetime,
) -> ExplainRegistrationResponse:
    return Explanation(
        history=of,
        deliveries=deliveries,
        credentials=GetCredentialStateResponse(**credentials),
        names={"a1": "Olli Opettaja", "a2": "Aino Asiakaspalvelija"},
        words=Words(language),
        now=NOW,
        erase_time=ERASED,
    ).tell()


def happened(explanation: ExplainRegistrationResponse) -> list[tuple[str, str]]:
    """What has happened, and who it was."""
    return [
        (ExplainedEvent.Kind.Name(event.kind).removeprefix("KIND_"), event.who)
        for event in explanation.events
    ]


def state_of(explanation: ExplainRegistrationResponse) -> str:
    return ExplainedPassword.State.Name(explanation.password.state).removeprefix("STATE_")


CREDENTIALS_SENT = mail("credentials")
CASES: list[tuple[str, GetHistoryResponse, list[Delivery], dict[str, datetime]]] = [
    ("NOT_FOR_CD_BORROWER", history(STAGE_ACTIVE, kind=CUSTOMER_KIND_CD_BORROWER), [], {}),
    ("NOT_YET", history(STAGE_RECEIVED), [], {}),
    ("NOT_YET", history(STAGE_WAITING_FOR_CONSENT, deadline=day(30)), [mail("consent_request")], {}),
    ("NOT_YET", history(STAGE_WAITING_FOR_REACTIVATION, deadline=day(30)), [], {}),
    ("NOT_YET", history(STAGE_WAITING_FOR_IDENTITY_CHECK, deadline=day(30)), [], {}),
    *(("ENDED", history(stage), [], {}) for stage in ENDED),
    ("ENDED", erased(), [], {}),
    ("CHOSEN", linked(), [], {"password_choose_time": day(2)}),
    ("LINK_OPEN", linked(), [CREDENTIALS_SENT], {"link_expire_time": day(14)}),
    ("BEING_SENT", history(STAGE_ACTIVE), [], {}),
    ("BEING_SENT", history(STAGE_ACTIVE), [mail("credentials", DELIVERY_STATE_PENDING)], {}),
    ("UNDELIVERABLE", history(STAGE_ACTIVE), [mail("credentials", DELIVERY_STATE_UNDELIVERABLE)], {}),
    ("UNDELIVERABLE", history(STAGE_CREDENTIALS_SENT), [mail("credentials", DELIVERY_STATE_RETURNED)], {}),
    ("LINK_OPEN", history(STAGE_CREDENTIALS_SENT), [CREDENTIALS_SENT], {"link_expire_time": day(14)}),
    ("LINK_EXPIRED", history(STAGE_WELCOMED), [CREDENTIALS_SENT], {"link_expire_time": day(5)}),
    # Sent anew after the first mail came back.
    (
        "LINK_OPEN",
        history(STAGE_CREDENTIALS_SENT),
        [mail("credentials", number=4), mail("credentials", DELIVERY_STATE_UNDELIVERABLE, 2)],
        {"link_expire_time": day(14)},
    ),
    (
        "CHOSEN",
        history(STAGE_CREDENTIALS_SENT),
        [CREDENTIALS_SENT],
        {"password_choose_time": day(2), "link_expire_time": day(14)},
    ),
]


@pytest.mark.parametrize(("state", "of", "deliveries", "credentials"), CASES)
def test_why_there_is_no_password(
    state: str, of: GetHistoryResponse, deliveries: list[Delivery], credentials: dict[str, datetime]
) -> None:
    assert state_of(told(of, *deliveries, **credentials)) == state


def test_the_days_stand_in_the_words_of_each_language() -> None:
    of, expired = history(STAGE_WELCOMED), {"link_expire_time": day(5)}
    words = {
        LANGUAGE_FI: ("2. syyskuuta 2026", "6. syyskuuta 2026"),
        LANGUAGE_SV: ("2 september 2026", "6 september 2026"),
        LANGUAGE_EN: ("2 September 2026", "6 September 2026"),
    }
    for language, days in words.items():
        text = told(of, CREDENTIALS_SENT, language=language, **expired).password.text
        assert all(each in text for each in days)


def test_what_has_happened_is_told_in_order_with_who_it_was() -> None:
    of = history(STAGE_CREDENTIALS_SENT, deadline=day(14))
    of.consent.CopyFrom(ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Outi Huoltaja"))
    of.consent_record_time.FromDatetime(day(1) - timedelta(seconds=1))
    of.changes.extend(
        RecordedChange(
            action=action,
            time=day(number),
            actor_kind=kind,
            account_id=account,
            actor_role=role,
            address_changed=number == 4,
        )
        for number, action, kind, account, role in (
            (3, "customer:update", ACTOR_KIND_ACCOUNT, "a1", ROLE_REGISTRAR),
            (4, "customer:update", ACTOR_KIND_ACCOUNT, "a2", ROLE_CUSTOMER_SERVICE),
            (5, "customer:confirm-email", ACTOR_KIND_LINK, "", 0),
            (6, "customer:transfer", ACTOR_KIND_ACCOUNT, "a1", ROLE_REGISTRAR),
            (7, "credentials:send", ACTOR_KIND_ACCOUNT, "gone", ROLE_REGISTRAR),
        )
    )
    of.messages.append(
        MessageOfHistory(
            reference="L-7K3M-92QF",
            sender_display_name="Olli Opettaja",
            create_time=day(8),
            state=MESSAGE_STATE_CLOSED,
            close_time=day(9),
        )
    )
    explanation = told(of, mail("consent_request", number=0), mail("credentials", number=2))
    assert happened(explanation) == [
        ("SAVED", "Riitta Rekisteröijä"),
        ("MAIL_SENT", "the system"),
        ("CONSENT_GIVEN", "Outi Huoltaja"),
        ("BEGAN", "the system"),
        ("MAIL_SENT", "the system"),
        ("CHANGED", "Olli Opettaja"),
        ("ADDRESS_CHANGED", "customer service"),
        ("ADDRESS_CONFIRMED", "the customer"),
        ("MOVED", "Olli Opettaja"),
        ("CREDENTIALS_ORDERED", "the system"),
        ("MESSAGE_SENT", "Olli Opettaja"),
        ("MESSAGE_CLOSED", "customer service"),
    ]
    assert [event.mail for event in explanation.events if event.mail] == ["consent_request", "credentials"]
    assert "L-7K3M-92QF" in explanation.events[-1].text
    assert (explanation.registration, explanation.customer) == (
        f"units/u1/registrations/{REGISTRATION}",
        "units/u1/customers/c1",
    )


def test_a_consent_by_another_name_than_the_guardians_is_remarked_on() -> None:
    of = history(STAGE_CREDENTIALS_SENT)
    of.consent.CopyFrom(ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name="Kuka Tahansa"))
    of.consent_record_time.FromDatetime(day(1))
    remark = texts()["remark"]["CONSENT_BY_OTHER_NAME"]["en"]
    assert not any(remark in event.text for event in told(of).events)
    of.consent_by_other_name = True
    (event,) = [event for event in told(of).events if remark in event.text]
    assert (event.kind, event.who) == (ExplainedEvent.KIND_CONSENT_GIVEN, "Kuka Tahansa")


def test_one_who_turned_15_needed_no_consent() -> None:
    kinds = [kind for kind, _ in happened(told(history(STAGE_ACTIVE, consent_state=CONSENT_STATE_OUTGROWN)))]
    assert kinds == ["SAVED", "CONSENT_OUTGROWN", "BEGAN"]


@pytest.mark.parametrize(
    ("stage", "actor", "who"),
    [
        (STAGE_DECLINED, RecordedChange(actor_kind=ACTOR_KIND_LINK), "the guardian"),
        (STAGE_LAPSED, RecordedChange(actor_kind=ACTOR_KIND_SYSTEM), "the system"),
        (
            STAGE_WITHDRAWN,
            RecordedChange(actor_kind=ACTOR_KIND_ACCOUNT, account_id="a1", actor_role=ROLE_REGISTRAR),
            "Olli Opettaja",
        ),
        (STAGE_REJECTED, RecordedChange(), "customer service"),
        (STAGE_LINKED, RecordedChange(), "customer service"),
    ],
)
def test_how_it_ended_is_told(stage: Stage.ValueType, actor: RecordedChange, who: str) -> None:
    of = history(stage)
    actor.action = "registration:end"
    of.changes.append(actor)
    explanation = told(of)
    assert happened(explanation)[-1] == (Stage.Name(stage).removeprefix("STAGE_"), who)
    assert [*explanation.waits] == []
    assert not explanation.HasField("next")


def test_of_an_erased_customership_it_is_not_said_that_it_is_in_force() -> None:
    explanation = told(erased())
    assert explanation.summary == "The customership has ended, and its data is erased."
    assert not explanation.waits


def test_a_linked_registration_offers_what_can_be_done_for_the_customer() -> None:
    actions = {action.action.action for action in told(linked()).actions}
    assert ACTION_SEND_CREDENTIALS in actions


WAITS = [
    (history(STAGE_WAITING_FOR_CONSENT, deadline=day(30)), [mail("consent_request")], [PARTY_GUARDIAN]),
    (
        history(STAGE_WAITING_FOR_CONSENT, deadline=day(30)),
        [mail("consent_request", DELIVERY_STATE_UNDELIVERABLE)],
        [PARTY_REGISTRAR],
    ),
    (
        history(STAGE_WAITING_FOR_CONSENT, deadline=day(30), wrong_recipient_time=day(2)),
        [mail("consent_request")],
        [PARTY_REGISTRAR],
    ),
    # The mail came back for another reason, or mail about a sibling did because of the address.
    (
        history(STAGE_WAITING_FOR_CONSENT, deadline=day(30)),
        [mail("consent_request", DELIVERY_STATE_RETURNED)],
        [PARTY_REGISTRAR],
    ),
    (
        history(STAGE_WAITING_FOR_CONSENT, deadline=day(30), undeliverable_time=day(2)),
        [mail("consent_request")],
        [PARTY_REGISTRAR],
    ),
    (history(STAGE_WAITING_FOR_REACTIVATION, deadline=day(30)), [], [PARTY_CUSTOMER_SERVICE]),
    (history(STAGE_WAITING_FOR_IDENTITY_CHECK, deadline=day(30)), [], [PARTY_CUSTOMER_SERVICE]),
    (history(STAGE_ACTIVE), [], [PARTY_SYSTEM]),
    (history(STAGE_ACTIVE, kind=CUSTOMER_KIND_CD_BORROWER), [], []),
]


@pytest.mark.parametrize(("of", "deliveries", "parties"), WAITS)
def test_whom_it_waits_for_is_told(
    of: GetHistoryResponse, deliveries: list[Delivery], parties: list[int]
) -> None:
    explanation = told(of, *deliveries)
    assert [wait.party for wait in explanation.waits] == parties
    if of.registration.HasField("deadline"):
        assert explanation.waits[0].deadline == of.registration.deadline
        assert "1 October 2026" in explanation.waits[0].text
        assert explanation.next.time == of.registration.deadline


def test_the_guardian_s_reminders_are_told_and_the_password_is_the_registrar_s_to_help_with() -> None:
    waiting = history(STAGE_WAITING_FOR_CONSENT, deadline=day(30))
    explanation = told(waiting, mail("consent_request"), mail("consent_reminder", number=8))
    assert [event.mail for event in explanation.events if event.mail] == [
        "consent_request",
        "consent_reminder",
    ]
    assert "reminded" in explanation.next.text
    without_password = told(history(STAGE_WELCOMED), CREDENTIALS_SENT, link_expire_time=day(14))
    (wait,) = without_password.waits
    assert (wait.party, "Help them" in wait.text) == (PARTY_REGISTRAR, True)


def test_an_address_that_does_not_work_and_an_open_message_are_waited_for() -> None:
    of = history(STAGE_WELCOMED)
    of.customership.email_state = EMAIL_STATE_UNDELIVERABLE
    of.messages.append(
        MessageOfHistory(
            reference="L-7K3M-92QF", create_time=day(2), state=MESSAGE_STATE_OPEN, deadline=day(9)
        )
    )
    explanation = told(of, CREDENTIALS_SENT, password_choose_time=day(2))
    assert [wait.party for wait in explanation.waits] == [PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE]
    assert "L-7K3M-92QF" in explanation.waits[1].text


ACTIONS = [
    (
        history(STAGE_WAITING_FOR_CONSENT, deadline=day(30), consent_state=CONSENT_STATE_AWAITED),
        {"ANSWER_CONSENT_REQUEST", "RECORD_CONSENT", "REMIND_GUARDIAN", "EDIT", "WITHDRAW"},
    ),
    (history(STAGE_WAITING_FOR_REACTIVATION), {"REACTIVATE", "REJECT", "EDIT", "WITHDRAW"}),
    (
        history(STAGE_WAITING_FOR_IDENTITY_CHECK),
        {"VERIFY_IDENTITY", "LINK_TO_CUSTOMER", "REJECT", "EDIT", "WITHDRAW"},
    ),
    (
        history(STAGE_WELCOMED),
        {
            "EDIT",
            "SEND_CREDENTIALS",
            "END_CUSTOMERSHIP",
            "SET_PERSONAL_IDENTITY_CODE",
            "MERGE",
            "MARK_PROTECTED",
        },
    ),
    (
        history(STAGE_ACTIVE, kind=CUSTOMER_KIND_CD_BORROWER),
        {
            "EDIT",
            "END_CUSTOMERSHIP",
            "CONVERT_TO_ONLINE",
            "SET_PERSONAL_IDENTITY_CODE",
            "MERGE",
            "MARK_PROTECTED",
        },
    ),
    *((history(stage), set[str]()) for stage in ENDED),
]


@pytest.mark.parametrize(("of", "actions"), ACTIONS)
def test_what_can_be_done_is_told_and_one_can_always_ask(of: GetHistoryResponse, actions: set[str]) -> None:
    found = [Action.Name(explained.action.action).removeprefix("ACTION_") for explained in told(of).actions]
    assert len(found) == len(set(found))
    assert set(found) == {*actions, "ASK_CUSTOMER_SERVICE"}
    assert all(explained.text and explained.action.parties for explained in told(of).actions)


def test_of_an_ended_customership_only_customer_service_brings_it_back() -> None:
    of = history(STAGE_WELCOMED, deadline=day(14))
    of.customership.state = CUSTOMER_STATE_MARKED_FOR_DELETION
    of.customership.end_time.FromDatetime(day(8))
    explanation = told(of, CREDENTIALS_SENT, password_choose_time=day(2))
    assert happened(explanation)[-1][0] == "CUSTOMERSHIP_ENDED"
    assert [Action.Name(explained.action.action) for explained in explanation.actions] == [
        "ACTION_UNDO_REMOVAL",
        "ACTION_MARK_PROTECTED",
        "ACTION_ASK_CUSTOMER_SERVICE",
    ]
    assert state_of(explanation) == "ENDED"
    assert (explanation.next.time.ToDatetime(UTC), explanation.next.text) == (
        ERASED,
        "The data is erased for good, unless customer service brings the customership back.",
    )
    assert "has ended" in explanation.summary


def test_who_has_ended_a_customership_is_told() -> None:
    of = history(STAGE_WELCOMED)
    of.customership.state = CUSTOMER_STATE_MARKED_FOR_DELETION
    of.customership.end_time.FromDatetime(day(8))
    of.changes.add(action="customership:end", time=day(8), actor_kind=ACTOR_KIND_LINK)
    assert happened(told(of))[-1] == ("CUSTOMERSHIP_ENDED", "the customer")


def test_an_end_that_was_undone_stays_in_the_history_with_who_ended_it() -> None:
    of = history(STAGE_WELCOMED)
    of.customership.state = CUSTOMER_STATE_ACTIVE
    of.changes.add(action="customership:end", time=day(8), actor_kind=ACTOR_KIND_LINK)
    of.changes.add(
        action="customership:undo",
        time=day(9),
        actor_kind=ACTOR_KIND_ACCOUNT,
        actor_role=ROLE_CUSTOMER_SERVICE,
    )
    assert happened(told(of))[-2:] == [
        ("CUSTOMERSHIP_ENDED", "the customer"),
        ("REMOVAL_UNDONE", "customer service"),
    ]


def test_the_welcome_waits_for_an_address_until_it_is_changed() -> None:
    of = history(STAGE_CREDENTIALS_SENT, deadline=day(28))
    reminder = mail("change_address_reminder", number=7)
    (wait,) = [wait for wait in told(of, CREDENTIALS_SENT, reminder).waits if "welcome mail" in wait.text]
    assert (wait.party, wait.deadline.ToDatetime(UTC)) == (PARTY_REGISTRAR, day(28))
    of.changes.add(action="customer:update", time=day(8), account_id="a1", address_changed=True)
    assert not [wait for wait in told(of, CREDENTIALS_SENT, reminder).waits if "welcome mail" in wait.text]


@pytest.mark.parametrize(("end", "asked"), [(NOW.date(), True), (NOW.date() + timedelta(days=1), False)])
def test_whether_a_temporary_need_goes_on_is_asked_on_its_last_day(end: date, asked: bool) -> None:
    of = history(STAGE_WELCOMED)
    of.customership.expected_end_date.CopyFrom(to_proto_date(end))
    assert any("still needed" in wait.text for wait in told(of).waits) == asked


def test_a_changed_address_waits_for_its_confirmation() -> None:
    of = history(STAGE_WELCOMED)
    of.customership.email_state = EMAIL_STATE_UNCONFIRMED
    assert not any("confirmed" in wait.text for wait in told(of).waits)
    assert any("confirmed" in wait.text for wait in told(of, mail("email_confirmation")).waits)
    of.customership.email_state = EMAIL_STATE_CONFIRMED
    assert not any("confirmed" in wait.text for wait in told(of, mail("email_confirmation")).waits)


def test_everything_has_its_words_in_every_language() -> None:
    expected = {
        "event": set(ExplainedEvent.Kind.keys()[1:]),
        "stage": {*Stage.keys()[1:], "STAGE_DECLINE_RECEIVED", "STAGE_ENDED", "STAGE_ERASED"},
        "password": {*ExplainedPassword.State.keys()[1:], "STATE_RETURNED"},
        "work": set(WorkItemKind.keys()[1:]),
    }
    prefixes = {"event": "KIND_", "stage": "STAGE_", "password": "STATE_", "work": "WORK_ITEM_KIND_"}
    for group, names in expected.items():
        assert set(texts()[group]) == {name.removeprefix(prefixes[group]) for name in names}
    for names in texts().values():
        for languages in names.values():
            assert set(languages) == {"fi", "sv", "en"}
            assert all(text.strip() == text != "" for text in languages.values())


def test_a_mail_without_words_of_its_own_is_told_all_the_same() -> None:
    explanation = told(history(STAGE_ACTIVE), mail("of_a_later_release"))
    assert "notice" in next(event for event in explanation.events if event.mail).text
    mails = {field.name for field in SendMessageRequest.DESCRIPTOR.oneofs_by_name["content"].fields}
    about_no_registration = {
        "password_order",
        "registrar_invitation",
        "invitation_reminder",
        "invitation_expired",
        "invitation_undeliverable",
        "password_reminder",
        "class_list_done",
        "work_digest",
        "unit_closed",
        "unit_took_over",
        "registration_lost",
        "feedback_waits",
        "feedback_reminder",
        "feedback_overdue",
        "feedback_received",
        "feedback_late",
        "feedback_answered",
    }
    assert set(texts()["mail"]) - {"other"} == mails - about_no_registration
