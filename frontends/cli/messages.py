"""`liity messages`: messages to customer service, through the public API."""

from typing import Annotated

import typer

from frontends.cli.render import worklist as render_worklist
from frontends.cli.session import AsJson, account_options, call, choice, own_unit
from frontends.client import ApiClient, new_request_id
from liity.v1.message_service_pb2 import (
    CloseMessageRequest,
    CustomerServiceMessage,
    FindMessageRequest,
    GetMessageRequest,
    ListMessagesRequest,
    MessageContext,
    MessageState,
    SendMessageRequest,
)

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.callback()(account_options)

Name = Annotated[str, typer.Argument(help="ID in your own unit, or units/UNIT/messages/ID for another one.")]
Unit = Annotated[str, typer.Option(help="units/UNIT; your own if you belong to one.")]


@app.command("list")
def list_messages(
    context: typer.Context,
    unit: Unit = "",
    state: Annotated[str, typer.Option(help="Only in this state: OPEN, CLOSED or LAPSED.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """The messages of a unit, newest first."""
    states = {name.removeprefix("MESSAGE_STATE_"): value for name, value in MessageState.items()}
    if state and state.upper() not in states:
        raise typer.BadParameter(f"--state takes one of {', '.join(list(states)[1:])}")

    async def read(api: ApiClient) -> list[CustomerServiceMessage]:
        found: list[CustomerServiceMessage] = []
        request = ListMessagesRequest(
            parent=unit or own_unit(api), state=states[state.upper() or "UNSPECIFIED"]
        )
        while True:
            request.page_size = min(limit - len(found), 200)
            page = await api.call(api.messages.ListMessages, request)
            found += page.messages
            request.page_token = page.next_page_token
            if len(found) >= limit or not page.next_page_token:
                return found

    render_worklist.print_messages(call(context.obj, read), as_json=as_json)


@app.command()
def show(context: typer.Context, name: Name, as_json: AsJson = False) -> None:
    """One message, with its answer."""

    async def read(api: ApiClient) -> CustomerServiceMessage:
        request = GetMessageRequest(name=_full_name(api, name))
        return (await api.call(api.messages.GetMessage, request)).message

    _print_one(call(context.obj, read), as_json=as_json)


@app.command()
def find(
    context: typer.Context,
    reference: Annotated[str, typer.Argument(help="As it was quoted, such as L-7K3M-92QF.")],
    as_json: AsJson = False,
) -> None:
    """The message of a reference that was quoted to customer service."""

    async def read(api: ApiClient) -> CustomerServiceMessage:
        request = FindMessageRequest(reference=reference)
        return (await api.call(api.messages.FindMessage, request)).message

    _print_one(call(context.obj, read), as_json=as_json)


@app.command()
def send(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="The message; no personal identity code in it.")],
    unit: Unit = "",
    about: Annotated[
        str, typer.Option(help="units/UNIT/registrations/ID or units/UNIT/customers/ID that it is about.")
    ] = "",
    where: Annotated[
        str,
        typer.Option(
            "--context",
            help="Where you are, if it is about nobody in the system: form (not yet saved),"
            " identity-code-check or other.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Writes to customer service; answers with a reference to quote (R12)."""
    if about and where:
        raise typer.BadParameter("--about and --context exclude one another")
    wherefrom = choice(MessageContext.items(), "MESSAGE_CONTEXT_", "--context", where or "other")

    async def write(api: ApiClient) -> CustomerServiceMessage:
        request = SendMessageRequest(parent=unit or own_unit(api), request_id=new_request_id(), text=text)
        if not about:
            request.context = wherefrom
        elif "/customers/" in about:
            request.customer = about
        else:
            request.registration = about
        return (await api.call(api.messages.SendMessage, request)).message

    _print_one(call(context.obj, write), as_json=as_json)


@app.command()
def close(
    context: typer.Context,
    name: Name,
    answer: Annotated[str, typer.Argument(help="Shown to the unit; no personal identity code in it.")],
    as_json: AsJson = False,
) -> None:
    """Answers and closes a message; its sender is told that there is an answer."""

    async def reply(api: ApiClient) -> CustomerServiceMessage:
        request = CloseMessageRequest(name=_full_name(api, name), request_id=new_request_id(), answer=answer)
        return (await api.call(api.messages.CloseMessage, request)).message

    _print_one(call(context.obj, reply), as_json=as_json)


def _full_name(api: ApiClient, name: str) -> str:
    return name if "/" in name else f"{own_unit(api)}/messages/{name}"


def _print_one(message: CustomerServiceMessage, *, as_json: bool) -> None:
    render_worklist.print_message(message, as_json=as_json)
