"""What people are shown of the API's messages."""

import re
import string
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from deploy.lazy import LazyCommand
from deploy.liity import COMMANDS
from frontends.cli import render
from frontends.cli.layouts import COLUMNS, LINES, TEXTS
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER, CustomerForm, RelatedPerson
from liity.v1.customer_service_pb2 import Customer, CustomerSummary
from liity.v1.registration_pb2 import (
    ACTION_WITHDRAW,
    PARTY_CUSTOMER_SERVICE,
    PARTY_REGISTRAR,
    STAGE_WAITING_FOR_CONSENT,
    AvailableAction,
    Registration,
)
from liity.v1.registration_service_pb2 import GetRegistrationResponse, PossibleDuplicate
from liity.v1.unit_service_pb2 import GetUnitResponse, Unit

POOL = descriptor_pool.Default()
TEMPLATES = [
    *((name, template) for of in (LINES, COLUMNS) for name, rows in of.items() for template in rows.values()),
    *TEXTS.items(),
]


def test_templates_name_fields_that_there_are() -> None:
    for group in COMMANDS:
        group.load()
    for name, template in TEMPLATES:
        parts = [paths for _, paths, _, _ in string.Formatter().parse(template) if paths]
        for path in (path for paths in parts or [template] for path in paths.split("|") if path[0] != "'"):
            message: Descriptor | None = POOL.FindMessageTypeByName(f"liity.v1.{name}")
            for field in path.split("."):
                assert message is not None, (name, path)
                assert field in message.fields_by_name, (name, path)
                message = message.fields_by_name[field].message_type


def commands(command: TyperCommand | TyperGroup) -> Iterator[TyperCommand]:
    if isinstance(command, LazyCommand):
        command = command.load()
    yield command
    if isinstance(command, TyperGroup):
        for one in command.commands.values():
            yield from commands(one)


def test_every_answer_that_a_command_prints_has_a_layout() -> None:
    printed = [
        POOL.FindMethodByName(command.callback.rpc).output_type
        for group in COMMANDS
        for command in commands(group)
        if hasattr(command.callback, "rpc") and "as_json" in {one.name for one in command.params}
    ]
    assert len(printed) > 25
    for answer in printed:
        listed = render.list_field(answer)
        (only, *others) = answer.fields
        if listed is not None:
            assert listed.message_type.name in COLUMNS
        elif only.message_type and not others:
            assert only.message_type.name in {*LINES, *COLUMNS}
        else:
            assert answer.name in LINES


def test_help_names_no_rules_that_it_does_not_explain() -> None:
    helps = [
        text
        for group in COMMANDS
        for command in commands(group)
        for text in (command.help, *(getattr(one, "help", "") for one in command.params))
    ]
    assert len(helps) > 300
    assert [text for text in helps if text and re.search(r"\bR\d", text)] == []


def shown(capsys: pytest.CaptureFixture[str], answer: Message, *, as_json: bool = False) -> str:
    render.show(answer, as_json=as_json)
    return capsys.readouterr().out


def test_a_message_is_shown_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    registration = Registration(
        name="units/a/registrations/b",
        stage=STAGE_WAITING_FOR_CONSENT,
        customer_display_name="Aada [bold]Esimerkki",
        waiting_for=[PARTY_REGISTRAR, PARTY_CUSTOMER_SERVICE],
        available_actions=[AvailableAction(action=ACTION_WITHDRAW, parties=[PARTY_REGISTRAR])],
    )
    registration.deadline.FromDatetime(datetime(2026, 7, 1, 21, 30, tzinfo=UTC))
    answer = GetRegistrationResponse(
        registration=registration,
        etag="e",
        possible_duplicates=[
            PossibleDuplicate(
                customer_display_name="A", unit_display_name="U", customer="units/a/customers/c"
            ),
            PossibleDuplicate(
                customer_display_name="B", unit_display_name="V", registration="units/v/registrations/r"
            ),
        ],
    )
    text = shown(capsys, answer)
    lines = {line.strip("│ \n").partition("│")[0].strip(): line for line in text.splitlines()}
    assert "2026-07-02 00:30" in lines["Until"]
    assert " WAITING_FOR_CONSENT " in lines["Stage"]
    assert "REGISTRAR, CUSTOMER_SERVICE" in lines["Waits for"]
    assert "WITHDRAW by REGISTRAR" in lines["Can be done"]
    assert "Aada [bold]Esimerkki" in lines["Customer"]
    assert "units/a/customers/c" in text
    assert "units/v/registrations/r" in text
    # What is not set has no line.
    assert not {"No code", "Declined", "Born", "E-mail"} & lines.keys()


def test_parts_that_are_missing_leave_nothing_behind() -> None:
    template = LINES["Customer"]["E-mail"]
    assert render.text(template, Customer(form=CustomerForm(email="a@posti.example"))) == "a@posti.example"
    assert render.text(template, Customer()) == ""
    assert (
        render.text(
            "{form.related_person}", Customer(form=CustomerForm(related_person=RelatedPerson(full_name="A")))
        )
        == "A"
    )
    assert render.text("{customer_display_name|'erased'}", Registration()) == "erased"


def test_several_are_a_table_with_their_ids(capsys: pytest.CaptureFixture[str]) -> None:
    found = [
        CustomerSummary(name="units/a/customers/c1", last_name="Virtanen", kind=CUSTOMER_KIND_CD_BORROWER)
    ]
    render.show_list(found, CustomerSummary.DESCRIPTOR, as_json=False)
    text = capsys.readouterr().out
    assert " c1 " in text
    assert " CD_BORROWER " in text
    assert "units/" not in text
    render.show_list([], CustomerSummary.DESCRIPTOR, as_json=False)
    assert capsys.readouterr().out == "Nothing found.\n"


def test_in_a_narrow_terminal_no_word_is_broken(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    registration = Registration(
        name=f"units/a/registrations/{'0123456789abcdef' * 2}",
        stage=STAGE_WAITING_FOR_CONSENT,
        customer_display_name="Aada Esimerkki",
        waiting_for=[PARTY_CUSTOMER_SERVICE],
    )
    for width in (80, 120, 160):
        monkeypatch.setattr(render, "console", lambda width=width: Console(highlight=False, width=width))
        render.show_list([registration, registration], Registration.DESCRIPTOR, as_json=False)
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= width
        assert text.count("0123456789abcdef0123456789abcdef") == text.count("WAITING_FOR_CONSENT") == 2


def test_the_form_of_a_registration_is_shown_whole() -> None:
    person = RelatedPerson(full_name="Outi", email="o@posti.example", phone="+358501234567", relation="äiti")
    answer = GetRegistrationResponse(form=CustomerForm(related_person=person, temporary=True))
    assert render.text("{form.related_person}", answer) == "Outi (äiti), o@posti.example, +358501234567"
    shown_fields = " ".join(LINES["GetRegistrationResponse"].values())
    for field in CustomerForm.DESCRIPTOR.fields:
        assert f"form.{field.name}" in shown_fields, field.name


def test_json_is_what_the_answer_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    assert '"displayName": "Koulu"' in shown(
        capsys, GetUnitResponse(unit=Unit(display_name="Koulu")), as_json=True
    )
    answer = GetRegistrationResponse(registration=Registration(name="units/a/registrations/b"), etag="e")
    assert shown(capsys, answer, as_json=True).split() == [
        "{",
        '"etag":',
        '"e",',
        '"name":',
        '"units/a/registrations/b"',
        "}",
    ]
