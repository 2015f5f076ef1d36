"""The work list, messages and explanations on a terminal."""

from collections.abc import Sequence
from datetime import UTC, datetime

from google.protobuf.json_format import MessageToDict
from google.protobuf.timestamp_pb2 import Timestamp
from rich.table import Table

from frontends.cli.render.console import console
from frontends.cli.render.registrations import actions, lines, parties, print_json
from frontends.dates import moment
from liity.v1.message_service_pb2 import CustomerServiceMessage, MessageContext, MessageState
from liity.v1.registration_service_pb2 import ExplainRegistrationResponse
from liity.v1.work_service_pb2 import WorkItem, WorkItemKind


def print_items(items: Sequence[WorkItem], *, as_json: bool) -> None:
    """A table, or a JSON array."""
    if as_json:
        print_json([MessageToDict(item) for item in items])
        return
    table = Table("Kind", "Days", "Until", "About", "Unit", "Claimed by", "ID")
    for item in items:
        table.add_row(
            _kind(item),
            str(_days(item.create_time)),
            _until(item),
            "\n".join(subject.display_name for subject in item.subjects),
            item.subjects[0].unit_display_name,
            item.claim.officer_display_name,
            item.name.rpartition("/")[2],
        )
    # IDs are there to be copied: never cut, however narrow the terminal.
    table.columns[-1].overflow = "fold"
    console().print(table)


def print_item(item: WorkItem, *, as_json: bool) -> None:
    """Line by line, or a JSON object."""
    if as_json:
        print_json(MessageToDict(item))
        return
    table = lines()
    table.add_row("Name", item.name)
    table.add_row("Kind", _kind(item))
    table.add_row("What", item.text)
    for subject in item.subjects:
        table.add_row("About", f"{subject.display_name}, {subject.unit_display_name}\n{subject.name}")
    for other in item.possible_duplicates:
        table.add_row("Perhaps the same", f"{other.display_name}, {other.unit_display_name}\n{other.name}")
    table.add_row("Since", moment(item.create_time))
    table.add_row("Until", _until(item))
    for action in actions(item.available_actions):
        table.add_row("Can be done", action)
    if item.HasField("claim"):
        table.add_row(
            "Claimed by", f"{item.claim.officer_display_name} until {moment(item.claim.expire_time)}"
        )
    console().print(table)


def print_messages(messages: Sequence[CustomerServiceMessage], *, as_json: bool) -> None:
    """A table, or a JSON array."""
    if as_json:
        print_json([MessageToDict(message) for message in messages])
        return
    table = Table("Reference", "State", "Written", "By", "Text", "ID")
    for message in messages:
        table.add_row(
            message.reference,
            _state(message),
            moment(message.create_time),
            message.sender_display_name,
            message.text.partition("\n")[0][:60],
            message.name.rpartition("/")[2],
        )
    table.columns[-1].overflow = "fold"
    console().print(table)


def print_message(message: CustomerServiceMessage, *, as_json: bool) -> None:
    """Line by line, or a JSON object."""
    if as_json:
        print_json(MessageToDict(message))
        return
    table = lines()
    table.add_row("Name", message.name)
    table.add_row("Reference", message.reference)
    table.add_row("State", _state(message))
    if message.subject:
        table.add_row("About", message.subject)
    if message.context:
        table.add_row("Context", MessageContext.Name(message.context).removeprefix("MESSAGE_CONTEXT_"))
    table.add_row("Written", f"{moment(message.create_time)} by {message.sender_display_name}")
    table.add_row("Text", message.text)
    if message.answer:
        table.add_row("Answer", message.answer)
    else:
        table.add_row("Answer by", moment(message.deadline))
    console().print(table)


def print_explanation(explanation: ExplainRegistrationResponse, *, as_json: bool) -> None:
    """A story, or a JSON object."""
    if as_json:
        print_json(MessageToDict(explanation))
        return
    out = console()
    out.print(explanation.summary, style="bold", soft_wrap=True)
    out.print(explanation.password.text, soft_wrap=True)
    happened = Table("When", "What has happened", "Who")
    for event in explanation.events:
        happened.add_row(moment(event.time), event.text, event.who)
    out.print(happened)
    ahead = lines()
    for wait in explanation.waits:
        ahead.add_row("Waits for", f"{parties([wait.party])}: {wait.text}")
    if explanation.HasField("next"):
        ahead.add_row("Next", f"{moment(explanation.next.time)}: {explanation.next.text}")
    for explained in explanation.actions:
        ahead.add_row("Can be done", f"{explained.text} ({parties(explained.action.parties)})")
    out.print(ahead)


def _kind(item: WorkItem) -> str:
    return WorkItemKind.Name(item.kind).removeprefix("WORK_ITEM_KIND_")


def _until(item: WorkItem) -> str:
    late = item.deadline.ToDatetime(UTC) <= datetime.now(UTC)
    return f"{moment(item.deadline)}{' overdue' if late else ''}"


def _state(message: CustomerServiceMessage) -> str:
    return MessageState.Name(message.state).removeprefix("MESSAGE_STATE_")


def _days(since: Timestamp) -> int:
    return (datetime.now(UTC) - since.ToDatetime(UTC)).days
