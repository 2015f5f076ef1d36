"""The SQL of class lists."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Date,
    String,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.dialects.postgresql import insert as insert_unless_there

from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_OUTCOME_CANCELLED,
    CLASS_LIST_OUTCOME_ENDED,
    CLASS_LIST_OUTCOME_REFUSED,
    CLASS_LIST_OUTCOME_REGISTERED,
    CLASS_LIST_OUTCOME_REMAINING,
    CLASS_LIST_OUTCOME_WAITING,
    CLASS_LIST_STATE_CANCELLED,
    CLASS_LIST_STATE_DONE,
    CLASS_LIST_STATE_RECEIVED,
    CLASS_LIST_STATE_RUNNING,
)
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE
from liity.v1.reason_pb2 import REASON_NOT_DECIDED_IN_TIME, REASON_PERSON_NOT_FOUND
from liity.v1.registration_pb2 import STAGE_MERGED
from services.registration.db.models import (
    class_list_members,
    class_list_rows,
    class_lists,
    customers,
    registrations,
    units,
)
from services.runtime.stages import BEGUN, FAILED, NOT_BEGUN, UNFINISHED

_LIST = class_lists.c.class_list_id == bindparam("id")
_ROWS = class_list_rows.c.class_list_id == bindparam("id")
_REMAINING = class_list_rows.c.outcome == CLASS_LIST_OUTCOME_REMAINING
_CANCELLED = class_list_rows.c.outcome == CLASS_LIST_OUTCOME_CANCELLED

GET = select(class_lists).where(_LIST)
GET_FOR_CHANGE = GET.with_for_update()

GET_UNIT = select(units.c.kind, units.c.closed_at).where(units.c.unit_id == bindparam("unit"))

INSERT_LIST = insert_unless_there(class_lists).on_conflict_do_nothing().returning(class_lists.c.class_list_id)
INSERT_ROWS = insert(class_list_rows)

_OF_PERSONS = bindparam("person_ids", type_=ARRAY(String))

KNOWN_CUSTOMERS = select(customers.c.person_id, customers.c.unit_id, customers.c.customer_id).where(
    customers.c.person_id == func.any(_OF_PERSONS), customers.c.state == CUSTOMER_STATE_ACTIVE
)
"""The customers among the persons, and their units. Those marked for deletion may be saved anew (R19)."""

BEING_REGISTERED = select(
    registrations.c.person_id, registrations.c.unit_id, registrations.c.registration_id
).where(registrations.c.person_id == func.any(_OF_PERSONS), registrations.c.stage.in_(UNFINISHED))
"""The persons with an unfinished registration."""

_BORN = bindparam("born", type_=ARRAY(Date))

OWN_CUSTOMERS_BORN = select(
    customers.c.person_id, customers.c.birth_date, customers.c.first_names, customers.c.last_name
).where(
    customers.c.unit_id == bindparam("unit"),
    customers.c.state == CUSTOMER_STATE_ACTIVE,
    customers.c.birth_date == func.any(_BORN),
)
OWN_REGISTRATIONS_BORN = select(
    registrations.c.person_id,
    registrations.c.birth_date,
    registrations.c.form["first_names"].astext.label("first_names"),
    registrations.c.form["last_name"].astext.label("last_name"),
).where(
    registrations.c.unit_id == bindparam("unit"),
    registrations.c.stage.in_(UNFINISHED),
    registrations.c.birth_date == func.any(_BORN),
)
"""A unit's customers, and the persons that it registers, who were born on certain days."""

INSERT_MEMBERS = insert_unless_there(class_list_members).on_conflict_do_nothing()
SWEEP_MEMBERS = delete(class_list_members).where(class_list_members.c.listed_at <= bindparam("too_old"))
ERASE_MEMBER = delete(class_list_members).where(class_list_members.c.person_id == bindparam("person"))

