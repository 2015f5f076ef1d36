"""Service identities: how components authenticate to one another.

Each component has an Ed25519 key and sends a token signed with it in every call, valid for five minutes and
one callee (RFC 7519, RFC 8037). Callees have all public keys. Files: `service-{name}.jwk.json` is a
component's own key, `services.jwks.json` holds all public keys. Over TLS the component shows a certificate as
well.
"""

import json
import time
from pathlib import Path

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OKPKey

from liity.v1.reason_pb2 import REASON_UNAUTHENTICATED
from services.runtime.rpc.errors import unauthenticated
from services.runtime.security.keys import read_key_file, write_key_file, write_public_file
from services.runtime.security.tls import Certificate
from services.runtime.settings import SettingsError

SERVICES = ("identity", "registration", "notification", "gateway", "worker", "codec", "seed")
"""All components. `seed` creates the first units and accounts."""

ALGORITHM = "Ed25519"
"""EdDSA over Curve25519, by its name in RFC 9864."""

LEEWAY = 30
"""Seconds by which two machines' clocks may differ: tokens are accepted so much earlier and longer."""

_LIFETIME = 300
_RENEW_BEFORE = 60
_CACHE_SIZE = 1000


class ServiceIdentity:
    """A component's own key, which signs its tokens, and its certificate if it calls over TLS."""

    def __init__(self, name: str, keys_dir: Path, certificate: Certificate | None = None) -> None:
        self.name = name
        self.certificate = certificate
        self._key = _import_private(service_key_path(keys_dir, name))
        self._tokens: dict[str, tuple[str, float]] = {}

    def token(self, audience: str) -> str:
        """A token for one callee, renewed a minute before it expires."""
        token, expiry = self._tokens.get(audience, ("", 0.0))
        now = time.time()
        if expiry - now < _RENEW_BEFORE:
            expiry = now + _LIFETIME
            claims = {"iss": self.name, "aud": audience, "iat": int(now), "exp": int(expiry)}
            token = jwt.encode(
                {"alg": ALGORITHM, "kid": self.name}, claims, self._key, algorithms=[ALGORITHM]
            )
            self._tokens[audience] = (token, expiry)
        return token


class ServiceVerifier:
    """Verifies the tokens of components."""

    def __init__(self, audience: str, keys_dir: Path) -> None:
        path = keys_dir / "services.jwks.json"
        try:
            self._keys = KeySet.import_key_set(json.loads(path.read_text("utf-8")))
        except (OSError, JoseError, ValueError, LookupError, TypeError) as error:
            raise SettingsError(f"The services' public keys at {path} cannot be read: {error}") from None
        self._audience = audience
        self._known: dict[str, tuple[str, float]] = {}

    def verify(self, token: str) -> str:
        """The calling component's name. UNAUTHENTICATED if the token is not valid for this callee."""
        known = self._known.get(token)
        if known is not None and time.time() < known[1]:
            return known[0]
        try:
            decoded = jwt.decode(token, self._keys, algorithms=[ALGORITHM])
            jwt.JWTClaimsRegistry(
                leeway=LEEWAY, aud={"essential": True, "value": self._audience}, exp={"essential": True}
            ).validate(decoded.claims)
        except (JoseError, ValueError, TypeError):
            # TypeError: a header of wrong types.
            raise unauthenticated(REASON_UNAUTHENTICATED) from None
        if decoded.claims.get("iss") != decoded.header.get("kid"):
            raise unauthenticated(REASON_UNAUTHENTICATED)
        # A handful of callers renew every few minutes, so the cache stays small; the bound is a safeguard.
        if len(self._known) >= _CACHE_SIZE:
            self._known.clear()
        self._known[token] = (decoded.claims["iss"], decoded.claims["exp"] + LEEWAY)
        return str(decoded.claims["iss"])


def create_service_keys(keys_dir: Path) -> None:
    """Creates missing keys of components, and writes the set of their public keys."""
    public = []
    for name in SERVICES:
        path = service_key_path(keys_dir, name)
        if not path.exists():
            new = OKPKey.generate_key("Ed25519", parameters={"kid": name})
            write_key_file(path, json.dumps(new.as_dict(private=True)))
        key = _import_private(path)
        public.append({**key.as_dict(private=False), "kid": name})
    write_public_file(keys_dir / "services.jwks.json", json.dumps({"keys": public}))


def _import_private(path: Path) -> OKPKey:
    try:
        return OKPKey.import_key(json.loads(read_key_file(path)))
    except (JoseError, ValueError, LookupError, TypeError) as error:
        raise SettingsError(f"Key file {path} holds no JSON Web Key: {error}") from None


def service_key_path(keys_dir: Path, name: str) -> Path:
    """Path of a component's own key."""
    return keys_dir / f"service-{name}.jwk.json"
