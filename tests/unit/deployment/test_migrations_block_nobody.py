"""No migration builds an index on a table that is in use without `create_index_concurrently`."""

import ast
from pathlib import Path

import pytest

import services

EARLIER = {"identity-0004", "identity-0009", "registration-0011", "registration-0014"}
"""Revisions of a time without data: whoever has them has run them."""

REVISIONS = {
    f"{path.parts[-4]}-{path.stem[:4]}": path
    for path in sorted(Path(services.__path__[0]).glob("*/migrations/versions/0*.py"))
}


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    """Calls of `op.NAME` in a revision's upgrade."""
    (upgrade,) = (
        node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == "upgrade"
    )
    return [
        node
        for node in ast.walk(upgrade)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name
    ]


def text_at(call: ast.Call, place: int) -> str:
    """The text of an argument."""
    argument = call.args[place]
    assert isinstance(argument, ast.Constant)
    return str(argument.value)


@pytest.mark.parametrize("revision", sorted(REVISIONS.keys() - EARLIER))
def test_indexes_of_tables_in_use_are_built_concurrently(revision: str) -> None:
    tree = ast.parse(REVISIONS[revision].read_text("utf-8"))
    new = {text_at(call, 0) for call in calls(tree, "create_table")}
    assert {text_at(call, 1) for call in calls(tree, "create_index")} <= new


CONCURRENT = [
    name for name, path in REVISIONS.items() if "create_index_concurrently(" in path.read_text("utf-8")
]


@pytest.mark.parametrize("revision", CONCURRENT)
def test_what_is_committed_before_an_index_can_be_repeated(revision: str) -> None:
    """A revision whose index was interrupted is run anew, and its columns and tables are there already."""
    tree = ast.parse(REVISIONS[revision].read_text("utf-8"))
    for call in (*calls(tree, "add_column"), *calls(tree, "create_table")):
        assert "if_not_exists" in {keyword.arg for keyword in call.keywords}, ast.unparse(call)