FORGET_STRANGERS = delete(class_list_members).where(
    class_list_members.c.class_list_id == bindparam("id"),
    ~exists().where(registrations.c.person_id == class_list_members.c.person_id),
    ~exists().where(customers.c.person_id == class_list_members.c.person_id),
)
"""Persons of a list of whom nothing came."""

_OVERLAP = func.count().filter(class_list_members.c.person_id == func.any(_OF_PERSONS))

EARLIER_LIST = (
    select(class_list_members.c.class_list_id, func.max(class_list_members.c.listed_at).label("listed_at"))
    .where(class_list_members.c.unit_id == bindparam("unit"))
    .group_by(class_list_members.c.class_list_id)
    .having(
        and_(
            _OVERLAP > 0,
            # A class that is split or grows is the same; another class with a pupil in common is not.
            func.least(func.count(), bindparam("rows")) <= 2 * _OVERLAP,
        )
    )
    .order_by(func.max(class_list_members.c.listed_at).desc())
    .limit(1)
)
"""The unit's last list with at least half of the same persons."""

GONE = (
    select(customers.c.person_id, customers.c.customer_id, customers.c.first_names, customers.c.last_name)
    .select_from(class_list_members.join(customers, customers.c.person_id == class_list_members.c.person_id))
    .where(
        class_list_members.c.class_list_id == bindparam("id"),
        class_list_members.c.person_id != func.all(_OF_PERSONS),
        customers.c.unit_id == bindparam("unit"),
        customers.c.state == CUSTOMER_STATE_ACTIVE,
    )
    .order_by(customers.c.last_name, customers.c.first_names, customers.c.customer_id)
    .limit(1000)
)
"""The unit's customers who stood in a list and are not among the persons."""

_STILL_OF_THE_UNIT = registrations.c.unit_id == class_lists.c.unit_id
"""A unit no longer sees a person who has moved to another unit (R16)."""

_OUTCOME: ColumnElement[Any] = case(
    (class_list_rows.c.outcome != CLASS_LIST_OUTCOME_REGISTERED, class_list_rows.c.outcome),
    (and_(_STILL_OF_THE_UNIT, registrations.c.stage.in_(NOT_BEGUN)), CLASS_LIST_OUTCOME_WAITING),
    (and_(_STILL_OF_THE_UNIT, registrations.c.stage.in_(FAILED)), CLASS_LIST_OUTCOME_ENDED),
    else_=CLASS_LIST_OUTCOME_REGISTERED,
).label("outcome")
"""A row's outcome by its registration's current stage; REGISTERED for a person who has moved away."""

_ROWS_AND_REGISTRATIONS = class_list_rows.join(class_lists).outerjoin(registrations)

COUNT = (
    select(class_list_rows.c.class_list_id, _OUTCOME, func.count().label("number"))
    .select_from(_ROWS_AND_REGISTRATIONS)
    .where(class_list_rows.c.class_list_id == func.any(bindparam("ids", type_=ARRAY(String))))
    .group_by(class_list_rows.c.class_list_id, _OUTCOME)
)

OUTCOMES = (
    select(
        class_list_rows.c.row_number,
        _OUTCOME,
        class_list_rows.c.wrong_fields,
        case((_STILL_OF_THE_UNIT, registrations.c.registration_id)).label("registration_id"),
        registrations.c.unit_id,
    )
    .select_from(_ROWS_AND_REGISTRATIONS)
    .where(_ROWS)
    .order_by(class_list_rows.c.row_number)
)

BEGIN = (
    update(class_lists)
    .where(_LIST, class_lists.c.state == CLASS_LIST_STATE_RECEIVED)
    .values(state=CLASS_LIST_STATE_RUNNING)
)

UNDECIDED = (
    select(class_list_rows)
    .where(_ROWS, _REMAINING)
    .order_by(class_list_rows.c.row_number)
    .limit(bindparam("most"))
)

