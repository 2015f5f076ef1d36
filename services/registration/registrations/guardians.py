"""Two guardians who are asked for consent (R39): what each has answered, and whether each address works.

A registration with a single guardian has no row here.
"""

from datetime import datetime
from typing import Any

from google.protobuf import json_format
from sqlalchemy import RowMapping, String, bindparam, delete, exists, func, literal, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.registration_service_pb2 import ConsentEvidence
from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.registration_pb2 import (
    GUARDIAN_ANSWER_CONSENTS,
    GUARDIAN_ANSWER_DECLINES,
    GUARDIAN_ANSWER_UNSPECIFIED,
    STAGE_WAITING_FOR_CONSENT,
    GuardianAnswer,
)
from services.registration.db.addresses import address_of, is_address
from services.registration.db.models import guardians, registrations
from services.registration.registrations import queries
from services.registration.rules import (
    consent_is_declined,
    consent_is_given,
    guardians_of,
    same_name,
)
from services.runtime.guardians import FIRST_GUARDIAN, OTHER_GUARDIAN
from services.runtime.text.email_addresses import fold

_OF_REGISTRATION = guardians.c.registration_id == bindparam(
    "registration", type_=guardians.c.registration_id.type
)
_OF_GUARDIAN = guardians.c.guardian == bindparam("number", type_=guardians.c.guardian.type)

_ANSWERS = select(guardians.c.guardian, guardians.c.answer).where(_OF_REGISTRATION)
_new = insert(guardians)
_ANSWER = _new.on_conflict_do_update(
    index_elements=["registration_id", "guardian"],
    set_={name: _new.excluded[name] for name in ("answer", "answered_at", "link_email", "evidence")},
    # A repeated answer keeps its moment.
    where=guardians.c.answer.is_distinct_from(_new.excluded.answer),
)
_FORGET_ANSWER = (
    update(guardians)
    .where(_OF_REGISTRATION, _OF_GUARDIAN, guardians.c.answer == GUARDIAN_ANSWER_DECLINES)
    .values(answer=None, answered_at=None, link_email=None, evidence=None)
)
_DELETE = delete(guardians).where(
    _OF_REGISTRATION, guardians.c.guardian == func.any(bindparam("numbers", type_=queries.NUMBERS))
)
_FORGET_ADDRESS = delete(guardians).where(
    _OF_REGISTRATION,
    _OF_GUARDIAN,
    # What was answered on paper does not depend on the address.
    or_(guardians.c.answer.is_(None), guardians.c.link_email.is_not(None)),
)
_REACHABLE = (
    update(guardians)
    .where(_OF_REGISTRATION, _OF_GUARDIAN)
    .values(undeliverable_since=None, wrong_recipient_since=None)
)
_SET_DECLINE = (
    update(registrations)
    .where(registrations.c.registration_id == bindparam("registration"))
    .values(declined_at=bindparam("decline_time"), decline_ends_at=bindparam("decline_end"))
)
_MARK = _new.on_conflict_do_update(
    index_elements=["registration_id", "guardian"],
    set_={
        name: func.coalesce(guardians.c[name], _new.excluded[name])
        for name in ("undeliverable_since", "wrong_recipient_since")
    },
)
_CLEAR = (
    update(guardians)
    # Mail does reach a wrong recipient.
    .where(_OF_REGISTRATION, _OF_GUARDIAN, guardians.c.wrong_recipient_since.is_(None))
    .values(undeliverable_since=None)
)
_FAILING = (
    select(
        func.min(guardians.c.undeliverable_since).label("undeliverable_since"),
        func.min(guardians.c.wrong_recipient_since).label("wrong_recipient_since"),
    )
    .where(_OF_REGISTRATION)
    .subquery("failing")
)
_SHOW_FAILING = (
    update(registrations)
    .where(registrations.c.registration_id == bindparam("registration"))
    .values(
        undeliverable_since=select(_FAILING.c.undeliverable_since).scalar_subquery(),
        wrong_recipient_since=select(_FAILING.c.wrong_recipient_since).scalar_subquery(),
    )
)
_AT_FIRST, _AT_OTHER = (
    is_address(address_of(registrations.c.form, guardian), bindparam("address", type_=String))
    for guardian in ("related_person", "other_guardian")
)
_AT_ADDRESS = (
    select(
        registrations.c.registration_id,
        _AT_FIRST.label("is_first"),
    )
    .where(
        # A literal: the planner needs it to use the partial index.
        registrations.c.stage == literal(int(STAGE_WAITING_FOR_CONSENT), literal_execute=True),
        queries.ASKS_OTHER_GUARDIAN,
        or_(_AT_FIRST, _AT_OTHER),
    )
    .order_by(registrations.c.registration_id)
    .with_for_update()
)
_WITHDRAW = (
    update(guardians)
    .where(_OF_REGISTRATION, _OF_GUARDIAN, guardians.c.answer == GUARDIAN_ANSWER_CONSENTS)
    .values(withdrawn_at=bindparam("moment"))
)
_ARE_TWO = select(exists().where(_OF_REGISTRATION))


