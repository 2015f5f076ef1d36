"""How commands edit a form: which fields to what, and as it was read when."""

import json
from collections.abc import Awaitable
from typing import Annotated, TypeVar

import typer
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError

from frontends.refusals import Refusal
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import ChangedMeanwhile

AnswerT = TypeVar("AnswerT")

Changes = Annotated[
    list[str], typer.Option("--set", help="FIELD=VALUE, such as email=... or address.postcode=00100.")
]
Etag = Annotated[str, typer.Option(help="As `show` printed it: refused if somebody has edited it since.")]


async def tell_what_changed(editing: Awaitable[AnswerT]) -> AnswerT:
    """What an edit answers; if somebody else was faster, tells which fields they have changed."""
    try:
        return await editing
    except Refusal as refusal:
        if isinstance(refusal.detail, ChangedMeanwhile):
            typer.echo(f"Changed since: {', '.join(refusal.detail.changed.paths)}", err=True)
        raise


def form_of(changes: list[str]) -> tuple[CustomerForm, list[str]]:
    """The changed fields as a form, and their paths."""
    form, paths = CustomerForm(), []
    for change in changes:
        path, _, text = change.partition("=")
        *parents, field = path.split(".")
        holder = form
        try:
            for parent in parents:
                holder = getattr(holder, parent)
            ParseDict({field: _value(text, holder.DESCRIPTOR.fields_by_name[field])}, holder)
        except (AttributeError, KeyError, ParseError):
            raise typer.BadParameter(
                f"--set takes FIELD=VALUE: {path} is no field, or has no such value"
            ) from None
        paths.append(path)
    return form, paths


def _value(text: str, field: FieldDescriptor) -> object:
    """A value as JSON maps it: texts and names of enums as they are, all else as it is written in JSON."""
    if field.type in {field.TYPE_STRING, field.TYPE_ENUM}:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
