"""Searches all that operators, mail servers and callers see for personal data sent by tests.

Tests need do nothing: every channel that a test opens records here what it sent and which errors it got.
After each file of tests, new logs, errors, mails and runs in Temporal are searched; at the end, the raw bytes
of the databases. A leak is reported with the test that sent the value.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message as Mail
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, cast

import grpc
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.rpc import status_pb2
from temporalio.client import Client

from deploy.local.postgres import DATABASES
from deploy.local.stack import Stack
from liity.v1.customer_service_pb2 import ChangedMeanwhile
from liity.v1.work_service_pb2 import WorkClaim
from services.runtime import mail_policy
from services.runtime.settings import RuntimeSettings
from tests.system.support.byte_search import find
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import database

SHORTEST = 6
_SHORTEST_NUMBER = 9
"""Digits: shorter numbers occur everywhere."""

_FEWEST = 4
"""Different characters: fewer occur in rows of zeros and the like."""

IMPERSONAL = frozenset(
    {
        # Data of units, which are not persons; places with thousands of people; words of the form.
        "unit_display_name",
        "municipality",
        "post_office",
        "country_code",
        "relation",
        # Names and values of the contract.
        "name",
        "parent",
        "wording_version",
        "action",
        "outcome",
        "purpose",
        "retention",
        "kind",
        "page_token",
        "paths",
        "trace_id",
        "template",
        "service",
    }
)
"""Request fields without personal data. Every other text of a request is personal, unless it is an ID."""

_IMPERSONAL_MESSAGES = frozenset(
    {
        "liity.registration.v1.CreateUnitRequest",
        "liity.v1.CreateUnitRequest",
        "liity.v1.UpdateUnitRequest",
        "liity.v1.ListUnitsRequest",
        "liity.v1.UpdateBookTipsRequest",
    }
)
_ID = re.compile(
    r"[a-z0-9]{32}|[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}|(units|disclosures)/[a-z0-9]{1,32}(/.*)?"
)
_SECRET_OF_ANSWERS = re.compile(r".*token|user_name|password")
_CODE = "personal_identity_code"
_WHOLE_CODE = re.compile(r"(\d{6})\D(\d{3}[0-9A-Ya-y])")
_CODE_IN_FILE = re.compile(rb"\b\d{6}[-+A-FU-Y]\d{3}[0-9A-Y]\b")
"""A code in a class list, as in CSV."""
_DETAILS = "grpc-status-details-bin"
_LINK = re.compile(rb"https?://[^\s\"'<>#]+")
_TOKEN_AT_THE_END = re.compile(
    rb"/(consent|customership|password|account-password|invitation|email)/[\w.~-]+$"
)
"""Where a personal link has its token, which is its reader's own."""
_RECIPIENT_HEADERS = {"to", "delivered-to"}
_OF_ALL = frozenset({RuntimeSettings.model_fields["customer_service_email"].default})
"""Texts that the system itself shows to everybody."""


class Leak(NamedTuple):
    """A personal value in a forbidden place."""

    value: str
    place: str
    test: str
    """The test that sent the value first."""


@dataclass
class Traffic:
    """Values sent by tests and errors received."""

    values: dict[str, str] = field(default_factory=dict)
    """Personal values by text, with the name of the field that held each."""
    senders: dict[str, str] = field(default_factory=dict)
    """The test that sent each value first, by text."""
    fresh: set[str] = field(default_factory=set)
    """Values sent since the last search."""
    errors: dict[str, bytes] = field(default_factory=dict)
    """Errors since the last search, with all their details."""
    listening: bool = True
    """Whether calls are recorded: not during tests without a stack."""
    test: str = ""
    """The test that is running."""

    def sent(self, request: Message) -> None:
        """Records the values of a request."""
        file = getattr(request, "content", b"")
        for code in _CODE_IN_FILE.findall(file) if isinstance(file, bytes) else ():
            self.add(_CODE, code.decode())
        if request.DESCRIPTOR.full_name not in _IMPERSONAL_MESSAGES:
            for name, text in texts_in(request):
                if name not in IMPERSONAL and not name.endswith("_id"):
                    self.add(name, text)

    def answered(self, response: Message) -> None:
        """Records the secrets of an answer."""
        for name, text in texts_in(response):
            if _SECRET_OF_ANSWERS.fullmatch(name) and name not in IMPERSONAL:
                self.add(name, text)

    def failed(self, method: str, error: grpc.aio.AioRpcError) -> None:
        """Records the whole of an error."""
        said = [(error.details() or "").encode()]
        for key, value in (*(error.trailing_metadata() or ()), *(error.initial_metadata() or ())):
            raw = value if isinstance(value, bytes) else value.encode()
            said.append(_without_answers(raw) if key == _DETAILS else raw)
        during = f" during {self.test}" if self.test else ""
        self.errors[f"error {len(self.errors)} of {method}{during}"] = b"\n".join(said)

    def add(self, name: str, text: str) -> None:
        """Records a value, if it can identify a person."""
        # Numbers this short occur in any large file by chance.
        chance = text.isdecimal() and len(text) < _SHORTEST_NUMBER
        common = len(text) < SHORTEST or chance or len(set(text)) < _FEWEST or text in _OF_ALL
        # With a line feed behind it an ID is a wrong one, but still no personal data.
        if not common and not _ID.fullmatch(text.strip()):
            for spelling in spellings(name, text):
                self.values[spelling] = name
                self.senders.setdefault(spelling, self.test)
                self.fresh.add(spelling)

    def codes(self) -> list[str]:
        """Every personal identity code, in any spelling."""
        return [text for text, name in self.values.items() if name == _CODE]


