"""The words for the values of the contracts' enums: one glossary for every page."""

from collections.abc import Mapping, Sequence

from google.protobuf.descriptor import EnumDescriptor

from frontends.web.language import N_
from liity.v1.actor_pb2 import ActorKind
from liity.v1.auth_service_pb2 import Role
from liity.v1.class_list_service_pb2 import ClassListState
from liity.v1.customer_form_pb2 import (
    Applicant,
    CredentialsRecipient,
    CustomerKind,
    Language,
    PrintDisability,
    SchoolSupport,
)
from liity.v1.customer_service_pb2 import (
    CodeChange,
    CodeOf,
    CustomerState,
    EmailState,
    EndReason,
    ProtectedReadReason,
)
from liity.v1.message_service_pb2 import MessageContext, MessageState
from liity.v1.registration_pb2 import ConsentState, GuardianAnswer, MissingCodeReason, Party, Stage
from liity.v1.unit_service_pb2 import UnitKind
from liity.v1.use_log_service_pb2 import SuspicionRule
from liity.v1.work_service_pb2 import ClaimFilter, WorkItemKind

_WORDS: Mapping[str, Mapping[str, str]] = {
    "Stage": {
        "STAGE_RECEIVED": N_("Being saved"),
        "STAGE_WAITING_FOR_CONSENT": N_("Waits for the guardian's consent"),
        "STAGE_ACTIVE": N_("Customer"),
        "STAGE_CREDENTIALS_SENT": N_("Customer, credentials sent"),
        "STAGE_WELCOMED": N_("Customer, complete"),
        "STAGE_DECLINED": N_("Ended: the guardian did not consent"),
        "STAGE_LAPSED": N_("Ended: nobody answered in time"),
        "STAGE_WITHDRAWN": N_("Ended: withdrawn"),
        "STAGE_WAITING_FOR_REACTIVATION": N_("Waits for customer service to bring the customer back"),
        "STAGE_WAITING_FOR_IDENTITY_CHECK": N_("Waits for customer service to check the identity"),
        "STAGE_REJECTED": N_("Ended: customer service did not accept it"),
        "STAGE_LINKED": N_("Ended: was a customer already"),
        "STAGE_MERGED": N_("Merged with another customership of the same person"),
    },
    "Party": {
        "PARTY_GUARDIAN": N_("the guardian"),
        "PARTY_REGISTRAR": N_("a registrar of the unit"),
        "PARTY_CUSTOMER_SERVICE": N_("customer service"),
        "PARTY_SYSTEM": N_("nobody: it goes on by itself"),
    },
    "ConsentState": {
        "CONSENT_STATE_NOT_NEEDED": N_("Not needed"),
        "CONSENT_STATE_AWAITED": N_("Awaited"),
        "CONSENT_STATE_GIVEN": N_("Given"),
        "CONSENT_STATE_OUTGROWN": N_("No longer needed: the customer turned 15"),
        "CONSENT_STATE_NOT_GIVEN": N_("Not given"),
    },
    "CustomerKind": {
        "CUSTOMER_KIND_ONLINE": N_("Online: borrows over the internet"),
        "CUSTOMER_KIND_CD_BORROWER": N_("CD borrower: gets discs by post"),
    },
    "Language": {
        "LANGUAGE_FI": N_("Finnish"),
        "LANGUAGE_SV": N_("Swedish"),
        "LANGUAGE_EN": N_("English"),
    },
    "PrintDisability": {
        "PRINT_DISABILITY_READING_DIFFICULTY": N_("Dyslexia or another reading difficulty"),
        "PRINT_DISABILITY_VISUAL_IMPAIRMENT": N_("Blindness or low vision"),
        "PRINT_DISABILITY_PHYSICAL": N_("An illness or a physical disability"),
        "PRINT_DISABILITY_COGNITIVE": N_("Developmental disability, aphasia or another cognitive cause"),
        "PRINT_DISABILITY_OTHER": N_("Another reason"),
    },
    "SchoolSupport": {
        "SCHOOL_SUPPORT_INTENSIFIED": N_("Intensified support"),
        "SCHOOL_SUPPORT_SPECIAL": N_("Special support"),
        "SCHOOL_SUPPORT_PUPIL_SPECIFIC": N_("Pupil-specific support"),
    },
    "Applicant": {
        "APPLICANT_SELF": N_("The customer"),
        "APPLICANT_GUARDIAN": N_("A guardian"),
        "APPLICANT_CONTACT_PERSON": N_("A contact person whom the customer has asked"),
    },
    "CredentialsRecipient": {
        "CREDENTIALS_RECIPIENT_CUSTOMER": N_("The customer's e-mail address"),
        "CREDENTIALS_RECIPIENT_RELATED_PERSON": N_("The guardian's or contact person's e-mail address"),
        "CREDENTIALS_RECIPIENT_REGISTRAR": N_("My own e-mail address, to begin with"),
    },
    "MissingCodeReason": {
        "MISSING_CODE_REASON_NOT_YET_GIVEN": N_("The person has not got one yet"),
        "MISSING_CODE_REASON_NO_FINNISH_CODE": N_("The person will not get one"),
        "MISSING_CODE_REASON_NOT_KNOWN": N_("Nobody here knows it"),
        "MISSING_CODE_REASON_NOT_DISCLOSED": N_("The person may not or does not wish to tell it"),
        "MISSING_CODE_REASON_OTHER": N_("Another reason"),
    },
    "EmailState": {
        "EMAIL_STATE_UNCONFIRMED": N_("Not confirmed yet"),
        "EMAIL_STATE_CONFIRMED": N_("Confirmed"),
        "EMAIL_STATE_UNDELIVERABLE": N_("Mail does not arrive"),
    },
    "CustomerState": {
        "CUSTOMER_STATE_ACTIVE": N_("Customer"),
        "CUSTOMER_STATE_MARKED_FOR_DELETION": N_("Ended, to be erased"),
    },
    "EndReason": {
        "END_REASON_OWN_WISH": N_("The customer wishes so"),
        "END_REASON_NEED_ENDED": N_("The temporary need has ended"),
        "END_REASON_NOT_ENTITLED": N_("There is no print disability, or the registration was a mistake"),
        "END_REASON_CONSENT_WITHDRAWN": N_("The guardian has withdrawn the consent"),
        "END_REASON_DECEASED": N_("The customer has died"),
        "END_REASON_OTHER": N_("Another reason"),
    },
    "MessageState": {
        "MESSAGE_STATE_OPEN": N_("Waits for an answer"),
        "MESSAGE_STATE_CLOSED": N_("Answered"),
        "MESSAGE_STATE_LAPSED": N_("Not answered in time"),
    },
    "MessageContext": {
        "MESSAGE_CONTEXT_FORM": N_("The form of a new customer, not saved yet"),
        "MESSAGE_CONTEXT_IDENTITY_CODE_CHECK": N_("The check of a personal identity code"),
        "MESSAGE_CONTEXT_OTHER": N_("Something else"),
        "MESSAGE_CONTEXT_TRANSFER": N_("The transfer of a person whom only customer service can move"),
    },
    "ClassListState": {
        "CLASS_LIST_STATE_RECEIVED": N_("About to begin"),
        "CLASS_LIST_STATE_RUNNING": N_("Being registered"),
        "CLASS_LIST_STATE_DONE": N_("Done"),
        "CLASS_LIST_STATE_CANCELLED": N_("Cancelled"),
    },
    "ActorKind": {
        "ACTOR_KIND_ACCOUNT": N_("An account"),
        "ACTOR_KIND_LINK": N_("Somebody by a mailed link"),
        "ACTOR_KIND_OPERATOR": N_("An operator"),
        "ACTOR_KIND_SYSTEM": N_("The system"),
    },
    "SuspicionRule": {
        "SUSPICION_RULE_EMPTY_LOOK_UPS": N_("Many look-ups that found nobody"),
        "SUSPICION_RULE_OUTSIDE_HOURS": N_("Look-ups outside of working hours"),
        "SUSPICION_RULE_UNUSUAL_NUMBER": N_("Far more look-ups than usual"),
        "SUSPICION_RULE_LOCK_OUTS": N_("Locked again and again by wrong passwords"),
    },
    "UnitKind": {
        "UNIT_KIND_LIBRARY": N_("Library"),
        "UNIT_KIND_SCHOOL": N_("School"),
        "UNIT_KIND_HIGHER_EDUCATION": N_("Institution of higher education"),
        "UNIT_KIND_OTHER": N_("Another organisation"),
    },
    "CodeChange": {
        "CODE_CHANGE_ATTACHED": N_("The customer had none, and has one now"),
        "CODE_CHANGE_CORRECTED": N_("The one before was recorded by mistake"),
        "CODE_CHANGE_RENEWED": N_("The customer was given a new one"),
    },
    "CodeOf": {
        "CODE_OF_KEPT": N_("Both have one: that of the customer that stays counts"),
        "CODE_OF_MERGED": N_("Both have one: that of the other customer counts"),
    },
    "GuardianAnswer": {
        "GUARDIAN_ANSWER_CONSENTS": N_("Consents"),
        "GUARDIAN_ANSWER_DECLINES": N_("Does not consent"),
    },
    "ProtectedReadReason": {
        "PROTECTED_READ_REASON_POSTAL_DELIVERY": N_("To send something by post"),
        "PROTECTED_READ_REASON_CONTACT": N_("To get in touch with the person, or who acts for them"),
        "PROTECTED_READ_REASON_TRANSFER": N_("To move the person to another unit"),
        "PROTECTED_READ_REASON_CORRECTION": N_("To check or correct the data"),
        "PROTECTED_READ_REASON_OWN_REQUEST": N_("The person has asked for their data"),
        "PROTECTED_READ_REASON_AUTHORITY": N_("An authority is entitled to it"),
    },
    "WorkItemKind": {
        "WORK_ITEM_KIND_REACTIVATION": N_("Customers to bring back"),
        "WORK_ITEM_KIND_IDENTITY_CHECK": N_("Identities to check"),
        "WORK_ITEM_KIND_UNDELIVERABLE_MAIL": N_("Mail that does not arrive"),
        "WORK_ITEM_KIND_POSSIBLE_DUPLICATE": N_("Possible duplicates"),
        "WORK_ITEM_KIND_MESSAGE": N_("Messages of units"),
        "WORK_ITEM_KIND_FEEDBACK": N_("Feedback on accessibility"),
        "WORK_ITEM_KIND_DISSENT": N_("Guardians who do not agree"),
    },
    "ClaimFilter": {
        "CLAIM_FILTER_UNCLAIMED": N_("Nobody's"),
        "CLAIM_FILTER_MINE": N_("Mine"),
    },
    "Role": {
        "ROLE_REGISTRAR": N_("Registrar"),
        "ROLE_MAIN_USER": N_("Main user"),
        "ROLE_CUSTOMER_SERVICE": N_("Customer service"),
        "ROLE_OPERATOR": N_("Operator"),
    },
}

