"""`liity book-tips`: the book tips of the welcome mail, which customer service edits (R28)."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from frontends.cli.session import account_options, call

if TYPE_CHECKING:
    from frontends.client import ApiClient
    from liity.v1.book_tips_service_pb2 import BookTips

HELP = "Book tips of the welcome mail: show, edit."

app = typer.Typer(help=HELP, no_args_is_help=True)
app.callback(help=HELP)(account_options)

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
    from google.protobuf.json_format import ParseDict, ParseError  # noqa: PLC0415

    from frontends.client import new_request_id  # noqa: PLC0415
    from liity.v1.book_tips_service_pb2 import BookTips, UpdateBookTipsRequest  # noqa: PLC0415

    try:
        given = ParseDict(json.loads(file.read_text("utf-8")), BookTips())
    except (json.JSONDecodeError, ParseError) as error:
        raise typer.BadParameter(f"{file} holds no book tips as `show` prints them: {error}") from None

    async def replace(api: "ApiClient") -> "BookTips":
        request = UpdateBookTipsRequest(request_id=new_request_id(), book_tips=given)
        return (await api.call(api.book_tips.UpdateBookTips, request)).book_tips

    _print(call(context.obj, replace))


async def _read(api: "ApiClient", language: str) -> "BookTips":
    from liity.v1.book_tips_service_pb2 import GetBookTipsRequest  # noqa: PLC0415

    request = GetBookTipsRequest(name=f"bookTips/{language}")
    return (await api.call(api.book_tips.GetBookTips, request)).book_tips


def _print(tips: "BookTips") -> None:
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415

    from frontends.cli.render.registrations import print_json  # noqa: PLC0415

    print_json(MessageToDict(tips))
