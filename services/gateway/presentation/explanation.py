"""Composes the explanation of a registration: events, waits, actions, next step. A pure function of data."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp

from liity.identity.v1.credential_service_pb2 import GetCredentialStateResponse
from liity.notification.v1.notification_service_pb2 import (
    DELIVERY_STATE_PENDING,
    DELIVERY_STATE_RETURNED,
    DELIVERY_STATE_SENT,
    DELIVERY_STATE_UNDELIVERABLE,
    Delivery,
)
from liity.registration.v1.history_service_pb2 import GetHistoryResponse, RecordedChange
from liity.registration.v1.registration_service_pb2 import ConsentEvidence
from liity.v1.actor_pb2 import ACTOR_KIND_LINK, ACTOR_KIND_OPERATOR
from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_MARKED_FOR_DELETION,
    EMAIL_STATE_UNCONFIRMED,
    EMAIL_STATE_UNDELIVERABLE,
)
from liity.v1.message_service_pb2 import MESSAGE_STATE_OPEN
from liity.v1.registration_pb2 import (
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
    STAGE_REJECTED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
    STAGE_WAITING_FOR_REACTIVATION,
    STAGE_WITHDRAWN,
    Action,
    AvailableAction,
    Party,
    Stage,
)
from liity.v1.registration_service_pb2 import (
    ExplainedAction,
    ExplainedEvent,
    ExplainedPassword,
    ExplainedStep,
    ExplainedWait,
    ExplainRegistrationResponse,
)
from services.gateway.presentation.available_actions import ASK, customer_actions
from services.gateway.presentation.explanation_texts import Words
from services.gateway.resource_names import CUSTOMER, REGISTRATION
from services.gateway.views import to_public
from services.runtime.clock import from_proto_date, helsinki_day
from services.runtime.stages import BEGUN, JOINED, NOT_BEGUN
from services.runtime.temporal.search_attributes import stage_name

_ENDINGS: Mapping[Stage.ValueType, ExplainedEvent.Kind.ValueType] = {
    STAGE_DECLINED: ExplainedEvent.KIND_DECLINED,
    STAGE_LAPSED: ExplainedEvent.KIND_LAPSED,
    STAGE_WITHDRAWN: ExplainedEvent.KIND_WITHDRAWN,
    STAGE_REJECTED: ExplainedEvent.KIND_REJECTED,
    STAGE_LINKED: ExplainedEvent.KIND_LINKED,
}
"""The event by stage, for registrations that end without a customership of their own."""

_DELIVERIES: Mapping[int, ExplainedEvent.Kind.ValueType] = {
    DELIVERY_STATE_PENDING: ExplainedEvent.KIND_MAIL_WAITS,
    DELIVERY_STATE_SENT: ExplainedEvent.KIND_MAIL_SENT,
    DELIVERY_STATE_UNDELIVERABLE: ExplainedEvent.KIND_MAIL_UNDELIVERABLE,
    DELIVERY_STATE_RETURNED: ExplainedEvent.KIND_MAIL_RETURNED,
}

_CHANGES: Mapping[str, ExplainedEvent.Kind.ValueType] = {
    "registration:update": ExplainedEvent.KIND_CHANGED,
    "registration:report-wrong-recipient": ExplainedEvent.KIND_WRONG_RECIPIENT,
    "registration:decline": ExplainedEvent.KIND_DECLINE_RECEIVED,
    "registration:take-back-decline": ExplainedEvent.KIND_DECLINE_TAKEN_BACK,
    "consent:withdraw": ExplainedEvent.KIND_CONSENT_WITHDRAWN,
    "registration:consent-of-one": ExplainedEvent.KIND_CONSENT_OF_ONE,
    "consent:dissent": ExplainedEvent.KIND_DISSENT,
    "customer:update": ExplainedEvent.KIND_CHANGED,
    "customer:correct-birth-date": ExplainedEvent.KIND_CHANGED,
    "customer:transfer": ExplainedEvent.KIND_MOVED,
    "customer:confirm-email": ExplainedEvent.KIND_ADDRESS_CONFIRMED,
    "credentials:send": ExplainedEvent.KIND_CREDENTIALS_ORDERED,
    "registration:reactivate": ExplainedEvent.KIND_REACTIVATED,
    "registration:verify-identity": ExplainedEvent.KIND_IDENTITY_VERIFIED,
    "customership:undo": ExplainedEvent.KIND_REMOVAL_UNDONE,
    "customership:extend": ExplainedEvent.KIND_NEED_EXTENDED,
    "customer:convert": ExplainedEvent.KIND_CONVERTED,
    "customer:merge": ExplainedEvent.KIND_MERGED,
    "customer:undo-merge": ExplainedEvent.KIND_MERGE_UNDONE,
    "personal-identity-code:attach": ExplainedEvent.KIND_CODE_SET,
    "personal-identity-code:correct": ExplainedEvent.KIND_CODE_SET,
    "personal-identity-code:renew": ExplainedEvent.KIND_CODE_SET,
}
"""The event by action in the log of use; other events come from stored data."""

_TO_GUARDIAN = ("consent_request", "consent_reminder")
"""The mails that ask a guardian for consent."""

_ENDED_BY, _CUSTOMERSHIP_ENDED_BY = "registration:end", "customership:end"
_WRONG_RECIPIENT = "registration:report-wrong-recipient"
_BY_GUARDIAN = (
    "registration:decline",
    "registration:take-back-decline",
    "registration:consent-of-one",
    "consent:withdraw",
    "consent:dissent",
)

_UNIT_PEOPLE = (PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE)
_STAFF = (PARTY_CUSTOMER_SERVICE,)

_STAFF_WAITS: Mapping[Stage.ValueType, str] = {
    STAGE_WAITING_FOR_REACTIVATION: "REACTIVATION",
    STAGE_WAITING_FOR_IDENTITY_CHECK: "IDENTITY_CHECK",
}


@dataclass(frozen=True)
class Explanation:
    """The data of a registration and its customer, to be explained in one language."""

    history: GetHistoryResponse
    deliveries: Sequence[Delivery]
    credentials: GetCredentialStateResponse
    names: Mapping[str, str]
    """Display names by account ID, of the accounts in the history."""
    words: Words
    now: datetime
    erase_time: datetime | None = None
    """When an ended customership's data is to be erased, if known (R20)."""

    def tell(self) -> ExplainRegistrationResponse:
        """Composes the explanation."""
        registration = self.history.registration
        unit_id = registration.unit_id
        return ExplainRegistrationResponse(
            registration=REGISTRATION.format(unit_id, registration.registration_id),
            customer=CUSTOMER.format(unit_id, registration.customer_id) if registration.customer_id else "",
            summary=self.words.say("stage", self._standing),
            events=sorted(self._events(), key=lambda event: event.time.ToNanoseconds()),
            waits=self._waits(),
            actions=self._actions(),
            next=self._next(),
            password=self._password(),
            guardian_mail_time=self._guardian_mail_time,
        )

    @property
    def _guardian_mail_time(self) -> Timestamp | None:
        """When the last mail was sent to the guardian, while consent is awaited."""
        if self.history.registration.stage != STAGE_WAITING_FOR_CONSENT:
            return None
        sent = [
            delivery.update_time
            for delivery in self.deliveries
            if delivery.template in _TO_GUARDIAN and delivery.state == DELIVERY_STATE_SENT
        ]
        return max(sent, key=Timestamp.ToNanoseconds, default=None)

    @property
    def _standing(self) -> str:
        if self._has_ended:
            return "ENDED"
        if self.history.registration.HasField("decline_end_time"):
            return "DECLINE_RECEIVED"
        stage = self.history.registration.stage
        is_erased = stage in BEGUN and not self.history.HasField("customership")
        return "ERASED" if is_erased else stage_name(stage)

    # Events

    def _events(self) -> Iterator[ExplainedEvent]:
        registration, kind = self.history.registration, ExplainedEvent
        yield self._event(kind.KIND_SAVED, registration.create_time, registration.registrar_display_name)
        yield from self._how_it_began()
        if registration.stage in _ENDINGS:
            yield self._event(_ENDINGS[registration.stage], registration.update_time, self._who_ended())
        for change in self.history.changes:
            if change.action in _CHANGES:
                what = kind.KIND_ADDRESS_CHANGED if change.address_changed else _CHANGES[change.action]
                yield self._event(what, change.time, self._who(change))
        for delivery in self.deliveries:
            template = delivery.template
            yield self._event(
                _DELIVERIES[delivery.state],
                delivery.update_time,
                self.words.say("who", "SYSTEM"),
                mail=template,
                text=self.words.mail(template),
            )
        if self.credentials.HasField("password_choose_time"):
            chosen = self.credentials.password_choose_time
            yield self._event(kind.KIND_PASSWORD_CHOSEN, chosen, self.words.say("who", "CUSTOMER"))
        yield from self._messages()
        # Also the ends that were undone since.
        ends = [
            (change.time, self._who(change))
            for change in self.history.changes
            if change.action == _CUSTOMERSHIP_ENDED_BY
        ]
        if self._has_ended and self.history.customership.HasField("end_time"):
            who = ends.pop()[1] if ends else self.words.say("who", "SYSTEM")
            ends.append((self.history.customership.end_time, who))
        for time, who in ends:
            yield self._event(kind.KIND_CUSTOMERSHIP_ENDED, time, who)

    def _how_it_began(self) -> Iterator[ExplainedEvent]:
        history = self.history
        if history.HasField("consent"):
            given = self._event(
                ExplainedEvent.KIND_CONSENT_GIVEN, history.consent_record_time, self._who_consented()
            )
            if history.consent_by_other_name:
                given.text += " " + self.words.say("remark", "CONSENT_BY_OTHER_NAME")
            yield given
        if not history.HasField("customership"):
            return
        begun, system = history.customership.create_time, self.words.say("who", "SYSTEM")
        if history.registration.consent_state == CONSENT_STATE_OUTGROWN:
            yield self._event(ExplainedEvent.KIND_CONSENT_OUTGROWN, begun, system)
        yield self._event(ExplainedEvent.KIND_BEGAN, begun, system)

    def _messages(self) -> Iterator[ExplainedEvent]:
        for message in self.history.messages:
            reference = message.reference
            yield self._event(
                ExplainedEvent.KIND_MESSAGE_SENT,
                message.create_time,
                message.sender_display_name,
                reference=reference,
            )
            if message.HasField("close_time"):
                yield self._event(
                    ExplainedEvent.KIND_MESSAGE_CLOSED,
                    message.close_time,
                    self.words.say("who", "CUSTOMER_SERVICE"),
                    reference=reference,
                )

    def _event(
        self,
        kind: ExplainedEvent.Kind.ValueType,
        time: Timestamp,
        who: str,
        *,
        mail: str = "",
        text: str = "",
        reference: str = "",
    ) -> ExplainedEvent:
        name = ExplainedEvent.Kind.Name(kind).removeprefix("KIND_")
        said = self.words.say("event", name, mail=text, reference=reference)
        return ExplainedEvent(kind=kind, time=time, who=who, text=said, mail=mail, reference=reference)

    def _who(self, change: RecordedChange) -> str:
        if change.action == _WRONG_RECIPIENT:
            return self.words.say("who", "RECIPIENT")
        if change.actor_kind == ACTOR_KIND_LINK and change.action in _BY_GUARDIAN:
            return self.words.say("who", "GUARDIAN")
        if change.actor_kind == ACTOR_KIND_LINK:
            return self.words.say("who", "CUSTOMER")
        if change.actor_kind == ACTOR_KIND_OPERATOR:
            return self.words.say("who", "OPERATOR")
        if change.actor_role == ROLE_CUSTOMER_SERVICE:
            return self.words.say("who", "CUSTOMER_SERVICE")
        return self.names.get(change.account_id, "") or self.words.say("who", "SYSTEM")

    def _who_consented(self) -> str:
        consent = self.history.consent
        if consent.method == ConsentEvidence.METHOD_OPERATOR:
            return self.words.say("who", "OPERATOR")
        return consent.guardian_name or self.words.say("who", "GUARDIAN")

    def _who_ended(self) -> str:
        stage = self.history.registration.stage
        ended = [change for change in self.history.changes if change.action == _ENDED_BY]
        if stage == STAGE_DECLINED:
            return self.words.say("who", "GUARDIAN")
        if stage in {STAGE_REJECTED, *JOINED}:
            return self.words.say("who", "CUSTOMER_SERVICE")
        return self._who(ended[-1]) if ended else self.words.say("who", "SYSTEM")

    # Waits

    def _waits(self) -> Iterator[ExplainedWait]:
        registration = self.history.registration
        until, stage = registration.deadline, registration.stage
        if registration.HasField("decline_end_time"):
            yield self._wait("CONSENT_DECLINED", PARTY_GUARDIAN, registration.decline_end_time)
        elif stage == STAGE_WAITING_FOR_CONSENT:
            request = self._last_mail(*_TO_GUARDIAN)
            # The address may have proved wrong by mail about a sibling.
            bounced = registration.HasField("undeliverable_time") or (
                request is not None and request.state == DELIVERY_STATE_UNDELIVERABLE
            )
            returned = request is not None and request.state == DELIVERY_STATE_RETURNED
            wrong = registration.HasField("wrong_recipient_time")
            # A guardian who gets no mail cannot answer by link: the unit must act.
            party = PARTY_REGISTRAR if wrong or bounced or returned else PARTY_GUARDIAN
            name = "CONSENT_RETURNED" if returned else "CONSENT"
            name = "CONSENT_WRONG_RECIPIENT" if wrong else "CONSENT_UNDELIVERABLE" if bounced else name
            yield self._wait(name, party, until)
        if stage in _STAFF_WAITS:
            yield self._wait(_STAFF_WAITS[stage], PARTY_CUSTOMER_SERVICE, until)
        password = self._password()
        if password.state == ExplainedPassword.STATE_BEING_SENT:
            yield self._wait("CREDENTIALS", PARTY_SYSTEM)
        elif password.state == ExplainedPassword.STATE_LINK_OPEN:
            # The customer has no account; the unit can help them.
            yield self._wait("PASSWORD", PARTY_REGISTRAR, password.expire_time)
        if self._in_force:
            yield from self._waits_of_the_customership()
        for message in self.history.messages:
            if message.state == MESSAGE_STATE_OPEN:
                yield self._wait("MESSAGE", PARTY_CUSTOMER_SERVICE, message.deadline, message.reference)

    def _waits_of_the_customership(self) -> Iterator[ExplainedWait]:
        customership, registration = self.history.customership, self.history.registration
        if customership.email_state == EMAIL_STATE_UNDELIVERABLE:
            yield self._wait("ADDRESS", PARTY_REGISTRAR)
        if customership.email_state == EMAIL_STATE_UNCONFIRMED and self._last_mail("email_confirmation"):
            yield self._wait("CONFIRMATION", PARTY_REGISTRAR)
        reminder = self._last_mail("change_address_reminder")
        if registration.stage == STAGE_CREDENTIALS_SENT and reminder and not self._is_changed_since(reminder):
            yield self._wait("REGISTRARS_ADDRESS", PARTY_REGISTRAR, registration.deadline)
        is_watched, today = customership.HasField("expected_end_date"), helsinki_day(self.now)
        if is_watched and from_proto_date(customership.expected_end_date) <= today:
            # The customer has no account; the unit can answer for them.
            yield self._wait("NEED", PARTY_REGISTRAR)

    def _is_changed_since(self, mail: Delivery) -> bool:
        """Whether the address for mail changed after a mail was sent."""
        return any(
            change.address_changed and change.time.ToNanoseconds() > mail.create_time.ToNanoseconds()
            for change in self.history.changes
        )

    def _wait(
        self, name: str, party: Party.ValueType, until: Timestamp | None = None, reference: str = ""
    ) -> ExplainedWait:
        moment = until.ToDatetime(UTC) if until is not None else None
        text = self.words.say("wait", name, until=moment, reference=reference)
        return ExplainedWait(party=party, deadline=until, text=text)

    # Actions

    def _actions(self) -> Iterator[ExplainedAction]:
        found = {available.action: available for available in self._available()}
        for available in found.values():
            name = Action.Name(available.action).removeprefix("ACTION_")
            if self.words.knows("action", name):
                yield ExplainedAction(action=available, text=self.words.say("action", name))

    def _available(self) -> Iterable[AvailableAction]:
        registration = self.history.registration
        yield from to_public(registration).available_actions
        if self._has_ended or self._in_force:
            yield from customer_actions(
                registration.kind, active=self._in_force, protected=registration.is_protected
            )
        else:
            yield ASK

    # Next step

    def _next(self) -> ExplainedStep | None:
        registration = self.history.registration
        if self._has_ended:
            erasure = ExplainedStep(text=self.words.say("next", "ERASURE"))
            if self.erase_time is not None:
                erasure.time.FromDatetime(self.erase_time)
            return erasure
        if registration.HasField("decline_end_time"):
            return ExplainedStep(time=registration.decline_end_time, text=self.words.say("next", "DECLINE"))
        if not registration.HasField("deadline"):
            return None
        name = {
            STAGE_WAITING_FOR_CONSENT: "LAPSE",
            STAGE_WAITING_FOR_REACTIVATION: "UNDECIDED",
            STAGE_WAITING_FOR_IDENTITY_CHECK: "UNDECIDED",
            STAGE_CREDENTIALS_SENT: "WELCOME",
            STAGE_ACTIVE: "WELCOME",
        }.get(registration.stage)
        if name is None:
            return None
        return ExplainedStep(time=registration.deadline, text=self.words.say("next", name))

    # Password

    def _password(self) -> ExplainedPassword:
        """The state of the password, and the reason for it."""
        registration, state = self.history.registration, ExplainedPassword
        if registration.kind != CUSTOMER_KIND_ONLINE:
            return self._of_password(state.STATE_NOT_FOR_CD_BORROWER)
        if registration.stage in NOT_BEGUN:
            return self._of_password(state.STATE_NOT_YET)
        if not self._in_force:
            return self._of_password(state.STATE_ENDED)
        return self._of_the_mail()

    def _of_the_mail(self) -> ExplainedPassword:
        """The state by the mailed link, for an online customer."""
        credentials, state = self.credentials, ExplainedPassword
        if credentials.HasField("password_choose_time"):
            return self._of_password(state.STATE_CHOSEN, credentials.password_choose_time)
        mail = self._last_mail("credentials")
        if mail is None or mail.state == DELIVERY_STATE_PENDING:
            return self._of_password(state.STATE_BEING_SENT)
        if mail.state == DELIVERY_STATE_UNDELIVERABLE:
            return self._of_password(state.STATE_UNDELIVERABLE, mail.update_time)
        if mail.state == DELIVERY_STATE_RETURNED:
            return self._of_password(state.STATE_UNDELIVERABLE, mail.update_time, text="RETURNED")
        expiry = credentials.link_expire_time
        is_open = expiry.ToDatetime(UTC) > self.now
        found = state.STATE_LINK_OPEN if is_open else state.STATE_LINK_EXPIRED
        return self._of_password(found, mail.update_time, expiry)

    def _of_password(
        self,
        state: ExplainedPassword.State.ValueType,
        since: Timestamp | None = None,
        until: Timestamp | None = None,
        text: str = "",
    ) -> ExplainedPassword:
        days = {
            "since": since.ToDatetime(UTC) if since else None,
            "until": until.ToDatetime(UTC) if until else None,
        }
        name = text or ExplainedPassword.State.Name(state).removeprefix("STATE_")
        said = self.words.say("password", name, **days)
        return ExplainedPassword(state=state, text=said, since=since, expire_time=until)

    # Helpers

    @property
    def _has_ended(self) -> bool:
        return self.history.customership.state == CUSTOMER_STATE_MARKED_FOR_DELETION

    @property
    def _in_force(self) -> bool:
        return (
            self.history.registration.stage in {*BEGUN, *JOINED}
            and self.history.HasField("customership")
            and not self._has_ended
        )

    def _last_mail(self, *templates: str) -> Delivery | None:
        found = [delivery for delivery in self.deliveries if delivery.template in templates]
        return max(found, key=lambda delivery: delivery.create_time.ToNanoseconds(), default=None)
