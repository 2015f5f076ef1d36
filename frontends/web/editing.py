"""Editing data that others may change meanwhile (R14): what both have changed is asked about."""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from frontends.client import new_request_id
from frontends.refusals import Refusal
from frontends.web.forms import Form, Group, values_of
from frontends.web.guardian_address import CONFIRMED, asks_guardian
from frontends.web.language import N_
from frontends.web.pages import Visit
from frontends.web.registrations.fields import EDITABLE, editable
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.customer_service_pb2 import ChangedMeanwhile

_PURPOSE = "original"
_LIFETIME = timedelta(days=1)

Send = Callable[[str, str, Sequence[str], CustomerForm], Awaitable[object]]
"""Stores a change: request ID, etag, paths, and the form with the new values."""


@dataclass(frozen=True)
class Editing:
    """A form as it is edited: its etag, and what stood in it when it was opened, sealed."""

    form: Form
    etag: str
    original: str
    asks_guardian: bool = False
    """Whether the guardian's address must be confirmed (R40)."""

    @property
    def status(self) -> int:
        """The status of a page that shows it."""
        return 422 if self.form.is_wrong else 200


def opened(
    visit: Visit, stored: CustomerForm, etag: str, groups: Sequence[Group] = tuple(EDITABLE.values())
) -> Editing:
    """The form as it is stored."""
    form = Form(editable(groups, protected=stored.protected_person))
    form.values = values_of(stored, form.fields)
    return Editing(form, etag, _sealed(visit, form.values))


async def save(
    visit: Visit,
    stored: CustomerForm,
    etag: str,
    send: Send,
    groups: Sequence[Group] = tuple(EDITABLE.values()),
) -> Editing | None:
    """Stores what was typed otherwise than it stood when the form was opened; None once that is done.

    `stored` and `etag` are as they stand now. Changes of others to other fields stay; a field that both have
    changed is shown with an error, and saved as typed if the form is sent again.
    """
    shown = editable(groups, protected=stored.protected_person)
    form, filled = Form(shown, visit.typed), CustomerForm()
    form.fill(filled)
    now = values_of(stored, form.fields)
    original = _unsealed(visit) or now
    typed_etag = visit.typed.get("etag", "")
    asked = CONFIRMED in visit.typed
    editing = Editing(form, typed_etag, _sealed(visit, original), asks_guardian=asked)
    paths = form.changed(original)
    if visit.switches_language or form.errors:
        return editing
    if not paths:
        return None
    try:
        await send(visit.request_id, typed_etag, paths, filled)
    except Refusal as refusal:
        if isinstance(refusal.detail, ChangedMeanwhile):
            both = set(refusal.detail.changed.paths).intersection(paths)
            if not both:
                await send(new_request_id(), etag, paths, filled)
                return None
            form.values = now | {path: visit.typed.get(path, "") for path in paths}
            for path in both:
                form.errors[path] = N_("Somebody else has changed this meanwhile. Look, and save again.")
            return Editing(form, etag, _sealed(visit, now))
        if not refusal.violations:
            raise
        form.take_errors(refusal, "form.")
        return replace(editing, asks_guardian=editing.asks_guardian or asks_guardian(refusal))
    return None


def _sealed(visit: Visit, values: Mapping[str, str]) -> str:
    return visit.site.seal.seal(_PURPOSE, json.dumps(dict(values)).encode(), _LIFETIME)


def _unsealed(visit: Visit) -> dict[str, str] | None:
    value = visit.site.seal.unseal(_PURPOSE, visit.typed.get("original", ""))
    return None if value is None else dict(json.loads(value))
