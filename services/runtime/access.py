"""Who may do what: one table for every RPC of every service. What is not in it is refused.

The contract tells what an RPC does; this table tells who may call it, about whose data, and under which name
the log of use knows it (R36). The interceptor of every server enforces it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
    """How a use comes into the log."""

    BEFORE_ANSWER = "before the answer"
    WITH_CHANGE = "in the transaction of the change"
    NOT = "not: no personal data"


@dataclass(frozen=True)
class Anyone:
    """No identity is asked for: the request itself carries what opens the door, or nothing is behind it."""


@dataclass(frozen=True)
class Services:
    """Only these components, by their service identity."""

    names: frozenset[str]


@dataclass(frozen=True)
class Accounts:
    """Accounts logged in with one of these roles. `action` is the name of it in the log of use."""

    roles: frozenset[Role.ValueType]
    whose: Whose
    action: str
    recorded: Recorded


Rule = Anyone | Services | Accounts


@dataclass(frozen=True)
class Caller:
    """Who calls: a component by its name, or an account with its roles and units."""

    service: str = ""
    account_id: str = ""
    display_name: str = ""
    roles: frozenset[Role.ValueType] = frozenset()
    units: Mapping[str, Role.ValueType] | None = None

    def roles_in(self, unit_id: str) -> frozenset[Role.ValueType]:
        """The roles the account has towards a unit: staff's own, and that of its membership."""
        membership = (self.units or {}).get(unit_id)
        return self.roles if membership is None else self.roles | {membership}


def _rules(service: str, rule: Rule, *methods: str) -> Iterable[tuple[str, Rule]]:
    return ((f"/{service}/{method}", rule) for method in methods)


def _services(*names: str) -> Services:
    return Services(frozenset(names))


def _unit_people(action: str, recorded: Recorded) -> Accounts:
    """Registrars for their own units, customer service for all of them."""
    roles = frozenset({ROLE_REGISTRAR, ROLE_MAIN_USER, ROLE_CUSTOMER_SERVICE})
    return Accounts(roles, Whose.UNIT, action, recorded)


def _staff(action: str, recorded: Recorded) -> Accounts:
    """Customer service alone."""
    return Accounts(frozenset({ROLE_CUSTOMER_SERVICE}), Whose.EVERYBODY, action, recorded)


_READ, _CHANGE = Recorded.BEFORE_ANSWER, Recorded.WITH_CHANGE

_AUTH, _CONSENTS = "liity.v1.AuthService", "liity.v1.ConsentService"
_REGISTRATIONS, _USES = "liity.v1.RegistrationService", "liity.v1.UseLogService"
_DISCLOSURES = "liity.v1.DisclosureService"
_PERSONS, _ACCOUNTS = "liity.identity.v1.PersonService", "liity.identity.v1.AccountService"
_LINKS, _CREDENTIALS = "liity.identity.v1.LinkService", "liity.identity.v1.CredentialService"
_UNITS = "liity.registration.v1.UnitService"
_STORED_REGISTRATIONS = "liity.registration.v1.RegistrationService"
_STORED_USES = "liity.registration.v1.UseLogService"
_PERSONAL_DATA = "liity.registration.v1.PersonalDataService"
_NOTIFICATIONS = "liity.notification.v1.NotificationService"

