"""Finds possible duplicates: customers and waiting registrations of one name and date of birth (R24)."""

from collections.abc import Iterable, Sequence
from datetime import date

from sqlalchemy import RowMapping, bindparam, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.v1.customer_form_pb2 import CustomerForm
from liity.v1.registration_service_pb2 import PossibleDuplicate
from services.registration.db.models import customers, registrations, units
from services.registration.db.protected import unit_name_of
from services.registration.forms import name_keys
from services.registration.forms.normalise import from_json
from services.registration.registrations.queries import COLUMNS
from services.runtime.clock import to_proto_date
from services.runtime.stages import WAITING

_MOST = 20
"""The most duplicates returned."""

_DUPLICATES = (
    select(
        customers.c.customer_id,
        customers.c.unit_id,
        customers.c.first_names,
        customers.c.last_name,
        customers.c.birth_date,
        customers.c.state,
        unit_name_of(customers.c.person_id),
    )
    .join(units, units.c.unit_id == customers.c.unit_id)
    .where(
        customers.c.birth_date == bindparam("birth_date"),
        customers.c.person_id != bindparam("person"),
    )
    .order_by(units.c.display_name, customers.c.customer_id)
)
"""Customers of one date of birth: their names are compared in Python."""

_WAITING = (
    select(
        *COLUMNS,
        registrations.c.form,
        registrations.c.birth_date,
        unit_name_of(registrations.c.person_id),
    )
    .join(units, units.c.unit_id == registrations.c.unit_id)
    .where(
        registrations.c.birth_date.in_(bindparam("birth_dates", expanding=True)),
        # Literals, so that the planner can use the partial index.
        registrations.c.stage.in_([literal(stage, literal_execute=True) for stage in WAITING]),
        registrations.c.form.is_not(None),
    )
    .order_by(units.c.display_name, registrations.c.registration_id)
)


async def possible_duplicates_of(
    connection: AsyncConnection, person_id: str, birth_date: date, form: CustomerForm
) -> Sequence[PossibleDuplicate]:
    """Possible duplicates of a person in any unit: customers, even marked for deletion, then registrations.

    Names are compared by `name_keys.are_alike`.
    """
    name = _name(form)
    born_then = await connection.execute(_DUPLICATES, {"person": person_id, "birth_date": birth_date})
    known = [
        row
        for row in born_then.mappings()
        if name_keys.are_alike(name, (row["last_name"], row["first_names"]))
    ]
    waiting = [
        row
        for row in await waiting_of(connection, [birth_date])
        if row["person_id"] != person_id and name_keys.are_alike(name, _name(from_json(row["form"])))
    ]
    return [*(_customer(row) for row in known), *(_registration(row) for row in waiting)][:_MOST]


async def waiting_of(connection: AsyncConnection, birth_dates: Iterable[date]) -> Sequence[RowMapping]:
    """Waiting registrations of persons born on some days; the name is in the form."""
    return (await connection.execute(_WAITING, {"birth_dates": list(birth_dates)})).mappings().all()


def _name(form: CustomerForm) -> tuple[str, str]:
    return form.last_name, form.first_names


def _customer(row: RowMapping) -> PossibleDuplicate:
    return PossibleDuplicate(
        customer=f"units/{row['unit_id']}/customers/{row['customer_id']}",
        customer_display_name=f"{row['first_names']} {row['last_name']}".strip(),
        birth_date=to_proto_date(row["birth_date"]),
        unit_display_name=row["unit_display_name"],
        state=row["state"],
    )


def _registration(row: RowMapping) -> PossibleDuplicate:
    return PossibleDuplicate(
        registration=f"units/{row['unit_id']}/registrations/{row['registration_id']}",
        customer_display_name=row["customer_display_name"],
        birth_date=to_proto_date(row["birth_date"]),
        unit_display_name=row["unit_display_name"],
    )
