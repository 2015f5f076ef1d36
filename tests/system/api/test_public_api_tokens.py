"""Access tokens, refresh tokens, links and passwords that open nothing, and how they say so."""

import base64
import itertools
import json
import time
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.type.date_pb2 import Date
from joserfc import jws, jwt
from joserfc.jwk import OctKey, OKPKey

from deploy.demo.polling import eventually
from deploy.local.seed import DemoAccount
from deploy.local.stack import Stack
from frontends.client import new_request_id
from liity.v1.auth_service_pb2 import (
    LogInRequest,
    LogInResponse,
    LogOutRequest,
    RefreshSessionRequest,
    RefreshSessionResponse,
)
from liity.v1.consent_service_pb2 import (
    CONSENT_REQUEST_STATE_ACCEPTED,
    CONSENT_REQUEST_STATE_ASKED,
    CONSENT_REQUEST_STATE_EXPIRED,
    CONSENT_REQUEST_STATE_WITHDRAWN,
    GetConsentRequestRequest,
    GetConsentStatusRequest,
    RequestNewConsentLinkRequest,
    RequestNewConsentLinkResponse,
)
from liity.v1.registration_pb2 import MISSING_CODE_REASON_OTHER
from liity.v1.use_log_service_pb2 import SUSPICION_RULE_LOCK_OUTS, ListSuspicionsRequest
from services.identity.settings import IdentitySettings
from services.runtime.security.keys import load_token_signing_keys
from services.runtime.security.service_identity import ALGORITHM, ServiceIdentity
from tests.system.conftest import Api
from tests.system.support.calls import CALLS, caller_of, right
from tests.system.support.public_api import (
    LANGUAGES,
    METHODS,
    Gateway,
    Stores,
    authorization,
    fields_of,
    needs_account,
    outcome,
    request_class,
)
from tests.system.support.public_api_facts import Facts, Links
from tests.system.support.registering import PATIENCE, MailCounter, adult, link_token, settings
from tests.system.support.walks import walk_storing_nothing

AUTH = "/liity.v1.AuthService"
CONSENT = "/liity.v1.ConsentService"
CHOOSE_ACCOUNT_PASSWORD = f"{AUTH}/ChooseAccountPassword"
CUSTOMERSHIP_LINKS = "/liity.v1.CustomershipLinkService"
CONFIRM_EMAIL = "/liity.v1.CustomerService/ConfirmEmail"
CHOOSE_PASSWORD = "/liity.v1.CredentialService/ChoosePassword"
_FOR_ACCOUNTS = sorted(path for path in METHODS if needs_account(path))

Metadata = list[tuple[str, str]]


def _part(content: bytes | object) -> str:
    raw = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


