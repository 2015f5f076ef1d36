"""SQL of registrations, built once; a Save takes one statement, so one round trip."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    Boolean,
    ColumnElement,
    FromClause,
    Insert,
    Select,
    SmallInteger,
    String,
    Table,
    Uuid,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.dialects.postgresql import insert as insert_unless_there

from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    CUSTOMER_STATE_MARKED_FOR_DELETION,
    EMAIL_STATE_UNDELIVERABLE,
)
from liity.v1.registration_pb2 import (
    CONSENT_STATE_AWAITED,
    CONSENT_STATE_NOT_GIVEN,
    CONSENT_STATE_NOT_NEEDED,
    STAGE_ACTIVE,
    STAGE_LINKED,
    STAGE_WAITING_FOR_CONSENT,
    STAGE_WAITING_FOR_IDENTITY_CHECK,
)
from services.registration.db.models import (
    consents,
    customer_names,
    customers,
    guardians,
    merges,
    protected_persons,
    registrations,
    units,
    use_entries,
)
from services.registration.db.protected import is_protected, unit_name_of
from services.runtime.stages import BEGUN, NOT_BEGUN, UNFINISHED

NOT_ABANDONED = registrations.c.stage.in_((*NOT_BEGUN, *BEGUN))
"""Excludes registrations that came to nothing: they say nothing of the person, even if newest."""

MOVES_WITH_PERSON = or_(NOT_ABANDONED, registrations.c.customer_id.is_not(None))
"""Registrations that move with a person to another unit; those that came to nothing stay."""

CURRENT_FIRST = (registrations.c.stage.in_(BEGUN).desc(), registrations.c.created_at.desc())
"""Orders a customer's registrations: begun ones before linked ones, then newest first."""


def _customer_name() -> ColumnElement[str]:
    """The customer's names, from the profile or the form; empty if neither is kept."""
    of_customer = (
        select(func.trim(customers.c.first_names + " " + customers.c.last_name))
        .where(
            customers.c.customer_id == registrations.c.customer_id,
            # Customers marked for deletion appear in no list by name (R20).
            customers.c.state == CUSTOMER_STATE_ACTIVE,
        )
        .correlate(registrations)
        .scalar_subquery()
    )
    form = registrations.c.form
    of_form = form["first_names"].astext + " " + form["last_name"].astext
    return func.coalesce(of_customer, of_form, "").label("customer_display_name")


ASKS_OTHER_GUARDIAN = func.coalesce(registrations.c.form.has_key("other_guardian"), false())
"""Whether the form names another guardian, who is asked for consent, too (R39)."""


def _guardians() -> ColumnElement[Any]:
    """Where each of two guardians stands (R39); NULL if only one is asked, or nothing is known of either."""
    state = func.jsonb_build_object(
        *(part for name in GUARDIAN_STATE for part in (literal(name, String), guardians.c[name]))
    )
    return (
        select(func.jsonb_agg(aggregate_order_by(state, guardians.c.guardian)))
        .where(guardians.c.registration_id == registrations.c.registration_id)
        .correlate(registrations)
        .scalar_subquery()
        .label("guardians")
    )


GUARDIAN_STATE = ("guardian", "answer", "answered_at", "undeliverable_since", "wrong_recipient_since")

NUMBERS = ARRAY(SmallInteger)

NO_DECLINE: Mapping[str, datetime | None] = {"decline_time": None, "decline_end": None}
"""Parameters that clear a decline."""

COLUMNS = (
    *(column for column in registrations.c if column.name not in {"request_id", "form", "birth_date"}),
    _customer_name(),
    ASKS_OTHER_GUARDIAN.label("asks_other_guardian"),
    _guardians(),
    is_protected(registrations.c.person_id).label("is_protected"),
)
"""The columns of a registration's message."""


def _given(table: Table) -> list[ColumnElement[object]]:
    """A parameter for each column of a table, by the column's name."""
    return [bindparam(column.name, type_=column.type) for column in table.c]


def _unit_name() -> ColumnElement[str]:
    return (
        select(unit_name_of(registrations.c.person_id))
        .where(units.c.unit_id == registrations.c.unit_id)
        .correlate(registrations)
        .scalar_subquery()
        .label("unit_display_name")
    )


def _one_row() -> FromClause:
    """A row to join to, so that the query returns one even if no registration is found."""
    return select(literal(1).label("one")).subquery("asked")


def _of_customer(column: ColumnElement[Any], label: str) -> ColumnElement[Any]:
    of_person = select(column).where(customers.c.person_id == bindparam("person_id"))
    return of_person.scalar_subquery().label(label)


