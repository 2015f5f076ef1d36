"""`liity book-tips`: the book tips of the welcome mail, which customer service edits (R28)."""

import json
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf.json_format import MessageToDict, ParseDict, ParseError

from frontends.cli.render import print_json
from frontends.cli.session import call, group
from frontends.client import ApiClient, new_request_id
from liity.v1.book_tips_service_pb2 import BookTips, GetBookTipsRequest, UpdateBookTipsRequest

app = group()


@app.command()
def show(context: typer.Context, language: Annotated[str, typer.Argument(help="fi, sv or en.")]) -> None:
    """The tips in one language as JSON: what `edit` takes."""

    async def read(api: ApiClient) -> BookTips:
        request = GetBookTipsRequest(name=f"bookTips/{language}")
        return (await api.call(api.book_tips.GetBookTips, request)).book_tips

    print_json(MessageToDict(call(context.obj, read)))


@app.command()
def edit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="JSON, as `show` prints it.")],
) -> None:
    """Replaces the tips in one language. Refused if they have been edited since they were shown."""
    try:
        given = ParseDict(json.loads(file.read_text("utf-8")), BookTips())
    except (ValueError, ParseError) as error:
        raise typer.BadParameter(f"{file} holds no book tips as `show` prints them: {error}") from None

    async def replace(api: ApiClient) -> BookTips:
        request = UpdateBookTipsRequest(request_id=new_request_id(), book_tips=given)
        return (await api.call(api.book_tips.UpdateBookTips, request)).book_tips

    print_json(MessageToDict(call(context.obj, replace)))
