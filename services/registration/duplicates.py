"""Customers who may be one and the same person: of the same name and date of birth (R24)."""

from datetime import date

from sqlalchemy import RowMapping, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.registration import names
from services.registration.models import customers, units

_MOST = 20
"""How many are told."""

_NAME = func.split_part(customers.c.sort_key, "\x01", 1)
_FIRST_NAME = func.split_part(func.split_part(customers.c.sort_key, "\x01", 2), " ", 1)

_DUPLICATES = (
    select(
        customers.c.customer_id,
        customers.c.unit_id,
        customers.c.first_names,
        customers.c.last_name,
        customers.c.birth_date,
        customers.c.state,
        units.c.display_name.label("unit_display_name"),
    )
    .join(units, units.c.unit_id == customers.c.unit_id)
    .where(
        customers.c.birth_date == bindparam("birth_date"),
        bindparam("last") == _NAME,
        bindparam("first") == _FIRST_NAME,
        customers.c.person_id != bindparam("person"),
    )
    .order_by(units.c.display_name, customers.c.customer_id)
    .limit(_MOST)
)


async def possible_duplicates_of(
    connection: AsyncConnection, *, person_id: str, birth_date: date, first_names: str, last_name: str
) -> list[RowMapping]:
    """Other customers, of any unit, who may be a person; those marked for deletion, too.

    Case and accents count alike, and of several first names the first one decides: who is called by it alone
    in one place is found. Rows with customer_id, unit_id, first_names, last_name, birth_date, state and
    unit_display_name.
    """
    last, _, first = names.sort_key(last_name, first_names).partition("\x01")
    of_name = {"last": last, "first": first.partition(" ")[0]}
    asked = {"person": person_id, "birth_date": birth_date, **of_name}
    return list((await connection.execute(_DUPLICATES, asked)).mappings())
