"""`liity.v1.ClassListService`: registers many customers at once, from a file."""

import asyncio
import uuid
from collections.abc import Iterable, Mapping, Sequence

import grpc
from typing_extensions import override

from liity.identity.v1.person_service_pb2 import (
    BatchEnsurePersonsRequest,
    BatchFindPersonsRequest,
    EnsurePersonResponse,
    EnsurePersonWithoutCodeRequest,
    FoundPerson,
)
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.registration.v1 import class_list_service_pb2 as registration_pb2
from liity.registration.v1.class_list_service_pb2 import ClassList as StoredClassList
from liity.registration.v1.class_list_service_pb2 import ClassListRow, WrongField
from liity.registration.v1.class_list_service_pb2_grpc import ClassListServiceStub
from liity.registration.v1.customer_service_pb2 import CheckTransferRequest, TransferCustomerRequest
from liity.registration.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.registration.v1.registration_service_pb2 import Registrar
from liity.registration.v1.unit_service_pb2 import UNIT_KIND_SCHOOL, BatchGetUnitsRequest, Unit
from liity.registration.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.class_list_service_pb2 import (
    CLASS_LIST_STATE_CANCELLED,
    CLASS_LIST_STATE_DONE,
    CLASS_LIST_STATE_RECEIVED,
    CancelClassListRequest,
    CancelClassListResponse,
    CheckClassListRequest,
    CheckClassListResponse,
    ClassList,
    GetClassListRequest,
    GetClassListResponse,
    GetClassListResultRequest,
    GetClassListResultResponse,
    GetClassListTemplateRequest,
    GetClassListTemplateResponse,
    ListClassListsRequest,
    ListClassListsResponse,
    RegisterClassListRequest,
    RegisterClassListResponse,
)
from liity.v1.class_list_service_pb2_grpc import ClassListServiceServicer
from liity.v1.reason_pb2 import (
    REASON_BIRTH_DATE_NOT_OF_CODE,
    REASON_CLASS_LIST_HAS_ENDED,
    REASON_CLASS_LIST_NOT_FOUND,
    REASON_REQUEST_ID_REUSED,
    REASON_TWICE_IN_CLASS_LIST,
    REASON_UNIT_NOT_FOUND,
)
from liity.workflows.v1 import class_list_workflow_pb2 as workflow_pb2
from services.gateway.class_lists import reports
from services.gateway.class_lists.annotated import annotated
from services.gateway.class_lists.checked import Checked
from services.gateway.class_lists.columns import BIRTH_DATE, CODE
from services.gateway.class_lists.rows import ReadList, ReadRow, read_class_list
from services.gateway.resource_names import CLASS_LIST, UNIT
from services.gateway.temporal.class_lists import ClassListWorkflows
from services.gateway.temporal.customers import CustomerWorkflows
from services.gateway.use_cases.callers_address import CallersAddress
from services.gateway.use_cases.similar_codes import SimilarCodeReports
from services.gateway.use_recording import UseRecorder
from services.gateway.views import DEFAULT_PAGE, LARGEST_PAGE
from services.runtime.class_list_limits import PATIENCE
from services.runtime.clock import now
from services.runtime.rpc.context import current_request
from services.runtime.rpc.errors import (
    FieldViolation,
    Refusal,
    already_exists,
    failed_precondition,
    is_permanent,
    not_found,
)
from services.runtime.rpc.peer import Peer

_LISTS = uuid.UUID("0f6c8a52-9b53-4f0e-8a3f-6d1b7f4f6f2e")
"""Namespace of the lists' IDs."""

_WHOLE_LIST = 60.0
"""Timeout in seconds for calls about a whole list."""


