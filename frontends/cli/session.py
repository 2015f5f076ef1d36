"""The caller of a command, and the options that all commands share."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, cast

import typer
from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor
from typer.core import TyperGroup
from typing_extensions import override

from frontends.cli.console import FAILED, WRONG_USE
from frontends.cli.layouts import TEXTS
from frontends.cli.render import enum_text, text
from frontends.client import ApiClient
from frontends.refusals import Refusal
from liity.v1.reason_pb2 import REASON_UNAVAILABLE

ResultT = TypeVar("ResultT")

AsJson = Annotated[bool, typer.Option("--json", help="JSON, as the API's messages map to it.")]
Gateway = Annotated[
    str,
    typer.Option(
        envvar="LIITY_GATEWAY",
        help="host:port; that of the stack in --state-dir if not given, else 127.0.0.1:7400.",
        show_default=False,
    ),
]
GatewayCa = Annotated[
    Path | None,
    typer.Option(
        envvar="LIITY_GATEWAY_CA",
        exists=True,
        dir_okay=False,
        help="PEM of the CA of the gateway's certificate: calls it over TLS.",
    ),
]
StateDir = Annotated[
    Path,
    typer.Option(
        envvar="LIITY_STATE_DIR",
        help="The local stack's folder, which says where its gateway is and what its demo accounts are.",
    ),
]
RequestId = Annotated[
    str, typer.Option(help="A UUID that makes repeating the command safe; a new one if missing.")
]

Unit = Annotated[str, typer.Option(help="units/UNIT; your own if you belong to one.")]

DEFAULT_GATEWAY = "127.0.0.1:7400"
TYPED = "-"
"""In place of a text: it is typed, as shells keep a history."""


@dataclass(frozen=True)
class Caller:
    """The account and the gateway of a call."""

    gateway: str
    gateway_ca: Path | None
    language: str
    email: str = ""
    password: str = ""
    demo_account: str = ""
    state_dir: Path = Path(".liity")
    anonymous: bool = False

    def way(self) -> tuple[str, Path | None]:
        """The gateway and the CA of its certificate: those given, else those of the local stack."""
        if self.gateway:
            return self.gateway, self.gateway_ca
        noted = _read(self.state_dir / "stack.json") or {}
        if "gateway" not in noted:
            if self.demo_account:
                stop(f"No stack has been started in {self.state_dir}: liity up --state-dir {self.state_dir}")
            return DEFAULT_GATEWAY, self.gateway_ca
        return noted["gateway"], Path(noted["gateway_ca"]) if noted["gateway_ca"] else self.gateway_ca

    def address(self) -> str:
        """The account's e-mail address: given, of a demo account, or asked for."""
        return self._demo()["email"] if self.demo_account else self.email or typer.prompt("E-mail", err=True)

    def credentials(self) -> tuple[str, str]:
        """E-mail address and password: given, of a demo account, or asked for."""
        email = self.address()
        if self.demo_account:
            return email, self._demo()["password"]
        return email, self.password or secret("Password")

    def _demo(self) -> dict[str, str]:
        accounts = _read(self.state_dir / "demo-accounts.json")
        if accounts is None:
            stop(f"There are no demo accounts in {self.state_dir}: `liity up` makes them")
        if self.demo_account not in accounts:
            raise typer.BadParameter(f"--as takes one of {', '.join(accounts)}")
        found: dict[str, str] = accounts[self.demo_account]
        return found


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON file of the local stack's folder, which `deploy.local` writes; None if it does not exist."""
    try:
        noted: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    return noted


def stop(why: str) -> NoReturn:
    """Ends the program with a message and the exit code of wrong use."""
    typer.echo(why, err=True)
    raise typer.Exit(WRONG_USE)