def _insert_names(*given: FromClause) -> Insert:
    """Inserts a customer's search keys, from the parameter `search_keys`."""
    key = func.unnest(bindparam("search_keys", type_=ARRAY(String)))
    row = select(bindparam("unit_id", type_=String), key, bindparam("customer_id", type_=String)).select_from(
        *given
    )
    return insert(customer_names).from_select(["unit_id", "key", "customer_id"], row)


def _create(*also: Table, returning: bool = False) -> Select[str]:
    """Inserts a registration, its entry in the log of use and a row in each other table, all or nothing.

    Returns the unit's name; no row if the unit is missing or closed, or the person or the request is known.
    Its parameters are the tables' columns: where two share a name, they share the value. With `returning` it
    inserts only for a person marked for deletion.
    """
    customer = exists().where(customers.c.person_id == bindparam("person_id"))
    marked = customer.where(customers.c.state == CUSTOMER_STATE_MARKED_FOR_DELETION)
    # Identity may not know of the merge yet: a retry gets the person who has the code now.
    was_merged = exists().where(merges.c.merged_person_id == bindparam("person_id"))
    unit_is_there = exists().where(units.c.unit_id == bindparam("unit_id"), units.c.closed_at.is_(None))
    # A Save between two steps of the person's erasure would be half erased.
    is_being_erased = (
        select(registrations.c.registration_id)
        .where(
            registrations.c.person_id == bindparam("person_id"),
            registrations.c.stage.in_(BEGUN),
            registrations.c.customer_id.is_(None),
        )
        .exists()
    )
    created: CTE = (
        insert_unless_there(registrations)
        .from_select(
            list(registrations.c.keys()),
            select(*_given(registrations)).where(
                unit_is_there, marked if returning else ~customer, ~is_being_erased, ~was_merged
            ),
        )
        .on_conflict_do_nothing()
        .returning(registrations.c.registration_id)
        .cte("created")
    )
    unit_name = select(units.c.display_name).where(units.c.unit_id == bindparam("unit_id")).scalar_subquery()
    statement = select(unit_name.label("unit_display_name")).select_from(created)
    if customers in also:
        statement = statement.add_cte(_insert_names(created).cte("named"))
    for table in (use_entries, *also):
        row = select(*_given(table)).select_from(created)
        statement = statement.add_cte(insert(table).from_select(list(table.c.keys()), row).cte(table.name))
    return statement


CREATE_WAITING = _create()
CREATE_ACTIVE = _create(customers)
CREATE_WITH_CONSENT = _create(customers, consents)
CREATE_PROTECTED = {
    CREATE_WAITING: _create(protected_persons),
    CREATE_ACTIVE: _create(customers, protected_persons),
    CREATE_WITH_CONSENT: _create(customers, consents, protected_persons),
}
"""The same for protected persons, with what is withheld of them."""

CREATE_RETURNING = _create(returning=True)

SET_OVER = (
    update(registrations)
    .where(registrations.c.person_id == bindparam("person"), registrations.c.stage.in_(BEGUN))
    .values(over=True)
)
"""Marks registrations whose customership has ended, when the person is saved anew."""


def _prepare() -> Select[object]:
    """Selects the facts that decide on a Save.

    One row: the registration that `request_id` made, the unit's kind and when it was closed, the unit the
    person is a customer of and the customership's state, and whether a registration of the person is running,
    or waits; each NULL if there is none.
    """
    others = registrations.alias("others")
    unit = units.c.unit_id == bindparam("unit_id")
    of_person = exists().where(others.c.person_id == bindparam("person_id"))
    made_before = registrations.c.request_id == bindparam("request_id")
    return select(
        *COLUMNS,
        select(units.c.kind).where(unit).scalar_subquery().label("unit_kind"),
        select(units.c.closed_at).where(unit).scalar_subquery().label("unit_closed_at"),
        _of_customer(customers.c.unit_id, "customer_unit_id"),
        _of_customer(customers.c.state, "customer_state"),
        of_person.where(others.c.stage.in_(UNFINISHED), ~others.c.over).label("running"),
        of_person.where(others.c.stage.in_(NOT_BEGUN)).label("waiting"),
    ).select_from(_one_row().outerjoin(registrations, made_before))


PREPARE = _prepare()

_NOT_ABANDONED_OF_PERSON = (registrations.c.person_id == bindparam("person_id")) & NOT_ABANDONED

_KNOWN = customers.alias("known")
"""The person's customer, whichever registration made it."""

_UNIT_IN_FORCE = case(
    (registrations.c.stage.in_(NOT_BEGUN), registrations.c.unit_id),
    else_=func.coalesce(_KNOWN.c.unit_id, registrations.c.unit_id),
)
"""The unit shown for a person: that of a waiting registration, else the customer's."""