class ClassListService(ClassListServiceServicer):
    """Parses the file, gets person IDs for its codes, and starts the workflow that registers the rows."""

    def __init__(
        self,
        identity: Peer,
        registration: Peer,
        workflows: ClassListWorkflows,
        customers: CustomerWorkflows,
        uses: UseRecorder,
    ) -> None:
        self._identity = identity
        self._registration = registration
        self._workflows = workflows
        self._customers = customers
        self._uses = uses
        self._own_address = CallersAddress(identity)
        self._similar_codes = SimilarCodeReports(registration)
        self._persons = PersonServiceStub(identity.channel)
        self._lists = ClassListServiceStub(registration.channel)
        self._units = UnitServiceStub(registration.channel)
        self._stored_customers = CustomerServiceStub(registration.channel)

    @override
    async def GetClassListTemplate(
        self,
        request: GetClassListTemplateRequest,
        context: grpc.ServicerContext,
    ) -> GetClassListTemplateResponse:
        """A template file with an example row."""
        unit = await self._unit(UNIT.parse_id(request.parent, "parent"))
        language = current_request().language
        return reports.template(request.format, language, school=unit.kind == UNIT_KIND_SCHOOL)

    @override
    async def CheckClassList(
        self,
        request: CheckClassListRequest,
        context: grpc.ServicerContext,
    ) -> CheckClassListResponse:
        """Reports the errors of a list."""
        unit_id, language = UNIT.parse_id(request.parent, "parent"), current_request().language
        read = await asyncio.to_thread(read_class_list, request.content)
        checked = await self._check(unit_id, read)
        answer = CheckClassListResponse(report=reports.report_of(read, checked, language))
        if request.annotate:
            file = await asyncio.to_thread(annotated, request.content, read, answer.report, language)
            answer.annotated_content, answer.annotated_file_name = file
        return answer

    @override
    async def RegisterClassList(
        self,
        request: RegisterClassListRequest,
        context: grpc.ServicerContext,
    ) -> RegisterClassListResponse:
        """Checks a list and starts its registration."""
        unit_id, asked = UNIT.parse_id(request.parent, "parent"), current_request()
        class_list_id = uuid.uuid5(_LISTS, request.request_id).hex
        made_before = await self._made_before(class_list_id, unit_id)
        if made_before is not None:
            return RegisterClassListResponse(class_list=_to_public(made_before))
        read = await asyncio.to_thread(read_class_list, request.content)
        checked = await self._check(unit_id, read, request.confirmed_address_rows)
        report = reports.report_of(read, checked, asked.language)
        if report.errors or report.persons or report.gone:
            # The report reveals persons who are known: that is a look-up (R36).
            await self._uses.record("class-list:check", asked, None, "OK")
        # An unclosed quotation mark swallows the rows after it: they are not even among the wrong ones.
        torn = any(row.torn for row in read.rows)
        if torn or read.heading_errors or (checked.wrong and not request.skip_wrong_rows):
            return RegisterClassListResponse(report=report)
        registrar = Registrar(account_id=asked.caller.account_id, display_name=asked.caller.display_name)
        await self._transfer(class_list_id, unit_id, registrar, checked, request.transfer_rows)
        create = registration_pb2.CreateClassListRequest(
            class_list_id=class_list_id,
            unit_id=unit_id,
            registrar=registrar,
            rows=await self._rows_to_store(class_list_id, read, checked),
        )
        # The run starts first: no list is stored without a run to register it.
        await self._workflows.start(_input(create))
        stored = await self._registration.call(self._lists.CreateClassList, create, timeout=_WHOLE_LIST)
        return RegisterClassListResponse(class_list=_to_public(stored.class_list), report=report)

    @override
    async def GetClassList(
        self,
        request: GetClassListRequest,
        context: grpc.ServicerContext,
    ) -> GetClassListResponse:
        """Reads a list with its counts."""
        return GetClassListResponse(class_list=_to_public(await self._get(request.name)))

    @override
    async def ListClassLists(
        self,
        request: ListClassListsRequest,
        context: grpc.ServicerContext,
    ) -> ListClassListsResponse:
        """Lists a unit's class lists."""
        unit = await self._unit(UNIT.parse_id(request.parent, "parent"))
        page = registration_pb2.ListClassListsRequest(
            unit_id=unit.unit_id,
            page_size=min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE),
            page_token=request.page_token,
        )
        found = await self._registration.call(self._lists.ListClassLists, page)
        return ListClassListsResponse(
            class_lists=[_to_public(stored) for stored in found.class_lists],
            next_page_token=found.next_page_token,
        )

    @override
    async def GetClassListResult(
        self,
        request: GetClassListResultRequest,
        context: grpc.ServicerContext,
    ) -> GetClassListResultResponse:
        """The outcome of each row, as a file."""
        stored, asked = await self._get(request.name), current_request()
        of_list = registration_pb2.ListOutcomesRequest(class_list_id=stored.class_list_id)
        outcomes = (await self._registration.call(self._lists.ListOutcomes, of_list)).outcomes
        asked.subjects.update(outcome.registration_id for outcome in outcomes if outcome.registration_id)
        return reports.result(outcomes, asked.language)

    @override
    async def CancelClassList(
        self,
        request: CancelClassListRequest,
        context: grpc.ServicerContext,
    ) -> CancelClassListResponse:
        """Cancels a list: its remaining rows are not registered."""
        stored = await self._get(request.name)
        if stored.state == CLASS_LIST_STATE_DONE:
            raise failed_precondition(REASON_CLASS_LIST_HAS_ENDED)
        if stored.state != CLASS_LIST_STATE_CANCELLED:
            cancel = workflow_pb2.CancelClassListRequest(request_id=request.request_id)
            await self._workflows.cancel(_input(stored), cancel)
            stored = await self._get(request.name)
        return CancelClassListResponse(class_list=_to_public(stored))

    async def _check(
        self, unit_id: str, read: ReadList, confirmed_address_rows: Sequence[int] = ()
    ) -> Checked:
        """What is wrong with each row, who is known, and who is gone."""
        rows = read.rows
        spoilt: dict[int, Sequence[FieldViolation]] = {row.number: row.errors for row in rows if row.spoilt}
        rows = [row for row in rows if not row.spoilt]
        with_code = [row for row in rows if not row.has_no_code]
        codes = BatchFindPersonsRequest(personal_identity_codes=[row.code for row in with_code])
        answer = await self._identity.call(self._persons.BatchFindPersons, codes, timeout=_WHOLE_LIST)
        persons = dict(zip((row.number for row in with_code), answer.persons, strict=True))
        persons |= _without_code(rows)
        _tell_earlier_rows(rows, persons)
        check = registration_pb2.CheckClassListRequest(
            unit_id=unit_id,
            rows=[_row(row, persons[row.number]) for row in rows],
            complete=not spoilt and not read.heading_errors,
            registrars_email=await self._own_address.read(),
            confirmed_address_rows=confirmed_address_rows,
        )
        found = await self._registration.call(self._lists.CheckClassList, check, timeout=_WHOLE_LIST)
        subjects = current_request().subjects
        subjects.update(person.person_id for person in persons.values() if person.person_id)
        subjects.update(standing.person_id for standing in found.standings)
        subjects.update(gone.person_id for gone in found.gone)
        wrong_fields = {row.row_number: row.wrong_fields for row in found.wrong_rows}
        known = {standing.row_number for standing in found.standings}
        wrong: dict[int, Sequence[FieldViolation]] = {
            row.number: errors
            for row in rows
            if (
                errors := read.told(
                    _errors(
                        row,
                        persons[row.number],
                        wrong_fields.get(row.number, ()),
                        is_known=row.number in known,
                    )
                )
            )
        }
        return Checked(
            unit_id=unit_id,
            wrong=spoilt | wrong,
            known={each.row_number: each for each in found.standings if each.row_number not in wrong},
            found=found,
        )

    async def _transfer(
        self,
        class_list_id: str,
        unit_id: str,
        registrar: Registrar,
        checked: Checked,
        rows: Iterable[int],
    ) -> None:
        """Transfers the persons of rows to the unit, one after another (R16).

        A repetition transfers nobody twice. A row whose transfer is refused for good becomes a wrong row.
        """
        for number in sorted({*rows} & checked.transferable):
            transfer = TransferCustomerRequest(
                request_id=str(uuid.uuid5(uuid.UUID(class_list_id), f"transfer {number}")),
                person_id=checked.known[number].person_id,
                unit_id=unit_id,
                registrar=registrar,
            )
            check = CheckTransferRequest(
                request_id=transfer.request_id, person_id=transfer.person_id, unit_id=unit_id
            )
            try:
                # Before a run is started that could only end with the refusal.
                await self._registration.call(self._stored_customers.CheckTransfer, check)
                await self._customers.transfer(transfer)
            except Refusal as refusal:
                if not is_permanent(refusal.code):
                    raise
                checked.refuse(number, refusal.reason)
            else:
                checked.transferred.add(number)

    async def _rows_to_store(
        self, class_list_id: str, read: ReadList, checked: Checked
    ) -> list[ClassListRow]:
        """The rows to store: new persons held for `PATIENCE`; known persons; wrong ones with their errors."""
        decided = checked.wrong.keys() | checked.known.keys()
        new = [row for row in read.rows if row.number not in decided]
        with_code = [row for row in new if not row.has_no_code]
        ensure = BatchEnsurePersonsRequest(personal_identity_codes=[row.code for row in with_code])
        ensure.hold_until.FromDatetime(now() + PATIENCE)
        ensured = await self._identity.call(self._persons.BatchEnsurePersons, ensure, timeout=_WHOLE_LIST)
        rows = [_row(row, person) for row, person in zip(with_code, ensured.persons, strict=True)]
        await self._similar_codes.report(
            (person.person_id, person.other_sign_person_ids) for person in ensured.persons
        )
        for row in new:
            if row.has_no_code:
                own = uuid.uuid5(uuid.UUID(class_list_id), f"without code {row.number}")
                make = EnsurePersonWithoutCodeRequest(request_id=str(own), hold_until=ensure.hold_until)
                made = await self._identity.call(self._persons.EnsurePersonWithoutCode, make)
                rows.append(_row(row, FoundPerson(person_id=made.person_id)))
        rows += [
            ClassListRow(row_number=number, person_id=standing.person_id, outcome=checked.outcome(number))
            for number, standing in checked.known.items()
        ]
        rows += [
            ClassListRow(
                row_number=number,
                wrong_fields=[WrongField(field=field, reason=reason) for field, reason in errors],
            )
            for number, errors in checked.wrong.items()
        ]
        return rows

    async def _made_before(self, class_list_id: str, unit_id: str) -> StoredClassList | None:
        """The list that this call made before, if any. REQUEST_ID_REUSED if it is another unit's."""
        try:
            stored = await self._stored(class_list_id)
        except Refusal as refusal:
            if refusal.reason == REASON_CLASS_LIST_NOT_FOUND:
                return None
            raise
        if stored.unit_id != unit_id:
            raise already_exists(REASON_REQUEST_ID_REUSED)
        if stored.state == CLASS_LIST_STATE_RECEIVED:
            # Its run may have ended before the list was stored.
            await self._workflows.start(_input(stored))
        return stored

    async def _get(self, name: str) -> StoredClassList:
        unit_id, class_list_id = CLASS_LIST.parse(name)
        stored = await self._stored(class_list_id)
        if stored.unit_id != unit_id:
            raise not_found(REASON_CLASS_LIST_NOT_FOUND)
        return stored

    async def _stored(self, class_list_id: str) -> StoredClassList:
        request = registration_pb2.GetClassListRequest(class_list_id=class_list_id)
        return (await self._registration.call(self._lists.GetClassList, request)).class_list

    async def _unit(self, unit_id: str) -> Unit:
        request = BatchGetUnitsRequest(unit_ids=[unit_id])
        units = (await self._registration.call(self._units.BatchGetUnits, request)).units
        if not units:
            raise not_found(REASON_UNIT_NOT_FOUND)
        return units[0]


