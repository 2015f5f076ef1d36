"""Writes the pages that repeat what stands elsewhere: `python -m docs.tables`.

`docs/folders.md` comes from the packages' docstrings, `docs/reasons.md` from `liity.v1.Reason` and its texts,
`docs/settings.md` from the settings classes, `docs/access.md` from the access table, the forms in
`docs/examples/` from `frontends/cli/example_forms.py`. A test fails where a page says what its source no
longer does.
"""

import ast
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import grpc
from google.protobuf.descriptor_pb2 import FileDescriptorSet, SourceCodeInfo
from pydantic import TypeAdapter
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from deploy import topology
from deploy.admin.staff import StaffSettings
from deploy.demo.validate import ValidateSettings
from deploy.local.mailbox.server import MailboxSettings
from deploy.local.tls_proxy import TlsEndSettings
from deploy.web import WebSettings
from frontends.cli import example_forms
from liity.v1.customer_form_pb2 import LANGUAGE_EN
from liity.v1.reason_pb2 import Reason
from services.codec.settings import CodecSettings
from services.gateway.settings import GatewaySettings
from services.identity.settings import IdentitySettings
from services.notification.settings import InboxSettings, MailSettings
from services.registration.settings import RegistrationSettings
from services.runtime.data.database import DatabaseAccess, DatabaseSettings
from services.runtime.management import ManagementSettings
from services.runtime.rpc.server import ServerSettings
from services.runtime.rpc.texts import reason_text
from services.runtime.security.access import ACCESS, ROLES, Accounts, Anyone, Services
from services.runtime.security.tls import PublicTlsSettings
from services.runtime.settings import KmsSettings, RuntimeSettings, SettingFiles
from services.runtime.temporal.client import TemporalSettings
from services.runtime.temporal.namespace import NamespaceSettings
from workflows.settings import WorkerSettings

DOCS = Path(__file__).parent
CONTRACTS = DOCS.parent / "gen" / "liity.binpb"

_CODE = ("services", "workflows", "frontends", "deploy")

_ENUM_IN_FILE, _VALUE_IN_ENUM = 5, 2
"""Numbers of fields in descriptor.proto, of which paths to comments are made."""

_INVALID = grpc.StatusCode.INVALID_ARGUMENT
_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

_STATUS = {
    **dict.fromkeys(
        (
            *range(1, 12),
            *range(20, 26),
            *range(40, 54),
            *range(115, 120),
            123,
            200,
            72,
            90,
            104,
            130,
            133,
            153,
            *range(160, 167),
            *range(190, 194),
            169,
            171,
            172,
            *range(300, 342),
            *range(360, 363),
            364,
        ),
        _INVALID,
    ),
    **dict.fromkeys((60, 61, 62, 68, 69, 111, 363), grpc.StatusCode.ALREADY_EXISTS),
    **dict.fromkeys(
        (
            63,
            64,
            76,
            87,
            88,
            89,
            110,
            113,
            114,
            120,
            121,
            122,
            131,
            132,
            135,
            136,
            137,
            149,
            150,
            152,
            168,
            180,
            231,
            201,
            202,
            203,
        ),
        _PRECONDITION,
    ),
    **dict.fromkeys((65, 66, 67, 70, 71, 73, 74, 77, 86, 112, 151, 167, 230), grpc.StatusCode.NOT_FOUND),
    **dict.fromkeys((80, 81, 83, 85), grpc.StatusCode.UNAUTHENTICATED),
    75: grpc.StatusCode.ABORTED,
    82: grpc.StatusCode.PERMISSION_DENIED,
    **dict.fromkeys((84, 91, 92, 95, 96, 97, 101, 105, 232), grpc.StatusCode.RESOURCE_EXHAUSTED),
    **dict.fromkeys((100, 102, 170), grpc.StatusCode.UNAVAILABLE),
    103: grpc.StatusCode.INTERNAL,
    **dict.fromkeys((140, 141, 142, 143, 145, 146, 148, 210, 211), _PRECONDITION),
    **dict.fromkeys((144, 147), _INVALID),
}
"""The status each reason comes with, by its number."""

