"""Authentication and authorisation: known pages by origin, accounts by access token and access table."""

from datetime import UTC

import grpc
from starlette.requests import Request
from starlette.responses import Response

from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, Actor
from liity.v1.auth_service_pb2 import Session
from liity.v1.reason_pb2 import REASON_PERMISSION_DENIED, REASON_UNAUTHENTICATED
from services.codec.settings import CodecSettings
from services.runtime.clock import now
from services.runtime.rpc.context import current_actor, set_current_actor
from services.runtime.rpc.errors import Refusal, permission_denied, unauthenticated
from services.runtime.security.access import ACCESS, Accounts, Caller
from services.runtime.security.access_tokens import AccessTokenVerifier, bearer_token

_RULE = ACCESS["/codec/decode"]
if not isinstance(_RULE, Accounts):
    raise TypeError("Payloads are decoded for accounts alone")

ACTION = _RULE.action
"""The action's name in the log of use."""

_ROLES = _RULE.roles


class Admission:
    """Admits accounts that may decode payloads."""

    def __init__(self, settings: CodecSettings, tokens: AccessTokenVerifier) -> None:
        self._tokens = tokens
        self._own_origin = settings.codec_url
        self._ui_origins = frozenset(settings.codec_ui_origins)
        self._secure = settings.codec_url.startswith("https:")
        # The prefix prevents other hosts of the same site from setting the cookie (RFC 6265bis).
        self._cookie = "__Host-liity-codec" if self._secure else "liity-codec"

    def is_from_ui(self, request: Request) -> bool:
        """Whether a page of a configured Temporal UI makes the call."""
        return request.headers.get("Origin") in self._ui_origins

    def require_known_page(self, request: Request) -> None:
        """PERMISSION_DENIED for other pages' calls. Programs other than browsers send no origin and pass."""
        if "Origin" in request.headers and not self.is_from_ui(request):
            raise permission_denied(REASON_PERMISSION_DENIED)

    def require_own_page(self, request: Request) -> None:
        """PERMISSION_DENIED unless our own page sends the form."""
        if request.headers.get("Origin") != self._own_origin:
            raise permission_denied(REASON_PERMISSION_DENIED)

    async def admit(self, request: Request) -> bool:
        """Admits the caller of `/decode` and sets the task's actor.

        False if nobody is logged in in a browser with Temporal UI, which shows a refusal over every run.
        For a program that is UNAUTHENTICATED. PERMISSION_DENIED if the account has no role that may decode.
        """
        self.require_known_page(request)
        if "Authorization" in request.headers:
            account = await self.account(bearer_token(request.headers["Authorization"]))
        elif self.is_from_ui(request):
            try:
                account = await self.logged_in(request)
            except Refusal as refusal:
                if refusal.code != grpc.StatusCode.UNAUTHENTICATED:
                    raise
                return False
        else:
            # A browser sends the cookie whichever page calls: accept it from the UI only.
            raise unauthenticated(REASON_UNAUTHENTICATED)
        actor = Actor()
        actor.CopyFrom(current_actor())
        actor.kind, actor.account_id, actor.role = (
            ACTOR_KIND_ACCOUNT,
            account.account_id,
            min(_ROLES & account.roles),
        )
        set_current_actor(actor)
        return True

    async def account(self, token: str) -> Caller:
        """The account of an access token. Errors as `admit`."""
        if not token:
            raise unauthenticated(REASON_UNAUTHENTICATED)
        account = await self._tokens.caller(token)
        if not _ROLES & account.roles:
            raise permission_denied(REASON_PERMISSION_DENIED)
        return account

    async def logged_in(self, request: Request) -> Caller:
        """The account logged in on our own page. Errors as `account`."""
        return await self.account(self._token_in_cookie(request))

    def remember(self, response: Response, session: Session) -> None:
        """Sets the cookie with the access token, until the token expires."""
        end = session.access_token_expire_time.ToDatetime(UTC)
        response.set_cookie(
            self._cookie,
            session.access_token,
            max_age=max(0, int((end - now()).total_seconds())),
            httponly=True,
            secure=self._secure,
            samesite="strict",
        )

    def forget(self, response: Response) -> None:
        """Deletes the cookie."""
        response.delete_cookie(self._cookie, httponly=True, secure=self._secure, samesite="strict")

    def _token_in_cookie(self, request: Request) -> str:
        return request.cookies.get(self._cookie, "")