def _row(row: ReadRow, person: FoundPerson | EnsurePersonResponse) -> ClassListRow:
    birth_date = person.birth_date if person.HasField("birth_date") else None
    return ClassListRow(
        row_number=row.number,
        person_id=person.person_id,
        birth_date=birth_date,
        form=row.form,
        missing_code=row.missing if row.has_no_code else None,
    )


def _tell_earlier_rows(rows: Iterable[ReadRow], persons: Mapping[int, FoundPerson]) -> None:
    """Has each row whose person stands twice tell the earlier one: either may be the wrong one."""
    first: dict[tuple[str, ...], str] = {}
    for row in rows:
        person: tuple[str, ...] = ("".join(row.code.split()).upper(),)
        if row.has_no_code:
            person = _named(row)
        if persons[row.number].repeated:
            row.where = first.get(person, "")
        else:
            first.setdefault(person, str(row.number))


def _named(row: ReadRow) -> tuple[str, ...]:
    """By what a person without a code is known within a list."""
    return row.form.first_names.casefold(), row.form.last_name.casefold(), str(row.missing.birth_date)


def _without_code(rows: Iterable[ReadRow]) -> dict[int, FoundPerson]:
    """Persons without a code, by row; one with names and date of birth of an earlier row is repeated."""
    seen: set[tuple[str, ...]] = set()
    persons = {}
    for row in rows:
        if row.has_no_code:
            person = _named(row)
            persons[row.number] = FoundPerson(repeated=person in seen)
            seen.add(person)
    return persons