_SETTINGS: tuple[tuple[str, type[BaseSettings]], ...] = (
    ("Every component", RuntimeSettings),
    ("Every process, whatever it serves", ManagementSettings),
    ("Every process and command that reads these settings", SettingFiles),
    ("Whoever has key files: every component, and `liity keys`", KmsSettings),
    ("Whoever serves: identity, registration, notification, gateway, codec, web", ServerSettings),
    ("Who reaches a database: identity, registration, notification, `liity migrate`", DatabaseAccess),
    ("Whoever has a database: identity, registration, notification", DatabaseSettings),
    ("Whoever people outside call: gateway, codec, web", PublicTlsSettings),
    ("Whoever speaks to Temporal: gateway, worker, `liity temporal prepare`", TemporalSettings),
    ("Temporal's namespace: worker, `liity temporal prepare`", NamespaceSettings),
    ("identity", IdentitySettings),
    ("registration", RegistrationSettings),
    ("notification", MailSettings),
    ("notification, for reports of mail that did not arrive", InboxSettings),
    ("gateway", GatewaySettings),
    ("codec", CodecSettings),
    ("web", WebSettings),
    ("worker", WorkerSettings),
    ("`liity staff create`", StaffSettings),
    ("`liity validate`", ValidateSettings),
    ("mailbox (local stack only)", MailboxSettings),
    ("tls-end (local stack only)", TlsEndSettings),
)


def reasons() -> str:
    """The page of reasons: for each its status, when it comes, and what a person is told."""
    lines = [
        "# Reasons",
        "",
        "Every refusal carries one of these as `google.rpc.ErrorInfo.reason` (domain `liity`), and every",
        "wrong field one as `google.rpc.BadRequest.FieldViolation.reason`. They are the values of",
        "`liity.v1.Reason` without `REASON_`. A wrong field makes the call INVALID_ARGUMENT. The last column",
        "is what the API tells a person in English; it says the same in Finnish and Swedish.",
        "",
        "This page is written by `python -m docs.tables`.",
    ]
    for number, location in _reason_comments():
        if not number:
            continue
        for section in location.leading_detached_comments:
            lines += ["", f"## {_one_line(section).rstrip('.')}", ""]
            lines += ["| reason | status | when | what to tell a person |", "|---|---|---|---|"]
        value = Reason.ValueType(number)
        name = Reason.Name(value).removeprefix("REASON_")
        cells = (
            f"`{name}`",
            _STATUS[number].name,
            _one_line(location.leading_comments),
            reason_text(value, LANGUAGE_EN),
        )
        lines.append(_row(cells))
    return "\n".join(lines) + "\n"


def settings() -> str:
    """The page of settings: for each its default and its meaning, by component."""
    lines = [
        "# Settings",
        "",
        "Read from the environment. A wrong or missing one stops the start with one line that names it. A",
        "component reads its own variable first: `LIITY_IDENTITY_LISTEN` before `LIITY_LISTEN`. Durations",
        'are ISO 8601: `PT15M`, `P14D`. Lists are JSON: `["P7D", "P14D"]`.',
        "",
        "This page is written by `python -m docs.tables`.",
    ]
    for title, component in _SETTINGS:
        lines += ["", f"## {title}", "", "| variable | default | meaning |", "|---|---|---|"]
        lines += [_row(cells) for cells in _variables(component)]
    return "\n".join(lines) + "\n"


def access() -> str:
    """The page of who may do what: people's RPCs by role, then those between components."""
    lines = [
        "# Who may do what",
        "",
        "`services/runtime/security/access.py`: every server enforces it on every call. An RPC that is not",
        "in it is refused, and a test fails.",
        "",
        "## People",
        "",
        "A unit's registrar sees the unit's customers only; another unit's answer as if they did not exist.",
        "Customer service may name any unit. Operators run the system and see no personal data.",
        "",
        "| RPC | " + " | ".join(ROLES.values()) + " | whose data | in the log of use |",
        "|---|" + "---|" * len(ROLES) + "---|---|",
    ]
    people = {method: rule for method, rule in ACCESS.items() if isinstance(rule, Accounts)}
    for method, rule in people.items():
        may = ("yes" if role in rule.roles else "" for role in ROLES)
        logged = f"`{rule.action}`, {rule.recorded.value}"
        lines.append(_row((_method(method), *may, rule.whose.value, logged)))
    lines += [
        "",
        "## Anyone",
        "",
        "What opens the door is in the request: a password, or the token of a link. Behind the last two is",
        "nothing that is secret.",
        "",
    ]
    lines += [f"- {_method(method)}" for method, rule in ACCESS.items() if isinstance(rule, Anyone)]
    lines += [
        "",
        "## Components",
        "",
        "Each proves which one it is by a token it signs for one callee, with TLS by its certificate too.",
        "",
        "| RPC | called by |",
        "|---|---|",
    ]
    for method, rule in ACCESS.items():
        if isinstance(rule, Services):
            lines.append(_row((_method(method), ", ".join(sorted(rule.names)))))
    return "\n".join(lines) + "\n"


