"""Merges two customers who are the same person (R24, R34)."""

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Boolean, RowMapping, bindparam, case, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncConnection

from liity.registration.v1.customer_service_pb2 import (
    CheckMergeResponse,
    MergeCustomersRequest,
    MergeCustomersResponse,
    TransferCustomerResponse,
)
from liity.v1.customer_form_pb2 import CUSTOMER_KIND_CD_BORROWER, CUSTOMER_KIND_ONLINE, CustomerForm
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_ACTIVE, MergedCustomer
from liity.v1.reason_pb2 import (
    REASON_CUSTOMER_HAS_ENDED,
    REASON_CUSTOMER_NOT_FOUND,
    REASON_ONE_IS_PROTECTED,
    REASON_ONLINE_ACCESS_WOULD_END,
    REASON_REGISTRATION_WAITS,
    REASON_REQUEST_ID_REUSED,
    REASON_SAME_CUSTOMER,
)
from liity.v1.registration_pb2 import STAGE_MERGED
from services.registration.audit.entries import use_row
from services.registration.customers import merge_undo
from services.registration.db.mapping import told_account
from services.registration.db.models import consents, customers, disclosures, merges, registrations, units
from services.registration.db.protected import unit_name_of
from services.registration.forms import proto_dates
from services.registration.forms.normalise import from_json
from services.registration.registrations import queries
from services.runtime.clock import helsinki_day, now
from services.runtime.rpc.errors import (
    FieldViolation,
    already_exists,
    failed_precondition,
    invalid,
    not_found,
)
from services.runtime.stages import BEGUN, NOT_BEGUN, UNFINISHED

_PERSONS = select(customers.c.customer_id, customers.c.person_id).where(
    customers.c.customer_id.in_([bindparam("kept"), bindparam("merged")])
)
# Registrations before the customer: activating a registration locks them in this order.
_LOCK_REGISTRATIONS = (
    select(registrations)
    .where(registrations.c.person_id.in_([bindparam("kept_person"), bindparam("merged_person")]))
    .order_by(registrations.c.created_at.desc(), registrations.c.registration_id)
    .with_for_update()
)
_LOCK_CUSTOMERS = (
    select(customers)
    .where(customers.c.customer_id.in_([bindparam("kept"), bindparam("merged")]))
    .order_by(customers.c.customer_id)
    .with_for_update()
)
_MADE_BEFORE = (
    select(
        merges,
        customers.c.person_id,
        registrations.c.created_at,
        registrations.c.registrar_account_id,
        registrations.c.told_account_id,
    )
    .join(customers, customers.c.customer_id == merges.c.customer_id)
    .join(registrations, registrations.c.registration_id == merges.c.registration_id)
    .where(merges.c.request_id == bindparam("request"))
)
_RUNS = registrations.c.stage.in_(UNFINISHED)
_TAKE_REGISTRATIONS = (
    update(registrations)
    .where(registrations.c.person_id == bindparam("merged_person"))
    .values(
        person_id=bindparam("kept_person"),
        customer_id=bindparam("kept"),
        unit_id=bindparam("kept_unit"),
        # A customer has one registration in force: that of the customer who stays.
        stage=case((registrations.c.stage.in_(BEGUN), STAGE_MERGED), else_=registrations.c.stage),
        deadline=case((_RUNS, None), else_=registrations.c.deadline),
    )
)
_TAKE_CONSENTS = (
    update(consents)
    .where(consents.c.customer_id == bindparam("merged"))
    .values(customer_id=bindparam("kept"))
)
_TAKE_DISCLOSURES = (
    update(disclosures)
    .where(disclosures.c.person_id == bindparam("merged_person"))
    .values(person_id=bindparam("kept_person"))
)
_TAKE_MERGES = (
    update(merges).where(merges.c.customer_id == bindparam("merged")).values(customer_id=bindparam("kept"))
)
_KEEP = (
    update(customers)
    .where(customers.c.customer_id == bindparam("kept"))
    .values(
        version=customers.c.version + 1,
        updated_at=bindparam("moment"),
        birth_date=bindparam("code_birth_date"),
        lent=customers.c.lent | bindparam("merged_lent", type_=Boolean),
    )
)
# Its names and changes are deleted with it: nobody edits it any more, and a link mailed to its address must
# not confirm the other customer's.
_DELETE_MERGED = delete(customers).where(customers.c.customer_id == bindparam("merged"))