def _errors(
    row: ReadRow, person: FoundPerson, found: Iterable[WrongField], *, is_known: bool
) -> list[FieldViolation]:
    """A row's errors, one for each field; parsing errors come first.

    Of a known person nothing is registered: only errors about the whole row or the code count.
    """
    errors = [error for error in row.errors if not is_known or error.field in {"", CODE}]
    if person.reason and row.code:
        errors.append(FieldViolation(CODE, person.reason))
    if person.repeated:
        errors.append(FieldViolation(CODE, REASON_TWICE_IN_CLASS_LIST))
    given = row.missing.birth_date if row.missing.HasField("birth_date") else person.birth_date
    if person.HasField("birth_date") and given != person.birth_date:
        errors.append(FieldViolation(BIRTH_DATE, REASON_BIRTH_DATE_NOT_OF_CODE))
    errors += (FieldViolation(wrong.field, wrong.reason) for wrong in found)
    first: dict[str, FieldViolation] = {}
    for error in errors:
        first.setdefault(error.field, error)
    return list(first.values())


def _input(of: StoredClassList | registration_pb2.CreateClassListRequest) -> workflow_pb2.ClassListInput:
    return workflow_pb2.ClassListInput(
        class_list_id=of.class_list_id, unit_id=of.unit_id, account_id=of.registrar.account_id
    )


def _to_public(stored: StoredClassList) -> ClassList:
    """A list in the public API's form."""
    public = ClassList(
        name=CLASS_LIST.format(stored.unit_id, stored.class_list_id),
        state=stored.state,
        counts=stored.counts,
        registrar_display_name=stored.registrar.display_name,
        create_time=stored.create_time,
        expire_time=stored.expire_time,
    )
    if stored.HasField("end_time"):
        public.end_time.CopyFrom(stored.end_time)
    return public
