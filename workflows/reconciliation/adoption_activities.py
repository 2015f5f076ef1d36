"""Activity by which a run adopts a registration from its row."""

import uuid
from datetime import UTC

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio import activity

from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_CONSENT, IssueLinkRequest
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from liity.registration.v1.reconciliation_service_pb2 import GetUnfinishedRegistrationRequest
from liity.registration.v1.reconciliation_service_pb2_grpc import ReconciliationServiceStub
from liity.registration.v1.registration_service_pb2 import GetRegistrationRequest
from liity.registration.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.registration_pb2 import STAGE_ACTIVE, STAGE_CREDENTIALS_SENT, STAGE_WAITING_FOR_CONSENT
from liity.workflows.v1.registration_workflow_pb2 import Adopt, CreatedRegistration, Timetable
from services.runtime.clock import from_proto_date, helsinki_moment
from services.runtime.guardians import FIRST_GUARDIAN, OTHER_GUARDIAN
from services.runtime.rpc.errors import Refusal, is_permanent
from services.runtime.rpc.peer import Peer
from services.runtime.stages import ENDED
from workflows.support.deadlines import welcome_time


class AdoptionActivities:
    """An activity that calls identity and registration."""

    def __init__(self, identity: Peer, registration: Peer, timetable: Timetable) -> None:
        self._identity = identity
        self._registration = registration
        self._timetable = timetable
        self._links = LinkServiceStub(identity.channel)
        self._registrations = RegistrationServiceStub(registration.channel)
        self._rows = ReconciliationServiceStub(registration.channel)

    @activity.defn
    async def adopt_registration(self, adopted: Adopt) -> CreatedRegistration:
        """The data for a run that adopts a registration; empty if it is another person's or not there.

        Empty also if another Save made it: the run would refuse the Save that did.

        Of a registration that has ended, only the registration.
        """
        request = GetUnfinishedRegistrationRequest(registration_id=adopted.registration_id)
        try:
            found = await self._registration.call(self._rows.GetUnfinishedRegistration, request)
        except Refusal as refusal:
            if is_permanent(refusal.code):
                return await self._ended(adopted.registration_id)
            raise
        # A service of an earlier release does not name the Save.
        if found.registration.person_id != adopted.person_id or (
            found.request_id not in {"", adopted.request_id}
        ):
            return CreatedRegistration()
        created = CreatedRegistration(
            registration=found.registration, timetable=self._timetable, temporary=found.temporary
        )
        if found.HasField("consent_outgrown_date"):
            birthday = from_proto_date(found.consent_outgrown_date)
            created.consent_outgrown_time.FromDatetime(helsinki_moment(birthday))
        go_on(created)
        if found.registration.stage == STAGE_WAITING_FOR_CONSENT:
            created.guardian_corrections = await self._corrections(created, FIRST_GUARDIAN)
            if created.registration.other_guardian_asked:
                created.other_guardian_corrections = await self._corrections(created, OTHER_GUARDIAN)
        return created

    async def _ended(self, registration_id: str) -> CreatedRegistration:
        """The registration, if it has ended: its person is unknown by then, or another."""
        request = GetRegistrationRequest(registration_id=registration_id)
        try:
            found = await self._registration.call(self._registrations.GetRegistration, request)
        except Refusal as refusal:
            if is_permanent(refusal.code):
                return CreatedRegistration()
            raise
        ended = found.registration.stage in ENDED
        return CreatedRegistration(registration=found.registration) if ended else CreatedRegistration()

    async def _corrections(self, created: CreatedRegistration, guardian: int) -> int:
        """How often the guardian's address was corrected: each correction voided a link."""
        until = Timestamp()
        moments = (created.registration.deadline, created.consent_outgrown_time)
        until.FromDatetime(min(moment.ToDatetime(UTC) for moment in moments))
        corrections = 0
        while True:
            registration_id = created.registration.registration_id
            link = consent_link_request(registration_id, corrections, until, guardian)
            if not (await self._identity.call(self._links.IssueLink, link)).link_void:
                return corrections
            corrections += 1


def go_on(created: CreatedRegistration) -> None:
    """Sets the times of the current stage from the row."""
    registration, timetable = created.registration, created.timetable
    changed, deadline = (
        moment.ToDatetime(UTC) for moment in (registration.update_time, registration.deadline)
    )
    if registration.stage == STAGE_WAITING_FOR_CONSENT:
        created.begin_time.FromDatetime(deadline - timetable.consent_lapse.ToTimedelta())
    elif registration.stage == STAGE_ACTIVE:
        created.begin_time.FromDatetime(changed)
    elif registration.stage == STAGE_CREDENTIALS_SENT:
        created.begin_time.FromDatetime(changed)
        # While the welcome mail waits for the customer's own address, the row has its latest time (R27).
        welcome = welcome_time(changed, timetable, registration.registration_id)
        created.welcome_time.FromDatetime(min(deadline, welcome))


def consent_link_request(
    registration_id: str, corrections: int, expire_time: Timestamp, guardian: int
) -> IssueLinkRequest:
    """The request of the guardian's link; the same link until the guardian's address is corrected.

    Keyed by the registration, not the event: a reminder repeats the link of the request.
    """
    name = "consent link of the other guardian" if guardian == OTHER_GUARDIAN else "consent link"
    if corrections:
        name = f"{name} {corrections}"
    return IssueLinkRequest(
        request_id=str(uuid.uuid5(uuid.UUID(registration_id), name)),
        purpose=LINK_PURPOSE_CONSENT,
        subject=registration_id,
        expire_time=expire_time,
        guardian=guardian,
    )