LOOK_UP = (
    select(
        *COLUMNS,
        _KNOWN.c.unit_id.label("customer_unit_id"),
        _KNOWN.c.customer_id.label("known_customer_id"),
        _KNOWN.c.state.label("customer_state"),
        func.coalesce(_KNOWN.c.first_names, registrations.c.form["first_names"].astext).label("first_names"),
        func.coalesce(_KNOWN.c.last_name, registrations.c.form["last_name"].astext).label("last_name"),
        units.c.display_name.label("unit_display_name"),
        is_protected(bindparam("person_id")).label("is_protected_person"),
    )
    .select_from(
        _one_row()
        .outerjoin(registrations, _NOT_ABANDONED_OF_PERSON)
        .outerjoin(_KNOWN, _KNOWN.c.person_id == bindparam("person_id"))
        .outerjoin(units, units.c.unit_id == _UNIT_IN_FORCE)
    )
    .order_by(registrations.c.created_at.desc(), registrations.c.registration_id)
    .limit(1)
)
"""One row: the person's latest registration, their customer, and the names for recognising them."""

OWN_CUSTOMERS = (
    select(customers.c.customer_id)
    .where(
        customers.c.person_id == func.any(bindparam("persons", type_=ARRAY(String))),
        customers.c.unit_id == bindparam("unit"),
        customers.c.state == CUSTOMER_STATE_ACTIVE,
    )
    .order_by(customers.c.customer_id)
)
"""The active customers of a unit among some persons."""

UNIT_KIND = select(units.c.kind).where(units.c.unit_id == bindparam("unit"))

OWN_REGISTRATIONS = (
    select(registrations.c.registration_id)
    .where(
        registrations.c.person_id == func.any(bindparam("persons", type_=ARRAY(String))),
        registrations.c.person_id.is_not(None),
        registrations.c.unit_id == bindparam("unit"),
        registrations.c.stage.in_(NOT_BEGUN),
    )
    .order_by(registrations.c.registration_id)
)
"""The registrations of a unit that wait, among some persons."""

_BY_ID = registrations.c.registration_id == bindparam("id")

GET = select(*COLUMNS).where(_BY_ID)

OF_IDS = (
    select(*COLUMNS)
    .where(registrations.c.registration_id.between(bindparam("least"), bindparam("greatest")))
    .order_by(registrations.c.created_at.desc())
)
"""The registrations of a reference, newest first."""

GET_FOR_CHANGE = (
    select(*COLUMNS, registrations.c.form, registrations.c.birth_date).where(_BY_ID).with_for_update()
)

GET_FOR_CHECK = select(*COLUMNS, registrations.c.form, registrations.c.birth_date).where(
    _BY_ID, registrations.c.stage == STAGE_WAITING_FOR_IDENTITY_CHECK
)

GET_CUSTOMER_FOR_CHANGE = (
    select(
        customers.c.customer_id,
        customers.c.unit_id,
        customers.c.state,
        customers.c.email,
        customers.c.version,
        customers.c.created_at,
        customers.c.ended_at,
        customers.c.lent,
    )
    .where(customers.c.person_id == bindparam("person"))
    .with_for_update()
)

GET_WITH_UNIT = select(*COLUMNS, registrations.c.form, registrations.c.birth_date, _unit_name()).where(_BY_ID)

GET_PROFILE = (
    select(
        registrations.c.registrar_account_id,
        registrations.c.told_account_id,
        registrations.c.unit_id,
        case(
            ((customers.c.state != CUSTOMER_STATE_ACTIVE) & ~bindparam("also_if_ended", type_=Boolean), None),
            else_=func.coalesce(customers.c.profile, registrations.c.form),
        ).label("profile"),
        func.coalesce(
            or_(
                customers.c.email_state == EMAIL_STATE_UNDELIVERABLE,
                customers.c.related_undeliverable_since.is_not(None),
            ),
            registrations.c.undeliverable_since.is_not(None),
        ).label("was_refused"),
        (
            (registrations.c.stage == STAGE_WAITING_FOR_CONSENT)
            & case(
                (
                    ASKS_OTHER_GUARDIAN,
                    exists().where(
                        guardians.c.registration_id == registrations.c.registration_id,
                        guardians.c.guardian == bindparam("guardian", type_=guardians.c.guardian.type),
                        guardians.c.wrong_recipient_since.is_not(None),
                    ),
                ),
                else_=registrations.c.wrong_recipient_since.is_not(None),
            )
        ).label("wrong_recipient"),
        (registrations.c.stage == STAGE_WAITING_FOR_CONSENT).label("waits_for_consent"),
        _unit_name(),
    )
    .select_from(registrations.outerjoin(customers))
    .where(_BY_ID)
)
"""The current form, NULL once erased or the customership has ended; the registrar's account; the unit."""

PROFILE = select(customers.c.profile).where(
    customers.c.customer_id == bindparam("customer"), customers.c.state == CUSTOMER_STATE_ACTIVE
)
"""The form of a customership in force."""

