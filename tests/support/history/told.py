"""What became of the persons in whom something is wrong, line by line."""

from collections.abc import Iterable, Iterator

from liity.v1.registration_pb2 import Stage
from liity.v1.registration_service_pb2 import RegisterCustomerRequest
from tests.support.history.records import History, last_part, registrations_in

_PERSONS = 5


def lines(history: History, faults: Iterable[str]) -> Iterator[str]:
    """The calls and mails of the first persons whom faults name, in the order of time."""
    said = "\n".join(faults)
    codes = [code for code in history.acts_by_person() if code in said]
    for code in codes[:_PERSONS]:
        yield f"{code}:"
        yield from (line for _, line in sorted(_of_person(history, code)))


def _of_person(history: History, code: str) -> Iterator[tuple[float, str]]:
    marks: set[str] = set()
    for call in history.calls:
        if call.about != code:
            continue
        if isinstance(call.request, RegisterCustomerRequest):
            form = call.request.form
            marks |= {form.first_names, form.email, form.related_person.email} - {""}
        told = registrations_in(call.answer) if call.answer is not None else ()
        stages = [f"{last_part(found.name)} {Stage.Name(found.stage)}" for found in told]
        yield call.began, " ".join([f"  {call.began:.3f} to {call.ended:.3f}", str(call), *stages])
    for mail in history.mails:
        if mail.recipient in marks or any(mark in mail.text for mark in marks):
            yield mail.time, f"  {mail.time:.3f} {mail.template} to {mail.recipient} {mail.message_id}"
