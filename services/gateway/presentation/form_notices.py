"""What was mended in a single form, or is perhaps wrong: told as in a class list."""

from collections.abc import Iterator, Sequence

from google.protobuf.message import Message

from liity.v1.customer_form_pb2 import CustomerForm, FormNotice
from liity.v1.reason_pb2 import (
    REASON_END_FAR_AWAY,
    REASON_INVISIBLE_SIGNS_REMOVED,
    REASON_ONE_NAME_ALONE,
)
from services.gateway.class_lists.cells import Noted, is_far_away, noted_of_text
from services.gateway.class_lists.reports import message_of
from services.runtime.rpc.context import RequestContext
from services.runtime.text.no_name import is_no_name

_NAMES = ("form.first_names", "form.last_name")


def form_notices(
    form: CustomerForm, asked: RequestContext, changed: Sequence[str] | None = None
) -> list[FormNotice]:
    """The notices of a form as it came, in the language of the call; `changed` are the paths of an edit."""
    texts = dict(_texts(form, "form."))
    found = [
        (path, Noted(REASON_INVISIBLE_SIGNS_REMOVED, str(count), texts[path]))
        for path, count in asked.invisible_signs.items()
        if path in texts
    ]
    found += ((path, noted) for path, text in texts.items() for noted in noted_of_text(path, text))
    first, last = (is_no_name(texts.get(path, "")) for path in _NAMES)
    if first != last and (
        changed is None or (_is_changed(_NAMES[0], changed) and _is_changed(_NAMES[1], changed))
    ):
        found.append((_NAMES[0] if first else _NAMES[1], Noted(REASON_ONE_NAME_ALONE)))
    if is_far_away(form.expected_end_date):
        found.append(("form.expected_end_date", Noted(REASON_END_FAR_AWAY)))
    return [
        FormNotice(
            field=path,
            reason=noted.reason,
            message=message_of(noted.reason, noted.where, asked.language, noted.read_as),
        )
        for path, noted in found
        if changed is None or _is_changed(path, changed)
    ]


def _texts(message: Message, prefix: str) -> Iterator[tuple[str, str]]:
    for field, value in message.ListFields():
        if isinstance(value, str):
            yield prefix + field.name, value
        elif isinstance(value, Message):
            yield from _texts(value, f"{prefix}{field.name}.")


def _is_changed(path: str, changed: Sequence[str]) -> bool:
    return any(path == f"form.{each}" or path.startswith(f"form.{each}.") for each in changed)
