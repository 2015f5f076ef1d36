"""The SQL of registrations, prepared once: what a Save needs is one statement, so one round trip."""

from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Select,
    Table,
    bindparam,
    case,
    exists,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as insert_unless_there

from liity.v1.registration_pb2 import (
    CONSENT_STATE_NOT_GIVEN,
    STAGE_ACTIVE,
    STAGE_CREDENTIALS_SENT,
    STAGE_RECEIVED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WELCOMED,
)
from services.registration.models import consents, customers, registrations, units, use_entries

WAITING = (STAGE_RECEIVED, STAGE_WAITING_FOR_CONSENT)
"""The customership has not begun."""

BEGUN = (STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WELCOMED)
"""The customership has begun."""

RUNNING = (*WAITING, STAGE_ACTIVE, STAGE_CREDENTIALS_SENT)
"""Something is still to come: a person has one such registration at most (R18)."""


def _customer_name() -> ColumnElement[str]:
    """Names of the customer, from wherever they are kept now; empty if nowhere."""
    of_customer = (
        select(customers.c.first_names + " " + customers.c.last_name)
        .where(customers.c.customer_id == registrations.c.customer_id)
        .correlate(registrations)
        .scalar_subquery()
    )
    form = registrations.c.form
    of_form = form["first_names"].astext + " " + form["last_name"].astext
    return func.coalesce(of_customer, of_form, "").label("customer_display_name")


COLUMNS = (
    *(column for column in registrations.c if column.name not in {"request_id", "form", "customer_id"}),
    _customer_name(),
)
"""What a registration's message is made of."""


def _given(table: Table) -> list[ColumnElement[object]]:
    """A parameter for each column of a table, by the column's name."""
    return [bindparam(column.name, type_=column.type) for column in table.c]


def _unit_name() -> ColumnElement[str]:
    return (
        select(units.c.display_name)
        .where(units.c.unit_id == registrations.c.unit_id)
        .correlate(registrations)
        .scalar_subquery()
        .label("unit_display_name")
    )


def _one_row() -> FromClause:
    """Something to join to, so that an answer comes even where no registration is found."""
    return select(literal(1).label("one")).subquery("asked")


def _customer_unit_id() -> ColumnElement[str]:
    return (
        select(customers.c.unit_id)
        .where(customers.c.person_id == bindparam("person_id"))
        .scalar_subquery()
        .label("customer_unit_id")
    )


def _create(*also: Table) -> Select[str]:
    """Inserts a registration, its entry in the log of use and a row in each other table, all or nothing.

    Answers the unit's name; no row if the unit is missing or the person or the request is known. Its
    parameters are the tables' columns: where two share a name, they share the value.
    """
    person_is_customer = exists().where(customers.c.person_id == bindparam("person_id"))
    unit_is_there = exists().where(units.c.unit_id == bindparam("unit_id"))
    created: CTE = (
        insert_unless_there(registrations)
        .from_select(
            list(registrations.c.keys()),
            select(*_given(registrations)).where(unit_is_there, ~person_is_customer),
        )
        .on_conflict_do_nothing()
        .returning(registrations.c.registration_id)
        .cte("created")
    )
    unit_name = select(units.c.display_name).where(units.c.unit_id == bindparam("unit_id")).scalar_subquery()
    statement = select(unit_name.label("unit_display_name")).select_from(created)
    for table in (use_entries, *also):
        row = select(*_given(table)).select_from(created)
        statement = statement.add_cte(insert(table).from_select(list(table.c.keys()), row).cte(table.name))
    return statement


CREATE_WAITING = _create()
CREATE_ACTIVE = _create(customers)
CREATE_WITH_CONSENT = _create(customers, consents)


def _prepare() -> Select[object]:
    """What decides whether a Save may go on.

    One row: the registration that `request_id` made, the unit's kind, the unit the person is a customer of,
    and whether a registration of the person is running; each NULL if there is none.
    """
    others = registrations.alias("others")
    unit_kind = select(units.c.kind).where(units.c.unit_id == bindparam("unit_id")).scalar_subquery()
    running = exists().where(others.c.person_id == bindparam("person_id"), others.c.stage.in_(RUNNING))
    made_before = registrations.c.request_id == bindparam("request_id")
    return select(
        *COLUMNS, unit_kind.label("unit_kind"), _customer_unit_id(), running.label("running")
    ).select_from(_one_row().outerjoin(registrations, made_before))


PREPARE = _prepare()

# One that has ended is the person's until it is erased everywhere, a moment later; it tells nothing any more.
_IN_FORCE = (registrations.c.person_id == bindparam("person_id")) & registrations.c.stage.in_(
    (*WAITING, *BEGUN)
)

LOOK_UP = (
    select(*COLUMNS, _customer_unit_id())
    .select_from(_one_row().outerjoin(registrations, _IN_FORCE))
    .order_by(registrations.c.created_at.desc(), registrations.c.registration_id)
    .limit(1)
)
"""One row: the person's latest registration, and the unit the person is a customer of."""

_BY_ID = registrations.c.registration_id == bindparam("id")

GET = select(*COLUMNS).where(_BY_ID)

GET_FOR_CHANGE = select(*COLUMNS, registrations.c.form).where(_BY_ID).with_for_update()

GET_WITH_UNIT = select(*COLUMNS, registrations.c.form, _unit_name()).where(_BY_ID)

GET_PROFILE = (
    select(
        registrations.c.stage,
        func.coalesce(customers.c.profile, registrations.c.form).label("profile"),
        _unit_name(),
    )
    .select_from(registrations.outerjoin(customers))
    .where(_BY_ID)
)
"""The form as it now stands, NULL if it is erased, and the name of the unit."""

INSERT_CUSTOMER = insert(customers)

INSERT_CONSENT = insert(consents)

ACTIVATE = (
    update(registrations)
    .where(_BY_ID)
    .values(
        stage=STAGE_ACTIVE,
        consent_state=bindparam("new_consent_state"),
        customer_id=bindparam("new_customer_id"),
        form=None,
        deadline=None,
        updated_at=bindparam("now"),
    )
    .returning(*COLUMNS)
)

_STAGE_IS_NEW = registrations.c.stage < bindparam("new_stage")

ADVANCE = (
    update(registrations)
    .where(_BY_ID, registrations.c.stage.in_(BEGUN), registrations.c.stage <= bindparam("new_stage"))
    .values(
        stage=bindparam("new_stage"),
        deadline=bindparam("new_deadline"),
        updated_at=case((_STAGE_IS_NEW, bindparam("now")), else_=registrations.c.updated_at),
    )
    .returning(*COLUMNS)
)
"""No row if the customership has not begun or the registration has passed the stage."""

INSERT_USE = insert(use_entries)


def _end() -> Select[object]:
    """Ends a registration that waits, and writes its entry in the log of use; no row if it does not wait."""
    ended = (
        update(registrations)
        .where(_BY_ID, registrations.c.stage.in_(WAITING))
        .values(
            stage=bindparam("new_stage"),
            consent_state=CONSENT_STATE_NOT_GIVEN,
            form=None,
            deadline=None,
            updated_at=bindparam("now"),
        )
        .returning(*COLUMNS)
        .cte("ended")
    )
    use = select(*_given(use_entries)).select_from(ended)
    return select(ended).add_cte(insert(use_entries).from_select(list(use_entries.c.keys()), use).cte("used"))


END = _end()
