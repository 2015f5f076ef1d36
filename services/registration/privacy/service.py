"""PersonalDataService: exports and erases all data of a person."""

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.registration.v1 import personal_data_service_pb2 as pb
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceServicer
from liity.v1.customer_service_pb2 import CUSTOMER_STATE_MARKED_FOR_DELETION
from liity.v1.reason_pb2 import (
    REASON_CUSTOMER_NOT_ENDED,
    REASON_DISCLOSURE_NOT_FOUND,
    REASON_REGISTRATION_UNDECIDED,
)
from services.registration.audit.entries import use_row
from services.registration.class_lists import queries
from services.registration.db.mapping import row_of
from services.registration.db.models import disclosures
from services.registration.forms import proto_dates
from services.registration.privacy import erasure
from services.registration.privacy import export as privacy_export
from services.registration.registrations import queries as registration_queries
from services.runtime.clock import now
from services.runtime.rpc.errors import failed_precondition, not_found
from services.runtime.stages import NOT_BEGUN

_BY_ID = disclosures.c.disclosure_id == bindparam("id")

_BEGIN_DISCLOSURE = insert(disclosures).on_conflict_do_nothing()

# Exports whose run was lost, or never began.
_SWEEP_DISCLOSURES = delete(disclosures).where(disclosures.c.expires_at <= bindparam("now"))

_FILL_DISCLOSURE = (
    update(disclosures)
    .where(
        _BY_ID,
        disclosures.c.person_id == bindparam("person"),
        disclosures.c.expires_at > bindparam("now"),
    )
    .values(ciphertext=bindparam("content"))
    .returning(disclosures.c.disclosure_id)
)

_FAIL_DISCLOSURE = update(disclosures).where(_BY_ID).values(failed=True)

_GET_DISCLOSURE = select(disclosures).where(_BY_ID, disclosures.c.expires_at > bindparam("now"))