class Forger:
    """Makes access tokens that are nearly right. `key` is the one that real tokens are signed with."""

    def __init__(self, stack: Stack, good: str) -> None:
        self.good = good
        self.claims = claims_of(good)
        self.key = load_token_signing_keys(stack.keys_dir).keys[0]
        self.stack = stack

    def signed(self, key: Any = None, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token with other claims, or by another key; a claim of None is left out."""
        changed = {name: value for name, value in (self.claims | claims).items() if value is not None}
        head = {"alg": ALGORITHM, "kid": self.key.kid} | (header or {})
        return jwt.encode(head, changed, key or self.key, algorithms=[head["alg"]])

    def forged(self) -> dict[str, str]:
        """Tokens that are none, by what is wrong with them."""
        header, payload, signature = self.good.split(".")
        staff = _part(self.claims | {"roles": ["CUSTOMER_SERVICE"]})
        public = OctKey.import_key(json.dumps(self.key.as_dict(private=False)).encode())
        own_key = OKPKey.generate_key("Ed25519", parameters={"kid": str(self.key.kid)})
        inner = ServiceIdentity("gateway", self.stack.keys_dir)
        return {
            "empty": "",
            "no token": "liity",
            "three times nothing": "..",
            "not base64": "?.!.*",
            "signed by another key": self.signed(own_key),
            "signed by a key unknown": self.signed(own_key, {"kid": "nobody"}),
            "without a key ID": self.signed(own_key, {"kid": ""}),
            "alg none": f"{_part({'alg': 'none'})}.{payload}.",
            "alg none, signed": f"{_part({'alg': 'none', 'kid': self.key.kid})}.{payload}.{signature}",
            "the public key as a secret": self.signed(public, {"alg": "HS256"}),
            "tampered payload": f"{header}.{staff}.{signature}",
            "tampered signature": f"{header}.{payload}.{signature[:-4]}AAAA",
            "no signature": f"{header}.{payload}.",
            "its own key in the header": self._with_own_key(own_key),
            "header of a wrong type": f"{_part({'alg': ALGORITHM, 'kid': self.key.kid, 'crit': 1})}"
            f".{payload}.{signature}",
            "header is a list": f"{_part([])}.{payload}.{signature}",
            "key ID of a wrong type": f"{_part({'alg': ALGORITHM, 'kid': {}})}.{payload}.{signature}",
            "payload is no object": jws.serialize_compact(
                {"alg": ALGORITHM, "kid": self.key.kid}, b"[]", self.key, algorithms=[ALGORITHM]
            ),
            "encrypted": f"{_part({'alg': 'dir', 'enc': 'A256GCM'})}..{payload}.{payload}.{signature}",
            "for another audience": self.signed(aud="identity"),
            "of another issuer": self.signed(iss="somebody"),
            "without an end": self.signed(exp=None),
            "without a subject": self.signed(sub=None),
            "a service's": inner.token("gateway"),
            "a service's for identity": inner.token("identity"),
        }

    def _with_own_key(self, key: OKPKey) -> str:
        head = {"alg": ALGORITHM, "kid": self.key.kid, "jwk": key.as_dict(private=False)}
        return jwt.encode(head, self.claims, key, algorithms=[ALGORITHM])


@pytest.fixture
def forger(stack: Stack, gateway: Gateway) -> Forger:
    token = gateway.token("teacher")
    assert token
    return Forger(stack, token)


async def test_a_token_the_forger_signs_rightly_is_let_in(
    gateway: Gateway, facts: Facts, forger: Forger
) -> None:
    """Else the forgeries below would prove nothing."""
    path = "/liity.v1.RegistrationService/ListRegistrations"
    await gateway.send(path, right(path, facts), *authorization(forger.signed()))


async def test_nobody_is_let_in_by_a_forged_token(
    gateway: Gateway, facts: Facts, forger: Forger, stores: Stores
) -> None:
    others: dict[str, Metadata] = {
        "missing": [],
        "no scheme": [("authorization", forger.good)],
        "another scheme": [("authorization", f"Basic {forger.good}")],
        "a refresh token": authorization(_refresh_token(gateway)),
        "a guardian's link": authorization(facts.consent.good),
        "under another name": [("x-authorization", f"Bearer {forger.good}")],
    }
    forged = {name: authorization(token) for name, token in forger.forged().items()}

    async def check(path: str) -> None:
        request, answers = right(path, facts), {}
        for name, metadata in (others | forged).items():
            answers[name] = outcome(await gateway.refusal_with(path, request, metadata))
        assert answers == dict.fromkeys(answers, ("UNAUTHENTICATED", "UNAUTHENTICATED"))

    await walk_storing_nothing(stores, {path: partial(check, path) for path in _FOR_ACCOUNTS})


async def test_an_expired_token_says_so_in_every_language(
    gateway: Gateway, facts: Facts, forger: Forger, stores: Stores
) -> None:
    expired = forger.signed(exp=int(time.time()) - 60)

    async def check(path: str) -> None:
        for language in LANGUAGES:
            refusal = await gateway.refusal_with(path, right(path, facts), authorization(expired), language)
            assert outcome(refusal) == ("UNAUTHENTICATED", "TOKEN_EXPIRED")

    await walk_storing_nothing(stores, {path: partial(check, path) for path in _FOR_ACCOUNTS})


@pytest.mark.usefixtures("nothing_stored")
async def test_who_is_not_let_in_learns_nothing_of_what_they_sent(gateway: Gateway) -> None:
    for path in _FOR_ACCOUNTS:
        for body in (b"\xff\xff\xff", b""):
            refusal = await gateway.refusal(path, body)
            assert outcome(refusal) == ("UNAUTHENTICATED", "UNAUTHENTICATED")


def _refresh_token(gateway: Gateway) -> str:
    return gateway.session("teacher").refresh_token


# Sessions


async def _log_in(gateway: Gateway, account: DemoAccount) -> Any:
    request = LogInRequest(email=account.email, password=account.password)
    answer = await gateway.call(f"{AUTH}/LogIn", request)
    assert isinstance(answer, LogInResponse)
    return answer.session


async def _refresh(gateway: Gateway, token: str, request_id: str) -> Any:
    request = RefreshSessionRequest(refresh_token=token, request_id=request_id)
    answer = await gateway.call(f"{AUTH}/RefreshSession", request)
    assert isinstance(answer, RefreshSessionResponse)
    return answer.session


async def _refused_refresh(gateway: Gateway, token: str) -> tuple[str, str]:
    request = RefreshSessionRequest(refresh_token=token, request_id=new_request_id())
    return outcome(await gateway.refusal(f"{AUTH}/RefreshSession", request))


async def test_two_tabs_that_refresh_at_once_both_go_on(
    gateway: Gateway, accounts: dict[str, DemoAccount]
) -> None:
    first = await _log_in(gateway, accounts["teacher"])
    request_id = new_request_id()
    second = await _refresh(gateway, first.refresh_token, request_id)
    repeated = await _refresh(gateway, first.refresh_token, request_id)
    assert repeated.refresh_token == second.refresh_token != first.refresh_token
    other = await _refresh(gateway, first.refresh_token, new_request_id())
    assert other.refresh_token == second.refresh_token
    await _refresh(gateway, second.refresh_token, new_request_id())


async def test_after_logging_out_the_session_cannot_go_on(
    gateway: Gateway, accounts: dict[str, DemoAccount]
) -> None:
    session = await _log_in(gateway, accounts["registrar"])
    await gateway.call(f"{AUTH}/LogOut", LogOutRequest(refresh_token=session.refresh_token))
    assert await _refused_refresh(gateway, session.refresh_token) == ("UNAUTHENTICATED", "SESSION_ENDED")


async def test_after_logging_out_no_rpc_takes_the_access_token(
    gateway: Gateway, accounts: dict[str, DemoAccount], facts: Facts, stores: Stores
) -> None:
    tokens = {}
    for name in ("teacher", "staff"):
        session = await _log_in(gateway, accounts[name])
        await gateway.call(f"{AUTH}/LogOut", LogOutRequest(refresh_token=session.refresh_token))
        tokens[name] = session.access_token

    async def check(path: str, request: Message) -> None:
        refusal = await gateway.refusal_with(path, request, authorization(tokens[caller_of(path)]))
        assert outcome(refusal) == ("UNAUTHENTICATED", "SESSION_ENDED")

    # A Save has its session checked by other means than the rest: whatever it is about.
    register = "/liity.v1.RegistrationService/RegisterCustomer"
    unknown, wrong, none = (right(register, facts) for _ in range(3))
    unknown.personal_identity_code = adult().personal_identity_code
    wrong.personal_identity_code = "no code"
    none.personal_identity_code = ""
    none.missing_personal_identity_code.birth_date.CopyFrom(Date(year=1985, month=6, day=17))
    none.missing_personal_identity_code.reason = MISSING_CODE_REASON_OTHER
    checks = {path: partial(check, path, right(path, facts)) for path in _FOR_ACCOUNTS}
    checks |= {
        f"{register} {name}": partial(check, register, request)
        for name, request in (("unknown code", unknown), ("wrong code", wrong), ("no code", none))
    }
    await walk_storing_nothing(stores, checks)


@pytest.mark.usefixtures("nothing_stored")
async def test_what_is_no_refresh_token_opens_no_session(gateway: Gateway, facts: Facts) -> None:
    good = _refresh_token(gateway)
    for token in (
        "liity",
        good[:-1],
        good + "A",
        ("B" if good[0] == "A" else "A") + good[1:],
        gateway.session("teacher").access_token[:200],
        facts.consent.good,
        facts.password.good,
    ):
        assert await _refused_refresh(gateway, token) == ("UNAUTHENTICATED", "SESSION_ENDED")


@pytest.mark.usefixtures("nothing_stored", "forgiven")
async def test_a_wrong_password_and_an_unknown_address_are_answered_alike(
    gateway: Gateway, accounts: dict[str, DemoAccount]
) -> None:
    refusals = []
    for email in (accounts["teacher"].email, "nobody@koulu.example", "no address", "\u202e\x00"):
        request = LogInRequest(email=email, password="not the password")
        refusals.append(await gateway.refusal(f"{AUTH}/LogIn", request))
    assert {outcome(refusal) for refusal in refusals} == {("UNAUTHENTICATED", "WRONG_CREDENTIALS")}


@pytest.mark.usefixtures("nothing_stored", "forgiven")
async def test_too_many_failures_for_one_account_say_when_to_come_back(
    gateway: Gateway, accounts: dict[str, DemoAccount]
) -> None:
    account = accounts["teacher"]
    wrong = LogInRequest(email=account.email, password="not the password")
    limit = IdentitySettings.model_fields["login_failures_per_account"].default
    for _ in range(limit):
        assert outcome(await gateway.refusal(f"{AUTH}/LogIn", wrong)) == (
            "UNAUTHENTICATED",
            "WRONG_CREDENTIALS",
        )
    for language in LANGUAGES:
        refusal = await gateway.refusal(f"{AUTH}/LogIn", wrong, language=language)
        assert outcome(refusal) == ("RESOURCE_EXHAUSTED", "TOO_MANY_ATTEMPTS")
        assert refusal.retry_after is not None
        assert timedelta(0) < refusal.retry_after <= timedelta(minutes=15)
    unknown = LogInRequest(email="nobody@koulu.example", password="not the password")
    assert outcome(await gateway.refusal(f"{AUTH}/LogIn", unknown))[1] == "WRONG_CREDENTIALS"


@pytest.mark.usefixtures("forgiven")
async def test_who_has_logged_in_from_here_is_let_in_and_customer_service_sees_repeated_lock_outs(
    stack: Stack, gateway: Gateway, api: Api, accounts: dict[str, DemoAccount]
) -> None:
    account = accounts["teacher"]
    wrong = LogInRequest(email=account.email, password="not the password")
    limit = IdentitySettings.model_fields["login_failures_per_account"].default
    async with settings(stack, {"LIITY_SUSPICIOUS_LOCK_OUTS": "0"}, "identity"):
        for _ in range(limit):
            assert outcome(await gateway.refusal(f"{AUTH}/LogIn", wrong))[1] == "WRONG_CREDENTIALS"
        assert outcome(await gateway.refusal(f"{AUTH}/LogIn", wrong))[1] == "TOO_MANY_ATTEMPTS"
        right = LogInRequest(email=account.email.upper(), password=account.password)
        answer = await gateway.call(f"{AUTH}/LogIn", right)
        assert isinstance(answer, LogInResponse)
        assert answer.session.display_name == account.display_name
        shown = await api.staff.call(api.staff.uses.ListSuspicions, ListSuspicionsRequest())
    (found,) = [found for found in shown.suspicions if found.rule == SUSPICION_RULE_LOCK_OUTS]
    assert found.account_display_name == account.display_name
    assert found.count > found.threshold == 0


@pytest.mark.usefixtures("nothing_stored", "forgiven")
async def test_too_many_failures_from_one_address_are_throttled_whatever_the_account(
    stack: Stack, gateway: Gateway, accounts: dict[str, DemoAccount]
) -> None:
    limit = 12
    async with settings(stack, {"LIITY_LOGIN_FAILURES_PER_CALLER": str(limit)}, "identity"):
        for _ in range(limit):
            guess = LogInRequest(email=f"{new_request_id()}@koulu.example", password="not the password")
            refusal = await gateway.refusal(f"{AUTH}/LogIn", guess)
            assert outcome(refusal) == ("UNAUTHENTICATED", "WRONG_CREDENTIALS")
        account = accounts["teacher"]
        wrong = LogInRequest(email=account.email, password="not the password")
        refusal = await gateway.refusal(f"{AUTH}/LogIn", wrong)
    assert outcome(refusal) == ("RESOURCE_EXHAUSTED", "TOO_MANY_ATTEMPTS")
    assert refusal.retry_after


# Links


_BY_LINK = {path: call.link for path, call in CALLS.items() if call.link}
"""The links that open each RPC that a link opens."""


def test_every_rpc_without_an_account_is_for_sessions_or_by_a_link() -> None:
    without = {path for path in METHODS if not needs_account(path)}
    at_the_door = {f"{AUTH}/{name}" for name in ("LogIn", "RefreshSession", "LogOut", "OrderPassword")}
    at_the_door |= {
        "/liity.v1.CredentialService/OrderCustomerPassword",
        "/liity.v1.FeedbackService/SendFeedback",
    }
    assert without == {*_BY_LINK, *at_the_door}


async def test_a_link_that_is_over_says_why(gateway: Gateway, facts: Facts, stores: Stores) -> None:
    async def check(path: str, purpose: str) -> None:
        links: Links = getattr(facts, purpose)
        over = {links.expired: "LINK_EXPIRED", links.used: "LINK_USED", links.void: "LINK_VOID"}
        for token, reason in over.items():
            for language in LANGUAGES:
                refusal = await gateway.refusal(path, right(path, facts, token=token), language=language)
                assert outcome(refusal) == ("FAILED_PRECONDITION", reason)

    refusing = {
        path: partial(check, path, link)
        for path, link in _BY_LINK.items()
        if not CALLS[path].answers_links_that_are_over
    }
    await walk_storing_nothing(stores, refusing)


async def test_a_link_that_is_over_tells_what_became_of_the_consent_request(
    gateway: Gateway, facts: Facts
) -> None:
    links = facts.consent
    told = {
        token: await gateway.call(f"{CONSENT}/GetConsentStatus", GetConsentStatusRequest(token=token))
        for token in vars(links).values()
    }
    assert {token: status.state for token, status in told.items()} == {
        links.good: CONSENT_REQUEST_STATE_ASKED,
        links.used: CONSENT_REQUEST_STATE_ACCEPTED,
        links.void: CONSENT_REQUEST_STATE_WITHDRAWN,
        links.expired: CONSENT_REQUEST_STATE_EXPIRED,
    }
    assert all(status.HasField("state_time") for status in told.values())
    assert [token for token, status in told.items() if status.HasField("deadline")] == [links.good]


async def test_a_link_that_is_over_orders_the_one_that_works(
    gateway: Gateway, facts: Facts, mails: MailCounter
) -> None:
    def requests() -> list[str]:
        copies = mails.copies(facts.child, facts.waiting)
        return [link_token(copy) for copy in copies if copy.template == "consent_request"]

    async def order(token: str, request_id: str) -> object:
        request = RequestNewConsentLinkRequest(token=token, request_id=request_id)
        return await gateway.call(f"{CONSENT}/RequestNewConsentLink", request)

    links, before = facts.consent, len(requests())
    again = new_request_id()
    answers = [await order(links.expired, again) for _ in range(2)]
    # Neither these, nor what stands behind their links, can be told from the answer.
    answers += [await order(token, new_request_id()) for token in (links.good, links.used, links.void)]
    assert answers == [RequestNewConsentLinkResponse()] * 5

    async def counted() -> int:
        return len(requests())

    await eventually(counted, lambda count: count > before, PATIENCE)
    # The mails of later calls would have come by now: this one comes after them.
    await order(links.expired, new_request_id())
    await eventually(counted, lambda count: count > before + 1, PATIENCE)
    assert requests() == [links.good] * (before + 2)


async def test_a_forged_link_opens_nothing(gateway: Gateway, facts: Facts, stores: Stores) -> None:
    others = {
        "consent": facts.password,
        "password": facts.account_password,
        "account_password": facts.password,
        "email": facts.password,
        "customership": facts.email,
        "invitation": facts.account_password,
    }

    async def check(path: str, purpose: str) -> None:
        good, other_purpose = getattr(facts, purpose).good, others[purpose]
        raw = base64.urlsafe_b64decode(good + "=" * (-len(good) % 4))
        forged = [
            "liity",
            "=",
            "A" * len(good),
            good[:-1],
            f"{good}A",
            _part(raw[:-1] + bytes([raw[-1] ^ 1])),
            _part(bytes([raw[0] ^ 1]) + raw[1:]),
            other_purpose.good,
            other_purpose.used,
            _refresh_token(gateway),
            facts.waiting.name.rpartition("/")[2],
        ]
        answers = [outcome(await gateway.refusal(path, right(path, facts, token=token))) for token in forged]
        assert answers == [("NOT_FOUND", "LINK_INVALID")] * len(forged)

    await walk_storing_nothing(stores, {path: partial(check, path, link) for path, link in _BY_LINK.items()})


async def test_the_good_links_do_open(gateway: Gateway, facts: Facts) -> None:
    """Else the refusals above would prove nothing. The password's is tried with one too weak."""
    await gateway.call(f"{CONSENT}/GetConsentRequest", GetConsentRequestRequest(token=facts.consent.good))
    links = {CHOOSE_PASSWORD: facts.password, CHOOSE_ACCOUNT_PASSWORD: facts.account_password}
    for (path, link), weak in itertools.product(links.items(), ("lyhyt", "a" * 11, "e\u0301" * 6)):
        request = request_class(path)(token=link.good, request_id=new_request_id(), password=weak)
        refusal = await gateway.refusal(path, request)
        assert refusal.code is grpc.StatusCode.INVALID_ARGUMENT
        assert fields_of(refusal) == [("password", "PASSWORD_TOO_WEAK")]
