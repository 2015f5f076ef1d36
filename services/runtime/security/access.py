"""The access table: who may call each RPC of every service. RPCs not in it are refused.

For each RPC it gives the callers, whose data they may touch, and the action's name in the log of use (R36).
Every server's interceptor enforces it; so does the codec server.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from liity.v1.auth_service_pb2 import (
    ROLE_CUSTOMER_SERVICE,
    ROLE_MAIN_USER,
    ROLE_OPERATOR,
    ROLE_REGISTRAR,
    Role,
)


class Whose(Enum):
    """Whose data an account may touch by an RPC."""

    UNIT = "the customers of the unit that the request names"
    EVERYBODY = "everybody"
    NOBODY = "nobody"


class Recorded(Enum):
    """When a use is recorded in the log of use."""

    BEFORE_ANSWER = "before the answer"
    WITH_CHANGE = "in the transaction of the change"
    NOT = "not: no personal data"


@dataclass(frozen=True)
class Anyone:
    """No authentication: the request carries a token or password of its own, or the RPC reveals nothing."""


@dataclass(frozen=True)
class Services:
    """Only these components, by their service identity."""

    names: frozenset[str]


@dataclass(frozen=True)
class Accounts:
    """Accounts that are logged in with one of these roles. `action` is its name in the log of use."""

    roles: frozenset[Role.ValueType]
    whose: Whose
    action: str
    recorded: Recorded
    session_by_handler: bool = False
    """Whether the handler has the session checked with its first call of identity, which spares a call."""


Rule = Anyone | Services | Accounts


@dataclass(frozen=True)
class Caller:
    """The caller: a component by its name, or an account with its roles and units."""

    service: str = ""
    account_id: str = ""
    display_name: str = ""
    roles: frozenset[Role.ValueType] = frozenset()
    units: Mapping[str, Role.ValueType] | None = None
    session_id: str = ""
    """The account's session; not checked yet if the rule says `session_by_handler`."""

    def roles_in(self, unit_id: str) -> frozenset[Role.ValueType]:
        """The account's roles towards a unit: its staff roles, and that of its membership."""
        membership = (self.units or {}).get(unit_id)
        return self.roles if membership is None else self.roles | {membership}

    def roles_anywhere(self) -> frozenset[Role.ValueType]:
        """The account's staff roles, and those of all its memberships."""
        return self.roles.union((self.units or {}).values())


def _rules(service: str, rule: Rule, *methods: str) -> Iterable[tuple[str, Rule]]:
    return ((f"/{service}/{method}", rule) for method in methods)


def _services(*names: str) -> Services:
    return Services(frozenset(names))


_REGISTERING = frozenset({ROLE_REGISTRAR, ROLE_MAIN_USER, ROLE_CUSTOMER_SERVICE})


def _unit_people(action: str, recorded: Recorded) -> Accounts:
    """Registrars for their own units, customer service for all units."""
    return Accounts(_REGISTERING, Whose.UNIT, action, recorded)


def _about_nobody(action: str, roles: Iterable[Role.ValueType]) -> Accounts:
    """No personal data: accounts with one of the roles in any unit."""
    return Accounts(frozenset(roles), Whose.NOBODY, action, Recorded.NOT)


def _main_users(action: str, recorded: Recorded) -> Accounts:
    """Main users for their own units, customer service for all units."""
    return Accounts(frozenset({ROLE_MAIN_USER, ROLE_CUSTOMER_SERVICE}), Whose.UNIT, action, recorded)


def _staff(action: str, recorded: Recorded) -> Accounts:
    """Customer service only."""
    return Accounts(frozenset({ROLE_CUSTOMER_SERVICE}), Whose.EVERYBODY, action, recorded)


def _staff_of_unit(action: str, recorded: Recorded) -> Accounts:
    """Customer service only, for the unit that the request names: the log of use names the unit."""
    return Accounts(frozenset({ROLE_CUSTOMER_SERVICE}), Whose.UNIT, action, recorded)


_READ, _CHANGE = Recorded.BEFORE_ANSWER, Recorded.WITH_CHANGE

_NO_PERSONS = Recorded.NOT

