"""Verification of accounts' access tokens, which identity signs."""

import json
import time

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import KeySet

from liity.identity.v1.account_service_pb2 import CheckSessionRequest, GetJwksRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.v1.auth_service_pb2 import Role
from liity.v1.reason_pb2 import REASON_TOKEN_EXPIRED, REASON_UNAUTHENTICATED
from services.runtime.rpc.errors import unauthenticated
from services.runtime.rpc.peer import Peer
from services.runtime.security.access import Caller
from services.runtime.security.service_identity import ALGORITHM, LEEWAY

_NOT_A_TOKEN = (JoseError, ValueError, TypeError)
"""Errors of decoding anything that is not a token of ours: TypeError for a header of wrong types."""

_FETCH_INTERVAL = 10.0
"""Least seconds between two fetches of the public keys."""

_CLAIMS = jwt.JWTClaimsRegistry(
    leeway=LEEWAY,
    iss={"essential": True, "value": "liity"},
    aud={"essential": True, "value": "liity"},
    exp={"essential": True},
    sub={"essential": True},
    sid={"essential": True},
)


class AccessTokenVerifier:
    """Verifies access tokens by identity's public keys."""

    def __init__(self, identity: Peer) -> None:
        self._identity = identity
        self._accounts = AccountServiceStub(identity.channel)
        self._keys = KeySet([])
        self._fetch_again = 0.0

    async def caller(self, token: str, *, session_by_handler: bool = False) -> Caller:
        """The account of an access token. UNAUTHENTICATED if it is invalid, or its session has ended.

        With `session_by_handler` the handler has the session checked, as `Accounts.session_by_handler` says.
        """
        claims = (await self._decode(token)).claims
        if not session_by_handler:
            # A token outlives a revoked session by minutes: ask identity, so that lost rights end at once.
            check = CheckSessionRequest(session_id=claims["sid"])
            await self._identity.call(self._accounts.CheckSession, check)
        return Caller(
            session_id=claims["sid"],
            account_id=claims["sub"],
            display_name=claims["name"],
            roles=frozenset(_role(name) for name in claims["roles"]),
            units={unit: _role(name) for unit, name in claims["units"].items()},
        )

    async def _decode(self, token: str) -> jwt.Token:
        try:
            return self._verify(token)
        except ExpiredTokenError:
            raise unauthenticated(REASON_TOKEN_EXPIRED) from None
        except _NOT_A_TOKEN:
            # Perhaps signed with a new key: fetch the keys, but not for every forged token.
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
        """Fetches the public keys, unless they were fetched recently."""
        if time.monotonic() < self._fetch_again:
            return False
        response = await self._identity.call(self._accounts.GetJwks, GetJwksRequest())
        self._keys = KeySet.import_key_set(json.loads(response.jwks_json))
        self._fetch_again = time.monotonic() + _FETCH_INTERVAL
        return True


def bearer_token(authorization: str) -> str:
    """The token of an `authorization` value (RFC 6750). UNAUTHENTICATED if there is none."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise unauthenticated(REASON_UNAUTHENTICATED)
    return token


def _role(name: str) -> Role.ValueType:
    return Role.Value(f"ROLE_{name}")
