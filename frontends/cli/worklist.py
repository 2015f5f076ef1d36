"""`liity work`: the work list of customer service, through the public API."""

from typing import Annotated

import typer

from frontends.cli.render import worklist as render_worklist
from frontends.cli.session import AsJson, account_options, call
from frontends.client import ApiClient, new_request_id
from liity.v1.work_service_pb2 import (
    CLAIM_FILTER_MINE,
    CLAIM_FILTER_UNCLAIMED,
    CLAIM_FILTER_UNSPECIFIED,
    ClaimWorkItemRequest,
    DismissDuplicateRequest,
    GetWorkItemRequest,
    ListWorkItemsRequest,
    ReleaseWorkItemRequest,
    WorkItem,
    WorkItemKind,
)

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.callback()(account_options)

Name = Annotated[str, typer.Argument(help="ID from the list.")]


@app.command("list")
def list_items(
    context: typer.Context,
    kind: Annotated[
        list[str] | None, typer.Option(help="Only this kind, such as MESSAGE; may be given more than once.")
    ] = None,
    unclaimed: Annotated[bool, typer.Option("--unclaimed", help="Only what nobody has claimed.")] = False,
    mine: Annotated[bool, typer.Option("--mine", help="Only what you have claimed.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """What waits for customer service, oldest first."""
    if unclaimed and mine:
        raise typer.BadParameter("--unclaimed and --mine exclude one another")
    prefix = "WORK_ITEM_KIND_"
    kinds = {name.removeprefix(prefix): value for name, value in WorkItemKind.items() if value}
    wanted = [each.upper().replace("-", "_") for each in kind or []]
    if not set(wanted) <= set(kinds):
        raise typer.BadParameter(f"--kind takes one of {', '.join(kinds)}")
    claims = CLAIM_FILTER_MINE if mine else CLAIM_FILTER_UNSPECIFIED
    request = ListWorkItemsRequest(
        kinds=[kinds[each] for each in wanted], claims=CLAIM_FILTER_UNCLAIMED if unclaimed else claims
    )

    async def read(api: ApiClient) -> list[WorkItem]:
        found: list[WorkItem] = []
        while True:
            request.page_size = min(limit - len(found), 200)
            page = await api.call(api.work.ListWorkItems, request)
            found += page.work_items
            request.page_token = page.next_page_token
            if len(found) >= limit or not page.next_page_token:
                return found

    render_worklist.print_items(call(context.obj, read), as_json=as_json)


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """One item, with possible duplicates of whom it is about."""

    async def read(api: ApiClient) -> WorkItem:
        request = GetWorkItemRequest(name=_full_name(name))
        return (await api.call(api.work.GetWorkItem, request)).work_item

    _print_one(call(context.obj, read), as_json=as_json)


@app.command()
def claim(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """Takes an item, or keeps it for longer: nobody else decides it meanwhile."""

    async def take(api: ApiClient) -> WorkItem:
        request = ClaimWorkItemRequest(name=_full_name(name), request_id=new_request_id())
        return (await api.call(api.work.ClaimWorkItem, request)).work_item

    _print_one(call(context.obj, take), as_json=as_json)


@app.command()
def release(context: typer.Context, name: Name) -> None:
    """Gives an item back."""

    async def give_back(api: ApiClient) -> None:
        request = ReleaseWorkItemRequest(name=_full_name(name), request_id=new_request_id())
        await api.call(api.work.ReleaseWorkItem, request)

    call(context.obj, give_back)
    typer.echo("It is free for others.")


@app.command()
def dismiss(context: typer.Context, name: Name) -> None:
    """Says that two customers of one name and birth date are two persons."""

    async def tell_apart(api: ApiClient) -> None:
        request = DismissDuplicateRequest(name=_full_name(name), request_id=new_request_id())
        await api.call(api.work.DismissDuplicate, request)

    call(context.obj, tell_apart)
    typer.echo("They are two persons: the pair does not come back.")


def _full_name(name: str) -> str:
    return name if "/" in name else f"workItems/{name}"


def _print_one(item: WorkItem, *, as_json: bool) -> None:
    render_worklist.print_item(item, as_json=as_json)
