"""The key files of an installation: creating, rotating and removing keys.

`key-dates.json` beside them holds the dates of creation and promotion.
"""

import fcntl
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import tink
from joserfc.jwk import OKPKey
from tink import proto_keyset_format, secret_key_access
from tink.proto import tink_pb2
from typing_extensions import override

from services.runtime.clock import now
from services.runtime.security.keys import (
    TEMPLATES,
    TOKEN_SIGNING,
    create_token_signing_key,
    encrypt_key_file,
    key_file_path,
    keyset_proto,
    load_keyset,
    load_token_signing_keys,
    read_private_file,
    store_keyset,
    store_token_signing_keys,
    write_private_file,
)
from services.runtime.security.service_identity import SERVICES, create_service_keys, service_key_path
from services.runtime.settings import SettingsError

PURPOSES = (*TEMPLATES, TOKEN_SIGNING)
"""Purposes whose keys are rotated."""


class Key(NamedTuple):
    """A key of a purpose, without its secret. A moment is None if unknown, or not yet come."""

    key_id: str
    primary: bool
    """Whether this key writes."""
    made: datetime | None
    promoted: datetime | None
    succeeded: datetime | None
    """When the next key was promoted."""

    @property
    def waiting(self) -> bool:
        """Whether the key has never been used for writing."""
        return self.made is not None and self.promoted is None


def create_keys(folder: Path) -> None:
    """Creates every missing key file; existing keys stay as they are.

    If a KMS is set, plain files are encrypted by it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(folder):
        for purpose in PURPOSES:
            path = key_file_path(folder, purpose)
            if path.exists():
                encrypt_key_file(path)
            else:
                KeyRing(folder, purpose).create()
        for path in (service_key_path(folder, name) for name in SERVICES):
            if path.exists():
                encrypt_key_file(path)
        create_service_keys(folder)


class KeyRing:
    """The keys of one purpose in a folder."""

    def __init__(self, folder: Path, purpose: str) -> None:
        self._folder = folder
        self._purpose = purpose
        self._file = _Jwks(folder) if purpose == TOKEN_SIGNING else _Keyset(folder, purpose)
        self._dates = _Dates(folder, purpose)

    def create(self) -> None:
        """Creates the purpose's first key."""
        key_id = self._file.create()
        self._dates.note(key_id, "made")
        self._dates.note(key_id, "promoted")

    def read(self) -> list[Key]:
        """All keys, in the file's order. SettingsError if it cannot be read."""
        ids, primary_id = self._file.read()
        dates = {key_id: self._dates.of(key_id) for key_id in ids}
        promotions = sorted(promoted for _, promoted in dates.values() if promoted is not None)

        def succeeded(made: datetime | None, promoted: datetime | None) -> datetime | None:
            if promoted is not None:
                return next((moment for moment in promotions if moment > promoted), None)
            # A key older than the first noted date was replaced by the first noted promotion.
            return promotions[0] if made is None and promotions else None

        return [
            Key(
                key_id,
                key_id == primary_id,
                made,
                promoted,
                None if key_id == primary_id else succeeded(made, promoted),
            )
            for key_id, (made, promoted) in dates.items()
        ]

    def key(self, key_id: str) -> Key:
        """One key. SettingsError if there is none with this ID."""
        for key in self.read():
            if key.key_id == key_id:
                return key
        raise SettingsError(
            f"There is no key {key_id} of {self._purpose}: `liity keys show` tells which there are"
        )

    def rotate(self) -> str:
        """Adds a key that reads but does not write yet; returns its ID. SettingsError if one waits."""
        with _alone(self._folder):
            if waiting := self._waiting():
                raise SettingsError(
                    f"Key {waiting} of {self._purpose} still waits: liity keys promote {self._purpose}"
                )
            key_id = self._file.add()
            self._dates.note(key_id, "made")
            return key_id

    def promote(self) -> str:
        """Makes the waiting key the one that writes; returns its ID. SettingsError if none waits."""
        with _alone(self._folder):
            key_id = self._waiting()
            if key_id is None:
                raise SettingsError(
                    f"No key of {self._purpose} waits to be promoted: liity keys rotate {self._purpose}"
                )
            self._file.promote(key_id)
            self._dates.note(key_id, "promoted")
            return key_id

    def remove(self, key_id: str) -> None:
        """Removes a key."""
        with _alone(self._folder):
            self._file.remove(key_id)

    def _waiting(self) -> str | None:
        return next((key.key_id for key in self.read() if key.waiting), None)


