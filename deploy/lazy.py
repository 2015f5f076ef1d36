"""Commands whose modules are imported when they are asked for: each imports what it needs at its top."""

import gc
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typing_extensions import override


def import_whole(name: str) -> ModuleType:
    """Imports a module and all that it imports; a fifth cheaper than `import_module`.

    Garbage is not looked for meanwhile: what is imported is none, now or later.
    """
    gc.disable()
    try:
        return import_module(name)
    finally:
        gc.freeze()
        gc.enable()


class LazyCommand(TyperCommand):
    """Stands for the command or group that a module's `app` makes, in its parent's help and until it runs.

    `within` are lazy commands that are added to the module's own group.
    """

    def __init__(self, name: str, module: str, help: str, within: Sequence["LazyCommand"] = ()) -> None:  # noqa: A002
        super().__init__(name, help=help)
        self.module = module
        self.within = within

    def load(self) -> TyperCommand | TyperGroup:
        """The command itself."""
        command = cast(TyperCommand | TyperGroup, typer.main.get_command(import_whole(self.module).app))
        command.name = self.name
        if isinstance(command, TyperGroup):
            command.help = self.help
            for child in self.within:
                command.add_command(child)
        return command

    @override
    def make_context(self, *arguments: Any, **options: Any) -> Any:
        # What runs afterwards is the command of the context.
        return self.load().make_context(*arguments, **options)
