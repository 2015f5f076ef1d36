"""Service identities: made once, good for one callee, and nobody else's to make."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import OctKey, OKPKey

from liity.v1.reason_pb2 import REASON_UNAUTHENTICATED
from services.runtime.rpc.errors import Refusal
from services.runtime.security.service_identity import (
    ALGORITHM,
    LEEWAY,
    SERVICES,
    ServiceIdentity,
    ServiceVerifier,
    create_service_keys,
)
from services.runtime.settings import SettingsError


def key_of(keys_dir: Path, name: str) -> OKPKey:
    return OKPKey.import_key(json.loads((keys_dir / f"service-{name}.jwk.json").read_text("utf-8")))


def signed(key: Any, kid: str = "gateway", algorithm: str = ALGORITHM, **changes: Any) -> str:
    claims = {"iss": "gateway", "aud": "identity", "iat": int(time.time()), "exp": int(time.time()) + 60}
    kept = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode({"alg": algorithm, "kid": kid}, kept, key, algorithms=[algorithm])


def refused(keys_dir: Path, token: str) -> bool:
    with pytest.raises(Refusal) as refusal:
        ServiceVerifier("identity", keys_dir).verify(token)
    return refusal.value.reason == REASON_UNAUTHENTICATED and refusal.value.code.name == "UNAUTHENTICATED"


@pytest.mark.parametrize("name", SERVICES)
def test_each_component_is_known_by_its_token(keys_dir: Path, name: str) -> None:
    verifier = ServiceVerifier("identity", keys_dir)
    token = ServiceIdentity(name, keys_dir).token("identity")
    assert verifier.verify(token) == name
    assert verifier.verify(token) == name


def test_a_token_is_for_one_callee(keys_dir: Path) -> None:
    identity = ServiceIdentity("gateway", keys_dir)
    assert identity.token("registration") != identity.token("identity")
    assert refused(keys_dir, identity.token("registration"))


def test_a_token_is_used_until_it_nears_its_end(keys_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = ServiceIdentity("gateway", keys_dir)
    first = identity.token("identity")
    began = time.time()
    monkeypatch.setattr(time, "time", lambda: began + 239)
    assert identity.token("identity") == first
    monkeypatch.setattr(time, "time", lambda: began + 241)
    assert identity.token("identity") != first


def test_a_token_that_was_let_in_is_not_once_it_has_expired(
    keys_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier = ServiceVerifier("identity", keys_dir)
    token = ServiceIdentity("gateway", keys_dir).token("identity")
    verifier.verify(token)
    began = time.time()
    monkeypatch.setattr(time, "time", lambda: began + 300 + LEEWAY + 1)
    with pytest.raises(Refusal):
        verifier.verify(token)


def test_what_is_no_token_of_ours_is_refused(keys_dir: Path) -> None:
    own = key_of(keys_dir, "gateway")
    assert not isinstance(own, str)
    assert ServiceVerifier("identity", keys_dir).verify(signed(own)) == "gateway"
    public = OctKey.import_key(json.dumps(own.as_dict(private=False)).encode())
    payload = signed(own).split(".")[1]
    none = base64.urlsafe_b64encode(b'{"alg":"none","kid":"gateway"}').rstrip(b"=").decode()
    odd = base64.urlsafe_b64encode(b'{"alg":"Ed25519","kid":"gateway","crit":1}').rstrip(b"=").decode()
    for token in (
        "",
        "a.b.c",
        f"{none}.{payload}.",
        f"{odd}.{payload}.AAAA",
        signed(own)[:-4] + "AAAA",
        signed(OKPKey.generate_key("Ed25519")),
        signed(own, kid="worker"),
        signed(own, kid="nobody"),
        signed(own, iss="worker"),
        signed(own, iss=None),
        signed(own, aud=None),
        signed(own, aud="registration"),
        signed(own, exp=None),
        signed(own, exp=int(time.time()) - LEEWAY - 1),
        signed(key_of(keys_dir, "notification"), iss="worker"),
        signed(public, algorithm="HS256"),
    ):
        assert refused(keys_dir, token), token


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.text() | st.binary().map(lambda raw: base64.urlsafe_b64encode(raw).decode()))
def test_no_text_gets_through_or_breaks_anything(keys_dir: Path, text: str) -> None:
    for token in (text, f"{text}.{text}.{text}"):
        assert refused(keys_dir, token)


@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "crit", "b64", "typ", "jwk", "enc", "x5c"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.sampled_from([ALGORITHM, "gateway"])
        | st.lists(st.text()),
    )
)
def test_no_header_breaks_anything(keys_dir: Path, header: dict[str, Any]) -> None:
    payload, signature = signed(key_of(keys_dir, "gateway")).split(".")[1:]
    head = base64.urlsafe_b64encode(json.dumps(header).encode()).rstrip(b"=").decode()
    assert refused(keys_dir, f"{head}.{payload}.{signature}")


def test_making_keys_again_keeps_those_there_are(tmp_path: Path) -> None:
    create_service_keys(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / "service-seed.jwk.json").unlink()
    create_service_keys(tmp_path)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"service-seed.jwk.json", "services.jwks.json"}
    verifier = ServiceVerifier("identity", tmp_path)
    assert verifier.verify(ServiceIdentity("seed", tmp_path).token("identity")) == "seed"


def test_public_keys_hold_no_private_ones(tmp_path: Path) -> None:
    create_service_keys(tmp_path)
    public = json.loads((tmp_path / "services.jwks.json").read_text("utf-8"))["keys"]
    assert {key["kid"] for key in public} == set(SERVICES)
    assert all("d" not in key for key in public)
    private = [path for path in tmp_path.iterdir() if path.name.startswith("service-")]
    assert {path.stat().st_mode & 0o777 for path in private} == {0o600}


def test_keys_that_cannot_be_used_stop_the_start(tmp_path: Path) -> None:
    create_service_keys(tmp_path)
    own = tmp_path / "service-gateway.jwk.json"
    own.chmod(0o644)
    with pytest.raises(SettingsError, match="open to others"):
        ServiceIdentity("gateway", tmp_path)
    own.unlink()
    with pytest.raises(SettingsError, match="cannot be read"):
        ServiceIdentity("gateway", tmp_path)
    for text in ("no key", "{}", "[]", '{"kty": "OKP"}'):
        own.write_text(text)
        own.chmod(0o600)
        with pytest.raises(SettingsError, match="service-gateway"):
            ServiceIdentity("gateway", tmp_path)
    for text in ("no keys", "{}", '{"keys": 1}', '{"keys": [{}]}', "[]"):
        (tmp_path / "services.jwks.json").write_text(text)
        with pytest.raises(SettingsError, match="public keys"):
            ServiceVerifier("identity", tmp_path)
    (tmp_path / "services.jwks.json").unlink()
    with pytest.raises(SettingsError, match="public keys"):
        ServiceVerifier("identity", tmp_path)
