"""`liity registrations`: what staff and registrars do with registrations, through the public API."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from deploy.api_client import ApiClient
    from liity.v1.registration_pb2 import Registration

ResultT = TypeVar("ResultT")

app = typer.Typer(help="Registrations: list, show, consent, withdraw.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(help="ID in your own unit, or units/UNIT/registrations/ID for another one.")
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
AsJson = Annotated[bool, typer.Option("--json", help="JSON, as the API's messages map to it.")]


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


@app.callback()
def main(
    context: typer.Context,
    gateway: Annotated[str, typer.Option(envvar="LIITY_GATEWAY", help="host:port.")] = "127.0.0.1:7400",
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
    """Registrations: list, show, consent, withdraw."""
    context.obj = Caller(gateway, gateway_ca, email, password, demo_account, state_dir, language)


@app.command("list")
def list_registrations(
    context: typer.Context,
    unit: Annotated[str, typer.Option(help="units/UNIT; your own if you belong to one.")] = "",
    stage: Annotated[str, typer.Option(help="Only this stage, such as WAITING_FOR_CONSENT.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The registrations of a unit, newest first."""
    from liity.v1.registration_pb2 import Stage  # noqa: PLC0415
    from liity.v1.registration_service_pb2 import ListRegistrationsRequest  # noqa: PLC0415

    stages = {name.removeprefix("STAGE_"): value for name, value in Stage.items()}
    if stage and stage.upper() not in stages:
        raise typer.BadParameter(f"--stage takes one of {', '.join(list(stages)[1:])}")

    async def read(api: "ApiClient") -> "list[Registration]":
        found: list[Registration] = []
        request = ListRegistrationsRequest(
            parent=unit or _own_unit(api), stage=stages[stage.upper() or "UNSPECIFIED"]
        )
        while True:
            request.page_size = min(limit - len(found), 200)
            page = await api.call(api.registrations.ListRegistrations, request)
            found += page.registrations
            request.page_token = page.next_page_token
            if len(found) >= limit or not page.next_page_token:
                return found

    from deploy import registration_output  # noqa: PLC0415

    registration_output.print_many(_call(context.obj, read), as_json=as_json)


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """One registration: its stage, deadline, what it waits for and who can act."""
    from liity.v1.registration_service_pb2 import GetRegistrationRequest  # noqa: PLC0415

    async def read(api: "ApiClient") -> "Registration":
        request = GetRegistrationRequest(name=_full_name(api, name))
        return (await api.call(api.registrations.GetRegistration, request)).registration

    _print_one(_call(context.obj, read), as_json=as_json)


@app.command()
def consent(
    context: typer.Context,
    name: Name,
    guardian: Annotated[str, typer.Option(help="Name of the guardian who consented.")],
    signed: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The day they did; today if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Records a guardian's consent that came on paper or otherwise (R29)."""
    from datetime import UTC  # noqa: PLC0415

    from deploy.api_client import new_request_id  # noqa: PLC0415
    from liity.v1.customer_form_pb2 import PaperConsent  # noqa: PLC0415
    from liity.v1.registration_service_pb2 import RecordConsentRequest  # noqa: PLC0415
    from services.runtime.clock import helsinki_day, to_proto_date  # noqa: PLC0415

    day = signed.date() if signed else helsinki_day(datetime.now(UTC))

    async def record(api: "ApiClient") -> "Registration":
        request = RecordConsentRequest(
            name=_full_name(api, name),
            request_id=new_request_id(),
            consent=PaperConsent(guardian_name=guardian, sign_date=to_proto_date(day)),
        )
        return (await api.call(api.registrations.RecordConsent, request)).registration

    _print_one(_call(context.obj, record), as_json=as_json)


@app.command()
def withdraw(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Withdraws a registration that waits for consent; what was held for it is erased (R30)."""
    from deploy.api_client import new_request_id  # noqa: PLC0415
    from liity.v1.registration_service_pb2 import WithdrawRegistrationRequest  # noqa: PLC0415

    async def end(api: "ApiClient") -> "Registration":
        request = WithdrawRegistrationRequest(name=_full_name(api, name), request_id=new_request_id())
        return (await api.call(api.registrations.WithdrawRegistration, request)).registration

    _print_one(_call(context.obj, end), as_json=as_json)


def _own_unit(api: "ApiClient") -> str:
    units = [membership.unit for membership in api.session.memberships]
    if len(units) != 1:
        which = f"one of {', '.join(units)}" if units else "you act for all"
        raise typer.BadParameter(f"name the unit with --unit: {which}")
    return units[0]


def _full_name(api: "ApiClient", name: str) -> str:
    return name if "/" in name else f"{_own_unit(api)}/registrations/{name}"


def _call(caller: Caller, work: "Callable[[ApiClient], Awaitable[ResultT]]") -> ResultT:
    import asyncio  # noqa: PLC0415

    from deploy.api_client import ApiClient  # noqa: PLC0415
    from deploy.output import FAILED, ending_clearly, refusal_lines  # noqa: PLC0415
    from liity.v1.customer_form_pb2 import Language  # noqa: PLC0415
    from liity.v1.reason_pb2 import REASON_UNAVAILABLE  # noqa: PLC0415
    from services.runtime.errors import Refusal  # noqa: PLC0415

    async def log_in_and_work() -> ResultT:
        async with ApiClient(caller.gateway, caller.language, caller.gateway_ca) as api:
            await api.log_in(*credentials)
            return await work(api)

    with ending_clearly():
        credentials = caller.credentials()
        try:
            return asyncio.run(log_in_and_work())
        except Refusal as refusal:
            language = Language.Value(f"LANGUAGE_{caller.language.upper()}")
            lines = refusal_lines(refusal, language)
            if refusal.reason == REASON_UNAVAILABLE:
                lines.append(f"  Asked was {caller.gateway}; `liity up` starts a gateway")
                if caller.gateway_ca is None:
                    lines.append("  One that speaks TLS takes LIITY_GATEWAY_CA besides")
            typer.echo("\n".join(lines), err=True)
            raise typer.Exit(FAILED) from None


def _print_one(registration: "Registration", *, as_json: bool) -> None:
    from deploy import registration_output  # noqa: PLC0415

    registration_output.print_one(registration, as_json=as_json)
