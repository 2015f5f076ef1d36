"""SQL that erases a person; what remains of their registrations is anonymous (R30)."""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    String,
    bindparam,
    case,
    delete,
    exists,
    func,
    null,
    or_,
    select,
    union_all,
    update,
)

from liity.v1.registration_pb2 import (
    CONSENT_STATE_AWAITED,
    CONSENT_STATE_NOT_GIVEN,
    STAGE_MERGED,
    STAGE_WITHDRAWN,
)
from services.registration.db.models import (
    customers,
    disclosures,
    guardians,
    merges,
    messages,
    protected_persons,
    registrations,
    similar_codes,
    transfers,
    work_claims,
)
from services.registration.worklist import claims
from services.runtime.stages import BEGUN, NOT_BEGUN

_HELSINKI = "Europe/Helsinki"

_WAITS = registrations.c.stage.in_(NOT_BEGUN)
_AWAITS_CONSENT = registrations.c.consent_state == CONSENT_STATE_AWAITED
_HAS_BEGUN = registrations.c.stage.in_((*BEGUN, STAGE_MERGED))
_OF_PERSON = registrations.c.person_id == bindparam("person")


def _day(moment: ColumnElement[Any]) -> ColumnElement[Any]:
    return func.date_trunc("day", moment, _HELSINKI)


def _if_begun(then: object, otherwise: ColumnElement[Any]) -> ColumnElement[Any]:
    return case((_HAS_BEGUN, then), else_=otherwise)


# Registrations before the customer, as everywhere.
LOCK_REGISTRATIONS = (
    select(registrations.c.stage)
    .where(_OF_PERSON)
    .order_by(registrations.c.created_at.desc())
    .with_for_update()
)
LOCK_CUSTOMER = (
    select(customers.c.customer_id, customers.c.state)
    .where(customers.c.person_id == bindparam("person"))
    .with_for_update()
)

# The evidence of consent is deleted with the customer.
ERASE_CUSTOMER = delete(customers).where(customers.c.person_id == bindparam("person"))

ERASE_DISCLOSURES = delete(disclosures).where(disclosures.c.person_id == bindparam("person"))

# What is withheld of a protected person, and of customers merged into theirs.
ERASE_PROTECTED = delete(protected_persons).where(
    protected_persons.c.person_id.in_(
        select(bindparam("person", type_=String)).union_all(
            select(merges.c.merged_person_id)
            .join(customers, customers.c.customer_id == merges.c.customer_id)
            .where(customers.c.person_id == bindparam("person"))
        )
    )
)

ERASE_SIMILAR_CODES = delete(similar_codes).where(
    or_(
        similar_codes.c.person_id == bindparam("person"),
        similar_codes.c.other_person_id == bindparam("person"),
    )
)

# An erased person's former units are not kept.
ERASE_TRANSFERS = delete(transfers).where(
    transfers.c.registration_id.in_(select(registrations.c.registration_id).where(_OF_PERSON))
)

# What two guardians have answered is deleted with the evidence of consent.
ERASE_GUARDIANS = delete(guardians).where(
    guardians.c.registration_id.in_(select(registrations.c.registration_id).where(_OF_PERSON))
)

# Messages about the person are deleted with them.
ERASE_MESSAGES = delete(messages).where(
    messages.c.registration_id.in_(select(registrations.c.registration_id).where(_OF_PERSON))
)

_ROWS = union_all(
    select(registrations.c.registration_id).where(_OF_PERSON),
    select(customers.c.customer_id).where(customers.c.person_id == bindparam("person")),
    select(messages.c.message_id)
    .join(registrations, registrations.c.registration_id == messages.c.registration_id)
    .where(_OF_PERSON),
)

ERASE_CLAIMS = delete(work_claims).where(claims.is_about(_ROWS))

ERASE_REGISTRATIONS = (
    update(registrations)
    .where(_OF_PERSON)
    .values(
        form=None,
        birth_date=None,
        deadline=None,
        customer_id=None,
        # A waiting registration of an erased person would wait for ever.
        stage=case((_WAITS, STAGE_WITHDRAWN), else_=registrations.c.stage),
        consent_state=case((_AWAITS_CONSENT, CONSENT_STATE_NOT_GIVEN), else_=registrations.c.consent_state),
        missing_code_reason=None,
        # `rejection_note` stays for its own time: the unit reads why its registration was declined, also if
        # the customership that was to come back is erased meanwhile.
        undeliverable_since=None,
        wrong_recipient_since=None,
        declined_at=None,
        decline_ends_at=None,
        # A registration without a customership stays in its unit's list: who saved it, when, and its outcome.
        # Of one with a customership only a number remains.
        request_id=_if_begun(func.gen_random_uuid(), registrations.c.request_id),
        registrar_account_id=_if_begun("", registrations.c.registrar_account_id),
        registrar_display_name=_if_begun("", registrations.c.registrar_display_name),
        told_account_id=_if_begun(null(), registrations.c.told_account_id),
        decision_request_id=_if_begun(null(), registrations.c.decision_request_id),
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

IS_KNOWN = select(
    or_(
        exists().where(_OF_PERSON),
        exists().where(customers.c.person_id == bindparam("person")),
        exists().where(merges.c.merged_person_id == bindparam("person")),
    )
)
