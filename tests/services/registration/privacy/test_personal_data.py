"""A person's data as a whole: told, erased, and kept for a while as an export."""

import secrets
import uuid
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from google.protobuf import json_format
from sqlalchemy import insert

from liity.registration.v1 import personal_data_service_pb2 as data_pb
from liity.registration.v1 import registration_service_pb2 as pb
from liity.registration.v1.customer_service_pb2 import (
    EndCustomershipRequest,
    TransferCustomerRequest,
    UndoRemovalRequest,
)
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.message_service_pb2 import CreateMessageRequest
from liity.registration.v1.message_service_pb2_grpc import MessageServiceStub
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub
from liity.registration.v1.unit_service_pb2 import Unit
from liity.v1 import registration_pb2 as life
from liity.v1.customer_service_pb2 import END_REASON_OTHER
from liity.v1.personal_data_pb2 import PersonalDataSection
from services.registration.db.models import dismissed_duplicates
from services.registration.privacy import export as privacy_export
from services.runtime.clock import HELSINKI, now
from services.runtime.data.privacy import Kind
from tests.services.registration.class_lists.test_class_lists import create as create_class_list
from tests.services.registration.class_lists.test_class_lists import row as class_list_row
from tests.support.registration_forms import adult_form, child_form, paper_consent
from tests.support.registration_service import (
    REGISTRAR,
    Service,
    birth_of_child,
    refusal,
    timestamp,
    violations,
)

MARKED = ("first_names", "last_name", "additional_information")


def records(section: PersonalDataSection) -> list[dict[str, Any]]:
    return [json_format.MessageToDict(record) for record in section.records]


async def customer_with_consent(service: Service, unit: Unit, person_id: str, mark: str) -> pb.Registration:
    """A child with consent on paper, whose every text is marked."""
    form = child_form()
    for name in MARKED:
        setattr(form, name, f"{name} {mark}")
    form.email = f"lapsi{mark}@koti.example"
    form.address.street_address = f"Katu {mark}"
    form.related_person.full_name = f"Huoltaja {mark}"
    form.related_person.email = f"huoltaja{mark}@koti.example"
    form.paper_consent.CopyFrom(paper_consent())
    form.paper_consent.guardian_name = f"Huoltaja {mark}"
    created = await service.create(unit.unit_id, form, person_id=person_id, birth_date=birth_of_child())
    assert created.registration.stage == life.STAGE_ACTIVE
    return created.registration


async def change_and_move(service: Service, registration: pb.Registration, unit: Unit) -> None:
    """Edits a customer's address, and moves them to another unit and back."""
    customer = await service.get_customer(registration.customer_id)
    await service.update(customer, "email", email="uusi@koti.example")
    transfer = CustomerServiceStub(service.worker.channel).TransferCustomer
    for unit_id in ((await service.unit("Toinen kirjasto")).unit_id, unit.unit_id):
        request = TransferCustomerRequest(
            request_id=str(uuid.uuid4()),
            person_id=registration.person_id,
            unit_id=unit_id,
            registrar=REGISTRAR,
        )
        await service.worker.call(transfer, request)


async def end_and_undo(service: Service, customer_id: str) -> None:
    """Ends a customership, which goes on after all."""
    stub = CustomerServiceStub(service.worker.channel)
    end = EndCustomershipRequest(
        request_id=str(uuid.uuid4()), customer_id=customer_id, reason=END_REASON_OTHER
    )
    await service.worker.call(stub.EndCustomership, end)
    undo = UndoRemovalRequest(request_id=str(uuid.uuid4()), customer_id=customer_id)
    await service.worker.call(stub.UndoRemoval, undo)


async def write_about(service: Service, registration: pb.Registration, unit: Unit) -> None:
    """A message about a customer, and a namesake who is another person."""
    write = CreateMessageRequest(
        message_id=uuid.uuid4().hex,
        request_id=str(uuid.uuid4()),
        unit_id=unit.unit_id,
        sender_display_name=REGISTRAR.display_name,
        registration_id=registration.registration_id,
        text="Tunnukset eivät toimi.",
    )
    await service.gateway.call(MessageServiceStub(service.gateway.channel).CreateMessage, write)
    one, other = sorted((registration.customer_id, (await service.customer(unit.unit_id)).customer_id))
    async with service.engine.begin() as connection:
        dismissal = {
            "customer_id": one,
            "other_customer_id": other,
            "account_id": REGISTRAR.account_id,
            "dismissed_at": now(),
        }
        await connection.execute(insert(dismissed_duplicates), dismissal)


