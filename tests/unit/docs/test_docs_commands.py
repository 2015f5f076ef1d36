"""Every command and option that the pages name is one that the program takes; every RPC has a command."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from typer.core import TyperCommand, TyperGroup, TyperOption

from deploy.lazy import LazyCommand
from deploy.liity import COMMANDS, PROGRAM
from docs.tables import DOCS
from tests.unit.docs.test_docs import ROOT, code, public_rpcs

EVERY_PAGE = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
Command = TyperCommand | TyperGroup

FENCE = re.compile(r"^ *```\w*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`]+)`")
LIITY = re.compile(r"^(?:\w+=\S* )*(?:\S*/)?liity (.*)")

OF_OTHER_PROGRAMS = {"--child", "--unversioned", "--build-id"}
"""Options that pages name alone: of an example, of `temporal`, of the tests."""

SESSIONS = {"LogIn", "RefreshSession", "LogOut"}
"""What every command does before and between its calls, or leaves to the session's own end."""


def commands(text: str) -> Iterator[str]:
    """What a page's examples and code spans call: all behind `liity`."""
    lines = (line for block in FENCE.findall(text) for line in block.replace("\\\n", " ").splitlines())
    spans = (" ".join(span.split()) for span in SPAN.findall(FENCE.sub("", text)))
    for called in map(LIITY.match, (*lines, *spans)):
        if called:
            yield called[1]


def mistakes(command: str) -> list[str]:
    """What of a command the program does not take. `show|edit` names several; `…` leaves the rest out."""
    reached: list[Command] = [PROGRAM]
    wrong, words = [], iter(shlex.split(command, comments=True))
    for word in words:
        if word == "…":
            break
        if word.startswith("--"):
            options = [_option(one, word) for one in reached]
            wrong += [word] if None in options else []
            if options[0] is not None and not options[0].is_flag:
                next(words, None)
        elif any(isinstance(one, TyperGroup) for one in reached):
            found = [_below(one, part) for one in reached for part in word.split("|")]
            if None in found:
                return [*wrong, word]
            reached = [one for one in found if one is not None]
    return wrong


@cache
def below(command: Command) -> dict[str, Command]:
    """The commands of a group, loaded."""
    commands = command.commands if isinstance(command, TyperGroup) else {}
    return {name: one.load() if isinstance(one, LazyCommand) else one for name, one in commands.items()}


def _below(command: Command, name: str) -> Command | None:
    return below(command).get(name)


def _option(command: Command, name: str) -> TyperOption | None:
    options = (one for one in command.params if isinstance(one, TyperOption))
    return next((one for one in options if name in (*one.opts, *one.secondary_opts)), None)


def every_option(command: Command) -> set[str]:
    options = (one for one in command.params if isinstance(one, TyperOption))
    own = {name for one in options for name in (*one.opts, *one.secondary_opts)}
    return own.union(*map(every_option, below(command).values()))


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.stem)
def test_every_command_of_a_page_is_one_that_there_is(page: Path) -> None:
    found = {command: mistakes(command) for command in commands(page.read_text("utf-8"))}
    assert not {command: wrong for command, wrong in found.items() if wrong}


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.stem)
def test_every_option_of_a_page_is_one_that_there_is(page: Path) -> None:
    alone = {
        span.split()[0]
        for span in SPAN.findall(FENCE.sub("", page.read_text("utf-8")))
        if span.startswith("--")
    }
    assert alone <= every_option(PROGRAM) | OF_OTHER_PROGRAMS


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("customers search 'mei virt' --limit 5", []),
        ("customers --as staff show|edit ID", []),
        ("… --email you@school.example", []),
        ("--email you@school.example", ["--email", "you@school.example"]),
        ("customers find", ["find"]),
        ("customers show|find", ["show|find"]),
        ("customers show|edit ID --etag ETAG", ["--etag"]),
        ("links consent refuse", ["refuse"]),
    ],
)
def test_what_there_is_not_is_found(command: str, wrong: list[str]) -> None:
    assert mistakes(command) == wrong


def test_the_help_of_the_program_says_of_a_command_what_the_command_says_of_itself() -> None:
    """It is written beside the name of the module, so that the program's help imports none."""
    lazy = [*COMMANDS, *(child for one in COMMANDS for child in one.within)]
    told = {
        one.name: (one.help, " ".join((one.load().help or "").partition("\n\n")[0].split())) for one in lazy
    }
    assert len(told) == len(lazy) > 15
    assert not {name: texts for name, texts in told.items() if len(set(texts)) != 1}


def test_pages_name_commands() -> None:
    assert sum(len(list(commands(page.read_text("utf-8")))) for page in EVERY_PAGE) > 50


def rpcs(command: Command) -> set[str]:
    """The RPCs that commands were made of."""
    own = {getattr(command.callback, "rpc", "").rpartition(".")[2]}
    return own.union(*map(rpcs, below(command).values()))


def test_every_public_rpc_has_a_command() -> None:
    called = {name for text in code("frontends/cli") for name in re.findall(r"api\.\w+\.(\w+)", text)}
    assert {rpc.name for rpc in public_rpcs()} - called - rpcs(PROGRAM) == SESSIONS
