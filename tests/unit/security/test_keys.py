"""Key files: how keys are made, rotated, promoted and removed, and how files lie."""

import json
import threading
from pathlib import Path

import pytest
import tink
from tink import aead, mac, prf

from deploy.admin.key_files import PURPOSES, Key, KeyRing, create_keys
from services.runtime.clock import now
from services.runtime.security import keys
from services.runtime.security.keys import (
    TOKEN_SIGNING,
    KeysetPurpose,
    key_checks,
    key_file_path,
    load_primitive,
    load_token_signing_keys,
    write_private_file,
)
from services.runtime.settings import SettingsError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    create_keys(tmp_path / "keys")
    return tmp_path / "keys"


def states(ring: KeyRing) -> dict[str, str]:
    return {key.key_id: state(key) for key in ring.read()}


def state(key: Key) -> str:
    return "primary" if key.primary else "waits" if key.waiting else "reads"


@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_new_key_waits_then_writes_and_the_old_one_can_go(folder: Path, purpose: str) -> None:
    begun = now()
    ring = KeyRing(folder, purpose)
    (old,) = ring.read()
    assert state(old) == "primary"
    assert (old.promoted, old.succeeded) != (None, None)

    new = ring.rotate()
    assert states(ring) == {old.key_id: "primary", new: "waits"}
    with pytest.raises(SettingsError, match=f"{new} of {purpose} still waits"):
        ring.rotate()

    assert ring.promote() == new
    assert states(ring) == {old.key_id: "reads", new: "primary"}
    assert ring.key(old.key_id).succeeded == ring.key(new).promoted
    promoted = ring.key(new).promoted
    assert promoted is not None
    assert begun < promoted < now()
    with pytest.raises(SettingsError, match=r"No key .* waits"):
        ring.promote()

    ring.remove(old.key_id)
    assert states(ring) == {new: "primary"}
    with pytest.raises(SettingsError, match=f"no key {old.key_id}"):
        ring.key(old.key_id)


def test_what_was_written_before_is_read_until_its_key_goes(folder: Path) -> None:
    old_tag = load_primitive(folder, KeysetPurpose.LINKS, mac.Mac).compute_mac(b"data")
    old_text = load_primitive(folder, KeysetPurpose.HETU, aead.Aead).encrypt(b"code", b"row")
    old_index = load_primitive(folder, KeysetPurpose.HETU_INDEX, prf.PrfSet).primary().compute(b"code", 32)
    for purpose in (KeysetPurpose.LINKS, KeysetPurpose.HETU, KeysetPurpose.HETU_INDEX):
        ring = KeyRing(folder, purpose)
        for change in (ring.rotate, ring.promote):
            change()
            load_primitive(folder, KeysetPurpose.LINKS, mac.Mac).verify_mac(old_tag, b"data")
            assert load_primitive(folder, KeysetPurpose.HETU, aead.Aead).decrypt(old_text, b"row") == b"code"
            indexes = load_primitive(folder, KeysetPurpose.HETU_INDEX, prf.PrfSet).all()
            assert old_index in {index.compute(b"code", 32) for index in indexes.values()}

    for purpose in (KeysetPurpose.LINKS, KeysetPurpose.HETU, KeysetPurpose.HETU_INDEX):
        ring = KeyRing(folder, purpose)
        ring.remove(next(key.key_id for key in ring.read() if not key.primary))
    with pytest.raises(tink.TinkError):
        load_primitive(folder, KeysetPurpose.LINKS, mac.Mac).verify_mac(old_tag, b"data")
    with pytest.raises(tink.TinkError):
        load_primitive(folder, KeysetPurpose.HETU, aead.Aead).decrypt(old_text, b"row")


