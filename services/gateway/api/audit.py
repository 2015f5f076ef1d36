"""`liity.v1.UseLogService`: customer service searches the log of use."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, timedelta

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from typing_extensions import override

from liity.identity.v1.account_service_pb2 import BatchGetAccountsRequest, ListLockOutsRequest
from liity.identity.v1.account_service_pb2_grpc import AccountServiceStub
from liity.registration.v1 import use_log_service_pb2 as registration_pb2
from liity.registration.v1.use_log_service_pb2_grpc import UseLogServiceStub
from liity.v1.use_log_service_pb2 import (
    SUSPICION_RULE_LOCK_OUTS,
    ListSuspicionsRequest,
    ListSuspicionsResponse,
    ListUsesRequest,
    ListUsesResponse,
    Suspicion,
)
from liity.v1.use_log_service_pb2_grpc import UseLogServiceServicer
from services.gateway.views import DEFAULT_PAGE, LARGEST_PAGE
from services.runtime.clock import helsinki_day, now
from services.runtime.rpc.context import current_request
from services.runtime.rpc.peer import Peer

_LOOK_BACK = timedelta(days=30)
_MOST_SUSPICIONS = 200


class UseLogService(UseLogServiceServicer):
    """Searches the log, and adds the accounts' current display names."""

    def __init__(self, identity: Peer, registration: Peer) -> None:
        self._identity = identity
        self._registration = registration
        self._accounts = AccountServiceStub(identity.channel)
        self._uses = UseLogServiceStub(registration.channel)

    @override
    async def ListUses(self, request: ListUsesRequest, context: grpc.ServicerContext) -> ListUsesResponse:
        """Searches the log, newest first."""
        search = registration_pb2.ListUsesRequest(
            subject_id=request.subject_id,
            account_id=request.account_id,
            unit_id=request.unit.removeprefix("units/"),
            action=request.action,
            page_size=min(request.page_size or DEFAULT_PAGE, LARGEST_PAGE),
            page_token=request.page_token,
        )
        for bound in ("start_time", "end_time"):
            if request.HasField(bound):
                getattr(search, bound).CopyFrom(getattr(request, bound))
        if request.subject_id:
            current_request().subjects.add(request.subject_id)
        found = await self._registration.call(self._uses.ListUses, search)
        names = await self._names(use.account_id for use in found.uses)
        for use in found.uses:
            use.account_display_name = names.get(use.account_id, "")
        return ListUsesResponse(uses=found.uses, next_page_token=found.next_page_token)

    @override
    async def ListSuspicions(
        self,
        request: ListSuspicionsRequest,
        context: grpc.ServicerContext,
    ) -> ListSuspicionsResponse:
        """Lists findings of the rules for suspicious use, newest day first."""
        search = registration_pb2.ListSuspicionsRequest(start_time=request.start_time)
        if not request.HasField("start_time"):
            search.start_time.FromDatetime(now() - _LOOK_BACK)
        found = await self._registration.call(self._uses.ListSuspicions, search)
        suspicions = [*found.suspicions, *await self._lock_outs(search.start_time)]
        suspicions.sort(key=_day_and_count, reverse=True)
        del suspicions[_MOST_SUSPICIONS:]
        names = await self._names(suspicion.account_id for suspicion in suspicions)
        for suspicion in suspicions:
            suspicion.account_display_name = names.get(suspicion.account_id, "")
        return ListSuspicionsResponse(suspicions=suspicions)

    async def _lock_outs(self, since: Timestamp) -> Iterator[Suspicion]:
        """Accounts whose log-in was locked repeatedly."""
        request = ListLockOutsRequest(start_time=since)
        found = await self._identity.call(self._accounts.ListLockOuts, request)
        return (
            Suspicion(
                rule=SUSPICION_RULE_LOCK_OUTS,
                account_id=lock_outs.account_id,
                count=lock_outs.count,
                threshold=found.threshold,
                start_time=lock_outs.start_time,
                end_time=lock_outs.end_time,
            )
            for lock_outs in found.lock_outs
        )

    async def _names(self, account_ids: Iterable[str]) -> Mapping[str, str]:
        """Display names by account ID; unknown accounts are left out."""
        wanted = sorted(set(account_ids) - {""})
        if not wanted:
            return {}
        request = BatchGetAccountsRequest(account_ids=wanted)
        found = await self._identity.call(self._accounts.BatchGetAccounts, request)
        return {account.account_id: account.display_name for account in found.accounts}


def _day_and_count(suspicion: Suspicion) -> tuple[date, int]:
    return helsinki_day(suspicion.start_time.ToDatetime(UTC)), suspicion.count
