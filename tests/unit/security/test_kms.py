"""Key files under a KMS: Tink's fake one stands for the provider's."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tink
from tink import aead
from tink.testing import fake_kms

from deploy.admin.key_files import PURPOSES, KeyRing, create_keys
from services.runtime.security import kms
from services.runtime.security.keys import (
    TOKEN_SIGNING,
    KeysetPurpose,
    key_file_path,
    load_keyset,
    load_primitive,
    load_token_signing_keys,
)
from services.runtime.security.service_identity import (
    SERVICES,
    ServiceIdentity,
    ServiceVerifier,
    service_key_path,
)
from services.runtime.settings import SettingsError
from tests.support.kms import new_fake_kms_key


@pytest.fixture(autouse=True)
def _fake_kms() -> Iterator[None]:
    fake_kms.register_client()
    yield
    tink._kms_clients.reset_kms_clients()
    kms._connect.cache_clear()


@pytest.fixture
def uri(monkeypatch: pytest.MonkeyPatch) -> str:
    uri = new_fake_kms_key()
    monkeypatch.setenv("LIITY_KMS_KEY_URI", uri)
    return uri


def secret_files(folder: Path) -> list[Path]:
    return [
        *(key_file_path(folder, purpose) for purpose in PURPOSES),
        *(service_key_path(folder, name) for name in SERVICES),
    ]


def read_everything(folder: Path) -> None:
    for purpose in PURPOSES:
        KeyRing(folder, purpose).read()
    for name in SERVICES:
        ServiceVerifier("identity", folder).verify(ServiceIdentity(name, folder).token("identity"))


def shows_a_secret(text: str) -> bool:
    return '"keyData"' in text or '"d"' in text


def test_every_secret_file_is_encrypted_and_usable(uri: str, tmp_path: Path) -> None:
    create_keys(tmp_path)
    assert not any(shows_a_secret(path.read_text()) for path in secret_files(tmp_path))
    read_everything(tmp_path)
    cipher = load_primitive(tmp_path, KeysetPurpose.HETU, aead.Aead)
    assert cipher.decrypt(cipher.encrypt(b"code", b""), b"") == b"code"


def test_a_keyset_is_one_that_tink_itself_opens(uri: str, tmp_path: Path) -> None:
    create_keys(tmp_path)
    text = key_file_path(tmp_path, KeysetPurpose.LINKS).read_text()
    opened = tink.json_proto_keyset_format.parse_encrypted(text, kms.kms_key(), b"")
    info = load_keyset(tmp_path, KeysetPurpose.LINKS).keyset_info()
    assert opened.keyset_info() == info


@pytest.mark.parametrize("purpose", PURPOSES)
def test_rotation_stays_under_the_kms(uri: str, tmp_path: Path, purpose: str) -> None:
    create_keys(tmp_path)
    ring = KeyRing(tmp_path, purpose)
    (old,) = ring.read()
    new = ring.rotate()
    ring.promote()
    ring.remove(old.key_id)
    assert [key.key_id for key in ring.read()] == [new]
    assert not shows_a_secret(key_file_path(tmp_path, purpose).read_text())


def test_create_encrypts_what_lies_in_the_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create_keys(tmp_path)
    assert all(shows_a_secret(path.read_text()) for path in secret_files(tmp_path))
    before = {purpose: KeyRing(tmp_path, purpose).read() for purpose in PURPOSES}
    monkeypatch.setenv("LIITY_KMS_KEY_URI", new_fake_kms_key())
    for purpose in PURPOSES:
        with pytest.raises(SettingsError, match="is not encrypted by the KMS"):
            KeyRing(tmp_path, purpose).read()
    with pytest.raises(SettingsError, match="is not encrypted by the KMS"):
        ServiceIdentity("gateway", tmp_path)

    create_keys(tmp_path)

    assert not any(shows_a_secret(path.read_text()) for path in secret_files(tmp_path))
    assert {purpose: KeyRing(tmp_path, purpose).read() for purpose in PURPOSES} == before
    read_everything(tmp_path)


@pytest.mark.parametrize("other", ["", "another key"])
def test_without_its_kms_key_no_file_opens(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    create_keys(tmp_path)
    monkeypatch.setenv("LIITY_KMS_KEY_URI", new_fake_kms_key() if other else "")
    expected = "cannot be decrypted by the KMS" if other else "is encrypted by a KMS: LIITY_KMS_KEY_URI"
    for purpose in PURPOSES:
        with pytest.raises(SettingsError, match=expected) as refused:
            KeyRing(tmp_path, purpose).read()
        assert "\n" not in str(refused.value)
    with pytest.raises(SettingsError, match=expected):
        ServiceIdentity("gateway", tmp_path)


def test_a_damaged_file_is_told(uri: str, tmp_path: Path) -> None:
    create_keys(tmp_path)
    path = key_file_path(tmp_path, TOKEN_SIGNING)
    for damaged in ("AAAA", "*", 1):
        path.write_text(json.dumps({"encryptedJwk": damaged}))
        with pytest.raises(SettingsError, match=r"token-signing\.jwks\.json cannot be decrypted"):
            load_token_signing_keys(tmp_path)


def test_a_file_open_to_others_is_refused_all_the_same(uri: str, tmp_path: Path) -> None:
    create_keys(tmp_path)
    for path in secret_files(tmp_path):
        path.chmod(0o640)
    for purpose in PURPOSES:
        with pytest.raises(SettingsError, match="open to others"):
            KeyRing(tmp_path, purpose).read()


@pytest.mark.parametrize(
    ("uri", "extra", "module"),
    [
        ("gcp-kms://projects/p/locations/l/keyRings/r/cryptoKeys/k", "gcp", "tink.integration.gcpkms"),
        ("aws-kms://arn:aws:kms:eu-north-1:111122223333:key/k", "aws", "tink.integration.awskms"),
        ("hcvault://vault.example/transit/keys/liity", "vault", "hvac"),
    ],
)
def test_a_provider_whose_library_is_missing_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, extra: str, module: str
) -> None:
    monkeypatch.setenv("LIITY_KMS_KEY_URI", uri)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SettingsError, match=f"pip install 'liity\\[{extra}\\]'") as refused:
        create_keys(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_uri_that_nobody_knows_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIITY_KMS_KEY_URI", "safe://under-the-bed")
    with pytest.raises(SettingsError, match=r"LIITY_KMS_KEY_URI: .*safe://under-the-bed"):
        create_keys(tmp_path)
    assert not list(tmp_path.glob("*keyset*"))


def test_a_kms_that_does_not_answer_is_told_in_one_line(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_keys(tmp_path / "made")
    kms._connect.cache_clear()

    class Away:
        def fail(self, *_: bytes) -> bytes:
            raise ConnectionError("no route\nto host")

        encrypt = decrypt = fail

    monkeypatch.setattr(kms, "_provider", lambda *_: Away())
    for work in (
        lambda: create_keys(tmp_path / "new"),
        lambda: KeyRing(tmp_path / "made", KeysetPurpose.LINKS).read(),
        lambda: load_token_signing_keys(tmp_path / "made"),
    ):
        with pytest.raises(SettingsError, match="no route to host") as refused:
            work()
        assert "\n" not in str(refused.value)
