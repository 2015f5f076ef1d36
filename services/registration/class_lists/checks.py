"""Checks a class list's rows: forms by the rules of a Save, known persons, and who is gone (R41)."""

from collections.abc import Mapping, Sequence
from datetime import date

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from liity.registration.v1.class_list_service_pb2 import (
    CheckClassListRequest,
    CheckClassListResponse,
    ClassListRow,
    RowConsequence,
    RowStanding,
    WrongField,
)
from liity.registration.v1.unit_service_pb2 import UnitKind
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_ONLINE, CustomerForm
from liity.v1.reason_pb2 import REASON_UNIT_CLOSED, REASON_UNIT_NOT_FOUND
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_WAITING_FOR_CONSENT
from liity.v1.registration_service_pb2 import (
    STANDING_BEING_REGISTERED,
    STANDING_REGISTERED_IN_ANOTHER_UNIT,
    STANDING_REGISTERED_IN_THIS_UNIT,
)
from services.registration.class_lists import queries as sql
from services.registration.forms import proto_dates
from services.registration.forms.normalise import missing_code_errors, normalise, save_errors
from services.registration.registrations import guardian_addresses
from services.registration.rules import consent_needed, first_stage, guardians_of
from services.runtime.clock import helsinki_day, now
from services.runtime.rpc.errors import FieldViolation, failed_precondition, not_found
from services.runtime.slices import one_by_one
from services.runtime.text.cleaning import clean_line
from services.runtime.text.email_addresses import mailbox


async def check_rows(engine: AsyncEngine, request: CheckClassListRequest) -> CheckClassListResponse:
    """The rows with an error, the persons who are known, and who is gone. Raises as `open_unit` does."""
    unit_id, today, answer = request.unit_id, helsinki_day(now()), CheckClassListResponse()
    async with engine.connect() as connection:
        unit_kind = await open_unit(connection, unit_id)
        persons = {row.row_number: row.person_id for row in request.rows if row.person_id}
        persons |= await _without_code(connection, unit_id, request.rows)
        person_ids = list(persons.values())
        known = await _known(connection, unit_id, person_ids)
        if request.complete:
            await _add_gone(connection, unit_id, person_ids, len(request.rows), answer)
    wrong: dict[int, list[FieldViolation]] = {}
    children: dict[int, CustomerForm] = {}
    begins: dict[int, RowConsequence] = {}
    async for row in one_by_one(request.rows):
        person_id = persons.get(row.row_number, "")
        if person_id in known:
            # Nothing is done with the row: its form does not matter.
            standing = answer.standings.add(row_number=row.row_number, person_id=person_id)
            standing.MergeFrom(known[person_id])
            continue
        form = normalise(row.form)
        born, errors = _birth_date(row, today)
        errors += save_errors(
            form,
            birth_date=born,
            has_code=not row.HasField("missing_code"),
            unit_kind=unit_kind,
            today=today,
        )
        wrong[row.row_number] = errors
        if born is not None:
            begins[row.row_number] = _consequence(row, form, born, today)
        if born is not None and form.related_person.email and consent_needed(born, today, form):
            children[row.row_number] = form
    for number, doubts in (await _doubts_of_guardians(engine, request, children)).items():
        told = {error.field for error in wrong[number]}
        wrong[number] += (doubt for doubt in doubts if doubt.field not in told)
    for number, errors in wrong.items():
        if errors:
            fields = [WrongField(field=field, reason=reason) for field, reason in errors]
            answer.wrong_rows.add(row_number=number, wrong_fields=fields)
    answer.consequences.extend(each for number, each in begins.items() if not wrong[number])
    return answer


def _consequence(row: ClassListRow, form: CustomerForm, born: date, today: date) -> RowConsequence:
    """What registering a row would do."""
    stage = first_stage(born, today, form, has_code=not row.HasField("missing_code"))
    mails = 0
    if stage == STAGE_WAITING_FOR_CONSENT:
        mails = sum(bool(guardian.email) for guardian in guardians_of(form).values())
    elif stage == STAGE_ACTIVE:
        mails = int(form.kind == CUSTOMER_KIND_ONLINE)
    return RowConsequence(row_number=row.row_number, stage=stage, mails=mails)


