"""A content for every mail that notification sends, and for each of its variants."""

from datetime import UTC, datetime
from typing import Any

from liity.notification.v1.notification_service_pb2 import (
    AddressUndeliverable,
    ChangeAddressReminder,
    ClassListDone,
    ConsentDeadline,
    ConsentQuestion,
    Credentials,
    CustomerNotice,
    CustomershipBegun,
    CustomershipEnded,
    CustomershipEndedNotice,
    CustomershipGoesOn,
    DecisionNotice,
    EmailChanged,
    EmailConfirmation,
    EmailConfirmationReminder,
    FeedbackAnswer,
    GuardianNotice,
    InvitationLink,
    InvitationNotice,
    MessageDeadline,
    MessageNotice,
    NeedQuestion,
    PasswordOrder,
    PasswordReminder,
    RegistrationLost,
    RegistrationNotice,
    UnitNotice,
    Welcome,
    WorkCount,
    WorkDigest,
)
from liity.v1.book_tips_service_pb2 import BookTip
from liity.v1.customer_form_pb2 import LANGUAGE_EN, LANGUAGE_FI, LANGUAGE_SV

TOKEN = "Zm9v-YmFy_cXV4"
NAME = "Åke <script>alert('&')</script>"
UNIT = "Metsälän koulu & kirjasto"
REGISTRATION_ID = "3a93a2c541c7c584b47d58cb106af0c4"
# Half past eleven in the evening, UTC: the next day in Helsinki.
MOMENT = datetime(2026, 12, 6, 23, 30, tzinfo=UTC)
DAY = {
    LANGUAGE_FI: "7. joulukuuta 2026",
    LANGUAGE_SV: "7 december 2026",
    LANGUAGE_EN: "7 December 2026",
}
_ASKED = ConsentQuestion(first_names=NAME, unit_display_name=UNIT, link_token=TOKEN, deadline=MOMENT)
_CUSTOMER = CustomerNotice(first_names=NAME, unit_display_name=UNIT)
_REGISTRATION = RegistrationNotice(
    unit_display_name=UNIT, registration_id=REGISTRATION_ID, registration_create_time=MOMENT
)
_TO_DECIDE = DecisionNotice(
    unit_display_name=UNIT,
    registration_id=REGISTRATION_ID,
    registration_create_time=MOMENT,
    deadline=MOMENT,
    work_item_id=f"1-{REGISTRATION_ID}",
)
_NEED = NeedQuestion(first_names=NAME, link_token=TOKEN, deadline=MOMENT)
_INVITATION = InvitationLink(unit_display_name=UNIT, link_token=TOKEN, expire_time=MOMENT)
_NOT_ACCEPTED = InvitationNotice(unit_display_name=UNIT, email="uusi@kirjasto.example")
_ITS_DAY = MessageDeadline(reference="L-7K3M-92QF", deadline=MOMENT)
_TO_ANSWER = MessageDeadline(reference="L-7K3M-92QF", deadline=MOMENT, work_item_id="5-m4n8")
_MESSAGE = MessageNotice(reference="L-7K3M-92QF")
CONTENTS: list[dict[str, Any]] = [
    {"consent_request": _ASKED},
    {"consent_reminder": _ASKED},
    # The first of three children of one guardian.
    {
        "consent_reminder": ConsentQuestion(
            first_names=NAME, unit_display_name=UNIT, link_token=TOKEN, deadline=MOMENT, number=1, count=3
        )
    },
    {"consent_lapses_soon": ConsentDeadline(first_names=NAME, unit_display_name=UNIT, deadline=MOMENT)},
    {"consent_given": _CUSTOMER},
    {"consent_outgrown": _CUSTOMER},
    {"consent_wrong_recipient": _CUSTOMER},
    {
        "guardian_wrong_recipient": GuardianNotice(
            first_names=NAME, unit_display_name=UNIT, guardian_name="Ismo Huoltaja"
        )
    },
    {"consent_receipt_dissent": _CUSTOMER},
    {
        "consent_request": ConsentQuestion(
            first_names=NAME, unit_display_name=UNIT, link_token=TOKEN, deadline=MOMENT, both_needed=True
        )
    },
    {"consent_declined": _REGISTRATION},
    {"consent_lapsed": _REGISTRATION},
    {"registration_withdrawn": _REGISTRATION},
    {
        "consent_lapsed": RegistrationNotice(
            unit_display_name=UNIT,
            registration_id=REGISTRATION_ID,
            registration_create_time=MOMENT,
            first_names=NAME,
        )
    },
    {"credentials": Credentials(first_names=NAME, user_name="k123456", link_token=TOKEN, expire_time=MOMENT)},
    {
        "credentials_reminder": Credentials(
            first_names=NAME, user_name="k123456", link_token=TOKEN, expire_time=MOMENT, for_another=True
        )
    },
    {"credentials_unused": _CUSTOMER},
    {"unit_closed": UnitNotice(unit_display_name=UNIT)},
    {"unit_closed": UnitNotice(unit_display_name=UNIT, successor_display_name="Satakielen koulu")},
    {
        "unit_took_over": UnitNotice(
            unit_display_name=UNIT, successor_display_name="Satakielen koulu", persons=31
        )
    },
    {"welcome": Welcome(first_names=NAME, link_token=TOKEN)},
    {"welcome": Welcome(first_names=NAME, link_token=TOKEN, temporary=True)},
    {"customership_begun": CustomershipBegun(first_names=NAME, link_token=TOKEN)},
    {"customership_begun": CustomershipBegun(first_names=NAME, link_token=TOKEN, temporary=True)},
    {
        "customership_ended_notice": CustomershipEndedNotice(
            first_names=NAME, unit_display_name=UNIT, erase_time=MOMENT, by_own_link=True
        )
    },
    {"customership_ended": CustomershipEnded(first_names=NAME, erase_time=MOMENT)},
    {"need_question": _NEED},
    {"need_reminder": _NEED},
    {"need_unanswered": _CUSTOMER},
    {"customership_goes_on": CustomershipGoesOn(first_names=NAME, link_token=TOKEN)},
    {"customership_goes_on": CustomershipGoesOn(first_names=NAME, link_token=TOKEN, temporary=True)},
    {"removal_undone": _CUSTOMER},
    {"password_order": PasswordOrder(link_token=TOKEN, expire_time=MOMENT)},
    {"moved_to_another_unit": _REGISTRATION},
    {"customers_merged": _REGISTRATION},
    {
        "email_confirmation": EmailConfirmation(
            first_names=NAME, link_token=TOKEN, expire_time=MOMENT, customership_link_token=TOKEN
        )
    },
    {
        "email_confirmation": EmailConfirmation(
            first_names=NAME,
            link_token=TOKEN,
            expire_time=MOMENT,
            customership_link_token=TOKEN,
            temporary=True,
        )
    },
    {
        "email_confirmation_reminder": EmailConfirmationReminder(
            first_names=NAME, link_token=TOKEN, expire_time=MOMENT
        )
    },
    {"email_unconfirmed": _CUSTOMER},
    {"email_changed": EmailChanged(first_names=NAME)},
    {"message_waits": _TO_ANSWER},
    {"message_reminder": _TO_ANSWER},
    {"message_received": _ITS_DAY},
    {"message_answered": _MESSAGE},
    {"message_lapsed": _MESSAGE},
    {"message_erased": _MESSAGE},
    *({f"feedback_{name}": _TO_ANSWER} for name in ("waits", "reminder", "overdue")),
    *({f"feedback_{name}": _ITS_DAY} for name in ("received", "late")),
    {
        "feedback_answered": FeedbackAnswer(
            reference="P-7K3M-92QF", create_time=MOMENT, answer_lines=["We mend it.", NAME]
        )
    },
    {
        "work_digest": WorkDigest(
            reactivations=WorkCount(due_soon=11),
            identity_checks=WorkCount(overdue=12),
            undeliverable_mail=WorkCount(due_soon=13, overdue=14),
            possible_duplicates=WorkCount(overdue=15),
            messages=WorkCount(due_soon=16),
            feedback=WorkCount(due_soon=17),
            dissents=WorkCount(overdue=17),
        )
    },
    {
        "registration_lost": RegistrationLost(
            unit_display_name=UNIT,
            registrar_display_name="Riikka Rekisteröijä",
            begin_time=MOMENT,
            registration_id=REGISTRATION_ID,
        )
    },
    {
        "change_address_reminder": ChangeAddressReminder(
            first_names=NAME, unit_display_name=UNIT, welcome_time=MOMENT
        )
    },
    {
        "class_list_done": ClassListDone(
            unit_display_name=UNIT,
            class_list_id="k7m2q9",
            create_time=MOMENT,
            expire_time=MOMENT,
            total=30,
            registered=20,
            waiting=5,
            refused=4,
            cancelled=1,
        )
    },
    {"reactivation_asked": _TO_DECIDE},
    {"identity_check_asked": _TO_DECIDE},
    {"decision_reminder": _TO_DECIDE},
    {"reactivation_done": _REGISTRATION},
    {"reactivation_declined": _REGISTRATION},
    {"identity_check_done": _REGISTRATION},
    {
        "identity_check_done": RegistrationNotice(
            unit_display_name=UNIT,
            registration_id=REGISTRATION_ID,
            registration_create_time=MOMENT,
            linked=True,
        )
    },
    {"identity_check_declined": _REGISTRATION},
    {"decision_lapsed": _REGISTRATION},
    {"decision_missed": _REGISTRATION},
    {"registrar_invitation": _INVITATION},
    {"invitation_reminder": _INVITATION},
    {"invitation_expired": _NOT_ACCEPTED},
    {"invitation_undeliverable": _NOT_ACCEPTED},
    {"password_reminder": PasswordReminder(choose_time=MOMENT)},
    *(
        {
            "address_undeliverable": AddressUndeliverable(
                first_names=NAME, unit_display_name=UNIT, template=template
            )
        }
        for template in ("consent_request", "consent_reminder", "credentials", "welcome")
    ),
]
TIPS = [
    BookTip(
        author="Aleksis Kivi",
        title="Seitsemän veljestä",
        narrator="Lasse Pöysti",
        text="A story of seven brothers who flee into the woods, grow up there and come back.",
        url="https://library.example/books/1",
    ),
    BookTip(title="*The* [sea](https://library.example)"),
]
