"""The erasure ledger: who was erased, in files outside the databases.

A restored backup brings erased data back; the ledger says whom to erase again. It holds random IDs and no
personal data. Each process appends to files of its own, one a month, so that several workers can share a
folder.

A file has one JSON object a line. `hash` covers the line before it, so that a changed or missing line shows.
"""

import asyncio
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import structlog

from services.runtime.clock import now
from services.runtime.settings import SettingsError

log = structlog.get_logger()

_FILES = "erasures-*.jsonl"


Kind = Literal["person", "registration", "linked"]


@dataclass(frozen=True)
class Erased:
    """What was erased."""

    kind: Kind
    """A person in every service, or an ended registration of somebody who remains a customer.

    Linked: a person who was made for a registration that is another customer's by now.
    """
    person_id: str
    registration_ids: tuple[str, ...]
    """By which notification and identity know mail and links."""
    stage: str = ""
    """How the registration ended: the name of its stage. Empty for a person."""


class BrokenLedger(Exception):
    """A file of the ledger is not as it was written. The text names the file and the line."""


class ErasureLedger:
    """Appends to the ledger of a folder. Safe to use from several tasks, threads and processes."""

    def __init__(self, folder: Path, keep: timedelta) -> None:
        self._folder = folder
        self._keep = keep
        self._lock = threading.Lock()
        self._file: Path | None = None
        self._hash = ""
        self._recorded: set[Erased] = set()

    def require_writable(self) -> None:
        """Makes the folder if it is missing. SettingsError if nothing can be written there."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = self._folder / f".probe-{secrets.token_hex(8)}"
            probe.touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            raise SettingsError(
                f"LIITY_ERASURE_LEDGER_DIR: {self._folder} cannot be written ({error.strerror})"
            ) from None

    async def record(self, erased: Erased) -> None:
        """Writes an erasure to disk, and returns once it is there. OSError if it cannot be written."""
        await asyncio.to_thread(self._record, erased)

    def _record(self, erased: Erased) -> None:
        with self._lock:
            moment = now()
            path = self._file_of(moment)
            if erased in self._recorded:
                # A repeated attempt of the same erasure.
                return
            entry = {
                # To the microsecond: mail of the same second, from before it, must be found again.
                "time": moment.isoformat(timespec="microseconds"),
                "kind": erased.kind,
                "person": erased.person_id,
                "registrations": list(erased.registration_ids),
                "stage": erased.stage,
            }
            digest = _digest(self._hash, entry)
            try:
                _append(path, json.dumps(entry | {"hash": digest}) + "\n")
            except OSError:
                # Part of the line may be there: what follows goes to another file.
                self._file = None
                raise
            self._hash = digest
            self._recorded.add(erased)

    def _file_of(self, moment: datetime) -> Path:
        """The file of a moment's month, begun if there is none."""
        if self._file is not None and self._file.name.startswith(_month_prefix(moment)):
            return self._file
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._prune(moment)
        self._file = self._folder / f"{_month_prefix(moment)}{secrets.token_hex(8)}.jsonl"
        self._hash = _seed(self._file)
        self._recorded.clear()
        return self._file

    def _prune(self, moment: datetime) -> None:
        """Deletes the files of months that ended longer ago than entries are kept."""
        oldest = _month_prefix(moment - self._keep)
        for path in self._folder.glob(_FILES):
            if path.name < oldest:
                path.unlink(missing_ok=True)
                log.info("erasure ledger pruned", file=path.name)


def read(folder: Path) -> Mapping[Erased, datetime]:
    """All erasures of a folder's ledger, each with its latest time.

    `BrokenLedger` for the first line that is wrong.
    SettingsError if the folder is missing: a ledger that was not restored is no empty ledger.
    """
    if not folder.is_dir():
        raise SettingsError(f"LIITY_ERASURE_LEDGER_DIR: there is no folder {folder}")
    files = sorted(folder.glob(_FILES))
    found: dict[Erased, datetime] = {}
    for path in files:
        for erased, moment in _read_file(path):
            found[erased] = max(moment, found.get(erased, moment))
    return found


def _read_file(path: Path) -> Iterator[tuple[Erased, datetime]]:
    digest = _seed(path)
    *lines, rest = path.read_bytes().split(b"\n")
    if rest:
        # The process ended while it wrote, so the erasure was not acknowledged and was repeated.
        log.warning("erasure ledger: incomplete last line ignored", file=path.name)
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            told = entry.pop("hash")
            moment = datetime.fromisoformat(entry["time"])
            if entry["kind"] not in get_args(Kind):
                raise ValueError
            erased = Erased(entry["kind"], entry["person"], tuple(entry["registrations"]), entry["stage"])
        except (ValueError, KeyError, AttributeError, TypeError):
            raise BrokenLedger(f"{path.name}, line {number}: it is no entry") from None
        digest = _digest(digest, entry)
        if told != digest:
            raise BrokenLedger(f"{path.name}, line {number}: it, or one before it, was changed")
        yield erased, moment


def _month_prefix(moment: datetime) -> str:
    return f"erasures-{moment.astimezone(UTC):%Y-%m}-"


def _seed(path: Path) -> str:
    """What the first line's hash covers: a file under another file's name is wrong from its first line."""
    return hashlib.sha256(path.name.encode()).hexdigest()


def _digest(before: str, entry: Mapping[str, object]) -> str:
    return hashlib.sha256(f"{before}{json.dumps(entry, sort_keys=True)}".encode()).hexdigest()


def _append(path: Path, line: str) -> None:
    is_new = not path.exists()
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(line.encode())
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Writes a new file's name to disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