class PersonalDataServicer(PersonalDataServiceServicer):
    """Exports and erases a person's data in this service, and stores exports for a while."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        # An export is one snapshot, even while registrars work.
        self._one_picture = engine.execution_options(isolation_level="REPEATABLE READ")

    @override
    async def ExportPerson(
        self, request: pb.ExportPersonRequest, _context: object
    ) -> pb.ExportPersonResponse:
        """Exports all data of a person in this service."""
        async with self._one_picture.begin() as connection:
            return pb.ExportPersonResponse(
                sections=await privacy_export.export(connection, request.person_id),
                registration_ids=await privacy_export.registration_ids(connection, request.person_id),
            )

    @override
    async def ErasePerson(self, request: pb.ErasePersonRequest, _context: object) -> pb.ErasePersonResponse:
        """Erases a person's data. A repeated call gets the same answer until `ForgetPerson`."""
        person = {"person": request.person_id}
        async with self._engine.begin() as connection:
            if request.only_if_ended:
                await _require_ended(connection, request.person_id)
            # Registrations before customers: the order in which other calls lock them.
            erased = await connection.scalars(erasure.ERASE_REGISTRATIONS, {**person, "now": now()})
            registration_ids = sorted(erased.all())
            await connection.execute(erasure.ERASE_CLAIMS, person)
            await connection.execute(erasure.ERASE_GUARDIANS, person)
            await connection.execute(erasure.ERASE_MESSAGES, person)
            await connection.execute(erasure.ERASE_PROTECTED, person)
            await connection.execute(erasure.ERASE_CUSTOMER, person)
            await connection.execute(erasure.ERASE_DISCLOSURES, person)
            await connection.execute(erasure.ERASE_SIMILAR_CODES, person)
            await connection.execute(erasure.ERASE_TRANSFERS, person)
            await connection.execute(queries.ERASE_ROWS, person)
            await connection.execute(queries.ERASE_MEMBER, person)
        return pb.ErasePersonResponse(registration_ids=registration_ids)

    @override
    async def ForgetPerson(
        self, request: pb.ForgetPersonRequest, _context: object
    ) -> pb.ForgetPersonResponse:
        """Clears the person ID of erased registrations."""
        async with self._autocommit.connect() as connection:
            await connection.execute(erasure.FORGET_PERSON, {"person": request.person_id})
        return pb.ForgetPersonResponse()

    @override
    async def IsPersonKnown(
        self, request: pb.IsPersonKnownRequest, _context: object
    ) -> pb.IsPersonKnownResponse:
        """Whether a person was ever saved, and is not yet forgotten."""
        async with self._autocommit.connect() as connection:
            known = (await connection.execute(erasure.IS_KNOWN, {"person": request.person_id})).scalar_one()
        return pb.IsPersonKnownResponse(known=known)

    @override
    async def StoreDisclosure(
        self, request: pb.StoreDisclosureRequest, _context: object
    ) -> pb.StoreDisclosureResponse:
        """Begins an export, or stores its content, or that it has failed."""
        expires_at = proto_dates.moment(request.expire_time, "expire_time")
        moment = now()
        if request.ciphertext:
            content = {
                "id": request.disclosure_id,
                "person": request.person_id,
                "content": request.ciphertext,
                "now": moment,
            }
            if await row_of(self._autocommit, _FILL_DISCLOSURE, content) is None:
                raise not_found(REASON_DISCLOSURE_NOT_FOUND)
            return pb.StoreDisclosureResponse()
        if request.failed:
            async with self._autocommit.connect() as connection:
                await connection.execute(_FAIL_DISCLOSURE, {"id": request.disclosure_id})
            return pb.StoreDisclosureResponse()
        begun = {
            "disclosure_id": request.disclosure_id,
            "person_id": request.person_id,
            "ciphertext": None,
            "created_at": moment,
            "expires_at": expires_at,
        }
        async with self._autocommit.connect() as connection:
            await connection.execute(_SWEEP_DISCLOSURES, {"now": moment})
            await connection.execute(_BEGIN_DISCLOSURE, begun)
        return pb.StoreDisclosureResponse()

    @override
    async def GetDisclosure(
        self, request: pb.GetDisclosureRequest, _context: object
    ) -> pb.GetDisclosureResponse:
        """Reads an export that has not expired."""
        row = await row_of(self._autocommit, _GET_DISCLOSURE, {"id": request.disclosure_id, "now": now()})
        if row is None:
            raise not_found(REASON_DISCLOSURE_NOT_FOUND)
        return pb.GetDisclosureResponse(
            person_id=row["person_id"],
            ciphertext=row["ciphertext"] or b"",
            failed=row["failed"],
            create_time=row["created_at"],
            expire_time=row["expires_at"],
        )

    @override
    async def DeleteDisclosure(
        self, request: pb.DeleteDisclosureRequest, _context: object
    ) -> pb.DeleteDisclosureResponse:
        """Deletes an export."""
        async with self._autocommit.connect() as connection:
            await connection.execute(delete(disclosures).where(_BY_ID), {"id": request.disclosure_id})
        return pb.DeleteDisclosureResponse()


async def _require_ended(connection: AsyncConnection, person_id: str) -> None:
    """Refuses erasure while a customership is active or may yet be; otherwise records the erasure."""
    person = {"person": person_id}
    stages = (await connection.scalars(erasure.LOCK_REGISTRATIONS, person)).all()
    customer = (await connection.execute(erasure.LOCK_CUSTOMER, person)).first()
    if customer is not None and customer.state != CUSTOMER_STATE_MARKED_FOR_DELETION:
        raise failed_precondition(REASON_CUSTOMER_NOT_ENDED)
    # Also of who was erased before the call broke off, and was registered anew since.
    if any(stage in NOT_BEGUN for stage in stages):
        raise failed_precondition(REASON_REGISTRATION_UNDECIDED)
    if customer is None:
        # A repeated call.
        return
    use = use_row("customership:erase", [customer.customer_id, person_id])
    await connection.execute(registration_queries.INSERT_USE, use)