_AUTH, _CONSENTS = "liity.v1.AuthService", "liity.v1.ConsentService"
_REGISTRATIONS, _USES = "liity.v1.RegistrationService", "liity.v1.UseLogService"
_CUSTOMERS, _DISCLOSURES = "liity.v1.CustomerService", "liity.v1.DisclosureService"
_CLASS_LISTS = "liity.v1.ClassListService"
_WORK, _MESSAGES = "liity.v1.WorkService", "liity.v1.MessageService"
_FEEDBACK, _STORED_FEEDBACK = "liity.v1.FeedbackService", "liity.registration.v1.FeedbackService"
_BOOK_TIPS = "liity.v1.BookTipsService"
_PERSONS, _ACCOUNTS = "liity.identity.v1.PersonService", "liity.identity.v1.AccountService"
_LINKS, _CREDENTIALS = "liity.identity.v1.LinkService", "liity.identity.v1.CredentialService"
_UNITS, _PUBLIC_UNITS = "liity.registration.v1.UnitService", "liity.v1.UnitService"
_REGISTRARS = "liity.identity.v1.RegistrarService"
_STORED_REGISTRATIONS = "liity.registration.v1.RegistrationService"
_STORED_CUSTOMERS = "liity.registration.v1.CustomerService"
_STORED_USES = "liity.registration.v1.UseLogService"
_STORED_WORK = "liity.registration.v1.WorkService"
_STORED_MESSAGES = "liity.registration.v1.MessageService"
_HISTORY = "liity.registration.v1.HistoryService"
_RECONCILIATION = "liity.registration.v1.ReconciliationService"
_PERSONAL_DATA = "liity.registration.v1.PersonalDataService"
_STORED_CLASS_LISTS = "liity.registration.v1.ClassListService"
_NOTIFICATIONS = "liity.notification.v1.NotificationService"