async def test_everything_about_a_customer_is_told(service: Service, unit: Unit) -> None:
    person_id, mark = secrets.token_hex(16), secrets.token_hex(8)
    registration = await customer_with_consent(service, unit, person_id, mark)
    disclosure = data_pb.StoreDisclosureRequest(
        disclosure_id=secrets.token_hex(16),
        person_id=person_id,
        expire_time=timestamp(now() + timedelta(days=1)),
    )
    await service.worker.call(service.data.StoreDisclosure, disclosure)
    await change_and_move(service, registration, unit)
    await create_class_list(service, unit, class_list_row(2, person_id))
    await end_and_undo(service, registration.customer_id)
    await write_about(service, registration, unit)
    told = await service.export(person_id)
    assert list(told.registration_ids) == [registration.registration_id]
    sections = {section.kind: section for section in told.sections}
    # These are told in the tests of merging, of protected persons, and of two guardians.
    absent = (privacy_export.MERGES, privacy_export.PROTECTED, privacy_export.GUARDIANS)
    kinds = [kind for kind in privacy_export.KINDS if kind not in absent]
    assert list(sections) == [kind.name for kind in kinds]
    for kind in kinds:
        section = sections[kind.name]
        assert (section.purpose, section.retention) == (kind.purpose, kind.retention)
        for record in records(section):
            assert {column.name for column in kind.columns} <= set(record)
            assert not set(kind.left_out) & set(record)
    stored = await service.rows("SELECT profile FROM customers WHERE person_id = :p", p=person_id)
    [customer] = records(sections["customer"])
    profile: dict[str, Any] = stored[0]["profile"]
    signed = profile["paper_consent"].pop("sign_date")
    told_date = date.fromisoformat(customer["profile"]["paper_consent"].pop("sign_date"))
    assert customer["profile"] == profile
    assert told_date == date(**signed)
    assert (customer["kind"], customer["unit"]) == ("CUSTOMER_KIND_ONLINE", unit.display_name)
    assert list(sections["customer"].fields)[:2] == ["customer_id", "person_id"]
    order = list(sections["customer"].fields)
    names = [f"profile.{name}" for name in ("first_names", "last_name", "address.street_address", "language")]
    assert [path for path in order if path in names] == names
    [consent] = records(sections["consents"])
    assert (consent["method"], consent["guardian_name"]) == ("METHOD_PAPER", f"Huoltaja {mark}")
    [change] = records(sections["changes"])
    assert change["previous_email"] == f"lapsi{mark}@koti.example"
    uses = records(sections["log_of_use"])
    assert {use["action"] for use in uses} == {
        "registration:create",
        "customer:update",
        "customer:transfer",
        "customer:transfer-away",
        "class-list:register",
        "customership:end",
        "customership:undo",
        "message:send",
    }
    for use in uses:
        assert (use["outcome"], use["times"]) == ("OK", 2 if use["action"] == "customer:transfer" else 1)
        assert use["day"] == f"{now().astimezone(HELSINKI):%Y-%m-%d}"
    whole = told.SerializeToString().decode("utf-8", "replace")
    for of_another in (REGISTRAR.account_id.join("\n\x12"), REGISTRAR.display_name):
        assert of_another not in whole


async def test_what_waits_is_told_with_its_form(service: Service, unit: Unit) -> None:
    person_id = secrets.token_hex(16)
    await service.waiting(unit.unit_id, person_id=person_id)
    registrations, log = (await service.export(person_id)).sections
    [waiting] = records(registrations)
    assert waiting["form"]["related_person"]["full_name"] == child_form().related_person.full_name
    assert (waiting["stage"], waiting["customer_id"]) == ("STAGE_WAITING_FOR_CONSENT", None)
    assert log.kind == "log_of_use"


async def test_of_nobody_there_is_nothing_to_tell(service: Service) -> None:
    told = await service.export(secrets.token_hex(16))
    assert not told.sections
    assert not told.registration_ids


async def test_looking_many_times_a_day_is_told_in_one_line(service: Service, unit: Unit) -> None:
    person_id = secrets.token_hex(16)
    for _ in range(3):
        await service.record_use("customer:look-up", person_id)
    [section] = (await service.export(person_id)).sections
    assert [record["times"] for record in records(section)] == [3]


