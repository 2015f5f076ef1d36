"""What the command line says of options in the wrong place."""

import pytest
from typer.testing import CliRunner

from frontends.cli import class_lists


@pytest.mark.parametrize(("option", "is_ours"), [("--as", True), ("--language", True), ("--nonsense", False)])
def test_an_option_of_the_group_behind_the_command_is_told_where_it_belongs(
    option: str, is_ours: bool
) -> None:
    said = CliRunner().invoke(class_lists.app, ["template", option, "teacher", "list.csv"])
    assert said.exit_code == 2
    assert f"No such option: {option}" in said.output
    assert ("It stands before the command's name" in said.output) == is_ours
