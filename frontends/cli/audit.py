"""`liity audit`: the log of use (R36)."""

from datetime import datetime
from typing import Annotated

import typer

from frontends.cli.render import audit as render_audit
from frontends.cli.session import AsJson, account_options, call
from frontends.client import ApiClient
from frontends.dates import begin_of
from liity.v1.use_log_service_pb2 import ListSuspicionsRequest, ListUsesRequest, Suspicion, Use

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.callback()(account_options)

Since = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="From this day on, as Finland counts days.")
]


@app.command()
def search(
    context: typer.Context,
    subject: Annotated[str, typer.Option(help="ID of a person, registration or customer.")] = "",
    account: Annotated[str, typer.Option(help="ID of an account.")] = "",
    unit: Annotated[str, typer.Option(help="units/UNIT.")] = "",
    action: Annotated[str, typer.Option(help="Such as customer:look-up.")] = "",
    since: Since = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Who has looked at or changed whose data, newest first. For customer service; itself logged."""
    request = ListUsesRequest(subject_id=subject, account_id=account, unit=unit, action=action)
    if since:
        request.start_time.FromDatetime(begin_of(since.date()))

    async def read(api: ApiClient) -> list[Use]:
        found: list[Use] = []
        while True:
            request.page_size = min(limit - len(found), 200)
            page = await api.call(api.uses.ListUses, request)
            found += page.uses
            request.page_token = page.next_page_token
            if len(found) >= limit or not page.next_page_token:
                return found

    render_audit.print_uses(call(context.obj, read), as_json=as_json)


@app.command()
def suspicions(context: typer.Context, since: Since = None, as_json: AsJson = False) -> None:
    """Days on which an account's look-ups met a rule of suspicious use; the last 30 days if not told."""
    request = ListSuspicionsRequest()
    if since:
        request.start_time.FromDatetime(begin_of(since.date()))

    async def read(api: ApiClient) -> list[Suspicion]:
        return list((await api.call(api.uses.ListSuspicions, request)).suspicions)

    render_audit.print_suspicions(call(context.obj, read), as_json=as_json)
