"""Commands that are made from the contracts: each fills a request from its arguments and prints the answer.

Each field of the request becomes an option, or an argument where the command says so. The field's comment is
its help, and the RPC's comment is the help of the command. `request_id` is a new UUID. Secrets are prompted
for: the token of a link, a password, a personal identity code. A text that is missing, or `-`, is typed
at the terminal, as shells keep a history.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Annotated, Any, cast

import typer
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from frontends.cli import render
from frontends.cli.session import (
    TYPED,
    AsJson,
    call,
    choices,
    chosen,
    full_name,
    identity_code,
    link_token,
    new_password,
    own_unit,
    text_or_typed,
)
from frontends.client import ApiClient, new_request_id
from frontends.dates import begin_of, to_proto_date

_PROMPTS: Mapping[str, Callable[[], str]] = {
    "token": link_token,
    "password": new_password,
    "personal_identity_code": identity_code,
}
_TEXTS = {"answer", "note", "text"}
_PAGE = 200

_NAME = re.compile(r"^`(\w+/)\{\w+\}`")
_NAME_IN_UNIT = re.compile(r"^`units/\{unit\}/(\w+/)\{\w+\}`")
_RULES = re.compile(r" \(R\d+(, R\d+)*\)")
"""Rules that a comment names: the program does not explain them."""

_ERRORS = re.compile(r"\b(ABORTED|[A-Z]+_[A-Z_]+)\b")


@dataclass(frozen=True)
class _Command:
    """One command: the RPC and the options of `Commands.add`."""

    method: MethodDescriptor
    arguments: Sequence[str]
    options: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    switches: Sequence[str] = ()
    limit: int = 50
    confirm: str = ""
    done: str = ""
    as_table: bool = False
    in_full: bool = False
    anonymous: bool = False
    instead_of_prompt: str = ""

    @property
    def fields(self) -> Mapping[str, FieldDescriptor]:
        """The fields of the request, by name."""
        return self.method.input_type.fields_by_name

    def parameters(self) -> Iterator[inspect.Parameter]:
        """The parameters of the function that Typer makes the command of."""
        yield _parameter("context", typer.Context)
        for one in self.method.input_type.fields:
            deprecated = one.GetOptions().deprecated
            if deprecated or one.name in {"request_id", "page_token", *_PROMPTS}:
                continue
            if one.name in self.switches:
                for value in choices(one):
                    switch = typer.Option(f"--{value}", help=f"Only those that are {value}.")
                    yield _parameter(value, Annotated[bool, switch], False)
            elif one.name != "page_size":
                yield self._of_field(one)
            elif self.limit:
                limit = typer.Option("--limit", min=1, help="At most so many.")
                yield _parameter("page_size", Annotated[int, limit], self.limit)
        if self.confirm:
            yield _parameter("yes", Annotated[bool, typer.Option("--yes", help="Do not ask.")], False)
        if not self.done:
            yield _parameter("as_json", AsJson, False)

    def run(self, context: typer.Context, given: dict[str, Any]) -> None:
        """Runs the command."""
        request = self._request(given)
        if self.confirm and not given["yes"]:
            typer.confirm(self.confirm, abort=True)
        listed = render.list_field(self.method.output_type)
        if listed is not None:
            found, has_more = call(context.obj, lambda api: self._list(api, request, given, listed.name))
            if self.in_full and not given["as_json"]:
                for one in found:
                    render.show(one, as_json=False)
            else:
                render.show_list(found, cast(Descriptor, listed.message_type), as_json=given["as_json"])
            if has_more:
                typer.echo(f"There are more than these {len(found):,}: see them with --limit", err=True)
            return
        answer = call(context.obj, lambda api: self._ask(api, request, given), anonymous=self.anonymous)
        if self.done:
            typer.echo(render.text(self.done, answer))
        elif self.as_table:
            one = getattr(answer, answer.DESCRIPTOR.fields[0].name)
            render.show_list([one], one.DESCRIPTOR, as_json=given["as_json"])
        else:
            render.show(answer, as_json=given["as_json"])

    def _flag(self, name: str) -> str:
        return "--" + self.options.get(name, "unit" if name == "parent" else name.replace("_", "-"))

    def _of_field(self, one: FieldDescriptor) -> inspect.Parameter:
        """The argument or option of a field."""
        kind, formats = _kind(one)
        absent: object = {bool: False, str: ""}.get(kind)
        required = one.GetOptions().Extensions[validate_pb2.field].required
        if one.name in self.defaults:
            absent = self.defaults[one.name]
        elif one.name in _TEXTS and required:
            absent = TYPED
        elif one.name != "parent" and required:
            absent = inspect.Parameter.empty
        info: Any = (
            typer.Argument(help=_field_help(one))
            if one.name in self.arguments
            else typer.Option(self._flag(one.name), formats=formats, help=_field_help(one))
        )
        return _parameter(one.name, Annotated[kind, info], absent)

    def _request(self, given: dict[str, Any]) -> Any:  # noqa: ANN401 - of the RPC's type
        """The request from the arguments. `_ask` completes names, which needs the session."""
        for name in self.switches:
            values = [value for value in choices(self.fields[name]) if given.pop(value)]
            if len(values) > 1:
                raise typer.BadParameter(f"--{' and --'.join(values)} exclude one another")
            given[name] = "".join(values)
        for name in _TEXTS & given.keys():
            given[name] = text_or_typed(given[name])
        request = GetMessageClass(self.method.input_type)()
        if "request_id" in self.fields:
            setattr(request, "request_id", new_request_id())  # noqa: B010 - no type of ours has it
        for name, value in given.items():
            if name in self.fields and name != "page_size" and value:
                _fill(request, self.fields[name], value, self._flag(name))
        spared = self.instead_of_prompt and given[self.instead_of_prompt]
        for name, prompt in _PROMPTS.items():
            if name in self.fields and not spared:
                setattr(request, name, prompt())
        return request

    async def _ask(self, api: ApiClient, request: Any, given: Mapping[str, Any]) -> Message:  # noqa: ANN401
        """The answer. First completes resource names of which only the ID was given."""
        for name in given.keys() & self.fields.keys():
            if name == "parent":
                request.parent = given[name] or own_unit(api)
            elif given[name] and isinstance(given[name], str) and not self.fields[name].enum_type:
                setattr(request, name, _full_name(api, self.fields[name], given[name]))
        return await api.ask(self.method, request)

    async def _list(
        self,
        api: ApiClient,
        request: Any,  # noqa: ANN401
        given: Mapping[str, Any],
        field_name: str,
    ) -> tuple[list[Message], bool]:
        """The elements of all pages, up to the limit, and whether there are more."""
        found: list[Message] = []
        limit = given.get("page_size")
        while True:
            if "page_size" in self.fields:
                request.page_size = min(limit - len(found), _PAGE) if limit else _PAGE
            page = await self._ask(api, request, given)
            found += getattr(page, field_name)
            following = getattr(page, "next_page_token", "")
            if not following or (limit and len(found) >= limit):
                return found, bool(following)
            request.page_token = following


class Commands:
    """Adds commands to a group, of RPCs of one service."""

    def __init__(self, app: typer.Typer, service: ServiceDescriptor) -> None:
        self._app = app
        self._service = service

    def add(self, name: str, rpc: str, arguments: Sequence[str] = (), **how: Any) -> None:  # noqa: ANN401
        """Adds a command. `arguments` names the fields that are arguments; the others are options.

        options: names of options by field, where they differ from the field's name.
        defaults: values of fields whose option is not given.
        switches: enum fields of which each value is an option of its own.
        limit: default of `--limit` for a list; 0 shows all, without the option.
        confirm: the question to confirm before the call.
        done: the text to print instead of the answer; a template of `render` over the answer.
        as_table: prints the one message of the answer as a list of one.
        anonymous: does not log in.
        instead_of_prompt: a field that spares the prompt for a personal identity code, if it is given.
        """
        method = self._service.methods_by_name[rpc]
        command = _Command(method, arguments, **how)
        parameters = list(command.parameters())

        def run(context: typer.Context, **given: Any) -> None:  # noqa: ANN401 - as the parameters say
            command.run(context, given)

        run.__doc__ = _rpc_help(method)
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        for attribute, value in (("__signature__", inspect.Signature(parameters)), ("rpc", method.full_name)):
            setattr(run, attribute, value)
        self._app.command(name)(run)


def _parameter(name: str, annotation: Any, default: object = inspect.Parameter.empty) -> inspect.Parameter:  # noqa: ANN401
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _kind(one: FieldDescriptor) -> tuple[Any, list[str] | None]:
    """What Typer reads a field's value as, and the formats of a day."""
    if one.enum_type and one.is_repeated:
        return list[str] | None, None
    if one.message_type:
        return datetime | None, ["%Y-%m-%d"]
    return bool if one.type == one.TYPE_BOOL else str, None


