"""`liity messages`: messages to customer service, through the public API."""

from typing import Annotated

import typer

from frontends.cli import render
from frontends.cli.commands import Commands
from frontends.cli.session import TYPED, AsJson, Unit, call, chosen, group, own_unit, text_or_typed
from frontends.client import ApiClient, new_request_id
from liity.v1 import message_service_pb2
from liity.v1.message_service_pb2 import CustomerServiceMessage, SendMessageRequest

app = group()

_messages = Commands(app, message_service_pb2.DESCRIPTOR.services_by_name["MessageService"])
_messages.add("list", "ListMessages")
_messages.add("show", "GetMessage", ["name"])
_messages.add("find", "FindMessage", ["reference"])
_messages.add("close", "CloseMessage", ["name", "answer"])


@app.command()
def send(
    context: typer.Context,
    text: Annotated[
        str, typer.Argument(help="The message; by default it is typed. No personal identity code in it.")
    ] = TYPED,
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
    """Sends a message to customer service; prints a reference to quote."""
    if about and where:
        raise typer.BadParameter("--about and --context exclude one another")
    request = SendMessageRequest(request_id=new_request_id(), text=text_or_typed(text))
    if not about:
        field = SendMessageRequest.DESCRIPTOR.fields_by_name["context"]
        request.context = chosen(field, "--context", where or "other")
    elif "/customers/" in about:
        request.customer = about
    else:
        request.registration = about

    async def write(api: ApiClient) -> CustomerServiceMessage:
        request.parent = unit or own_unit(api)
        return (await api.call(api.messages.SendMessage, request)).message

    render.show(call(context.obj, write), as_json=as_json)