MERGES = (
    select(
        func.jsonb_agg(
            aggregate_order_by(
                func.jsonb_build_object(
                    "name",
                    merges.c.merged_unit_id + "/" + merges.c.merged_customer_id,
                    "unit_display_name",
                    unit_name_of(customers.c.person_id),
                    "merged_by_display_name",
                    merges.c.merged_by_display_name,
                    "merged_at",
                    merges.c.merged_at,
                    "profile",
                    merges.c.merged_profile,
                    "undo_until",
                    case((merges.c.undo.is_not(None), merges.c.undo_until)),
                ),
                merges.c.merged_at,
                merges.c.request_id,
            )
        )
    )
    .join_from(merges, units, units.c.unit_id == merges.c.merged_unit_id)
    .where(merges.c.customer_id == customers.c.customer_id)
    .correlate(customers)
    .scalar_subquery()
    .label("merges")
)
"""The customers merged into a customer, oldest first; NULL if there are none."""


async def check(connection: AsyncConnection, request: MergeCustomersRequest) -> CheckMergeResponse:
    """Checks that two customers may be merged, or were by this request; errors as the contract's."""
    made = await _made_before(connection, request)
    if made is not None:
        return CheckMergeResponse(person_id=made["person_id"], merged_person_id=made["merged_person_id"])
    kept, merged, _ = await _locked(connection, request)
    return CheckMergeResponse(person_id=kept["person_id"], merged_person_id=merged["person_id"])


async def merge(connection: AsyncConnection, request: MergeCustomersRequest) -> MergeCustomersResponse:
    """Merges two customers, in the connection's transaction; errors as the contract's."""
    made = await _made_before(connection, request)
    if made is not None:
        return _merged(made, request)
    kept, merged, latest = await _locked(connection, request)
    moment = now()
    row: dict[str, Any] = {
        "request_id": uuid.UUID(request.request_id),
        "customer_id": kept["customer_id"],
        "merged_customer_id": merged["customer_id"],
        "merged_person_id": merged["person_id"],
        "merged_unit_id": merged["unit_id"],
        "merged_profile": merged["profile"],
        "registration_id": latest["registration_id"],
        "merged_by_account_id": request.merger.account_id,
        "merged_by_display_name": request.merger.display_name,
        "merged_at": moment,
        "undo": await merge_undo.remember(connection, kept, merged),
        "undo_until": moment + merge_undo.UNDO_WITHIN,
    }
    which = {
        "kept": kept["customer_id"],
        "kept_person": kept["person_id"],
        "kept_unit": kept["unit_id"],
        "merged": merged["customer_id"],
        "merged_person": merged["person_id"],
    }
    for take in (_TAKE_REGISTRATIONS, _TAKE_CONSENTS, _TAKE_DISCLOSURES, _TAKE_MERGES):
        await connection.execute(take, which)
    birth_date = (
        proto_dates.birth_date(request.birth_date, helsinki_day(moment))
        if request.HasField("birth_date")
        else kept["birth_date"]
    )
    await connection.execute(
        _KEEP, {**which, "moment": moment, "code_birth_date": birth_date, "merged_lent": merged["lent"]}
    )
    await connection.execute(_DELETE_MERGED, which)
    await connection.execute(insert(merges), row)
    await _record_use(connection, row, kept, merged)
    return _merged(
        {
            **row,
            "person_id": kept["person_id"],
            "created_at": latest["created_at"],
            "registrar_account_id": latest["registrar_account_id"],
            "told_account_id": latest["told_account_id"],
        },
        request,
    )


def merged_customer(merged: dict[str, Any], form: CustomerForm) -> MergedCustomer:
    """One of `MERGES`, with the fields in which it differs from the current form."""
    told = MergedCustomer(
        name=merged["name"],
        unit_display_name=merged["unit_display_name"],
        merged_by_display_name=merged["merged_by_display_name"],
        form=from_json(merged["profile"]),
    )
    told.merge_time.FromDatetime(datetime.fromisoformat(merged["merged_at"]).astimezone(UTC))
    until = merged["undo_until"]
    if until is not None and datetime.fromisoformat(until) > now():
        told.undo_expire_time.FromDatetime(datetime.fromisoformat(until).astimezone(UTC))
    told.differing.paths.extend(
        field.name
        for field in CustomerForm.DESCRIPTOR.fields
        if getattr(told.form, field.name) != getattr(form, field.name)
    )
    return told


