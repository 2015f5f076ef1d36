"""Who calls the public API: access tokens, and the unit a request names."""

import json
import re
import time

from google.protobuf.message import Message
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet

from liity.identity.v1.account_service_pb2 import GetJwksRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, ACTOR_KIND_LINK, Actor
from liity.v1.auth_service_pb2 import Role
from liity.v1.reason_pb2 import (
    REASON_INVALID_FORMAT,
    REASON_PERMISSION_DENIED,
    REASON_TOKEN_EXPIRED,
    REASON_UNAUTHENTICATED,
    REASON_UNIT_NOT_FOUND,
)
from services.runtime.access import Accounts, Caller, Rule, Whose
from services.runtime.errors import FieldViolation, invalid, not_found, permission_denied, unauthenticated
from services.runtime.interceptor import Call
from services.runtime.peer import Peer
from services.runtime.service_identity import ALGORITHM

_UNIT = re.compile(r"units/([a-z0-9]{1,32})(?:/.*)?", re.DOTALL)
_NOT_A_TOKEN = (JoseError, ValueError, TypeError)
"""What decoding raises for whatever is none of our tokens: TypeError for a header of wrong types."""

_FETCH_INTERVAL = 10.0
"""Seconds between two fetches of the public keys, at least."""

_CLAIMS = jwt.JWTClaimsRegistry(
    iss={"essential": True, "value": "liity"},
    aud={"essential": True, "value": "liity"},
    exp={"essential": True},
    sub={"essential": True},
)


class AccountAuthenticator:
    """Lets accounts in by their access token, into the units they belong to."""

    def __init__(self, identity: Peer) -> None:
        self._identity = identity
        self._accounts = AccountServiceStub(identity.channel)
        self._keys = KeySet([])
        self._fetch_again = 0.0

    async def authenticate(self, call: Call, rule: Rule) -> Caller:
        """The account an access token was given to."""
        if not isinstance(rule, Accounts):
            raise permission_denied(REASON_PERMISSION_DENIED)
        scheme, _, token = call.text("authorization").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthenticated(REASON_UNAUTHENTICATED)
        return await self.caller(token)

    async def caller(self, token: str) -> Caller:
        """The account of an access token."""
        claims = (await self._decode(token)).claims
        return Caller(
            account_id=claims["sub"],
            display_name=claims["name"],
            roles=frozenset(_role(name) for name in claims["roles"]),
            units={unit: _role(name) for unit, name in claims["units"].items()},
        )

    def authorize(self, call: Call, caller: Caller, rule: Rule, request: Message) -> Actor:
        """The account, in the role that lets it touch what the request names.

        That is the unit which `parent` or `name` begins with; NOT_FOUND for another unit: who may not see it
        is not told whether it exists. PERMISSION_DENIED where no unit is named and no role is enough.
        """
        actor = Actor(
            kind=ACTOR_KIND_LINK,
            request_id=getattr(request, "request_id", ""),
            trace_id=call.trace_id,
            caller_address=call.address,
        )
        if not isinstance(rule, Accounts):
            return actor
        unit_id = _unit_of(request) if rule.whose is Whose.UNIT else ""
        roles = rule.roles & caller.roles_in(unit_id)
        if not roles:
            raise not_found(REASON_UNIT_NOT_FOUND) if unit_id else permission_denied(REASON_PERMISSION_DENIED)
        actor.kind = ACTOR_KIND_ACCOUNT
        actor.account_id = caller.account_id
        actor.unit_id = unit_id
        # A membership, which is for this unit, comes before what one may do everywhere.
        actor.role = min(roles)
        return actor

    async def _decode(self, token: str) -> jwt.Token:
        try:
            return self._verify(token)
        except ExpiredTokenError:
            raise unauthenticated(REASON_TOKEN_EXPIRED) from None
        except _NOT_A_TOKEN:
            # Perhaps it was signed with a key made since: ask, but not for every forged token.
            if not await self._fetch_keys():
                raise unauthenticated(REASON_UNAUTHENTICATED) from None
        try:
            return self._verify(token)
        except ExpiredTokenError:
            raise unauthenticated(REASON_TOKEN_EXPIRED) from None
        except _NOT_A_TOKEN:
            raise unauthenticated(REASON_UNAUTHENTICATED) from None

    def _verify(self, token: str) -> jwt.Token:
        decoded = jwt.decode(token, self._keys, algorithms=[ALGORITHM])
        _CLAIMS.validate(decoded.claims)
        return decoded

    async def _fetch_keys(self) -> bool:
        """Fetches the public keys, unless they were fetched a moment ago."""
        if time.monotonic() < self._fetch_again:
            return False
        response = await self._identity.call(self._accounts.GetJwks, GetJwksRequest())
        self._keys = KeySet.import_key_set(json.loads(response.jwks_json))
        self._fetch_again = time.monotonic() + _FETCH_INTERVAL
        return True


def _unit_of(request: Message) -> str:
    field = "parent" if "parent" in request.DESCRIPTOR.fields_by_name else "name"
    unit = _UNIT.fullmatch(getattr(request, field))
    if unit is None:
        raise invalid([FieldViolation(field, REASON_INVALID_FORMAT)])
    return unit[1]


def _role(name: str) -> Role.ValueType:
    return Role.Value(f"ROLE_{name}")