async def answers(connection: AsyncConnection, registration_id: str) -> dict[int, GuardianAnswer.ValueType]:
    """What each of two guardians has answered, by number."""
    found = await connection.execute(_ANSWERS, {"registration": registration_id})
    given = {row.guardian: row.answer or GUARDIAN_ANSWER_UNSPECIFIED for row in found}
    return {
        number: given.get(number, GUARDIAN_ANSWER_UNSPECIFIED) for number in (FIRST_GUARDIAN, OTHER_GUARDIAN)
    }


async def consent(
    connection: AsyncConnection,
    row: RowMapping,
    evidence: ConsentEvidence,
    *,
    number: int,
    link_email: str,
    moment: datetime,
) -> bool:
    """Records one guardian's consent; whether the consent is given as a whole."""
    registration_id = row["registration_id"]
    await _answer(connection, registration_id, number, GUARDIAN_ANSWER_CONSENTS, evidence, link_email, moment)
    given = consent_is_given(
        await answers(connection, registration_id), both_needed=row["both_guardians_needed"]
    )
    if not given:
        await _settle(connection, row, None, None)
    return given


async def decline(
    connection: AsyncConnection,
    row: RowMapping,
    form: CustomerForm,
    number: int,
    decline_time: datetime,
    decline_end: datetime,
) -> None:
    """Records one guardian's decline; it is the registration's if the other cannot make it good."""
    await dissent(connection, row["registration_id"], form, number, decline_time)
    await _settle(connection, row, decline_time, decline_end)


async def dissent(
    connection: AsyncConnection, registration_id: str, form: CustomerForm, number: int, moment: datetime
) -> None:
    """Records that a guardian does not consent, with the address that the link went to."""
    person = guardians_of(form)[number]
    evidence = ConsentEvidence(method=ConsentEvidence.METHOD_LINK, guardian_name=person.full_name)
    await _answer(
        connection, registration_id, number, GUARDIAN_ANSWER_DECLINES, evidence, person.email, moment
    )


async def take_back(connection: AsyncConnection, row: RowMapping, number: int) -> None:
    """Forgets one guardian's decline."""
    await connection.execute(_FORGET_ANSWER, {"registration": row["registration_id"], "number": number})
    await _settle(connection, row, None, None)