def adult_form() -> str:
    """An adult's form, as `liity registrations save` takes it."""
    return example_forms.as_json(example_forms.adult())


def pupil_form() -> str:
    """A pupil's form, as `liity registrations save` takes it."""
    return example_forms.as_json(example_forms.pupil())


def folders() -> str:
    """The page of the folders of code: each package with its own words, and its modules."""
    lines = [
        "# Where things are",
        "",
        "Every floor is cut by the same domains: registrations, customers, class lists, units, the work",
        "list, messages, audit, privacy, accounts, links. In each package `service.py` is the gRPC door,",
        "`queries.py` shared SQL, `workflow.py` the workflow and `activities.py` its steps.",
        "",
        _row(("folder", "what", "modules")),
        _row(("---", "---", "---")),
    ]
    for top in _CODE:
        for package in sorted((DOCS.parent / top).rglob("__init__.py")):
            tree = ast.parse(package.read_text("utf-8"))
            modules = sorted(path.stem for path in package.parent.glob("*.py") if path != package)
            folder = package.parent.relative_to(DOCS.parent)
            shown = ", ".join(f"`{module}`" for module in modules)
            lines.append(_row((f"`{folder}/`", _one_line(ast.get_docstring(tree) or ""), shown)))
    return "\n".join([*lines, ""])


PAGES = {
    DOCS / "folders.md": folders,
    DOCS / "reasons.md": reasons,
    DOCS / "settings.md": settings,
    DOCS / "access.md": access,
    DOCS.parent / "deploy" / "helm" / "liity" / "files" / "topology.json": topology.as_json,
    DOCS / "examples" / "adult.json": adult_form,
    DOCS / "examples" / "pupil.json": pupil_form,
}
"""Each page with what writes it."""


def _method(path: str) -> str:
    """An RPC as people write it, without the packages' common beginning."""
    service, _, method = path.strip("/").rpartition("/")
    return f"`{service.removeprefix('liity.')}.{method}`"


def _reason_comments() -> Iterator[tuple[int, SourceCodeInfo.Location]]:
    """The number of each reason, with its comments in the contract."""
    contracts = FileDescriptorSet.FromString(CONTRACTS.read_bytes())
    (file,) = (file for file in contracts.file if file.name == "liity/v1/reason.proto")
    comments = {tuple(location.path): location for location in file.source_code_info.location}
    for index, value in enumerate(file.enum_type[0].value):
        yield value.number, comments[_ENUM_IN_FILE, 0, _VALUE_IN_ENUM, index]


def _variables(component: type[BaseSettings]) -> Iterator[tuple[str, str, str]]:
    """What a class itself reads, without what stands with the classes it extends."""
    for name, field in component.model_fields.items():
        if name not in component.__annotations__:
            continue
        default = "required" if field.default is PydanticUndefined else _default(field.default)
        yield f"`LIITY_{name.upper()}`", default, field.description or ""


def _default(value: object) -> str:
    if value in {None, ""}:
        return ""
    kind = tuple[timedelta, ...] if isinstance(value, tuple) else type(value)
    text = TypeAdapter(kind).dump_json(value).decode().strip('"')
    return f"`{text}`"


def _one_line(comment: str) -> str:
    return " ".join(comment.split())


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


if __name__ == "__main__":
    for page, write in PAGES.items():
        page.write_text(write(), "utf-8")