ACCESS: Mapping[str, Rule] = dict(
    (
        # The public API.
        *_rules(
            _AUTH, Anyone(), "LogIn", "RefreshSession", "LogOut", "OrderPassword", "ChooseAccountPassword"
        ),
        *_rules(_CONSENTS, Anyone(), "GetConsentRequest", "AcceptConsent", "DeclineConsent"),
        *_rules("liity.v1.CredentialService", Anyone(), "ChoosePassword"),
        *_rules(_REGISTRATIONS, _unit_people("customer:look-up", _READ), "CheckPersonalIdentityCode"),
        *_rules(_REGISTRATIONS, _unit_people("registration:create", _CHANGE), "RegisterCustomer"),
        *_rules(_REGISTRATIONS, _unit_people("registration:read", _READ), "GetRegistration"),
        *_rules(_REGISTRATIONS, _unit_people("registration:list", _READ), "ListRegistrations"),
        *_rules(_REGISTRATIONS, _unit_people("registration:activate", _CHANGE), "RecordConsent"),
        *_rules(_REGISTRATIONS, _unit_people("registration:end", _CHANGE), "WithdrawRegistration"),
        *_rules(_USES, _staff("use-log:search", _READ), "ListUses"),
        *_rules(_USES, _staff("use-log:suspicions", _READ), "ListSuspicions"),
        *_rules(_DISCLOSURES, _staff("disclosure:create", _READ), "CreateDisclosure"),
        *_rules(_DISCLOSURES, _staff("disclosure:read", _READ), "GetDisclosure"),
        # The codec server: HTTP, but let in by the same table.
        *_rules("codec", _staff("payload:decode", _READ), "decode"),
        # identity
        *_rules(_PERSONS, _services("gateway"), "FindPerson", "EnsurePerson", "ReleasePerson"),
        *_rules(_PERSONS, _services("worker"), "RetainPerson", "ErasePerson", "ExportPerson"),
        *_rules(_ACCOUNTS, _services("gateway"), "LogIn", "RefreshSession", "LogOut", "BatchGetAccounts"),
        *_rules(_ACCOUNTS, _services("gateway"), "AdmitPasswordOrder", "ChooseAccountPassword"),
        *_rules(_ACCOUNTS, _services("gateway", "codec"), "GetJwks"),
        *_rules(_ACCOUNTS, _services("worker"), "GetAccount", "IssuePasswordLink"),
        *_rules(_ACCOUNTS, _services("seed"), "CreateAccount"),
        *_rules(_LINKS, _services("gateway"), "CheckLink"),
        *_rules(_LINKS, _services("worker"), "IssueLink", "RedeemLink", "VoidLinks"),
        *_rules(_CREDENTIALS, _services("gateway"), "ChoosePassword"),
        *_rules(_CREDENTIALS, _services("worker"), "IssueCredentials"),
        # registration
        *_rules(_UNITS, _services("seed"), "CreateUnit"),
        *_rules(_UNITS, _services("gateway", "worker"), "BatchGetUnits"),
        *_rules(_STORED_REGISTRATIONS, _services("gateway"), "PrepareRegistration", "ListRegistrations"),
        *_rules(
            _STORED_REGISTRATIONS, _services("gateway"), "LookUpPerson", "CheckConsent", "GetConsentRequest"
        ),
        *_rules(_STORED_REGISTRATIONS, _services("gateway", "worker"), "GetRegistration"),
        *_rules(_STORED_REGISTRATIONS, _services("worker"), "CreateRegistration", "GetMailingDetails"),
        *_rules(_STORED_REGISTRATIONS, _services("worker"), "ActivateRegistration", "AdvanceRegistration"),
        *_rules(_STORED_REGISTRATIONS, _services("worker"), "EndRegistration"),
        *_rules(_STORED_USES, _services("gateway", "codec"), "RecordUse"),
        *_rules(_STORED_USES, _services("gateway"), "ListUses", "ListSuspicions"),
        *_rules(_PERSONAL_DATA, _services("worker"), "ExportPerson", "ErasePerson", "ForgetPerson"),
        *_rules(_PERSONAL_DATA, _services("worker"), "DeleteDisclosure"),
        *_rules(_PERSONAL_DATA, _services("gateway", "worker"), "StoreDisclosure"),
        *_rules(_PERSONAL_DATA, _services("gateway"), "GetDisclosure"),
        # notification
        *_rules(_NOTIFICATIONS, _services("worker"), "SendMessage", "ExportSubjects", "EraseSubjects"),
        *_rules(_NOTIFICATIONS, _services("gateway"), "GetDelivery", "ListDeliveries"),
        # Every server: health is for probes, and the shape of an API is no secret.
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
"""Every role an account may have."""
