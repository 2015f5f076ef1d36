"""`liity registrations`: what staff and registrars do with registrations, through the public API."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.cli_account import AsJson, account_options, call

if TYPE_CHECKING:
    from deploy.api_client import ApiClient
    from liity.v1.registration_pb2 import Registration

app = typer.Typer(help="Registrations: list, show, consent, withdraw.", no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(help="ID in your own unit, or units/UNIT/registrations/ID for another one.")
]


app.callback()(account_options)


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

    registration_output.print_many(call(context.obj, read), as_json=as_json)


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """One registration: its stage, deadline, what it waits for and who can act."""
    from liity.v1.registration_service_pb2 import GetRegistrationRequest  # noqa: PLC0415

    async def read(api: "ApiClient") -> "Registration":
        request = GetRegistrationRequest(name=_full_name(api, name))
        return (await api.call(api.registrations.GetRegistration, request)).registration

    _print_one(call(context.obj, read), as_json=as_json)


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

    _print_one(call(context.obj, record), as_json=as_json)


@app.command()
def withdraw(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Withdraws a registration that waits for consent; what was held for it is erased (R30)."""
    from deploy.api_client import new_request_id  # noqa: PLC0415
    from liity.v1.registration_service_pb2 import WithdrawRegistrationRequest  # noqa: PLC0415

    async def end(api: "ApiClient") -> "Registration":
        request = WithdrawRegistrationRequest(name=_full_name(api, name), request_id=new_request_id())
        return (await api.call(api.registrations.WithdrawRegistration, request)).registration

    _print_one(call(context.obj, end), as_json=as_json)


def _own_unit(api: "ApiClient") -> str:
    units = [membership.unit for membership in api.session.memberships]
    if len(units) != 1:
        which = f"one of {', '.join(units)}" if units else "you act for all"
        raise typer.BadParameter(f"name the unit with --unit: {which}")
    return units[0]


def _full_name(api: "ApiClient", name: str) -> str:
    return name if "/" in name else f"{_own_unit(api)}/registrations/{name}"


def _print_one(registration: "Registration", *, as_json: bool) -> None:
    from deploy import registration_output  # noqa: PLC0415

    registration_output.print_one(registration, as_json=as_json)