USES: Mapping[str, str] = {
    "class-list:cancel": N_("Class list cancelled"),
    "class-list:check": N_("Class list checked"),
    "class-list:register": N_("Class list registered"),
    "class-list:result": N_("Result of a class list read"),
    "consent:withdraw": N_("Consent withdrawn by the guardian"),
    "credentials:send": N_("Credentials sent anew"),
    "customer:confirm-email": N_("E-mail address confirmed"),
    "customer:convert": N_("Made an online customer"),
    "customer:correct-birth-date": N_("Date of birth corrected"),
    "customer:look-up": N_("Looked up by personal identity code"),
    "customer:merge": N_("Merged with another customer"),
    "customer:merge-away": N_("Merged into another customer"),
    "customer:undo-merge": N_("Undid a merge with another customer"),
    "customer:read": N_("Customer read"),
    "customer:report-loan": N_("Loan reported"),
    "customer:search": N_("Customers searched by name"),
    "customer:transfer": N_("Moved to the unit"),
    "customer:transfer-away": N_("Moved away from the unit"),
    "customer:update": N_("Customer's data changed"),
    "customership:end": N_("Customership ended"),
    "customership:erase": N_("Data erased"),
    "customership:extend": N_("Temporary need extended"),
    "customership:undo": N_("Removal undone"),
    "disclosure:create": N_("Export of a person's data ordered"),
    "disclosure:read": N_("Export of a person's data read"),
    "feedback:answer": N_("Feedback on accessibility answered"),
    "feedback:read": N_("Feedback on accessibility read"),
    "message:close": N_("Message answered"),
    "message:find": N_("Message found by its reference"),
    "message:lapse": N_("Message not answered in time"),
    "message:list": N_("Messages listed"),
    "message:read": N_("Message read"),
    "message:send": N_("Message written"),
    "payload:decode": N_("Data of a workflow decrypted"),
    "personal-identity-code:attach": N_("Personal identity code attached"),
    "personal-identity-code:correct": N_("Personal identity code corrected"),
    "personal-identity-code:renew": N_("Personal identity code renewed"),
    "personal-identity-code:set": N_("Personal identity code set"),
    "protected:authority": N_("Protected details read, for an authority"),
    "protected:contact": N_("Protected details read, to get in touch"),
    "protected:correction": N_("Protected details read, to check or correct them"),
    "protected:mark": N_("Marked as protected"),
    "protected:own-request": N_("Protected details read, as the person asked for them"),
    "protected:postal-delivery": N_("Protected details read, to send something by post"),
    "protected:read": N_("Protected details read"),
    "protected:remove": N_("Protection removed"),
    "protected:transfer": N_("Protected details read, for a transfer"),
    "registrar:invite": N_("Registrar invited"),
    "registrar:list": N_("Registrars listed"),
    "registrar:remove": N_("Registrar taken out"),
    "registrar:set-role": N_("Registrar's role changed"),
    "registration:activate": N_("Customership begun"),
    "registration:create": N_("Registration saved"),
    "registration:end": N_("Registration ended"),
    "registration:explain": N_("History read"),
    "registration:find": N_("Registration found by its reference"),
    "registration:link": N_("Linked to a customer"),
    "registration:list": N_("Registrations listed"),
    "registration:reactivate": N_("Customer brought back"),
    "registration:read": N_("Registration read"),
    "registration:reject": N_("Registration not accepted"),
    "registration:update": N_("Form of a registration changed"),
    "registration:verify-identity": N_("Identity confirmed"),
    "unit:close": N_("Unit closed"),
    "unit:create": N_("Unit created"),
    "unit:list": N_("Units listed"),
    "unit:read": N_("Unit read"),
    "unit:update": N_("Unit changed"),
    "use-log:search": N_("Log of use searched"),
    "use-log:suspicions": N_("Suspicious use listed"),
    "work:acknowledge-dissent": N_("A guardian's dissent marked as known"),
    "work:claim": N_("Work item taken"),
    "work:dismiss-duplicate": N_("Two customers kept as two persons"),
    "work:list": N_("Work list read"),
    "work:read": N_("Work item read"),
    "work:release": N_("Work item given back"),
}
"""The words for the actions in the log of use."""