def _without_answers(details: bytes) -> bytes:
    """An error's details without what is meant for the caller.

    An editor may read the customer who was changed meanwhile, and an officer the name of the officer who
    has claimed an item.
    """
    status = status_pb2.Status.FromString(details)
    meant = (ChangedMeanwhile.DESCRIPTOR, WorkClaim.DESCRIPTOR)
    kept = [detail for detail in status.details if not any(detail.Is(kind) for kind in meant)]
    del status.details[:]
    status.details.extend(kept)
    return status.SerializeToString()


def texts_in(message: Message) -> Iterator[tuple[str, str]]:
    """Every text of a message, with the name of its field."""
    for described, value in message.ListFields():
        for item in value if described.is_repeated else (value,):
            if described.type == FieldDescriptor.TYPE_MESSAGE and isinstance(item, Message):
                yield from texts_in(item)
            elif described.type == FieldDescriptor.TYPE_STRING:
                yield described.name, str(item)


def spellings(name: str, text: str) -> set[str]:
    """Spellings of a value: a code with another sign or none, a number without its zero."""
    if name == _CODE and (code := _WHOLE_CODE.fullmatch(text)):
        return {text, f"{code[1]}{code[2]}", f"{code[1]}-{code[2]}", f"{code[1]}\u2013{code[2]}"}
    if name == "phone":
        digits = re.sub(r"\D", "", text).removeprefix("358").removeprefix("0")
        return {text, f"0{digits}", f"358{digits}"} if len(digits) >= SHORTEST else {text}
    return {text}


class _Watching(grpc.aio.UnaryUnaryClientInterceptor):
    """Records every call of a channel in `Traffic`."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic

    async def intercept_unary_unary(
        self,
        continuation: Callable[..., Any],
        client_call_details: grpc.aio.ClientCallDetails,
        request: Any,
    ) -> Any:
        if not self._traffic.listening:
            return await continuation(client_call_details, request)
        # Its stubs say that it is text.
        path = cast(bytes | str, client_call_details.method)
        path = path.decode() if isinstance(path, bytes) else path
        sent = _message(path, request, "input_type")
        if sent is not None:
            self._traffic.sent(sent)
        call = await continuation(client_call_details, request)
        try:
            answer = _message(path, await call, "output_type")
        except grpc.aio.AioRpcError as error:
            self._traffic.failed(path, error)
        else:
            if answer is not None:
                self._traffic.answered(answer)
        return call


OpenChannel = Callable[..., grpc.aio.Channel]


def watched(open_channel: OpenChannel, traffic: Traffic) -> OpenChannel:
    """A function that opens recorded channels."""

    @wraps(open_channel)
    def open_watched(*args: Any, interceptors: Iterable[Any] = (), **options: Any) -> grpc.aio.Channel:
        return open_channel(*args, interceptors=[*(interceptors or ()), _Watching(traffic)], **options)

    return open_watched


def _message(path: str, body: object, side: str) -> Message | None:
    """The message sent or answered; also for tests that send raw bytes."""
    if isinstance(body, Message):
        return body
    service, _, name = path.removeprefix("/").partition("/")
    with suppress(KeyError, DecodeError):
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        kind = message_factory.GetMessageClass(getattr(method, side))
        return kind.FromString(body) if isinstance(body, bytes) else None
    return None


class _Run(NamedTuple):
    """Temporal's data of a run, as of the last search."""

    place: str
    listing: bytes
    """Changes with every event of the run."""
    shown: bytes


