"""Access tokens: short-lived JWTs with an account's ID, roles and units (RFC 7519)."""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from joserfc import jwt

from liity.identity.v1.account_service_pb2 import Account
from liity.v1.auth_service_pb2 import Role
from services.runtime.security.keys import load_token_signing_keys
from services.runtime.security.service_identity import ALGORITHM

_ISSUER = "liity"


class AccessToken(NamedTuple):
    """A signed token and when it expires."""

    token: str
    expires_at: datetime


class AccessTokens:
    """Signs access tokens. SettingsError if the keys are missing or wrong."""

    def __init__(self, keys_dir: Path, lifetime: timedelta) -> None:
        keys = load_token_signing_keys(keys_dir)
        self._active = keys.keys[0]
        self._lifetime = lifetime
        self.jwks_json = json.dumps(keys.as_dict(private=False))
        """The public keys (JWKS, RFC 7517), one for each signing key."""

    def sign(self, account: Account, session_id: str) -> AccessToken:
        """Signs a token for a session, with the account's current roles and units."""
        issued = int(time.time())
        expiry = issued + int(self._lifetime.total_seconds())
        claims = {
            "iss": _ISSUER,
            "aud": _ISSUER,
            "sub": account.account_id,
            "sid": session_id,
            "name": account.display_name,
            "roles": [_role_name(role) for role in account.roles],
            "units": {membership.unit_id: _role_name(membership.role) for membership in account.memberships},
            "iat": issued,
            "exp": expiry,
        }
        header = {"alg": ALGORITHM, "kid": self._active.kid}
        token = jwt.encode(header, claims, self._active, algorithms=[ALGORITHM])
        return AccessToken(token, datetime.fromtimestamp(expiry, UTC))


def _role_name(role: Role.ValueType) -> str:
    return Role.Name(role).removeprefix("ROLE_")