async def _without_code(
    connection: AsyncConnection, unit_id: str, rows: Sequence[ClassListRow]
) -> dict[int, str]:
    """Persons without a code whom the unit has already, by row: the same names and date of birth."""
    today = helsinki_day(now())
    asked = {
        row.row_number: (born, *_names(row.form.first_names, row.form.last_name))
        for row in rows
        if row.HasField("missing_code") and (born := missing_code_errors(row.missing_code, today)[0])
    }
    if not asked:
        return {}
    of_unit = {"unit": unit_id, "born": list({born for born, *_ in asked.values()})}
    found = {
        (row.birth_date, *_names(row.first_names, row.last_name)): str(row.person_id)
        for statement in (sql.OWN_REGISTRATIONS_BORN, sql.OWN_CUSTOMERS_BORN)
        for row in await connection.execute(statement, of_unit)
    }
    return {number: found[person] for number, person in asked.items() if person in found}


def _names(first_names: str | None, last_name: str | None) -> tuple[str, str]:
    """Names for comparison."""
    return clean_line(first_names or "").casefold(), clean_line(last_name or "").casefold()


async def _known(
    connection: AsyncConnection, unit_id: str, person_ids: Sequence[str]
) -> dict[str, RowStanding]:
    """Where those of the persons stand who are customers or being registered."""
    of_persons = {"person_ids": person_ids}
    known = {}
    for running in await connection.execute(sql.BEING_REGISTERED, of_persons):
        own = running.unit_id == unit_id
        known[running.person_id] = RowStanding(
            standing=STANDING_BEING_REGISTERED, registration_id=running.registration_id if own else ""
        )
    for customer in await connection.execute(sql.KNOWN_CUSTOMERS, of_persons):
        own = customer.unit_id == unit_id
        known[customer.person_id] = RowStanding(
            standing=STANDING_REGISTERED_IN_THIS_UNIT if own else STANDING_REGISTERED_IN_ANOTHER_UNIT,
            customer_id=customer.customer_id if own else "",
        )
    return known


async def _add_gone(
    connection: AsyncConnection,
    unit_id: str,
    person_ids: Sequence[str],
    rows: int,
    answer: CheckClassListResponse,
) -> None:
    """Adds the customers who stood in the unit's earlier list and do not in this one (R41)."""
    of_unit = {"unit": unit_id, "person_ids": person_ids}
    # Rows of persons nobody knows yet count, too: a few old pupils make no list the same.
    earlier = (await connection.execute(sql.EARLIER_LIST, {**of_unit, "rows": rows})).first()
    if earlier is None:
        return
    answer.earlier_list_time.FromDatetime(earlier.listed_at)
    for gone in await connection.execute(sql.GONE, {**of_unit, "id": earlier.class_list_id}):
        answer.gone.add(
            person_id=gone.person_id,
            customer_id=gone.customer_id,
            display_name=f"{gone.first_names} {gone.last_name}".strip(),
        )


async def open_unit(connection: AsyncConnection, unit_id: str) -> UnitKind.ValueType:
    """The kind of a unit that registers customers.

    NOT_FOUND (UNIT_NOT_FOUND) if there is none; FAILED_PRECONDITION (UNIT_CLOSED) if it is closed.
    """
    unit = (await connection.execute(sql.GET_UNIT, {"unit": unit_id})).first()
    if unit is None:
        raise not_found(REASON_UNIT_NOT_FOUND)
    if unit.closed_at is not None:
        raise failed_precondition(REASON_UNIT_CLOSED)
    kind: UnitKind.ValueType = unit.kind
    return kind


async def _doubts_of_guardians(
    engine: AsyncEngine, request: CheckClassListRequest, children: Mapping[int, CustomerForm]
) -> dict[int, list[FieldViolation]]:
    """What must be confirmed of the guardians' addresses, by row (R40). Families of the list count, too."""
    async with engine.connect() as connection:
        known = await guardian_addresses.families(connection, request.unit_id, children.values())
    for form in children.values():
        for guardian in guardians_of(form).values():
            known[mailbox(guardian.email)].add(form.last_name.casefold())
    return {
        number: guardian_addresses.doubts(form, known, request.registrars_email)
        for number, form in children.items()
        if number not in request.confirmed_address_rows
    }


def _birth_date(row: ClassListRow, today: date) -> tuple[date | None, list[FieldViolation]]:
    """The date of birth, and what is wrong with one that was given instead of a code."""
    if row.HasField("missing_code"):
        return missing_code_errors(row.missing_code, today)
    return proto_dates.birth_date(row.birth_date, today) if row.HasField("birth_date") else None, []