def _field_help(one: FieldDescriptor) -> str:
    """The help of a field: its comment, with names and values as they are typed."""
    comment = _RULES.sub("", _comment(one.full_name))
    if one.name == "parent":
        return "units/UNIT; your own if you belong to one."
    if found := _NAME_IN_UNIT.match(comment):
        return f"ID in your own unit, or units/UNIT/{found[1]}ID for another one{comment[found.end() :]}"
    if found := _NAME.match(comment):
        return f"ID, or {found[1]}ID{comment[found.end() :]}"
    if one.name in _TEXTS:
        return f"{comment} {TYPED} to type it."
    return f"{comment} One of {', '.join(choices(one))}." if one.enum_type else comment


def _fill(request: Message, one: FieldDescriptor, value: Any, flag: str) -> None:  # noqa: ANN401 - as `_kind` says
    if isinstance(value, datetime):
        day = value.date()
        is_moment = isinstance(getattr(request, one.name), Timestamp)
        getattr(request, one.name).MergeFrom(begin_of(day) if is_moment else to_proto_date(day))
    elif isinstance(value, list):
        getattr(request, one.name).extend(chosen(one, flag, each) for each in value)
    else:
        setattr(request, one.name, chosen(one, flag, value) if one.enum_type else value)


def _full_name(api: ApiClient, one: FieldDescriptor, given: str) -> str:
    """The full name of a resource of which only the ID was given; other texts unchanged."""
    comment = _comment(one.full_name)
    if not given:
        return given
    if found := _NAME_IN_UNIT.match(comment):
        return full_name(api, found[1].rstrip("/"), given)
    found = _NAME.match(comment)
    return f"{found[1]}{given}" if found and "/" not in given else given


@cache
def _comments() -> dict[str, str]:
    found: dict[str, str] = json.loads((resources.files("liity.v1") / "comments.json").read_text("utf-8"))
    return found


def _comment(full_name: str) -> str:
    return _comments()[full_name]


def _rpc_help(method: MethodDescriptor) -> str:
    """The comment of an RPC without the sentences about its errors."""
    sentences = re.split(r"(?<=[.?]) (?=[A-Z])", _comment(method.full_name))
    return _RULES.sub("", " ".join(sentence for sentence in sentences if not _ERRORS.search(sentence)))
