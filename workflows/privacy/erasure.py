"""Erasing a person: one operation over all services, for every reason (such as R30).

Registration erases first, and keeps the IDs. Then the erasure is written to the ledger, and only after that
the IDs go. So an erasure that is not in the ledger yet can be repeated whole, and is not acknowledged; one
that registration refuses never gets there, and nobody is erased by mistake after a backup was restored.
"""

import asyncio
from collections.abc import Sequence
from typing import Literal

from liity.identity.v1 import person_service_pb2 as identity_pb2
from liity.identity.v1.person_service_pb2_grpc import PersonServiceStub
from liity.notification.v1.notification_service_pb2 import EraseSubjectsRequest
from liity.notification.v1.notification_service_pb2_grpc import NotificationServiceStub
from liity.registration.v1.personal_data_service_pb2 import ErasePersonRequest, ForgetPersonRequest
from liity.registration.v1.personal_data_service_pb2_grpc import PersonalDataServiceStub
from liity.v1.registration_pb2 import Stage
from services.runtime.rpc.peer import Peer
from services.runtime.temporal.search_attributes import stage_name
from workflows.privacy.erasure_ledger import Erased, ErasureLedger


class Erasure:
    """The operation; called by an activity that is retried until it succeeds."""

    def __init__(self, identity: Peer, registration: Peer, notification: Peer, ledger: ErasureLedger) -> None:
        self._identity = identity
        self._registration = registration
        self._notification = notification
        self._ledger = ledger
        self._persons = PersonServiceStub(identity.channel)
        self._personal_data = PersonalDataServiceStub(registration.channel)
        self._notifications = NotificationServiceStub(notification.channel)

    async def erase_person(
        self,
        person_id: str,
        *,
        kind: Literal["person", "linked"] = "person",
        only_if_ended: bool = False,
        registration_ids: Sequence[str] = (),
    ) -> None:
        """Erases all data of a person in every service. May fail anywhere, and be repeated.

        It stands in the ledger as `kind`. `registration_ids` are those that registration may have forgotten
        already.

        With `only_if_ended`, refused as `PersonalDataService.ErasePerson` unless the customership has ended.

        The person's data goes first, so that no activity mails them any more. The IDs of their registrations,
        by which mail and links are found, go last.
        """
        # An erasure that cannot be recorded must not begin.
        await asyncio.to_thread(self._ledger.require_writable)
        erase = ErasePersonRequest(person_id=person_id, only_if_ended=only_if_ended)
        erased = await self._registration.call(self._personal_data.ErasePerson, erase)
        subject_ids = sorted({*erased.registration_ids, *registration_ids})
        await self.erase_elsewhere(Erased(kind, person_id, tuple(subject_ids)))
        forget = ForgetPersonRequest(person_id=person_id)
        await self._registration.call(self._personal_data.ForgetPerson, forget)

    async def erase_elsewhere(self, erased: Erased) -> None:
        """Records an erasure, and erases the person in notification and identity alone."""
        await self._ledger.record(erased)
        mail = EraseSubjectsRequest(subject_ids=erased.registration_ids)
        await self._notification.call(self._notifications.EraseSubjects, mail)
        person = identity_pb2.ErasePersonRequest(
            person_id=erased.person_id, subject_ids=erased.registration_ids
        )
        await self._identity.call(self._persons.ErasePerson, person)

    async def erase_registration(self, person_id: str, registration_id: str, stage: Stage.ValueType) -> None:
        """Erases the mail of an ended registration whose person remains a customer."""
        await self._ledger.record(Erased("registration", person_id, (registration_id,), stage_name(stage)))
        mail = EraseSubjectsRequest(subject_ids=[registration_id])
        await self._notification.call(self._notifications.EraseSubjects, mail)
