"""Edits of a form: changed fields, their values, and the etag of the form that was read."""

import json
from typing import Annotated

import typer
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import ParseDict, ParseError

from frontends.cli.session import chosen
from liity.v1.customer_form_pb2 import CustomerForm

Changes = Annotated[
    list[str], typer.Option("--set", help="FIELD=VALUE, such as email=... or address.postcode=00100.")
]
GuardianEmailConfirmed = Annotated[
    bool,
    typer.Option(
        "--guardian-email-confirmed",
        help="The guardian's new address is meant, though it is yours or many families'.",
    ),
]
Etag = Annotated[str, typer.Option(help="As `show` printed it: refused if somebody has edited it since.")]


def form_of(changes: list[str]) -> tuple[CustomerForm, FieldMask]:
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
    return form, FieldMask(paths=paths)


def _value(text: str, field: FieldDescriptor) -> object:
    """A value as JSON maps it: texts as given, enums also as options name them, the rest JSON."""
    if field.type == field.TYPE_STRING:
        return text
    if field.enum_type:
        return text if text in field.enum_type.values_by_name else chosen(field, f"--set {field.name}=", text)
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
