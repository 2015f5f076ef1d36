"""Searches everything that operators, mail servers and callers see for personal data that tests have sent.

Tests need do nothing for it: every channel that a test opens reports here what it sent and which errors came
back. After each file of tests, all new logs, errors, mails and runs in Temporal are searched for it; at the
end, the raw bytes of the databases. A leak is reported with the test that sent the value.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message as Mail
from email.policy import default
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
from services.runtime.settings import RuntimeSettings
from tests.system.support.byte_search import find
from tests.system.support.public_api import connect_temporal
from tests.system.support.registering import database

SHORTEST = 6
_SHORTEST_NUMBER = 9
"""Characters: shorter values occur everywhere."""

_FEWEST = 4
"""Different characters: fewer make rows of zeros and the like."""

IMPERSONAL = frozenset(
    {
        # Of units, which are no persons; places where thousands live; words of the form.
        "unit_display_name",
        "municipality",
        "post_office",
        "country_code",
        "relation",
        # Names and values that the contract gives.
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
"""Fields of requests that hold nothing personal: every other text of a request does, unless it is an ID."""

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
"""A code in a class list: as CSV holds it."""
_DETAILS = "grpc-status-details-bin"
_LINK = re.compile(rb"https?://[^\s\"'<>#]+")
_RECIPIENT_HEADERS = {"to", "delivered-to"}
_OF_ALL = frozenset({RuntimeSettings.model_fields["customer_service_email"].default})
"""What the system itself tells everybody."""


class Leak(NamedTuple):
    """A personal value where it must not be."""

    value: str
    place: str
    test: str
    """The test that sent the value first."""


@dataclass
class Traffic:
    """What tests have sent and what errors they got."""

    values: dict[str, str] = field(default_factory=dict)
    """Personal values by text, with the name of the field that held each."""
    senders: dict[str, str] = field(default_factory=dict)
    """The test that sent each value first, by text."""
    fresh: set[str] = field(default_factory=set)
    """Those that were sent since the last look."""
    errors: dict[str, bytes] = field(default_factory=dict)
    """The errors since the last look: all that came with each."""
    listening: bool = True
    """Whether calls are watched: not while tests run that are of no stack."""
    test: str = ""
    """The test that runs now."""

    def sent(self, request: Message) -> None:
        """Remembers what a request holds."""
        file = getattr(request, "content", b"")
        for code in _CODE_IN_FILE.findall(file) if isinstance(file, bytes) else ():
            self.add(_CODE, code.decode())
        if request.DESCRIPTOR.full_name not in _IMPERSONAL_MESSAGES:
            for name, text in texts_in(request):
                if name not in IMPERSONAL and not name.endswith("_id"):
                    self.add(name, text)

    def answered(self, response: Message) -> None:
        """Remembers the secrets that an answer holds."""
        for name, text in texts_in(response):
            if _SECRET_OF_ANSWERS.fullmatch(name) and name not in IMPERSONAL:
                self.add(name, text)

    def failed(self, method: str, error: grpc.aio.AioRpcError) -> None:
        """Remembers all that an error says."""
        said = [(error.details() or "").encode()]
        for key, value in (*(error.trailing_metadata() or ()), *(error.initial_metadata() or ())):
            raw = value if isinstance(value, bytes) else value.encode()
            said.append(_without_answers(raw) if key == _DETAILS else raw)
        during = f" during {self.test}" if self.test else ""
        self.errors[f"error {len(self.errors)} of {method}{during}"] = b"\n".join(said)

    def add(self, name: str, text: str) -> None:
        """Remembers a value, if it is one that tells somebody from others."""
        # So few digits stand in any large file by chance.
        chance = text.isdecimal() and len(text) < _SHORTEST_NUMBER
        common = len(text) < SHORTEST or chance or len(set(text)) < _FEWEST or text in _OF_ALL
        if not common and not _ID.fullmatch(text):
            for spelling in spellings(name, text):
                self.values[spelling] = name
                self.senders.setdefault(spelling, self.test)
                self.fresh.add(spelling)

    def codes(self) -> list[str]:
        """Every personal identity code, however it may be spelled."""
        return [text for text, name in self.values.items() if name == _CODE]


def _without_answers(details: bytes) -> bytes:
    """The details of an error but the customer who was changed meanwhile: whoever edits one may see them."""
    status = status_pb2.Status.FromString(details)
    kept = [detail for detail in status.details if not detail.Is(ChangedMeanwhile.DESCRIPTOR)]
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
    """How a value may have been written: a code with another sign or none, a number without its zero."""
    if name == _CODE and (code := _WHOLE_CODE.fullmatch(text)):
        return {text, f"{code[1]}{code[2]}", f"{code[1]}-{code[2]}", f"{code[1]}\u2013{code[2]}"}
    if name == "phone":
        digits = re.sub(r"\D", "", text).removeprefix("358").removeprefix("0")
        return {text, f"0{digits}", f"358{digits}"} if len(digits) >= SHORTEST else {text}
    return {text}


class _Watching(grpc.aio.UnaryUnaryClientInterceptor):
    """Tells `Traffic` of every call on a channel."""

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
    """A way to open channels whose calls are watched."""

    @wraps(open_channel)
    def open_watched(*args: Any, interceptors: Iterable[Any] = (), **options: Any) -> grpc.aio.Channel:
        return open_channel(*args, interceptors=[*(interceptors or ()), _Watching(traffic)], **options)

    return open_watched


def _message(path: str, body: object, side: str) -> Message | None:
    """What was sent or answered, also where a test has sent bytes of its own."""
    if isinstance(body, Message):
        return body
    service, _, name = path.removeprefix("/").partition("/")
    with suppress(KeyError, DecodeError):
        method = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        kind = message_factory.GetMessageClass(getattr(method, side))
        return kind.FromString(body) if isinstance(body, bytes) else None
    return None


class _Run(NamedTuple):
    """What Temporal shows of a run, as of the last look."""

    place: str
    listing: bytes
    """Changes with every event of the run."""
    shown: bytes


class LeakWatch:
    """Searches what is new in a stack since the last look."""

    def __init__(self, traffic: Traffic) -> None:
        self.traffic = traffic
        self.stack: Stack | None = None
        """The stack that runs."""
        self._log_ends: dict[Path, int] = {}
        self._mails: set[str] = set()
        self._runs: dict[str, _Run] = {}
        self._client: Client | None = None

    async def new_leaks(self, stack: Stack) -> list[Leak]:
        """The values sent since the last look that are where they must not be, with the places."""
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
        """All values ever sent that are in any log, mail or run: also what came late."""
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
        """All values ever sent that the raw bytes of a stopped stack's databases hold, and may not.

        Temporal's and notification's hold none at all, the others no personal identity code.
        `folders` are those of `database_folders`.
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
        """What Temporal lists of runs, and the summary and details of those that have changed."""
        if self._client is None:
            self._client = await connect_temporal(stack)
        new = {}
        async for listed in self._client.list_workflows(page_size=1000):
            # The server writes maps in any order: only so do the same facts give the same bytes.
            listing = listed.raw_info.SerializeToString(deterministic=True)
            known = self._runs.get(listed.run_id)
            if known is None or known.listing != listing:
                described = await self._client.get_workflow_handle(listed.id, run_id=listed.run_id).describe()
                shown = listing + described.raw_description.SerializeToString()
                run = self._runs[listed.run_id] = _Run(f"run {listed.id}", listing, shown)
                new[run.place] = run.shown
        return new


def mail_places(name: str, content: bytes) -> dict[str, bytes]:
    """What of a mail its way shows to others: headers but the recipient's, and links up to the fragment."""
    mail: Mail = message_from_bytes(content, policy=default)
    shown = [
        f"{header}: {value}".encode("utf-8", "surrogateescape")
        for header, value in mail.items()
        if header.lower() not in _RECIPIENT_HEADERS
    ]
    parts = [part.get_payload(decode=True) for part in mail.walk() if not part.is_multipart()]
    links = [link for part in parts if isinstance(part, bytes) for link in _LINK.findall(part)]
    return {f"headers of mail {name}": b"\n".join(shown), f"links of mail {name}": b"\n".join(links)}


def files(folder: Path) -> Mapping[str, bytes]:
    """Every file of a folder."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def database_folders(stack: Stack) -> dict[str, Path]:
    """Where PostgreSQL keeps the raw bytes of each service's database."""
    folders = {}
    for name in DATABASES:
        async with database(stack, name) as connection:
            oid = await connection.fetchval("SELECT oid FROM pg_database WHERE datname = current_database()")
        folders[name] = stack.folder / "postgres" / "data" / "base" / str(oid)
    return folders