async def test_a_customer_is_erased_to_a_number(service: Service, unit: Unit) -> None:
    person_id, mark = secrets.token_hex(16), secrets.token_hex(8)
    made = await customer_with_consent(service, unit, person_id, mark)
    await change_and_move(service, made, unit)
    before = (await service.rows("SELECT * FROM registrations WHERE person_id = :p", p=person_id))[0]
    for _ in range(2):
        # A repetition answers the same: what it broke off before is found again.
        assert await service.erase(person_id) == [made.registration_id]
    for _ in range(2):
        await service.forget(person_id)
    assert await service.erase(person_id) == []
    stored = await service.everything_stored(log=False)
    for left in (mark, person_id, str(before["request_id"])):
        assert left not in stored
    moves = "SELECT * FROM transfers WHERE registration_id = :r"
    assert await service.rows(moves, r=made.registration_id) == []
    remains = await service.get(made.registration_id)
    created = before["created_at"].astimezone(HELSINKI)
    assert remains == pb.Registration(
        registration_id=made.registration_id,
        unit_id=unit.unit_id,
        stage=life.STAGE_ACTIVE,
        kind=made.kind,
        consent_state=life.CONSENT_STATE_GIVEN,
        create_time=timestamp(created.replace(hour=0, minute=0, second=0, microsecond=0)),
        update_time=remains.update_time,
    )
    assert remains.update_time == remains.create_time
    assert not (await service.export(person_id)).registration_ids
    # The person may be registered as new, and mail steps that come late find nobody.
    assert not (await service.mailing(made.registration_id)).HasField("mailing_details")
    await service.advance(made.registration_id, life.STAGE_WELCOMED)
    assert await service.prepare(unit.unit_id, adult_form(), person_id=person_id) is None


async def test_who_was_ever_saved_is_known_until_they_are_forgotten(service: Service, unit: Unit) -> None:
    async def known(person_id: str) -> bool:
        request = data_pb.IsPersonKnownRequest(person_id=person_id)
        return (await service.worker.call(service.data.IsPersonKnown, request)).known

    person_id = secrets.token_hex(16)
    assert not await known(person_id)
    await service.waiting(unit.unit_id, person_id=person_id)
    marked = await service.customer(unit.unit_id)
    await service.mark(marked.customer_id)
    assert await known(person_id)
    assert await known(marked.person_id)
    await service.erase(person_id)
    assert await known(person_id), "until the erasure is through"
    await service.forget(person_id)
    assert not await known(person_id)


async def test_what_waits_is_withdrawn_when_its_person_is_erased(service: Service, unit: Unit) -> None:
    person_id = secrets.token_hex(16)
    waiting = await service.waiting(unit.unit_id, person_id=person_id)
    await service.erase(person_id)
    await service.forget(person_id)
    remains = await service.get(waiting.registration_id)
    assert (remains.stage, remains.consent_state) == (
        life.STAGE_WITHDRAWN,
        life.CONSENT_STATE_NOT_GIVEN,
    )
    # It stands in the list of the unit: when, by whom, and what became of it.
    assert (remains.create_time, remains.registrar_display_name) == (
        waiting.create_time,
        REGISTRAR.display_name,
    )
    assert await refusal(service.activate(waiting.registration_id, None)) == (
        "FAILED_PRECONDITION",
        "NOT_WAITING_FOR_CONSENT",
    )


async def test_who_is_not_erased_is_not_forgotten(service: Service, unit: Unit) -> None:
    person_id = secrets.token_hex(16)
    made = (await service.create(unit.unit_id, adult_form(), person_id=person_id)).registration
    await service.forget(person_id)
    assert await service.get(made.registration_id) == made


async def test_others_keep_theirs(service: Service, unit: Unit) -> None:
    other = (await service.create(unit.unit_id, adult_form())).registration
    person_id = secrets.token_hex(16)
    await service.create(unit.unit_id, adult_form(), person_id=person_id)
    await service.erase(person_id)
    assert await service.get(other.registration_id) == other


_OF_NOBODY = {
    *("use_chain", "use_entries", "use_turn", "use_waiting", "alembic_version", "limits", "units"),
    *("class_lists.registrar_display_name", "registrations.registrar_display_name", "messages.reference"),
    *("messages.sender_display_name", "merges.merged_by_display_name", "work_claims.display_name"),
    *("class_list_rows.wrong_fields", "customer_changes.paths", "consents.wording_version"),
    *("consents.recorded_by", "disclosures.ciphertext"),
}
"""Tables and columns of text that name no customer, guardian or sender. IDs do not, either."""


async def test_what_names_persons_is_sampled_nowhere(service: Service) -> None:
    """The planner would keep values after an erasure. Indexes of expressions have statistics of their own."""
    sampled = await service.rows(
        "SELECT coalesce(of_index.indrelid, attrelid)::regclass::text AS table, attname AS column,"
        " relname AS relation FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
        " LEFT JOIN pg_index AS of_index ON indexrelid = attrelid"
        " WHERE relnamespace = 'public'::regnamespace AND attnum > 0 AND NOT attisdropped"
        " AND coalesce(attstattarget, -1) <> 0 AND (relkind IN ('r', 'p')"
        " OR (relkind = 'i' AND (string_to_array(indkey::text, ' '))[attnum] = '0'))"
        " AND atttypid IN ('text'::regtype, 'varchar'::regtype, 'jsonb'::regtype, 'bytea'::regtype,"
        " 'text[]'::regtype, 'varchar[]'::regtype)"
    )
    assert {
        f"{row['table']}.{row['column']} ({row['relation']})"
        for row in sampled
        if not row["column"].endswith(("_id", "_ids"))
        and not {row["table"], f"{row['table']}.{row['column']}"} & _OF_NOBODY
    } == set()


