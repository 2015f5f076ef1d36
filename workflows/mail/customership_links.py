"""Links in mail by which a customer ends the customership or extends a temporary need (R21)."""

from datetime import datetime, timedelta

from liity.identity.v1.link_service_pb2 import (
    LINK_PURPOSE_CUSTOMERSHIP,
    IssueLinkRequest,
    RedeemLinkRequest,
    VoidLinksRequest,
)
from liity.identity.v1.link_service_pb2_grpc import LinkServiceStub
from services.runtime.clock import deadline_after, now
from services.runtime.rpc.errors import Refusal, is_permanent
from services.runtime.rpc.peer import Peer


class CustomershipLinks:
    """Issues, redeems and voids those links. `lifetime` is how long one works."""

    def __init__(self, identity: Peer, lifetime: timedelta) -> None:
        self._identity = identity
        self._links = LinkServiceStub(identity.channel)
        self._lifetime = lifetime

    async def issue(
        self, request_id: str, registration_id: str, at_least_until: datetime | None = None
    ) -> str:
        """The token of a new link; the same token for the same request."""
        end = deadline_after(now(), self._lifetime)
        issue = IssueLinkRequest(
            request_id=request_id, purpose=LINK_PURPOSE_CUSTOMERSHIP, subject=registration_id
        )
        issue.expire_time.FromDatetime(max(end, at_least_until) if at_least_until else end)
        return (await self._identity.call(self._links.IssueLink, issue)).token

    async def use_up(self, link_id: str, request_id: str) -> None:
        """Redeems the link of a decision, if it has one, after the decision is made.

        Two simultaneous decisions by one link both count: the link was valid when it was checked.
        """
        if not link_id:
            return
        redeem = RedeemLinkRequest(link_id=link_id, request_id=request_id)
        try:
            await self._identity.call(self._links.RedeemLink, redeem)
        except Refusal as refusal:
            if not is_permanent(refusal.code):
                raise

    async def void(self, registration_id: str, kept_request_id: str = "") -> None:
        """Voids the unused links, except the one issued for `kept_request_id`."""
        void = VoidLinksRequest(
            purpose=LINK_PURPOSE_CUSTOMERSHIP, subject=registration_id, kept_request_id=kept_request_id
        )
        await self._identity.call(self._links.VoidLinks, void)