class LeakWatch:
    """Searches a stack for leaks since the last search."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.stack: Stack | None = None
        """The running stack."""
        self._log_ends: dict[Path, int] = {}
        self._mails: set[str] = set()
        self._runs: dict[str, _Run] = {}
        self._client: Client | None = None

    async def new_leaks(self, stack: Stack) -> list[Leak]:
        """Leaks of values sent since the last search, with their places."""
        places = {
            **self.traffic.errors,
            **self._new_logs(stack.logs),
            **self._new_mails(stack.folder / "mail"),
            **await self._new_runs(stack),
        }
        fresh = sorted(self.traffic.fresh)
        self.traffic.fresh.clear()
        self.traffic.errors.clear()
        return self._find(fresh, places)

    async def all_leaks(self, stack: Stack) -> list[Leak]:
        """Leaks of all values ever sent in any log, mail or run: finds what was written late."""
        self._log_ends.clear()
        self._mails.clear()
        await self._new_runs(stack)
        places = {
            **self._new_logs(stack.logs),
            **self._new_mails(stack.folder / "mail"),
            **{run.place: run.shown for run in self._runs.values()},
        }
        return self._find(self.traffic.values, places)

    def stored_leaks(self, stack: Stack, folders: Mapping[str, Path]) -> list[Leak]:
        """Leaks of all values ever sent in the raw bytes of a stopped stack's databases.

        Temporal's and notification's may hold none, the others no personal identity code. `folders` are those
        of `database_folders`.
        """
        nothing = {**files(stack.folder / "temporal"), **files(folders["notification"])}
        no_codes = {
            **files(folders["identity"]),
            **files(folders["registration"]),
            **files(stack.folder / "postgres" / "data" / "pg_wal"),
        }
        return self._find(self.traffic.values, nothing) + self._find(self.traffic.codes(), no_codes)

    def _find(self, values: Iterable[str], places: Mapping[str, bytes]) -> list[Leak]:
        return [Leak(value, place, self.traffic.senders[value]) for value, place in find(values, places)]

    def _new_logs(self, folder: Path) -> dict[str, bytes]:
        new = {}
        for path in folder.iterdir():
            with path.open("rb") as log:
                log.seek(self._log_ends.get(path, 0))
                new[f"log {path.name}"] = log.read()
                self._log_ends[path] = log.tell()
        return new

    def _new_mails(self, folder: Path) -> dict[str, bytes]:
        new: dict[str, bytes] = {}
        for path in folder.glob("*.eml"):
            if path.name not in self._mails:
                self._mails.add(path.name)
                new |= mail_places(path.name, path.read_bytes())
        return new

    async def _new_runs(self, stack: Stack) -> dict[str, bytes]:
        """Temporal's list of runs, and the summary and details of changed ones."""
        if self._client is None:
            self._client = await connect_temporal(stack)
        new = {}
        async for listed in self._client.list_workflows(page_size=1000):
            # The server writes maps in any order: deterministic serialization gives equal bytes for equal
            # data.
            listing = listed.raw_info.SerializeToString(deterministic=True)
            known = self._runs.get(listed.run_id)
            if known is None or known.listing != listing:
                described = await self._client.get_workflow_handle(listed.id, run_id=listed.run_id).describe()
                shown = listing + described.raw_description.SerializeToString()
                run = self._runs[listed.run_id] = _Run(f"run {listed.id}", listing, shown)
                new[run.place] = run.shown
        return new


def mail_places(name: str, content: bytes) -> dict[str, bytes]:
    """The parts of a mail visible in transit: headers except the recipient, and links up to the fragment."""
    mail: Mail = message_from_bytes(content, policy=mail_policy.READ)
    shown = [
        f"{header}: {value}".encode("utf-8", "surrogateescape")
        for header, value in mail.items()
        if header.lower() not in _RECIPIENT_HEADERS
    ]
    parts = [part.get_payload(decode=True) for part in mail.walk() if not part.is_multipart()]
    links = [link for part in parts if isinstance(part, bytes) for link in _LINK.findall(part)]
    links = [_TOKEN_AT_THE_END.sub(rb"/\1", link) for link in links]
    return {f"headers of mail {name}": b"\n".join(shown), f"links of mail {name}": b"\n".join(links)}


def files(folder: Path) -> Mapping[str, bytes]:
    """Every file of a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def database_folders(stack: Stack) -> dict[str, Path]:
    """The folders with the raw bytes of each service's database."""
    folders = {}
    for name in DATABASES:
        async with database(stack, name) as connection:
            oid = await connection.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")
        folders[name] = stack.folder / "postgres" / "data" / "base" / str(oid)
    return folders
