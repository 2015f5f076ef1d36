"""`liity book-tips`: the book tips of the welcome mail, which customer service edits (R28)."""

import json
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from frontends.cli.render.registrations import print_json
from frontends.cli.session import account_options, call
from frontends.client import ApiClient, new_request_id
from liity.v1.book_tips_service_pb2 import BookTips, GetBookTipsRequest, UpdateBookTipsRequest

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.callback()(account_options)

Tips = Annotated[str, typer.Argument(help="fi, sv or en.")]


@app.command()
def show(context: typer.Context, language: Tips) -> None:
    """The tips in one language as JSON: what `edit` takes."""
    _print(call(context.obj, lambda api: _read(api, language)))


@app.command()
def edit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON, as `show` prints it.")],
) -> None:
    """Replaces the tips in one language. Refused if somebody has edited them since they were shown."""
    try:
        given = ParseDict(json.loads(file.read_text("utf-8")), BookTips())
    except (json.JSONDecodeError, ParseError) as error:
        raise typer.BadParameter(f"{file} holds no book tips as `show` prints them: {error}") from None

    async def replace(api: ApiClient) -> BookTips:
        request = UpdateBookTipsRequest(request_id=new_request_id(), book_tips=given)
        return (await api.call(api.book_tips.UpdateBookTips, request)).book_tips

    _print(call(context.obj, replace))


async def _read(api: ApiClient, language: str) -> BookTips:
    request = GetBookTipsRequest(name=f"bookTips/{language}")
    return (await api.call(api.book_tips.GetBookTips, request)).book_tips


def _print(tips: BookTips) -> None:
    print_json(MessageToDict(tips))