async def _made_before(connection: AsyncConnection, request: MergeCustomersRequest) -> RowMapping | None:
    by_request = {"request": uuid.UUID(request.request_id)}
    made = (await connection.execute(_MADE_BEFORE, by_request)).mappings().first()
    if made is not None and made["merged_customer_id"] != request.merged_customer_id:
        raise already_exists(REASON_REQUEST_ID_REUSED)
    if made is None and await connection.scalar(merge_undo.undone_before(by_request["request"])):
        # Taken back: a late repetition must not merge them again.
        raise already_exists(REASON_REQUEST_ID_REUSED)
    return made


async def _locked(
    connection: AsyncConnection, request: MergeCustomersRequest
) -> tuple[RowMapping, RowMapping, RowMapping]:
    """The two customers and the merged one's latest registration; raises if they cannot be merged."""
    if request.customer_id == request.merged_customer_id:
        raise invalid([FieldViolation("merged_customer", REASON_SAME_CUSTOMER)])
    which = {"kept": request.customer_id, "merged": request.merged_customer_id}
    persons = {row.customer_id: row.person_id for row in await connection.execute(_PERSONS, which)}
    kept_person, merged_person = (persons.get(customer_id) for customer_id in which.values())
    of_persons = {"kept_person": kept_person, "merged_person": merged_person}
    saved = (await connection.execute(_LOCK_REGISTRATIONS, of_persons)).mappings().all()
    found = {row["customer_id"]: row for row in (await connection.execute(_LOCK_CUSTOMERS, which)).mappings()}
    kept = _of_unit(found.get(request.customer_id), request.unit_id)
    merged = _of_unit(found.get(request.merged_customer_id), request.merged_unit_id)
    if merged["kind"] == CUSTOMER_KIND_ONLINE and kept["kind"] == CUSTOMER_KIND_CD_BORROWER:
        # The merged person's credentials are erased, and a CD borrower gets no new ones.
        raise failed_precondition(REASON_ONLINE_ACCESS_WOULD_END)
    if len({bool(row["profile"].get("protected_person")) for row in (kept, merged)}) > 1:
        raise failed_precondition(REASON_ONE_IS_PROTECTED)
    if any(row["stage"] in NOT_BEGUN for row in saved):
        raise failed_precondition(REASON_REGISTRATION_WAITS)
    of_merged = [row for row in saved if row["customer_id"] == request.merged_customer_id]
    if not of_merged:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    return kept, merged, of_merged[0]


def _of_unit(customer: RowMapping | None, unit_id: str) -> RowMapping:
    if customer is None or customer["unit_id"] != unit_id:
        raise not_found(REASON_CUSTOMER_NOT_FOUND)
    if customer["state"] != CUSTOMER_STATE_ACTIVE:
        raise failed_precondition(REASON_CUSTOMER_HAS_ENDED)
    return customer


def _merged(row: RowMapping | dict[str, Any], request: MergeCustomersRequest) -> MergeCustomersResponse:
    response = MergeCustomersResponse(
        person_id=row["person_id"],
        merged_person_id=row["merged_person_id"],
        moved=TransferCustomerResponse(
            customer_id=request.customer_id,
            registration_id=row["registration_id"],
            registration_create_time=row["created_at"],
            previous_unit_id=row["merged_unit_id"],
            previous_registrar_account_id=told_account(row),
        ),
        credentials_erased=from_json(row["merged_profile"]).kind == CUSTOMER_KIND_ONLINE,
        registration_ids=merge_undo.registration_ids(row["undo"]),
    )
    if row["undo_until"] is not None:
        response.undo_expire_time.FromDatetime(row["undo_until"].astimezone(UTC))
    return response


async def _record_use(
    connection: AsyncConnection, row: dict[str, Any], kept: RowMapping, merged: RowMapping
) -> None:
    """One entry for each unit; each names both customers and persons, so that either finds it."""
    subjects = {
        kept["customer_id"],
        kept["person_id"],
        merged["customer_id"],
        merged["person_id"],
        row["registration_id"],
    }
    uses = [use_row("customer:merge", subjects) | {"for_unit_id": kept["unit_id"]}]
    if merged["unit_id"] != kept["unit_id"]:
        uses.append(use_row("customer:merge-away", subjects) | {"for_unit_id": merged["unit_id"]})
    await connection.execute(queries.INSERT_USE, uses)