DECIDE = (
    update(class_list_rows)
    .where(
        _ROWS,
        class_list_rows.c.row_number == bindparam("row"),
        # A row may be registered while its list is being cancelled.
        or_(_REMAINING, and_(_CANCELLED, bindparam("made", type_=String).is_not(None))),
    )
    .values(
        outcome=bindparam("became"),
        wrong_fields=bindparam("why"),
        registration_id=bindparam("made", type_=String),
        # Keep no data of a refused person.
        person_id=case(
            (bindparam("made", type_=String).is_not(None), class_list_rows.c.person_id), else_=None
        ),
        form=None,
        birth_date=None,
        missing_code_reason=None,
    )
)

FINISH = (
    update(class_lists)
    .where(_LIST, class_lists.c.ended_at.is_(None))
    .values(state=CLASS_LIST_STATE_DONE, ended_at=bindparam("now"))
)
FORGET_CANCELLED = update(class_list_rows).where(_ROWS, _CANCELLED).values(person_id=None)

CANCEL_LIST = (
    update(class_lists).where(_LIST).values(state=CLASS_LIST_STATE_CANCELLED, ended_at=bindparam("now"))
)
CANCEL_ROWS = (
    update(class_list_rows)
    .where(_ROWS, _REMAINING)
    .values(outcome=CLASS_LIST_OUTCOME_CANCELLED, form=None, birth_date=None, missing_code_reason=None)
)
_OTHERS = class_list_rows.alias("others")
UNNEEDED = (
    select(class_list_rows.c.person_id)
    .where(
        _ROWS,
        _CANCELLED,
        class_list_rows.c.person_id.is_not(None),
        ~exists().where(
            _OTHERS.c.person_id == class_list_rows.c.person_id,
            _OTHERS.c.outcome == CLASS_LIST_OUTCOME_REMAINING,
        ),
    )
    .order_by(class_list_rows.c.row_number)
)

_TAKES_TOO_LONG = and_(class_lists.c.ended_at.is_(None), class_lists.c.created_at <= bindparam("too_old"))

# The run only mails the uploader afterwards, if it still runs.
GIVE_UP_ROWS = (
    update(class_list_rows)
    .where(
        _REMAINING,
        class_list_rows.c.class_list_id.in_(select(class_lists.c.class_list_id).where(_TAKES_TOO_LONG)),
    )
    .values(
        outcome=CLASS_LIST_OUTCOME_REFUSED,
        wrong_fields=type_coerce([["", REASON_NOT_DECIDED_IN_TIME]], JSONB),
        person_id=None,
        form=None,
        birth_date=None,
        missing_code_reason=None,
    )
)
GIVE_UP_LISTS = (
    update(class_lists).where(_TAKES_TOO_LONG).values(state=CLASS_LIST_STATE_DONE, ended_at=bindparam("now"))
)

SWEEP = delete(class_lists).where(
    class_lists.c.expires_at <= bindparam("now"), class_lists.c.ended_at.is_not(None)
)

ERASE_ROWS = (
    update(class_list_rows)
    .where(class_list_rows.c.person_id == bindparam("person"))
    .values(
        person_id=None,
        birth_date=None,
        form=None,
        missing_code_reason=None,
        outcome=case((_REMAINING, CLASS_LIST_OUTCOME_REFUSED), else_=class_list_rows.c.outcome),
        wrong_fields=case(
            (_REMAINING, type_coerce([["", REASON_PERSON_NOT_FOUND]], JSONB)),
            else_=class_list_rows.c.wrong_fields,
        ),
        # An ended customership leaves only a count, which no list may lead to.
        registration_id=case(
            (
                exists().where(
                    registrations.c.registration_id == class_list_rows.c.registration_id,
                    registrations.c.stage.in_((*BEGUN, STAGE_MERGED)),
                ),
                None,
            ),
            else_=class_list_rows.c.registration_id,
        ),
    )
)