def test_the_primary_key_of_access_tokens_is_the_first(folder: Path) -> None:
    ring = KeyRing(folder, TOKEN_SIGNING)
    (first,) = ring.read()
    second = ring.rotate()
    assert [key.kid for key in load_token_signing_keys(folder)] == [first.key_id, second]
    ring.promote()
    third = ring.rotate()
    assert [key.kid for key in load_token_signing_keys(folder)] == [second, first.key_id, third]
    ring.promote()
    assert [key.kid for key in load_token_signing_keys(folder)] == [third, second, first.key_id]


def test_keys_made_before_dates_were_noted_are_succeeded_by_the_first_that_is(folder: Path) -> None:
    (folder / "key-dates.json").unlink()
    ring = KeyRing(folder, KeysetPurpose.LINKS)
    (old,) = ring.read()
    assert (old.made, old.promoted, state(old)) == (None, None, "primary")
    ring.rotate()
    assert ring.key(old.key_id).succeeded is None
    new = ring.promote()
    assert ring.key(old.key_id).succeeded == ring.key(new).promoted


def test_a_promotion_that_broke_off_is_repeated(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = KeyRing(folder, KeysetPurpose.LINKS)
    new = ring.rotate()
    with monkeypatch.context() as patched:
        patched.setattr(
            "deploy.admin.key_files._Dates.note", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            ring.promote()
    assert ring.key(new).primary
    assert ring.promote() == new
    assert ring.key(new).promoted is not None


def test_two_who_rotate_at_once_make_one_key(folder: Path) -> None:
    outcomes: list[str] = []

    def rotate() -> None:
        try:
            outcomes.append(KeyRing(folder, KeysetPurpose.LINKS).rotate())
        except SettingsError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=rotate) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(KeyRing(folder, KeysetPurpose.LINKS).read()) == 2
    assert sum("still waits" in outcome for outcome in outcomes) == 7


@pytest.mark.parametrize("purpose", PURPOSES)
def test_check_values_tell_keys_apart_and_nothing_more(folder: Path, tmp_path: Path, purpose: str) -> None:
    before = key_checks(folder, purpose)
    KeyRing(folder, purpose).rotate()
    after = key_checks(folder, purpose)
    assert after.primary_id == before.primary_id
    assert after.values[before.primary_id] == before.values[before.primary_id]
    assert len(set(after.values.values())) == 2
    create_keys(tmp_path / "others")
    others = key_checks(tmp_path / "others", purpose).values
    assert not set(others.values()) & set(after.values.values())
    text = key_file_path(folder, purpose).read_text()
    assert not any(value.hex() in text for value in after.values.values())


def test_secret_files_are_for_their_owner_alone_whatever_was_there(folder: Path) -> None:
    for purpose in PURPOSES:
        path = key_file_path(folder, purpose)
        left_by_a_crash = path.with_name(f"{path.name}.partial")
        left_by_a_crash.write_text("half")
        left_by_a_crash.chmod(0o644)
        KeyRing(folder, purpose).rotate()
        assert not left_by_a_crash.exists()
    modes = {path.name: path.stat().st_mode & 0o077 for path in folder.iterdir()}
    assert [name for name, mode in modes.items() if mode] == ["services.jwks.json"]


def test_a_file_is_there_as_it_was_if_writing_breaks_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret"
    write_private_file(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keys.os, "fsync", full)
    with pytest.raises(SettingsError, match="No space left"):
        write_private_file(path, "new")
    assert path.read_text() == "old"


def test_creating_again_changes_nothing(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    create_keys(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_dates_that_are_none_are_told(folder: Path) -> None:
    (folder / "key-dates.json").write_text("{")
    with pytest.raises(SettingsError, match=r"key-dates\.json is no JSON"):
        KeyRing(folder, KeysetPurpose.LINKS).read()


def test_dates_hold_no_secret(folder: Path) -> None:
    KeyRing(folder, KeysetPurpose.LINKS).rotate()
    dates = json.loads((folder / "key-dates.json").read_text())
    assert set(dates) == set(PURPOSES)
    noted = [what for keys_of_purpose in dates.values() for key in keys_of_purpose.values() for what in key]
    assert set(noted) == {"made", "promoted"}