async def correct(
    connection: AsyncConnection, row: RowMapping, before: CustomerForm, after: CustomerForm
) -> None:
    """Follows a corrected form: who has another address may be reached there, and has answered no link.

    Under another name it is another person, who has answered nothing on paper, either.
    """
    registration_id = row["registration_id"]
    was, is_now = guardians_of(before), guardians_of(after)
    if len(was) == 1 and row["undeliverable_since"] is not None:
        # Until now the registration's own columns told of the only guardian.
        await mark(
            connection,
            registration_id,
            FIRST_GUARDIAN,
            row["undeliverable_since"],
            row["wrong_recipient_since"],
        )
    moved = [
        number
        for number in was
        if number not in is_now or fold(was[number].email) != fold(is_now[number].email)
    ]
    others = [
        number for number in moved if number not in is_now or not same_name(was[number], is_now[number])
    ]
    await connection.execute(_DELETE, {"registration": registration_id, "numbers": others})
    for number in moved:
        of_guardian = {"registration": registration_id, "number": number}
        await connection.execute(_FORGET_ADDRESS, of_guardian)
        await connection.execute(_REACHABLE, of_guardian)
    await connection.execute(_SHOW_FAILING, {"registration": registration_id})
    if len(is_now) == 1:
        await connection.execute(_DELETE, {"registration": registration_id, "numbers": [*was]})
    else:
        await _settle(connection, row, None, None)


async def mark(
    connection: AsyncConnection,
    registration_id: str,
    number: int,
    undeliverable_since: datetime | None,
    wrong_recipient_since: datetime | None,
) -> None:
    """Records that an address does not work; an earlier moment stays."""
    marked = _row(registration_id, number) | {
        "undeliverable_since": undeliverable_since,
        "wrong_recipient_since": wrong_recipient_since,
    }
    await connection.execute(_MARK, marked)
    await connection.execute(_SHOW_FAILING, {"registration": registration_id})


async def mark_address(connection: AsyncConnection, address: str, moment: datetime | None) -> None:
    """Marks an address as undeliverable, or as deliverable without a moment, of each guardian who has it."""
    for row in (await connection.execute(_AT_ADDRESS, {"address": address})).mappings().all():
        registration_id = row["registration_id"]
        number = FIRST_GUARDIAN if row["is_first"] else OTHER_GUARDIAN
        if moment is None:
            await connection.execute(_CLEAR, {"registration": registration_id, "number": number})
            await connection.execute(_SHOW_FAILING, {"registration": registration_id})
        else:
            await mark(connection, registration_id, number, moment, None)


async def withdraw(connection: AsyncConnection, registration_id: str, number: int, moment: datetime) -> None:
    """Records that a guardian has withdrawn the consent."""
    withdrawn = {"registration": registration_id, "number": number, "moment": moment}
    await connection.execute(_WITHDRAW, withdrawn)


async def may_withdraw(connection: AsyncConnection, registration_id: str, number: int) -> bool:
    """Whether the guardian has consented, if two were asked: one alone always has."""
    if not await connection.scalar(_ARE_TWO, {"registration": registration_id}):
        return True
    return (await answers(connection, registration_id)).get(number) == GUARDIAN_ANSWER_CONSENTS


async def _answer(
    connection: AsyncConnection,
    registration_id: str,
    number: int,
    answer: GuardianAnswer.ValueType,
    evidence: ConsentEvidence,
    link_email: str,
    moment: datetime,
) -> None:
    kept = ConsentEvidence()
    kept.CopyFrom(evidence)
    # The log of use tells who recorded it.
    kept.ClearField("recorded_by")
    given = _row(registration_id, number) | {
        "answer": answer,
        "answered_at": moment,
        "link_email": link_email or None,
        "evidence": json_format.MessageToDict(kept, preserving_proto_field_name=True),
    }
    await connection.execute(_ANSWER, given)


async def _settle(
    connection: AsyncConnection,
    row: RowMapping,
    decline_time: datetime | None,
    decline_end: datetime | None,
) -> None:
    """Sets or clears the registration's decline, as the guardians' answers have it."""
    declined = consent_is_declined(
        await answers(connection, row["registration_id"]), both_needed=row["both_guardians_needed"]
    )
    if declined == (row["declined_at"] is not None):
        return
    change = {"decline_time": decline_time, "decline_end": decline_end} if declined else queries.NO_DECLINE
    await connection.execute(_SET_DECLINE, {"registration": row["registration_id"], **change})


def _row(registration_id: str, number: int) -> dict[str, Any]:
    return dict.fromkeys(guardians.c.keys()) | {"registration_id": registration_id, "guardian": number}