INSERT_CUSTOMER = insert(customers)

INSERT_NAMES = _insert_names()

INSERT_CONSENT = insert(consents)

MARK_WRONG_RECIPIENT = (
    update(registrations)
    .where(
        _BY_ID,
        registrations.c.stage == STAGE_WAITING_FOR_CONSENT,
        registrations.c.wrong_recipient_since.is_(None),
    )
    .values(
        wrong_recipient_since=bindparam("now"),
        # The address is work for customer service, like one that a mail server refuses.
        undeliverable_since=func.coalesce(registrations.c.undeliverable_since, bindparam("now")),
    )
    .returning(*COLUMNS)
)
"""No row if consent is not awaited, or it is known."""

_DECLINE_IS_NEW = (
    _BY_ID,
    registrations.c.stage == STAGE_WAITING_FOR_CONSENT,
    registrations.c.declined_at.is_distinct_from(
        bindparam("decline_time", type_=registrations.c.declined_at.type)
    ),
)

SET_DECLINE = (
    update(registrations)
    .where(*_DECLINE_IS_NEW)
    .values(declined_at=bindparam("decline_time"), decline_ends_at=bindparam("decline_end"))
    .returning(*COLUMNS)
)
"""Records a decline, or clears it. No row if consent is not awaited, or it is recorded already."""

ACTIVATE = (
    update(registrations)
    .where(_BY_ID)
    .values(
        stage=STAGE_ACTIVE,
        consent_state=bindparam("new_consent_state"),
        customer_id=bindparam("new_customer_id"),
        form=None,
        birth_date=None,
        deadline=None,
        declined_at=None,
        decline_ends_at=None,
        missing_code_reason=None,
        updated_at=bindparam("now"),
    )
    .returning(*COLUMNS)
)

AWAIT_CONSENT = (
    update(registrations)
    .where(_BY_ID)
    .values(
        stage=STAGE_WAITING_FOR_CONSENT,
        consent_state=CONSENT_STATE_AWAITED,
        deadline=bindparam("new_deadline"),
        missing_code_reason=None,
        updated_at=bindparam("now"),
    )
    .returning(*COLUMNS)
)

LINK = (
    update(registrations)
    .where(_BY_ID)
    .values(
        stage=STAGE_LINKED,
        # From now on it belongs to that customer, and is erased with them.
        person_id=bindparam("new_person_id"),
        customer_id=bindparam("new_customer_id"),
        consent_state=CONSENT_STATE_NOT_NEEDED,
        form=None,
        birth_date=None,
        deadline=None,
        missing_code_reason=None,
        decision_request_id=bindparam("decision"),
        updated_at=bindparam("now"),
    )
    .returning(*COLUMNS)
)

SET_DECISION = update(registrations).where(_BY_ID).values(decision_request_id=bindparam("decision"))

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
"""No row if the customership has not begun, or the registration has passed the stage."""

INSERT_USE = insert(use_entries)


def _end() -> Select[object]:
    """Ends a waiting registration and writes its entry in the log of use; no row if it does not wait.

    Nor if it is to end for a decline that has been taken back.
    """
    decline = bindparam("decline_time", type_=registrations.c.declined_at.type)
    ended = (
        update(registrations)
        .where(
            _BY_ID,
            registrations.c.stage.in_(NOT_BEGUN),
            or_(decline.is_(None), registrations.c.declined_at == decline),
        )
        .values(
            stage=bindparam("new_stage"),
            consent_state=case(
                (registrations.c.consent_state == CONSENT_STATE_AWAITED, CONSENT_STATE_NOT_GIVEN),
                else_=registrations.c.consent_state,
            ),
            form=None,
            birth_date=None,
            deadline=None,
            declined_at=None,
            decline_ends_at=None,
            missing_code_reason=None,
            rejection_note=bindparam("note", type_=String),
            decision_request_id=func.coalesce(
                bindparam("decision", type_=Uuid), registrations.c.decision_request_id
            ),
            updated_at=bindparam("now"),
        )
        .returning(*COLUMNS)
        .cte("ended")
    )
    use = select(*_given(use_entries)).select_from(ended)
    answers = delete(guardians).where(guardians.c.registration_id.in_(select(ended.c.registration_id)))
    return (
        select(ended)
        .add_cte(insert(use_entries).from_select(list(use_entries.c.keys()), use).cte("used"))
        .add_cte(answers.cte("answers"))
    )


END = _end()

IS_CUSTOMER = select(exists().where(customers.c.person_id == bindparam("person")))

SWEEP_NOTES = (
    update(registrations)
    .where(registrations.c.rejection_note.is_not(None), registrations.c.updated_at <= bindparam("before"))
    .values(rejection_note=None)
)