OTHER_USE = N_("Something else")

_ENUMS = {
    enum.DESCRIPTOR.name: enum.DESCRIPTOR
    for enum in (
        Stage,
        Party,
        ConsentState,
        CustomerKind,
        Language,
        PrintDisability,
        SchoolSupport,
        Applicant,
        CredentialsRecipient,
        MissingCodeReason,
        EmailState,
        CustomerState,
        EndReason,
        MessageState,
        MessageContext,
        ClassListState,
        ActorKind,
        SuspicionRule,
        UnitKind,
        CodeChange,
        CodeOf,
        GuardianAnswer,
        ProtectedReadReason,
        WorkItemKind,
        ClaimFilter,
        Role,
    )
}


def enums() -> Mapping[str, EnumDescriptor]:
    """The enums that have words, by name."""
    return _ENUMS


def word(enum: str, value: int) -> str:
    """The English word for a value of an enum; empty for a value that is not given or not known here."""
    known = _ENUMS[enum].values_by_number.get(value)
    return _WORDS[enum].get(known.name, "") if known is not None else ""


def options(enum: str) -> Sequence[tuple[str, str]]:
    """The values that can be chosen, each with its word."""
    return list(_WORDS[enum].items())


def value_of(enum: str, name: str) -> int:
    """The number of a value; 0 if there is none of that name."""
    known = _ENUMS[enum].values_by_name.get(name)
    return known.number if known is not None else 0


def name_of(enum: str, value: int) -> str:
    """The name of a value; empty if it is not given."""
    known = _ENUMS[enum].values_by_number.get(value)
    return known.name if known is not None and value else ""


def use(action: str) -> str:
    """The English words for an action in the log of use."""
    return USES.get(action, OTHER_USE)
