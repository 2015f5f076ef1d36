"""Who may call what: one table for every RPC of every service. What is not in it is refused."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from liity.v1.auth_service_pb2 import ROLE_CUSTOMER_SERVICE, ROLE_MAIN_USER, ROLE_REGISTRAR, Role


@dataclass(frozen=True)
class Anyone:
    """No identity is asked for: the request itself carries what opens the door, or nothing is behind it."""


@dataclass(frozen=True)
class Services:
    """Only these components, by their service identity."""

    names: frozenset[str]


@dataclass(frozen=True)
class Accounts:
    """Accounts logged in with one of these roles, in the unit the request names."""

    roles: frozenset[Role.ValueType]


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


_GATEWAY = Services(frozenset({"gateway"}))
_WORKER = Services(frozenset({"worker"}))
_SEED = Services(frozenset({"seed"}))
_GATEWAY_AND_WORKER = Services(frozenset({"gateway", "worker"}))
_UNIT_PEOPLE = Accounts(frozenset({ROLE_REGISTRAR, ROLE_MAIN_USER, ROLE_CUSTOMER_SERVICE}))

ACCESS: Mapping[str, Rule] = dict(
    (
        # The public API.
        *_rules("liity.v1.AuthService", Anyone(), "LogIn", "RefreshSession", "LogOut"),
        *_rules("liity.v1.ConsentService", Anyone(), "GetConsentRequest", "AcceptConsent", "DeclineConsent"),
        *_rules("liity.v1.CredentialService", Anyone(), "ChoosePassword"),
        *_rules(
            "liity.v1.RegistrationService",
            _UNIT_PEOPLE,
            "CheckPersonalIdentityCode",
            "RegisterCustomer",
            "GetRegistration",
            "ListRegistrations",
            "RecordConsent",
            "WithdrawRegistration",
        ),
        # identity
        *_rules("liity.identity.v1.PersonService", _GATEWAY, "FindPerson", "EnsurePerson", "ReleasePerson"),
        *_rules("liity.identity.v1.PersonService", _WORKER, "RetainPerson", "ErasePerson"),
        *_rules("liity.identity.v1.AccountService", _GATEWAY, "LogIn", "RefreshSession", "LogOut", "GetJwks"),
        *_rules("liity.identity.v1.AccountService", _WORKER, "GetAccount"),
        *_rules("liity.identity.v1.AccountService", _SEED, "CreateAccount"),
        *_rules("liity.identity.v1.LinkService", _GATEWAY, "CheckLink"),
        *_rules("liity.identity.v1.LinkService", _WORKER, "IssueLink", "RedeemLink", "VoidLinks"),
        *_rules("liity.identity.v1.CredentialService", _GATEWAY, "ChoosePassword"),
        *_rules("liity.identity.v1.CredentialService", _WORKER, "IssueCredentials"),
        # registration
        *_rules("liity.registration.v1.UnitService", _SEED, "CreateUnit"),
        *_rules("liity.registration.v1.UnitService", _GATEWAY_AND_WORKER, "BatchGetUnits"),
        *_rules(
            "liity.registration.v1.RegistrationService",
            _GATEWAY,
            "PrepareRegistration",
            "ListRegistrations",
            "LookUpPerson",
            "CheckConsent",
            "GetConsentRequest",
        ),
        *_rules("liity.registration.v1.RegistrationService", _GATEWAY_AND_WORKER, "GetRegistration"),
        *_rules(
            "liity.registration.v1.RegistrationService",
            _WORKER,
            "CreateRegistration",
            "GetMailingDetails",
            "ActivateRegistration",
            "AdvanceRegistration",
            "EndRegistration",
        ),
        # notification
        *_rules("liity.notification.v1.NotificationService", _WORKER, "SendMessage"),
        *_rules("liity.notification.v1.NotificationService", _GATEWAY, "GetDelivery", "ListDeliveries"),
        # Every server: health is for probes; the API's shape is public at the gateway only.
        *_rules("grpc.health.v1.Health", Anyone(), "Check", "Watch", "List"),
    )
)