# Exports


class Disclosures:
    """Disclosures of one person, as the gateway and the worker call for them."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.id = secrets.token_hex(16)
        self.person_id = secrets.token_hex(16)
        self.end = now() + timedelta(days=1)

    async def store(self, ciphertext: bytes = b"", end: datetime | None = None) -> None:
        request = data_pb.StoreDisclosureRequest(
            disclosure_id=self.id,
            person_id=self.person_id,
            ciphertext=ciphertext,
            expire_time=timestamp(end or self.end),
        )
        await self.service.worker.call(self.service.data.StoreDisclosure, request)

    async def fail(self) -> None:
        request = data_pb.StoreDisclosureRequest(
            disclosure_id=self.id,
            person_id=self.person_id,
            expire_time=timestamp(self.end),
            failed=True,
        )
        await self.service.worker.call(self.service.data.StoreDisclosure, request)

    async def get(self) -> data_pb.GetDisclosureResponse:
        stub = PersonalDataServiceStub(self.service.gateway.channel)
        request = data_pb.GetDisclosureRequest(disclosure_id=self.id)
        return await self.service.gateway.call(stub.GetDisclosure, request)

    async def delete(self) -> None:
        request = data_pb.DeleteDisclosureRequest(disclosure_id=self.id)
        await self.service.worker.call(self.service.data.DeleteDisclosure, request)


NOT_THERE = ("NOT_FOUND", "DISCLOSURE_NOT_FOUND")


@pytest.fixture
def disclosures(service: Service) -> Disclosures:
    return Disclosures(service)


async def test_an_export_that_cannot_be_gathered_says_so_until_it_is(disclosures: Disclosures) -> None:
    await disclosures.store()
    assert not (await disclosures.get()).failed
    await disclosures.fail()
    failed = await disclosures.get()
    assert (failed.failed, failed.ciphertext) == (True, b"")


async def test_an_export_is_kept_until_it_is_erased(disclosures: Disclosures) -> None:
    assert await refusal(disclosures.store(b"content")) == NOT_THERE
    await disclosures.store()
    begun = await disclosures.get()
    assert (begun.person_id, begun.ciphertext) == (disclosures.person_id, b"")
    assert begun.expire_time == timestamp(disclosures.end)
    for _ in range(2):
        await disclosures.store(b"content")
    # Beginning anew neither empties it nor makes it last longer.
    await disclosures.store(end=disclosures.end + timedelta(days=5))
    kept = await disclosures.get()
    assert kept.ciphertext == b"content"
    assert (kept.create_time, kept.expire_time) == (begun.create_time, begun.expire_time)
    for _ in range(2):
        await disclosures.delete()
    assert await refusal(disclosures.get()) == NOT_THERE


async def test_an_export_that_has_expired_is_gone(service: Service, disclosures: Disclosures) -> None:
    await disclosures.store(end=now() - timedelta(seconds=1))
    assert await refusal(disclosures.get()) == NOT_THERE
    assert await refusal(disclosures.store(b"content")) == NOT_THERE
    # Whatever its run has left behind goes when the next one is asked for.
    await Disclosures(service).store()
    assert not await service.rows("SELECT 1 FROM disclosures WHERE disclosure_id = :id", id=disclosures.id)


async def test_an_export_goes_with_its_person(service: Service, disclosures: Disclosures) -> None:
    await disclosures.store()
    await disclosures.store(b"content")
    await service.erase(disclosures.person_id)
    assert await refusal(disclosures.get()) == NOT_THERE
    # One that was being gathered meanwhile is not stored any more.
    assert await refusal(disclosures.store(b"content")) == NOT_THERE


async def test_an_export_may_be_large_but_not_without_end(disclosures: Disclosures) -> None:
    await disclosures.store()
    content = secrets.token_bytes(1000 * 1024)
    await disclosures.store(content)
    assert (await disclosures.get()).ciphertext == content


async def test_wrong_disclosures_are_refused(disclosures: Disclosures) -> None:
    disclosures.id = "no ID"
    assert await violations(disclosures.store()) == {"disclosure_id": "INVALID_FORMAT"}
    assert await violations(disclosures.get()) == {"disclosure_id": "INVALID_FORMAT"}


def test_what_cannot_be_told_as_it_is_is_found() -> None:
    kind = Kind("sample", privacy_export.CUSTOMERS.table, "to try", "none", {})
    with pytest.raises(TypeError, match=r"customers\.secret cannot be told"):
        kind.section([{"secret": b"bytes"}])
