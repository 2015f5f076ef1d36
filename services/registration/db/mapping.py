"""Mapping between protobuf messages and table rows."""

import secrets
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Executable, RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.registration.v1.registration_service_pb2 import (
    ConsentEvidence,
    MailingDetails,
    Registration,
)
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER, CustomerForm
from liity.v1.customer_service_pb2 import (
    CUSTOMER_STATE_ACTIVE,
    EMAIL_STATE_UNCONFIRMED,
    EMAIL_STATE_UNSPECIFIED,
)
from liity.v1.registration_pb2 import (
    GUARDIAN_ANSWER_UNSPECIFIED,
    MISSING_CODE_REASON_UNSPECIFIED,
    GuardianState,
)
from services.registration.forms import name_keys
from services.registration.forms.normalise import to_json
from services.runtime.text.unnamed_unit import UNNAMED_UNIT

Row = RowMapping | dict[str, Any]


def new_id() -> str:
    """A random, opaque ID."""
    return secrets.token_hex(16)


async def row_of(engine: AsyncEngine, statement: Executable, parameters: dict[str, Any]) -> RowMapping | None:
    """The first row of a statement's result, if any."""
    async with engine.connect() as connection:
        return (await connection.execute(statement, parameters)).mappings().first()


def customer_row(
    form: CustomerForm, *, person_id: str, unit_id: str, birth_date: date | None, moment: datetime
) -> dict[str, Any]:
    """The row of a new customer with this form, and its search keys."""
    return {
        "customer_id": new_id(),
        "person_id": person_id,
        "unit_id": unit_id,
        "created_at": moment,
        "updated_at": moment,
        "state": CUSTOMER_STATE_ACTIVE,
        "version": 1,
        "email_state": EMAIL_STATE_UNCONFIRMED if mail_address(form) else EMAIL_STATE_UNSPECIFIED,
        "birth_date": birth_date,
        "ended_at": None,
        "lent": form.kind == CUSTOMER_KIND_CD_BORROWER,
        "undeliverable_since": None,
        "related_undeliverable_since": None,
        **profile_row(form),
    }


def profile_row(form: CustomerForm) -> dict[str, Any]:
    """Columns derived from a customer's current form, and the search keys."""
    return {
        "first_names": form.first_names,
        "last_name": form.last_name,
        "kind": form.kind,
        "email": mail_address(form),
        "language": form.language,
        "profile": to_json(form),
        "sort_key": name_keys.sort_key(form.last_name, form.first_names),
        "search_keys": name_keys.search_keys(form.first_names, form.last_name),
    }


def mail_address(form: CustomerForm) -> str:
    """The address for mail to the customer: their own, else the guardian's or contact person's."""
    return form.email or form.related_person.email


def consent_row(
    evidence: ConsentEvidence,
    *,
    registration_id: str,
    customer_id: str,
    guardian_name: str,
    sign_date: date,
    moment: datetime,
    link_email: str = "",
) -> dict[str, Any]:
    """The evidence of a consent (R31); `link_email` is where its link went, if it came by link."""
    return {
        "registration_id": registration_id,
        "customer_id": customer_id,
        "method": evidence.method,
        "guardian_name": guardian_name,
        "sign_date": sign_date,
        "wording_version": evidence.wording_version,
        "wording_language": evidence.wording_language,
        "recorded_by": evidence.recorded_by,
        "recorded_at": moment,
        "link_email": link_email or None,
        "withdrawn_at": None,
    }


def mailing_details(
    form: CustomerForm, unit_id: str, unit_display_name: str, registrar_account_id: str
) -> MailingDetails:
    """The recipients of mail, by the current form. No mail names the unit of a protected person (R37)."""
    return MailingDetails(
        first_names=form.first_names,
        language=form.language,
        customer_email=mail_address(form),
        related_person_email=form.related_person.email,
        other_guardian_email=form.other_guardian.email,
        credentials_recipient=form.credentials_recipient,
        unit_id=unit_id,
        unit_display_name=UNNAMED_UNIT if form.protected_person else unit_display_name,
        registrar_account_id=registrar_account_id,
        kind=form.kind,
        temporary=form.temporary,
    )


def told_account(row: Row) -> str:
    """The account that is told what becomes of a registration; empty for those responsible for the unit."""
    told: str | None = row["told_account_id"]
    return row["registrar_account_id"] if told is None else told


def to_message(row: Row) -> Registration:
    """A registration's message, from a row with the columns of `queries.COLUMNS`."""
    return Registration(
        registration_id=row["registration_id"],
        unit_id=row["unit_id"],
        person_id=row["person_id"] or "",
        registrar_account_id=row["registrar_account_id"],
        registrar_display_name=row["registrar_display_name"],
        told_account_id=told_account(row),
        stage=row["stage"],
        kind=row["kind"],
        consent_state=row["consent_state"],
        customer_display_name=row["customer_display_name"],
        create_time=row["created_at"],
        update_time=row["updated_at"],
        deadline=row["deadline"],
        customer_id=row["customer_id"] or "",
        rejection_note=row["rejection_note"] or "",
        missing_code_reason=row["missing_code_reason"] or MISSING_CODE_REASON_UNSPECIFIED,
        decision_request_id=str(row["decision_request_id"] or ""),
        wrong_recipient_time=row["wrong_recipient_since"],
        undeliverable_time=row["undeliverable_since"],
        decline_time=row["declined_at"],
        decline_end_time=row["decline_ends_at"],
        other_guardian_asked=row["asks_other_guardian"],
        both_guardians_needed=row["both_guardians_needed"],
        guardians=[_guardian(each) for each in row["guardians"] or ()],
        is_protected=row["is_protected"],
    )


def _guardian(stored: Mapping[str, Any]) -> GuardianState:
    state = GuardianState(guardian=stored["guardian"], answer=stored["answer"] or GUARDIAN_ANSWER_UNSPECIFIED)
    moments = (
        (state.answer_time, "answered_at"),
        (state.undeliverable_time, "undeliverable_since"),
        (state.wrong_recipient_time, "wrong_recipient_since"),
    )
    for told, column in moments:
        if stored[column] is not None:
            told.FromDatetime(datetime.fromisoformat(stored[column]).astimezone(UTC))
    return state
