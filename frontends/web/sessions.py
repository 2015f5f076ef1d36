"""The session of somebody logged in: in a sealed cookie, and nowhere else."""

import zlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

from frontends.client import Api, new_request_id
from frontends.web.sealing import Seal
from liity.v1.auth_service_pb2 import (
    ROLE_CUSTOMER_SERVICE,
    ROLE_MAIN_USER,
    Membership,
    RefreshSessionRequest,
    Session,
)

_PURPOSE = "session"
_RENEW_BEFORE = timedelta(seconds=60)


@dataclass(frozen=True)
class WebSession:
    """A session, the unit acted for, and the address it was opened with."""

    session: Session
    email: str
    unit: str = ""
    """`units/{unit}`; empty until one is chosen, and for customer service."""

    @property
    def membership(self) -> Membership:
        """The membership in the chosen unit; empty if none is chosen."""
        return next((each for each in self.session.memberships if each.unit == self.unit), Membership())

    @property
    def is_customer_service(self) -> bool:
        """Whether the account belongs to customer service."""
        return ROLE_CUSTOMER_SERVICE in self.session.roles

    @property
    def is_main_user(self) -> bool:
        """Whether the account is a main user of the chosen unit."""
        return self.membership.role == ROLE_MAIN_USER

    @property
    def is_stale(self) -> bool:
        """Whether the access token is about to expire."""
        left = self.session.access_token_expire_time.ToDatetime(UTC) - datetime.now(UTC)
        return left < _RENEW_BEFORE

    def sealed(self, seal: Seal) -> str:
        """The cookie's value."""
        head = f"{self.unit}\n{self.email}\n".encode()
        value = zlib.compress(head + self.session.SerializeToString())
        return seal.seal(_PURPOSE, value, self.lifetime)

    @property
    def lifetime(self) -> timedelta:
        """How long the session can still be renewed."""
        return self.session.refresh_token_expire_time.ToDatetime(UTC) - datetime.now(UTC)

    @classmethod
    def unsealed(cls, seal: Seal, cookie: str) -> Self | None:
        """The session of a cookie; None if there is none, or it is not ours."""
        value = seal.unseal(_PURPOSE, cookie)
        if value is None:
            return None
        unit, email, session = zlib.decompress(value).split(b"\n", 2)
        return cls(Session.FromString(session), email.decode(), unit.decode())

    async def renewed(self, api: Api, language: str, forwarded_for: str) -> "WebSession":
        """The session with new tokens. Of two tabs that renew at once, both get the same refresh token."""
        request = RefreshSessionRequest(refresh_token=self.session.refresh_token, request_id=new_request_id())
        answer = await api.send(api.auth.RefreshSession, request, language, forwarded_for=forwarded_for)
        unit = self.unit if any(each.unit == self.unit for each in answer.session.memberships) else ""
        return WebSession(answer.session, self.email, unit)
