"""Erasing again whom a restored backup has brought back, by the erasure ledger."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from liity.identity.v1.person_service_pb2 import ListMissingPersonsRequest
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.notification.v1.notification_service_pb2 import ExportSubjectsRequest
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.registration.v1.personal_data_service_pb2 import IsPersonKnownRequest
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub
from liity.registration.v1.reconciliation_service_pb2 import GetUnfinishedRegistrationRequest
from liity.registration.v1.reconciliation_service_pb2_grpc import ReconciliationServiceStub
from liity.registration.v1.registration_service_pb2 import EndRegistrationRequest
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.reason_pb2 import REASON_NOT_WAITING, REASON_REGISTRATION_NOT_FOUND
from liity.v1.registration_pb2 import Stage
from services.runtime.rpc.errors import Refusal
from services.runtime.rpc.peer import Peer
from workflows.privacy.erasure import Erasure
from workflows.privacy.erasure_ledger import Erased

Service = Literal["identity", "registration", "notification"]

_AT_ONCE = 100
"""Entries checked with one call of identity."""


@dataclass(frozen=True)
class CameBack:
    """An erasure whose data is there again."""

    erased: Erased
    services: Sequence[Service]
    """Where."""


class Reapplication:
    """Finds erased data that is there again, and erases it. Both may be repeated."""

    def __init__(self, identity: Peer, registration: Peer, notification: Peer, erasure: Erasure) -> None:
        self._identity = identity
        self._registration = registration
        self._notification = notification
        self._erasure = erasure
        self._persons = PersonServiceStub(identity.channel)
        self._personal_data = PersonalDataServiceStub(registration.channel)
        self._registrations = RegistrationServiceStub(registration.channel)
        self._rows = ReconciliationServiceStub(registration.channel)
        self._notifications = NotificationServiceStub(notification.channel)

    async def find(self, ledger: Mapping[Erased, datetime]) -> AsyncIterator[CameBack]:
        """Whatever of the ledger is there again."""
        entries = list(ledger.items())
        for first in range(0, len(entries), _AT_ONCE):
            some = entries[first : first + _AT_ONCE]
            request = ListMissingPersonsRequest(person_ids=[erased.person_id for erased, _ in some])
            missing = await self._identity.call(self._persons.ListMissingPersons, request)
            gone = set(missing.person_ids)
            for erased, moment in some:
                if services := await self._services(erased, moment, gone):
                    yield CameBack(erased, services)

    async def erase(self, erased: Erased) -> None:
        """Erases again. It is recorded anew, as backups made since the restore hold the data too."""
        if erased.kind == "person":
            await self._erasure.erase_person(erased.person_id, registration_ids=erased.registration_ids)
            return
        if erased.kind == "linked":
            await self._erasure.erase_elsewhere(erased)
            return
        stage = Stage.Value(f"STAGE_{erased.stage}")
        for registration_id in erased.registration_ids:
            end = EndRegistrationRequest(registration_id=registration_id, stage=stage)
            try:
                await self._registration.call(self._registrations.EndRegistration, end)
            except Refusal as refusal:
                if refusal.reason not in {REASON_NOT_WAITING, REASON_REGISTRATION_NOT_FOUND}:
                    raise
            await self._erasure.erase_registration(erased.person_id, registration_id, stage)

    async def _services(self, erased: Erased, moment: datetime, gone: set[str]) -> list[Service]:
        in_registration, in_notification = await asyncio.gather(
            self._in_registration(erased), self._in_notification(erased, moment)
        )
        if erased.kind == "linked" and in_registration:
            # The backup has undone the link: the registration waits for its decision again.
            return []
        # A person whose registration alone has ended stays in identity.
        in_identity = erased.kind != "registration" and erased.person_id not in gone
        found: dict[Service, bool] = {
            "identity": in_identity,
            "registration": in_registration,
            "notification": in_notification,
        }
        return [service for service, is_there in found.items() if is_there]

    async def _in_registration(self, erased: Erased) -> bool:
        if erased.kind != "registration":
            known = IsPersonKnownRequest(person_id=erased.person_id)
            return (await self._registration.call(self._personal_data.IsPersonKnown, known)).known
        for registration_id in erased.registration_ids:
            get = GetUnfinishedRegistrationRequest(registration_id=registration_id)
            try:
                await self._registration.call(self._rows.GetUnfinishedRegistration, get)
            except Refusal as refusal:
                if refusal.reason != REASON_REGISTRATION_NOT_FOUND:
                    raise
            else:
                return True
        return False

    async def _in_notification(self, erased: Erased, moment: datetime) -> bool:
        """Whether there is mail from before the erasure. What was mailed after it tells of nobody."""
        if not erased.registration_ids:
            return False
        request = ExportSubjectsRequest(subject_ids=erased.registration_ids)
        told = await self._notification.call(self._notifications.ExportSubjects, request)
        return any(
            datetime.fromisoformat(str(record["create_time"])) < moment
            for section in told.sections
            for record in section.records
        )
