"""Activities of a disclosure. The gathered data stays within them: it never enters a history."""

from temporalio import activity

from liity.identity.v1 import person_service_pb2 as identity_pb2
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.notification.v1.notification_service_pb2 import ExportSubjectsRequest
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.registration.v1.personal_data_service_pb2 import (
    DeleteDisclosureRequest,
    ExportPersonRequest,
    StoreDisclosureRequest,
)
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub
from liity.v1.personal_data_pb2 import PersonalDataExport, ServicePersonalData
from liity.workflows.v1.disclosure_workflow_pb2 import DisclosureWorkflowInput
from services.runtime.clock import now
from services.runtime.rpc.errors import Refusal, is_permanent
from services.runtime.rpc.peer import Peer
from services.runtime.security.disclosure_seal import DisclosureSeal

_EXPORT_TIMEOUT = 30.0
"""Seconds that a service may take to export its data."""


class DisclosureActivities:
    """Activities that call the three services."""

    def __init__(self, identity: Peer, registration: Peer, notification: Peer, seal: DisclosureSeal) -> None:
        self._identity = identity
        self._registration = registration
        self._notification = notification
        self._seal = seal
        self._persons = PersonServiceStub(identity.channel)
        self._personal_data = PersonalDataServiceStub(registration.channel)
        self._notifications = NotificationServiceStub(notification.channel)

    @activity.defn
    async def gather_disclosure(self, disclosure: DisclosureWorkflowInput) -> None:
        """Gathers the person's data from every service, and stores it encrypted.

        If a service refuses for good, that is stored instead, so that nobody waits for it.
        """
        export = PersonalDataExport()
        export.gather_time.FromDatetime(now())
        try:
            export.services.extend(await self._gather(disclosure.person_id))
        except Refusal as refusal:
            if is_permanent(refusal.code):
                failed = StoreDisclosureRequest(
                    disclosure_id=disclosure.disclosure_id,
                    person_id=disclosure.person_id,
                    expire_time=disclosure.expire_time,
                    failed=True,
                )
                await self._registration.call(self._personal_data.StoreDisclosure, failed)
            raise
        store = StoreDisclosureRequest(
            disclosure_id=disclosure.disclosure_id,
            person_id=disclosure.person_id,
            ciphertext=self._seal.seal(disclosure.disclosure_id, export),
            expire_time=disclosure.expire_time,
        )
        await self._registration.call(self._personal_data.StoreDisclosure, store)

    @activity.defn
    async def delete_disclosure(self, disclosure: DisclosureWorkflowInput) -> None:
        """Erases the export."""
        delete = DeleteDisclosureRequest(disclosure_id=disclosure.disclosure_id)
        await self._registration.call(self._personal_data.DeleteDisclosure, delete)

    async def _gather(self, person_id: str) -> list[ServicePersonalData]:
        registration = await self._registration.call(
            self._personal_data.ExportPerson,
            ExportPersonRequest(person_id=person_id),
            timeout=_EXPORT_TIMEOUT,
        )
        subject_ids = registration.registration_ids
        identity = await self._identity.call(
            self._persons.ExportPerson,
            identity_pb2.ExportPersonRequest(person_id=person_id, subject_ids=subject_ids),
            timeout=_EXPORT_TIMEOUT,
        )
        notification = await self._notification.call(
            self._notifications.ExportSubjects,
            ExportSubjectsRequest(subject_ids=subject_ids),
            timeout=_EXPORT_TIMEOUT,
        )
        told = (("identity", identity), ("registration", registration), ("notification", notification))
        return [
            ServicePersonalData(service=service, sections=answer.sections)
            for service, answer in told
            if answer.sections
        ]
