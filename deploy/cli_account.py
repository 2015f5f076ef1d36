"""In whose name a command calls the public API: the options all of them share."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from deploy.api_client import ApiClient

ResultT = TypeVar("ResultT")

AsJson = Annotated[bool, typer.Option("--json", help="JSON, as the API's messages map to it.")]
Gateway = Annotated[
    str,
    typer.Option(
        envvar="LIITY_GATEWAY",
        help="host:port; the local stack's for its demo accounts, else 127.0.0.1:7400.",
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


DEFAULT_GATEWAY = "127.0.0.1:7400"


def stack_gateway(state_dir: Path) -> tuple[str, Path | None]:
    """Where the gateway of the stack in a folder listens, and the CA of its certificate if it has one."""
    from deploy.wiring import wiring_in  # noqa: PLC0415 - what a command needs is imported then

    wiring = wiring_in(state_dir)
    return wiring.address("gateway"), wiring.ca


@dataclass(frozen=True)
class Caller:
    """Who calls which gateway."""

    gateway: str
    gateway_ca: Path | None
    email: str
    password: str
    demo_account: str
    state_dir: Path
    language: str

    def way(self) -> tuple[str, Path | None]:
        """The gateway and the CA of its certificate: those given, else those of the demo account's stack."""
        if self.gateway or not self.demo_account:
            return self.gateway or DEFAULT_GATEWAY, self.gateway_ca
        return stack_gateway(self.state_dir)

    def credentials(self) -> tuple[str, str]:
        """E-mail address and password: given, of a demo account, or asked for."""
        if self.demo_account:
            from deploy.seed import read_accounts  # noqa: PLC0415 - what a command needs is imported then

            accounts = read_accounts(self.state_dir)
            if self.demo_account not in accounts:
                raise typer.BadParameter(f"--as takes one of {', '.join(accounts)}")
            account = accounts[self.demo_account]
            return account.email, account.password
        email = self.email or typer.prompt("E-mail")
        return email, self.password or typer.prompt("Password", hide_input=True)


def _language(value: str) -> str:
    if value not in {"fi", "sv", "en"}:
        raise typer.BadParameter("one of fi, sv, en")
    return value


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
    state_dir: Annotated[
        Path, typer.Option(envvar="LIITY_STATE_DIR", help="Where the local stack keeps its demo accounts.")
    ] = Path(".liity"),
    language: Annotated[
        str, typer.Option(envvar="LIITY_LANGUAGE", callback=_language, help="Of messages: fi, sv or en.")
    ] = "en",
) -> None:
    """What every command of the public API takes: which gateway, in whose name."""
    context.obj = Caller(gateway, gateway_ca, email, password, demo_account, state_dir, language)


def own_unit(api: "ApiClient") -> str:
    """The one unit that the account belongs to."""
    units = [membership.unit for membership in api.session.memberships]
    if len(units) != 1:
        which = f"one of {', '.join(units)}" if units else "you act for all"
        raise typer.BadParameter(f"name the unit with --unit: {which}")
    return units[0]


def call(caller: Caller, work: "Callable[[ApiClient], Awaitable[ResultT]]") -> ResultT:
    """Logs in, works, and gives the result; a refusal ends the program with its text and exit code."""
    import asyncio  # noqa: PLC0415

    from deploy.api_client import ApiClient  # noqa: PLC0415
    from deploy.output import FAILED, ending_clearly, refusal_lines  # noqa: PLC0415
    from liity.v1.customer_form_pb2 import Language  # noqa: PLC0415
    from liity.v1.reason_pb2 import REASON_UNAVAILABLE  # noqa: PLC0415
    from services.runtime.errors import Refusal  # noqa: PLC0415

    async def log_in_and_work() -> ResultT:
        async with ApiClient(gateway, caller.language, gateway_ca) as api:
            await api.log_in(*credentials)
            return await work(api)

    with ending_clearly():
        gateway, gateway_ca = caller.way()
        credentials = caller.credentials()
        try:
            return asyncio.run(log_in_and_work())
        except Refusal as refusal:
            language = Language.Value(f"LANGUAGE_{caller.language.upper()}")
            lines = refusal_lines(refusal, language)
            if refusal.reason == REASON_UNAVAILABLE:
                lines.append(f"  Asked was {gateway}; `liity up` starts a gateway")
                if gateway_ca is None:
                    lines.append("  One that speaks TLS takes LIITY_GATEWAY_CA besides")
            typer.echo("\n".join(lines), err=True)
            raise typer.Exit(FAILED) from None
