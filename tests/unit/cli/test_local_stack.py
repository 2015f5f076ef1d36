"""How the program finds the local stack, and reads forms that people have filled in."""

import io
from pathlib import Path

import pytest
import typer

from deploy.local.ports import Ports
from deploy.local.wiring import last_ports, note_stack
from frontends.cli.form_edits import form_of
from frontends.cli.registrations import _form_in
from frontends.cli.session import DEFAULT_GATEWAY, Caller, identity_code
from liity.v1.customer_form_pb2 import LANGUAGE_SV


@pytest.mark.parametrize(
    "caller", [{"anonymous": True}, {"email": "a@koulu.example"}, {"demo_account": "staff"}]
)
def test_every_command_finds_the_stack_of_the_folder(tmp_path: Path, caller: dict[str, object]) -> None:
    note_stack(tmp_path, Ports.from_base(20_000), None)
    found = Caller("", None, "en", state_dir=tmp_path, **caller)  # type: ignore[arg-type] # one of the above
    assert found.way() == ("127.0.0.1:20000", None)
    given = Caller("there:1", None, "en", state_dir=tmp_path, **caller)  # type: ignore[arg-type]
    assert given.way() == ("there:1", None)


def test_without_a_stack_the_usual_gateway_is_asked(tmp_path: Path) -> None:
    assert Caller("", None, "en", state_dir=tmp_path, anonymous=True).way() == (DEFAULT_GATEWAY, None)


def test_a_stack_starts_again_on_its_ports(tmp_path: Path) -> None:
    assert last_ports(tmp_path) is None
    note_stack(tmp_path, Ports.from_base(20_000), None)
    assert last_ports(tmp_path) == Ports.from_base(20_000)


@pytest.mark.parametrize("written", ["sv", "SV", "LANGUAGE_SV"])
def test_a_choice_is_set_as_people_write_it(written: str) -> None:
    form, mask = form_of([f"language={written}"])
    assert (form.language, list(mask.paths)) == (LANGUAGE_SV, ["language"])


def test_a_wrong_choice_names_the_right_ones() -> None:
    with pytest.raises(typer.BadParameter, match="fi, sv, en"):
        form_of(["language=suomi"])


def test_an_unknown_field_of_a_form_names_the_fields_as_they_are_printed(tmp_path: Path) -> None:
    file = tmp_path / "form.json"
    file.write_text('{"frist_names": "Aada"}', "utf-8")
    with pytest.raises(typer.BadParameter) as refused:
        _form_in(file)
    assert "frist_names" in str(refused.value)
    assert "first_names, last_name" in str(refused.value)
    assert "firstNames" not in str(refused.value)


def test_an_unknown_value_of_a_form_names_the_values(tmp_path: Path) -> None:
    file = tmp_path / "form.json"
    file.write_text('{"school_support": "SPECIAL"}', "utf-8")
    with pytest.raises(typer.BadParameter, match="SCHOOL_SUPPORT_INTENSIFIED, SCHOOL_SUPPORT_SPECIAL"):
        _form_in(file)


def test_an_empty_personal_identity_code_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(" \n"))
    with pytest.raises(typer.Exit):
        identity_code()