def secret(what: str) -> str:
    """A secret: typed unseen at a terminal, else a line of standard input.

    Never an argument: those stay in the shell's history, and every user of the machine can see them.
    """
    if sys.stdin.isatty():
        return str(typer.prompt(what, hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")


def identity_code() -> str:
    """A personal identity code, which is asked for."""
    given = secret("Personal identity code")
    if not given.strip():
        stop("The personal identity code is missing")
    return given


def text_or_typed(given: str) -> str:
    """The text given; one of some lines from standard input, if it is `TYPED`."""
    if given != TYPED:
        return given
    if sys.stdin.isatty():
        typer.echo("Type the text, and end it with Ctrl-D on a line of its own:", err=True)
    return sys.stdin.read().strip()


def new_password() -> str:
    """A new password; typed twice at a terminal."""
    if sys.stdin.isatty():
        return str(typer.prompt("New password", hide_input=True, confirmation_prompt=True, err=True))
    return secret("New password")


def link_token() -> str:
    """The token of a mailed link, or a text that holds it: prompts for it; the gateway finds the token.

    Reads on after a line break that a mail program has marked by an equals sign.
    """
    link = secret("Link from the mail")
    while link.endswith("=") and not sys.stdin.isatty():
        following = secret("Link from the mail")
        if not following:
            break
        link = link[:-1] + following
    if not link.strip():
        stop("The link is missing: copy it from the mail")
    return link.strip()


def _language(value: str) -> str:
    if value not in {"fi", "sv", "en"}:
        raise typer.BadParameter("one of fi, sv, en")
    return value


MessageLanguage = Annotated[
    str,
    typer.Option(
        "--language", envvar="LIITY_LANGUAGE", callback=_language, help="Of messages: fi, sv or en."
    ),
]


def account_options(
    context: typer.Context,
    gateway: Gateway = "",
    gateway_ca: GatewayCa = None,
    email: Annotated[
        str, typer.Option(envvar="LIITY_EMAIL", help="Your account; asked for if missing.")
    ] = "",
    password: Annotated[
        str, typer.Option(envvar="LIITY_PASSWORD", help="Better in the environment; asked for if missing.")
    ] = "",
    demo_account: Annotated[
        str,
        typer.Option(
            "--as", help="A demo account of the local stack: registrar, teacher, staff or operator."
        ),
    ] = "",
    state_dir: StateDir = Path(".liity"),
    language: MessageLanguage = "en",
) -> None:
    """Options of commands with an account: gateway and account."""
    context.obj = Caller(gateway, gateway_ca, language, email, password, demo_account, state_dir)


def nobody_options(
    context: typer.Context,
    gateway: Gateway = "",
    gateway_ca: GatewayCa = None,
    state_dir: StateDir = Path(".liity"),
    language: MessageLanguage = "en",
) -> None:
    """Options of commands without an account: the gateway."""
    context.obj = Caller(gateway, gateway_ca, language, state_dir=state_dir, anonymous=True)


def choices(field: FieldDescriptor) -> dict[str, int]:
    """The values of an enum by their names in options: `related-person`."""
    numbers = [number for number in cast(EnumDescriptor, field.enum_type).values_by_number if number]
    return {enum_text(field, number).lower().replace("_", "-"): number for number in numbers}


def chosen(field: FieldDescriptor, option: str, given: str) -> Any:  # noqa: ANN401 - of any enum
    """The value of an enum by its name in an option, in any case, with hyphens or underscores."""
    found = choices(field)
    value = found.get(given.lower().replace("_", "-"))
    if value is None:
        raise typer.BadParameter(f"{option} takes one of {', '.join(found)}")
    return value


def own_unit(api: ApiClient) -> str:
    """The account's unit; the program ends if it has none or several."""
    units = [membership.unit for membership in api.session.memberships]
    if len(units) != 1:
        which = f"one of {', '.join(units)}" if units else "your account belongs to none"
        raise typer.BadParameter(f"name the unit with --unit: {which}")
    return units[0]


def full_name(api: ApiClient, collection: str, given: str) -> str:
    """A resource's full name, from its name, its name in the account's own unit, or its ID there."""
    if given.startswith("units/"):
        return given
    return f"{own_unit(api)}/{collection}/{given.removeprefix(f'{collection}/')}"


def call(
    caller: Caller,
    work: Callable[[ApiClient], Awaitable[ResultT]],
    *,
    request_id: str = "",
    anonymous: bool = False,
) -> ResultT:
    """Logs in, calls, and returns the result; a refusal ends the program with its text and exit code.

    With `request_id`, an unavailable gateway's text says how to repeat the same call. With `anonymous`, does
    not log in.
    """

    async def work_as_whom() -> ResultT:
        async with ApiClient(gateway, caller.language, gateway_ca) as api:
            if credentials is not None:
                await api.log_in(*credentials)
            return await work(api)

    gateway, gateway_ca = caller.way()
    credentials = None if anonymous or caller.anonymous else caller.credentials()
    try:
        return asyncio.run(work_as_whom())
    except Refusal as refusal:
        lines = refusal.lines()
        if refusal.detail is not None and refusal.detail.DESCRIPTOR.name in TEXTS:
            lines.append(f"  {text(TEXTS[refusal.detail.DESCRIPTOR.name], refusal.detail)}")
        if refusal.reason == REASON_UNAVAILABLE:
            lines.append(
                f"  Asked was {gateway}: is one running there? --gateway or LIITY_GATEWAY names another"
            )
            if gateway_ca is None:
                lines.append("  One that speaks TLS takes LIITY_GATEWAY_CA besides")
            if request_id:
                lines.append(f"  Repeated with --request-id {request_id} it is the same call")
        typer.echo("\n".join(lines), err=True)
        raise typer.Exit(FAILED) from None


class _Group(TyperGroup):
    """Says of its own options, given behind a command, where they belong."""

    @override
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.TyperException as error:
            # Typer has no public name for the exception of an unknown option.
            name = getattr(error, "option_name", None)
            if any(name in param.opts for param in self.params):
                right = f"{ctx.command_path} {name} … {ctx.invoked_subcommand}"
                error.message += f". It stands before the command's name: {right}"
            raise


def group(options: Callable[..., None] = account_options) -> typer.Typer:
    """A group of commands; `options` is the callback with the options before the command."""
    app = typer.Typer(cls=_Group, no_args_is_help=True, add_completion=False)
    app.callback()(options)
    return app
