"""The SQL that erases a person: what remains of the registrations is anonymous (R30)."""

from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, delete, func, update

from liity.v1.registration_pb2 import CONSENT_STATE_NOT_GIVEN, STAGE_WITHDRAWN
from services.registration.models import customers, disclosures, registrations
from services.registration.statements import BEGUN, WAITING

_HELSINKI = "Europe/Helsinki"

_WAITS = registrations.c.stage.in_(WAITING)
_HAS_BEGUN = registrations.c.stage.in_(BEGUN)
_OF_PERSON = registrations.c.person_id == bindparam("person")


def _day(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.date_trunc("day", moment, _HELSINKI)


def _if_begun(then: object, otherwise: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((_HAS_BEGUN, then), else_=otherwise)


# The evidence of consent goes with the customer.
ERASE_CUSTOMER = delete(customers).where(customers.c.person_id == bindparam("person"))

ERASE_DISCLOSURES = delete(disclosures).where(disclosures.c.person_id == bindparam("person"))

ERASE_REGISTRATIONS = (
    update(registrations)
    .where(_OF_PERSON)
    .values(
        form=None,
        deadline=None,
        customer_id=None,
        # What waits for a person who is gone would wait for ever.
        stage=case((_WAITS, STAGE_WITHDRAWN), else_=registrations.c.stage),
        consent_state=case((_WAITS, CONSENT_STATE_NOT_GIVEN), else_=registrations.c.consent_state),
        # One that never came to a customership stands in its unit's list: who saved it, when, and what became
        # of it. Of a customership that is over there remains a number.
        request_id=_if_begun(func.gen_random_uuid(), registrations.c.request_id),
        registrar_account_id=_if_begun("", registrations.c.registrar_account_id),
        registrar_display_name=_if_begun("", registrations.c.registrar_display_name),
        created_at=_if_begun(_day(registrations.c.created_at), registrations.c.created_at),
        updated_at=case(
            (_WAITS, bindparam("now")),
            (_HAS_BEGUN, _day(registrations.c.updated_at)),
            else_=registrations.c.updated_at,
        ),
    )
    .returning(registrations.c.registration_id)
)

FORGET_PERSON = (
    update(registrations)
    .where(_OF_PERSON, registrations.c.form.is_(None), registrations.c.customer_id.is_(None))
    .values(person_id=None)
)