ACCESS: Mapping[str, Rule] = dict(
    (
        # The public API.
        *_rules(
            _AUTH, Anyone(), "LogIn", "RefreshSession", "LogOut", "OrderPassword", "ChooseAccountPassword"
        ),
        *_rules(_AUTH, Anyone(), "GetInvitation", "AcceptInvitation"),
        *_rules(_CONSENTS, Anyone(), "GetConsentRequest", "AcceptConsent", "DeclineConsent"),
        *_rules(_CONSENTS, Anyone(), "GetConsentStatus", "RequestNewConsentLink"),
        *_rules(_CONSENTS, Anyone(), "ReportWrongRecipient", "TakeBackDecline", "WithdrawConsent"),
        *_rules("liity.v1.CredentialService", Anyone(), "ChoosePassword", "OrderCustomerPassword"),
        *_rules(_REGISTRATIONS, _unit_people("customer:look-up", _READ), "CheckPersonalIdentityCode"),
        *_rules(
            _REGISTRATIONS,
            replace(_unit_people("registration:create", _CHANGE), session_by_handler=True),
            "RegisterCustomer",
        ),
        *_rules(_REGISTRATIONS, _unit_people("registration:read", _READ), "GetRegistration"),
        *_rules(_REGISTRATIONS, _staff("registration:find", _READ), "FindRegistrations"),
        *_rules(_REGISTRATIONS, _unit_people("registration:list", _READ), "ListRegistrations"),
        *_rules(_REGISTRATIONS, _unit_people("registration:update", _CHANGE), "UpdateRegistration"),
        *_rules(_REGISTRATIONS, _unit_people("registration:activate", _CHANGE), "RecordConsent"),
        *_rules(_REGISTRATIONS, _unit_people("registration:remind", _READ), "RemindGuardian"),
        *_rules(_REGISTRATIONS, _unit_people("registration:end", _CHANGE), "WithdrawRegistration"),
        *_rules(_REGISTRATIONS, _staff_of_unit("registration:reactivate", _CHANGE), "Reactivate"),
        *_rules(_REGISTRATIONS, _staff_of_unit("registration:verify-identity", _CHANGE), "VerifyIdentity"),
        *_rules(_REGISTRATIONS, _staff_of_unit("registration:link", _CHANGE), "LinkToCustomer"),
        *_rules(_REGISTRATIONS, _staff_of_unit("registration:reject", _CHANGE), "RejectRegistration"),
        *_rules(_CUSTOMERS, _unit_people("customer:read", _READ), "GetCustomer"),
        *_rules(_CUSTOMERS, _unit_people("customer:update", _CHANGE), "UpdateCustomer"),
        *_rules(_CUSTOMERS, _unit_people("customer:search", _READ), "SearchCustomers"),
        *_rules(_CUSTOMERS, _unit_people("customer:transfer", _CHANGE), "TransferCustomer"),
        *_rules(_CUSTOMERS, _unit_people("credentials:send", _CHANGE), "SendCredentials"),
        *_rules(_CUSTOMERS, Anyone(), "ConfirmEmail"),
        *_rules(_CUSTOMERS, _unit_people("customership:end", _CHANGE), "EndCustomership"),
        *_rules(_CUSTOMERS, _staff_of_unit("customership:undo", _CHANGE), "UndoRemoval"),
        *_rules(
            "liity.v1.CustomershipLinkService",
            Anyone(),
            "GetCustomershipLink",
            "ExtendNeed",
            "EndOwnCustomership",
            "GetOwnContactData",
            "UpdateOwnContactData",
            "ListOwnUses",
        ),
        *_rules(_CUSTOMERS, _staff_of_unit("personal-identity-code:set", _CHANGE), "SetPersonalIdentityCode"),
        *_rules(_CUSTOMERS, _staff_of_unit("customer:correct-birth-date", _CHANGE), "CorrectBirthDate"),
        *_rules(_CUSTOMERS, _staff_of_unit("customer:merge", _CHANGE), "MergeCustomers"),
        *_rules(_CUSTOMERS, _staff_of_unit("customer:undo-merge", _CHANGE), "UndoMerge"),
        *_rules(_CUSTOMERS, _staff_of_unit("customer:convert", _CHANGE), "ConvertToOnline"),
        *_rules(_CUSTOMERS, _staff_of_unit("protected:mark", _CHANGE), "MarkProtected"),
        *_rules(_CUSTOMERS, _staff_of_unit("protected:remove", _CHANGE), "RemoveProtection"),
        *_rules(_CUSTOMERS, _staff("protected:read", _CHANGE), "GetProtectedDetails"),
        *_rules(_BOOK_TIPS, _about_nobody("book-tips:read", _REGISTERING), "GetBookTips"),
        *_rules(_BOOK_TIPS, _about_nobody("book-tips:update", {ROLE_CUSTOMER_SERVICE}), "UpdateBookTips"),
        *_rules(_USES, _staff("use-log:search", _READ), "ListUses"),
        *_rules(_USES, _staff("use-log:suspicions", _READ), "ListSuspicions"),
        *_rules(_DISCLOSURES, _staff("disclosure:create", _READ), "CreateDisclosure"),
        *_rules(_DISCLOSURES, _staff("disclosure:read", _READ), "GetDisclosure"),
        *_rules(_CLASS_LISTS, _unit_people("class-list:template", _NO_PERSONS), "GetClassListTemplate"),
        *_rules(_CLASS_LISTS, _unit_people("class-list:check", _READ), "CheckClassList"),
        *_rules(_CLASS_LISTS, _unit_people("class-list:register", _CHANGE), "RegisterClassList"),
        *_rules(_CLASS_LISTS, _unit_people("class-list:read", _NO_PERSONS), "GetClassList"),
        *_rules(_CLASS_LISTS, _unit_people("class-list:list", _NO_PERSONS), "ListClassLists"),
        *_rules(_CLASS_LISTS, _unit_people("class-list:result", _READ), "GetClassListResult"),
        *_rules(_CLASS_LISTS, _unit_people("class-list:cancel", _CHANGE), "CancelClassList"),
        *_rules(_PUBLIC_UNITS, _staff("unit:create", _READ), "CreateUnit"),
        *_rules(_PUBLIC_UNITS, _unit_people("unit:read", _READ), "GetUnit"),
        *_rules(_PUBLIC_UNITS, _unit_people("unit:summary", _NO_PERSONS), "GetUnitSummary"),
        *_rules(_PUBLIC_UNITS, _staff("unit:list", _READ), "ListUnits"),
        *_rules(_PUBLIC_UNITS, _staff_of_unit("unit:update", _READ), "UpdateUnit"),
        *_rules(_PUBLIC_UNITS, _staff_of_unit("unit:close", _READ), "CloseUnit"),
        *_rules(_PUBLIC_UNITS, _staff_of_unit("unit:closing", _NO_PERSONS), "GetUnitClosing"),
        *_rules(_PUBLIC_UNITS, _main_users("registrar:invite", _READ), "InviteRegistrar"),
        *_rules(_PUBLIC_UNITS, _main_users("registrar:list", _READ), "ListRegistrars"),
        *_rules(_PUBLIC_UNITS, _staff_of_unit("registrar:set-role", _READ), "SetRegistrarRole"),
        *_rules(_PUBLIC_UNITS, _main_users("registrar:remove", _READ), "RemoveRegistrar"),
        *_rules(_REGISTRATIONS, _unit_people("registration:explain", _READ), "ExplainRegistration"),
        *_rules(_WORK, _about_nobody("work:figures", {ROLE_CUSTOMER_SERVICE}), "GetFigures"),
        *_rules(
            _WORK,
            _about_nobody("mail:report", {ROLE_CUSTOMER_SERVICE, ROLE_OPERATOR}),
            "ReportDelivery",
        ),
        *_rules(_WORK, _staff("work:list", _READ), "ListWorkItems"),
        *_rules(_WORK, _staff("work:read", _READ), "GetWorkItem"),
        *_rules(_WORK, _staff("work:claim", _CHANGE), "ClaimWorkItem"),
        *_rules(_WORK, _staff("work:release", _CHANGE), "ReleaseWorkItem"),
        *_rules(_WORK, _staff("work:dismiss-duplicate", _CHANGE), "DismissDuplicate"),
        *_rules(_WORK, _staff("work:acknowledge-dissent", _CHANGE), "AcknowledgeDissent"),
        *_rules(_MESSAGES, _unit_people("message:send", _CHANGE), "SendMessage"),
        *_rules(_MESSAGES, _unit_people("message:read", _READ), "GetMessage"),
        *_rules(_MESSAGES, _unit_people("message:list", _READ), "ListMessages"),
        *_rules(_MESSAGES, _staff("message:find", _READ), "FindMessage"),
        *_rules(_MESSAGES, _staff_of_unit("message:close", _CHANGE), "CloseMessage"),
        *_rules(_FEEDBACK, Anyone(), "SendFeedback"),
        *_rules(_FEEDBACK, _staff("feedback:read", _READ), "GetFeedback"),
        *_rules(_FEEDBACK, _staff("feedback:answer", _CHANGE), "AnswerFeedback"),
        # The codec server speaks HTTP, but uses this table too.
        *_rules("codec", _staff("payload:decode", _READ), "decode"),
        # identity
        *_rules(_PERSONS, _services("gateway"), "FindPerson", "EnsurePerson", "ReleasePerson"),
        *_rules(_PERSONS, _services("gateway"), "HasCode"),
        *_rules(_PERSONS, _services("gateway"), "BatchFindPersons", "BatchEnsurePersons"),
        *_rules(_PERSONS, _services("worker"), "BatchReleasePersons", "ListMissingPersons"),
        *_rules(_PERSONS, _services("gateway"), "EnsurePersonWithoutCode"),
        *_rules(_PERSONS, _services("worker"), "RetainPerson", "ErasePerson", "ExportPerson"),
        *_rules(_PERSONS, _services("gateway"), "PrepareCodeChange"),
        *_rules(_PERSONS, _services("worker"), "CommitCodeChange"),
        *_rules(_PERSONS, _services("worker"), "UnretainPerson"),
        *_rules(_PERSONS, _services("worker"), "CheckMerge", "MergePersons", "UndoMergePersons"),
        *_rules(_ACCOUNTS, _services("gateway"), "LogIn", "RefreshSession", "LogOut", "BatchGetAccounts"),
        *_rules(_ACCOUNTS, _services("gateway"), "AdmitPasswordOrder", "ChooseAccountPassword"),
        *_rules(_ACCOUNTS, _services("gateway"), "ListLockOuts"),
        *_rules(_ACCOUNTS, _services("gateway", "codec"), "GetJwks"),
        *_rules(_ACCOUNTS, _services("worker"), "GetAccount", "IssuePasswordLink"),
        *_rules(_ACCOUNTS, _services("worker"), "ListAccounts"),
        *_rules(_ACCOUNTS, _services("gateway", "worker"), "FindAccount"),
        *_rules(_ACCOUNTS, _services("seed"), "CreateAccount"),
        *_rules(_ACCOUNTS, _services("gateway", "codec"), "CheckSession"),
        *_rules(_ACCOUNTS, _services("worker"), "ListAgedPasswords", "MarkPasswordReminded"),
        *_rules(_REGISTRARS, _services("worker"), "InviteRegistrar", "IssueInvitationLink"),
        *_rules(_REGISTRARS, _services("worker"), "VoidInvitation", "ReleaseUnit"),
        *_rules(_REGISTRARS, _services("gateway", "worker"), "GetInvitation"),
        *_rules(_REGISTRARS, _services("worker"), "ListOpenInvitations"),
        *_rules(_REGISTRARS, _services("gateway"), "CheckInvitation", "AcceptInvitation", "ListRegistrars"),
        *_rules(_REGISTRARS, _services("gateway"), "SetRegistrarRole", "RemoveRegistrar"),
        *_rules(_LINKS, _services("gateway"), "CheckLink", "GetConsentLink", "AdmitConsentLinkOrder"),
        *_rules(_LINKS, _services("worker"), "IssueLink", "VoidLinks"),
        *_rules(_LINKS, _services("gateway", "worker"), "RedeemLink"),
        *_rules(_CREDENTIALS, _services("gateway"), "ChoosePassword"),
        *_rules(_CREDENTIALS, _services("worker"), "IssueCredentials", "VoidCredentials", "FindUserName"),
        *_rules(_CREDENTIALS, _services("gateway"), "GetCredentialState"),
        *_rules(_CREDENTIALS, _services("worker"), "ListUnusedPasswordLinks", "MarkUnusedPasswordLink"),
        # registration
        *_rules(_UNITS, _services("gateway", "seed"), "CreateUnit"),
        *_rules(_UNITS, _services("gateway", "worker"), "BatchGetUnits", "GetUnit"),
        *_rules(_UNITS, _services("gateway"), "ListUnits", "UpdateUnit", "GetUnitSummary", "GetUnitClosing"),
        *_rules(_UNITS, _services("worker"), "CloseUnit", "ListUnitPersons", "MoveUnitPersons"),
        *_rules(_STORED_REGISTRATIONS, _services("gateway"), "PrepareRegistration", "ListRegistrations"),
        *_rules(_STORED_REGISTRATIONS, _services("gateway"), "FindRegistrations"),
        *_rules(
            _STORED_REGISTRATIONS, _services("gateway"), "LookUpPerson", "CheckConsent", "GetConsentRequest"
        ),
        *_rules(_STORED_REGISTRATIONS, _services("gateway"), "GetForm", "ListSameGuardian"),
        *_rules(_STORED_REGISTRATIONS, _services("worker"), "UpdateForm"),
        *_rules(_STORED_REGISTRATIONS, _services("gateway", "worker"), "GetRegistration"),
        *_rules(_STORED_REGISTRATIONS, _services("worker"), "CreateRegistration", "GetMailingDetails"),
        *_rules(_STORED_REGISTRATIONS, _services("worker"), "ActivateRegistration", "AdvanceRegistration"),
        *_rules(_STORED_REGISTRATIONS, _services("worker"), "EndRegistration", "MarkWrongRecipient"),
        *_rules(
            _STORED_REGISTRATIONS, _services("worker"), "RecordDecline", "TakeBackDecline", "RecordDissent"
        ),
        *_rules(_STORED_REGISTRATIONS, _services("worker"), "ApproveRegistration", "LinkRegistration"),
        *_rules(_STORED_REGISTRATIONS, _services("gateway"), "ListPossibleDuplicates"),
        *_rules(
            _STORED_CUSTOMERS,
            _services("gateway"),
            "SearchCustomers",
            "ConfirmEmail",
            "CheckBirthDate",
            "CheckConsentWithdrawal",
            "CheckTransfer",
            "MarkProtected",
            "RemoveProtection",
            "GetProtectedDetails",
        ),
        *_rules(_STORED_CUSTOMERS, _services("gateway", "worker"), "GetCustomer"),
        *_rules(_STORED_CUSTOMERS, _services("gateway", "worker"), "UpdateCustomer"),
        *_rules(_STORED_CUSTOMERS, _services("gateway", "worker"), "FindOnlineCustomers"),
        *_rules(_STORED_CUSTOMERS, _services("worker"), "TransferCustomer", "OrderCredentials"),
        *_rules(_STORED_CUSTOMERS, _services("worker"), "MarkEmailUndeliverable", "MarkEmailDelivered"),
        *_rules(_STORED_CUSTOMERS, _services("worker"), "CheckEmailConfirmation"),
        *_rules(_STORED_CUSTOMERS, _services("gateway"), "CorrectBirthDate"),
        *_rules(_STORED_CUSTOMERS, _services("worker"), "EndCustomership", "UndoRemoval"),
        *_rules(_STORED_CUSTOMERS, _services("worker"), "ExtendNeed", "ReportLoan"),
        *_rules(_STORED_CUSTOMERS, _services("worker"), "RecordCodeChange"),
        *_rules(_STORED_CUSTOMERS, _services("worker"), "CheckMerge", "MergeCustomers", "ConvertToOnline"),
        *_rules(_STORED_CUSTOMERS, _services("worker"), "UndoMerge"),
        *_rules(_STORED_USES, _services("gateway", "codec"), "RecordUse"),
        *_rules(_STORED_USES, _services("gateway"), "ListUses", "ListSuspicions"),
        *_rules(_STORED_WORK, _services("gateway"), "ListWorkItems", "GetWorkItem", "ClaimWorkItem"),
        *_rules(
            _STORED_WORK,
            _services("gateway"),
            "ReleaseWorkItem",
            "DismissDuplicate",
            "AcknowledgeDissent",
            "CheckClaim",
            "RecordSimilarCodes",
        ),
        *_rules(_STORED_WORK, _services("gateway"), "GetFigures"),
        *_rules(_STORED_WORK, _services("worker"), "CountDueWork"),
        *_rules(_STORED_MESSAGES, _services("gateway"), "CreateMessage", "GetMessage", "ListMessages"),
        *_rules(_STORED_MESSAGES, _services("gateway"), "CloseMessage"),
        *_rules(_STORED_MESSAGES, _services("worker"), "GetMessageStatus", "LapseMessage"),
        *_rules(_STORED_FEEDBACK, _services("gateway"), "CreateFeedback", "AnswerFeedback"),
        *_rules(_STORED_FEEDBACK, _services("gateway", "worker"), "GetFeedback"),
        *_rules(_HISTORY, _services("gateway"), "GetHistory"),
        *_rules(_RECONCILIATION, _services("worker"), "ListUnfinished", "GetUnfinishedRegistration"),
        *_rules(_RECONCILIATION, _services("worker"), "ListMissing", "ListCustomerPersons"),
        *_rules(_PERSONAL_DATA, _services("worker"), "ExportPerson", "ErasePerson", "ForgetPerson"),
        *_rules(_PERSONAL_DATA, _services("worker"), "IsPersonKnown", "DeleteDisclosure"),
        *_rules(_PERSONAL_DATA, _services("gateway", "worker"), "StoreDisclosure"),
        *_rules(_PERSONAL_DATA, _services("gateway"), "GetDisclosure"),
        *_rules(_STORED_CLASS_LISTS, _services("gateway"), "CheckClassList", "CreateClassList"),
        *_rules(_STORED_CLASS_LISTS, _services("gateway"), "ListClassLists", "ListOutcomes"),
        *_rules(_STORED_CLASS_LISTS, _services("gateway", "worker"), "GetClassList"),
        *_rules(_STORED_CLASS_LISTS, _services("worker"), "BeginClassList", "ListUndecidedRows"),
        *_rules(_STORED_CLASS_LISTS, _services("worker"), "DecideRows", "FinishClassList", "CancelClassList"),
        # notification
        *_rules(_NOTIFICATIONS, _services("worker"), "SendMessage", "ExportSubjects", "EraseSubjects"),
        *_rules(_NOTIFICATIONS, _services("gateway"), "GetDelivery", "ListDeliveries", "GetMailFigures"),
        *_rules(_NOTIFICATIONS, _services("gateway"), "ReportDelivery"),
        *_rules(_NOTIFICATIONS, _services("worker"), "ListReturnedMail", "SettleReturnedMail"),
        *_rules(_NOTIFICATIONS, _services("worker"), "ListMailToSendAgain", "SettleMailToSendAgain"),
        *_rules(_NOTIFICATIONS, _services("gateway"), "GetBookTips", "UpdateBookTips"),
        # Every server: probes check health, and the API's shape is no secret.
        *_rules("grpc.health.v1.Health", Anyone(), "Check", "Watch", "List"),
        *_rules("grpc.reflection.v1alpha.ServerReflection", Anyone(), "ServerReflectionInfo"),
    )
)

ROLES: Mapping[Role.ValueType, str] = {
    ROLE_REGISTRAR: "registrar",
    ROLE_MAIN_USER: "main user",
    ROLE_CUSTOMER_SERVICE: "customer service",
    ROLE_OPERATOR: "operator",
}
"""All roles of accounts."""
