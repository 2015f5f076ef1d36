"""Reads and corrects the form of a waiting registration (R14). Later, the data is the customer's."""

import base64
import hashlib
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from sqlalchemy import RowMapping, bindparam, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.registration_service_pb2 import UpdateFormRequest, UpdateFormResponse
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.reason_pb2 import (
    REASON_GUARDIAN_HAS_ANSWERED,
    REASON_NOT_WAITING,
    REASON_REGISTRATION_NOT_FOUND,
)
from services.registration.audit.entries import use_row
from services.registration.customers import protection
from services.registration.db.mapping import to_message
from services.registration.db.models import registrations
from services.registration.forms.edits import apply_mask, editing_errors
from services.registration.forms.normalise import from_json, normalise, to_json
from services.registration.forms.withholding import withhold
from services.registration.registrations import guardians, queries
from services.registration.registrations.guardian_addresses import doubts_of_edit
from services.runtime.clock import helsinki_day, now
from services.runtime.rpc.errors import FieldViolation, failed_precondition, invalid, not_found
from services.runtime.stages import NOT_BEGUN
from services.runtime.text.email_addresses import fold

GET = select(
    registrations.c.form,
    registrations.c.birth_date,
    registrations.c.missing_code_reason,
    registrations.c.both_guardians_needed,
).where(registrations.c.registration_id == bindparam("id"), registrations.c.stage.in_(NOT_BEGUN))

_UPDATE = (
    update(registrations)
    .where(registrations.c.registration_id == bindparam("id"))
    .values(
        form=bindparam("new_form"),
        undeliverable_since=bindparam("refused_since"),
        wrong_recipient_since=bindparam("wrong_since"),
        declined_at=bindparam("decline_time"),
        decline_ends_at=bindparam("decline_end"),
    )
)
_FIELDS = [field.name for field in CustomerForm.DESCRIPTOR.fields]
_DIGEST = 4
"""Bytes per field in an etag."""


async def correct(connection: AsyncConnection, request: UpdateFormRequest) -> UpdateFormResponse:
    """Corrects a form, in the connection's transaction; errors as the contract's."""
    by_id = {"id": request.registration_id}
    row = (await connection.execute(queries.GET_FOR_CHANGE, by_id)).mappings().first()
    if row is None or row["unit_id"] != request.unit_id:
        raise not_found(REASON_REGISTRATION_NOT_FOUND)
    if row["stage"] not in NOT_BEGUN:
        raise failed_precondition(REASON_NOT_WAITING)
    before = from_json(row["form"])
    after = normalise(apply_mask(before, request.form, request.update_mask))
    shown, withheld = withhold(after) if after.protected_person else (after, None)
    if shown == before and (
        withheld is None or await protection.holds(connection, row["person_id"], withheld)
    ):
        # Nothing to change: the request is repeated, or equals the stored form.
        return _answer(row, before)
    if request.etag != etag_of(before):
        return UpdateFormResponse(registration=to_message(row), changed_meanwhile=_changed(request, before))
    today = helsinki_day(now())
    errors = editing_errors(
        before,
        after,
        request.update_mask,
        birth_date=row["birth_date"],
        unit_kind=(await connection.execute(queries.UNIT_KIND, {"unit": row["unit_id"]})).scalar_one(),
        today=today,
    )
    if not errors and not request.guardian_email_confirmed:
        errors = await doubts_of_edit(
            connection,
            row["unit_id"],
            before,
            after,
            birth_date=row["birth_date"],
            today=today,
            registrars_email=request.registrars_email,
        )
    if errors:
        raise invalid(errors)
    changes_guardians = before.HasField("other_guardian") != after.HasField("other_guardian")
    answers = await guardians.answers(connection, request.registration_id) if changes_guardians else {}
    if any(answers.values()) or (changes_guardians and row["declined_at"] is not None):
        # Which answers are awaited, and what those given mean, would change after the fact.
        raise invalid([FieldViolation("form.other_guardian", REASON_GUARDIAN_HAS_ANSWERED)])
    if withheld is not None:
        await protection.keep(connection, row["person_id"], withheld)
    # Whether a corrected address works is not known yet.
    is_corrected = not shown.HasField("other_guardian") and fold(shown.related_person.email) != fold(
        before.related_person.email
    )
    change = {
        "new_form": to_json(shown),
        "refused_since": None if is_corrected else row["undeliverable_since"],
        "wrong_since": None if is_corrected else row["wrong_recipient_since"],
        # Whoever declined was not the guardian, who is asked now.
        "decline_time": None if is_corrected else row["declined_at"],
        "decline_end": None if is_corrected else row["decline_ends_at"],
    }
    await connection.execute(_UPDATE, by_id | change)
    if before.HasField("other_guardian") or shown.HasField("other_guardian"):
        await guardians.correct(connection, row, before, shown)
    use = use_row("registration:update", [request.registration_id, row["person_id"]])
    await connection.execute(queries.INSERT_USE, use)
    changed = (await connection.execute(queries.GET, by_id)).mappings().one()
    return _answer(changed, shown)


def etag_of(form: CustomerForm) -> str:
    """An etag with a digest of each field at its own place: it shows which fields have changed."""
    digests = (hashlib.sha256(_text(form, name)).digest()[:_DIGEST] for name in _FIELDS)
    return base64.urlsafe_b64encode(b"".join(digests)).decode()


def _changed(request: UpdateFormRequest, form: CustomerForm) -> FieldMask:
    """The fields changed since the caller read the form; all of them if the etag is malformed."""
    try:
        read = base64.b64decode(request.etag, altchars=b"-_", validate=True)
    except ValueError:
        read = b""
    stored = base64.urlsafe_b64decode(etag_of(form))
    if len(read) != len(stored):
        return FieldMask(paths=_FIELDS)
    places = ((name, slice(i * _DIGEST, (i + 1) * _DIGEST)) for i, name in enumerate(_FIELDS))
    return FieldMask(paths=[name for name, place in places if read[place] != stored[place]])


def _text(form: CustomerForm, name: str) -> bytes:
    only = CustomerForm()
    FieldMask(paths=[name]).MergeMessage(form, only)
    return only.SerializeToString(deterministic=True)


def _answer(row: RowMapping | dict[str, Any], form: CustomerForm) -> UpdateFormResponse:
    return UpdateFormResponse(
        registration=to_message(row), temporary=form.temporary and form.HasField("expected_end_date")
    )
