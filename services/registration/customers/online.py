"""Finds the online customers whom an order of a new password is about (R42)."""

from sqlalchemy import ColumnElement, RowMapping, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.customer_service_pb2 import (
    FindOnlineCustomersRequest,
    FindOnlineCustomersResponse,
    OnlineCustomer,
)
from liity.v1.customer_form_pb2 import (
    CREDENTIALS_RECIPIENT_CUSTOMER,
    CREDENTIALS_RECIPIENT_RELATED_PERSON,
    CUSTOMER_KIND_ONLINE,
    CredentialsRecipient,
    CustomerForm,
)
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE
from services.registration.db.addresses import is_address
from services.registration.db.models import customers, registrations, units
from services.registration.forms.normalise import from_json
from services.registration.registrations import queries
from services.runtime.text import email_addresses

_MOST = 20
"""Customers with one address: siblings, or the pupils of a school that gives its own address."""

_REGISTRATION = (
    select(registrations.c.registration_id)
    .where(registrations.c.customer_id == customers.c.customer_id)
    .order_by(*queries.CURRENT_FIRST)
    .limit(1)
    .correlate(customers)
    .scalar_subquery()
    .label("registration_id")
)
_FIND = (
    select(
        customers.c.customer_id,
        customers.c.person_id,
        customers.c.unit_id,
        customers.c.profile,
        units.c.display_name.label("unit_display_name"),
        _REGISTRATION,
    )
    .join(units, units.c.unit_id == customers.c.unit_id)
    .where(
        customers.c.state == CUSTOMER_STATE_ACTIVE,
        customers.c.kind == CUSTOMER_KIND_ONLINE,
        customers.c.email != "",
    )
    .order_by(customers.c.customer_id)
    .limit(_MOST)
)


async def find(
    connection: AsyncConnection, request: FindOnlineCustomersRequest
) -> FindOnlineCustomersResponse:
    """The active online customers of a person, or with an address for mail."""
    rows = (await connection.execute(_FIND.where(_condition(request)))).mappings()
    return FindOnlineCustomersResponse(customers=map(_to_message, rows))


def _condition(request: FindOnlineCustomersRequest) -> ColumnElement[bool]:
    if request.person_id:
        return customers.c.person_id == request.person_id
    return is_address(customers.c.email, literal(email_addresses.fold(request.email)))


def _to_message(row: RowMapping) -> OnlineCustomer:
    form = from_json(row["profile"])
    return OnlineCustomer(
        customer_id=row["customer_id"],
        person_id=row["person_id"],
        unit_id=row["unit_id"],
        registration_id=row["registration_id"] or "",
        own_words=[form.first_names, form.last_name, form.email, row["unit_display_name"]],
        recipient=_recipient(form),
    )


def _recipient(form: CustomerForm) -> CredentialsRecipient.ValueType:
    to_related = form.credentials_recipient == CREDENTIALS_RECIPIENT_RELATED_PERSON
    if not form.email or (to_related and form.related_person.email):
        return CREDENTIALS_RECIPIENT_RELATED_PERSON
    return CREDENTIALS_RECIPIENT_CUSTOMER