class _KeyFile(ABC):
    """A file of keys, one of which writes. Read again for each call: another process may have changed it."""

    @abstractmethod
    def create(self) -> str:
        """Creates the file with one key; returns its ID."""

    @abstractmethod
    def read(self) -> tuple[list[str], str]:
        """The IDs of all keys, and of the one that writes."""

    @abstractmethod
    def add(self) -> str:
        """Adds a key that does not write; returns its ID."""

    @abstractmethod
    def promote(self, key_id: str) -> None:
        """Makes a key the one that writes."""

    @abstractmethod
    def remove(self, key_id: str) -> None:
        """Removes a key."""


class _Keyset(_KeyFile):
    def __init__(self, folder: Path, purpose: str) -> None:
        self._folder = folder
        self._purpose = purpose

    @override
    def create(self) -> str:
        keyset = tink.new_keyset_handle(TEMPLATES[self._purpose])
        store_keyset(self._folder, self._purpose, keyset)
        return str(keyset.keyset_info().primary_key_id)

    @override
    def read(self) -> tuple[list[str], str]:
        info = load_keyset(self._folder, self._purpose).keyset_info()
        return [str(key.key_id) for key in info.key_info], str(info.primary_key_id)

    @override
    def add(self) -> str:
        keyset = keyset_proto(load_keyset(self._folder, self._purpose))
        taken = {key.key_id for key in keyset.key}
        while True:
            (key,) = keyset_proto(tink.new_keyset_handle(TEMPLATES[self._purpose])).key
            if key.key_id not in taken:
                break
        keyset.key.append(key)
        self._store(keyset)
        return str(key.key_id)

    @override
    def promote(self, key_id: str) -> None:
        keyset = keyset_proto(load_keyset(self._folder, self._purpose))
        keyset.primary_key_id = int(key_id)
        self._store(keyset)

    @override
    def remove(self, key_id: str) -> None:
        keyset = keyset_proto(load_keyset(self._folder, self._purpose))
        kept = [key for key in keyset.key if key.key_id != int(key_id)]
        del keyset.key[:]
        keyset.key.extend(kept)
        self._store(keyset)

    def _store(self, keyset: tink_pb2.Keyset) -> None:
        handle = proto_keyset_format.parse(keyset.SerializeToString(), secret_key_access.TOKEN)
        store_keyset(self._folder, self._purpose, handle)


class _Jwks(_KeyFile):
    """JSON Web Keys: the first key signs access tokens."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @override
    def create(self) -> str:
        return self._store([create_token_signing_key()])

    @override
    def read(self) -> tuple[list[str], str]:
        ids = [str(key.kid) for key in self._keys()]
        return ids, ids[0]

    @override
    def add(self) -> str:
        keys = [*self._keys(), create_token_signing_key()]
        self._store(keys)
        return str(keys[-1].kid)

    @override
    def promote(self, key_id: str) -> None:
        self._store(sorted(self._keys(), key=lambda key: key.kid != key_id))

    @override
    def remove(self, key_id: str) -> None:
        self._store([key for key in self._keys() if key.kid != key_id])

    def _keys(self) -> list[OKPKey]:
        return [key for key in load_token_signing_keys(self._folder) if isinstance(key, OKPKey)]

    def _store(self, keys: list[OKPKey]) -> str:
        store_token_signing_keys(self._folder, keys)
        return str(keys[0].kid)


class _Dates:
    """Dates of creation and promotion of a purpose's keys: `{purpose: {key ID: {"made": …}}}`."""

    def __init__(self, folder: Path, purpose: str) -> None:
        self._path = folder / "key-dates.json"
        self._purpose = purpose

    def of(self, key_id: str) -> tuple[datetime | None, datetime | None]:
        noted = self._read().get(self._purpose, {}).get(key_id, {})
        made, promoted = (
            datetime.fromisoformat(noted[what]) if what in noted else None for what in ("made", "promoted")
        )
        return made, promoted

    def note(self, key_id: str, what: str) -> None:
        dates = self._read()
        dates.setdefault(self._purpose, {}).setdefault(key_id, {})[what] = now().isoformat()
        write_private_file(self._path, json.dumps(dates, indent=2))

    def _read(self) -> dict[str, dict[str, dict[str, str]]]:
        if not self._path.exists():
            return {}
        try:
            dates: dict[str, dict[str, dict[str, str]]] = json.loads(read_private_file(self._path))
        except ValueError:
            raise SettingsError(f"{self._path} is no JSON: put the right file back") from None
        return dates


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Locks the folder, so that no other process changes its keys meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
