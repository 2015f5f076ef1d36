"""Reports persons whose personal identity codes differ by the century sign alone, for the work list (R45)."""

from collections.abc import Collection, Iterable

from liity.registration.v1.work_service_pb2 import RecordSimilarCodesRequest, SimilarCodes
from liity.registration.v1.work_service_pb2_grpc import WorkServiceStub
from services.runtime.rpc.peer import Peer


class SimilarCodeReports:
    """Reports pairs of persons. Most codes have none: then no call is made."""

    def __init__(self, registration: Peer) -> None:
        self._registration = registration
        self._work = WorkServiceStub(registration.channel)

    async def report(self, others_of: Iterable[tuple[str, Collection[str]]]) -> None:
        """Reports the others of each person."""
        pairs = [
            SimilarCodes(person_id=person_id, other_person_id=other)
            for person_id, others in others_of
            for other in others
        ]
        if pairs:
            record = RecordSimilarCodesRequest(pairs=pairs)
            await self._registration.call(self._work.RecordSimilarCodes, record)
