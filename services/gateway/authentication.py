"""Authenticates the public API's callers by access token, and authorises them for the request's unit."""

import re

import structlog
from google.protobuf.message import Message

from liity.v1.actor_pb2 import ACTOR_KIND_ACCOUNT, ACTOR_KIND_LINK, Actor
from liity.v1.reason_pb2 import (
    REASON_INVALID_FORMAT,
    REASON_PERMISSION_DENIED,
    REASON_UNIT_NOT_FOUND,
)
from services.gateway.resource_names import ALL_UNITS
from services.runtime.rpc.client_address import CallerWatch, Networks
from services.runtime.rpc.errors import FieldViolation, invalid, not_found, permission_denied
from services.runtime.rpc.interceptor import Call
from services.runtime.rpc.peer import Peer
from services.runtime.security.access import Accounts, Caller, Rule, Whose
from services.runtime.security.access_tokens import AccessTokenVerifier, bearer_token

log = structlog.get_logger()

_UNIT = re.compile(r"units/([a-z0-9]{1,32})(?:/.*)?", re.DOTALL)


class AccountAuthenticator:
    """Authenticates accounts, and authorises them for the units they belong to."""

    def __init__(self, identity: Peer, trusted_proxies: Networks = ()) -> None:
        self._tokens = AccessTokenVerifier(identity)
        self._callers = CallerWatch(trusted_proxies)

    async def authenticate(self, call: Call, rule: Rule) -> Caller:
        """The account of an access token."""
        if not isinstance(rule, Accounts):
            raise permission_denied(REASON_PERMISSION_DENIED)
        token = bearer_token(call.text("authorization"))
        return await self._tokens.caller(token, session_by_handler=rule.session_by_handler)

    def authorize(self, call: Call, caller: Caller, rule: Rule, request: Message) -> Actor:
        """The actor, with the role that permits the call.

        The unit is the one that `parent` or `name` begins with. NOT_FOUND for a unit that is not the
        caller's: whether it exists stays hidden. PERMISSION_DENIED if no unit is named, or the caller's own,
        and no role is enough.
        """
        if self._callers.is_alone(call.address):
            log.warning(
                "all callers have one network address: is a proxy missing in LIITY_TRUSTED_PROXIES?",
            )
        actor = Actor(
            kind=ACTOR_KIND_LINK,
            request_id=getattr(request, "request_id", ""),
            trace_id=call.trace_id,
            caller_address=call.address,
        )
        if not isinstance(rule, Accounts):
            return actor
        unit_id = _unit_of(request) if rule.whose is Whose.UNIT else ""
        about_nobody = rule.whose is Whose.NOBODY
        roles = rule.roles & (caller.roles_anywhere() if about_nobody else caller.roles_in(unit_id))
        if not roles:
            known = not unit_id or unit_id in (caller.units or {})
            raise permission_denied(REASON_PERMISSION_DENIED) if known else not_found(REASON_UNIT_NOT_FOUND)
        actor.kind = ACTOR_KIND_ACCOUNT
        actor.account_id = caller.account_id
        actor.unit_id = unit_id
        # A role in this unit comes before a role everywhere.
        actor.role = min(roles)
        return actor


def _unit_of(request: Message) -> str:
    """The ID of the unit; empty for all units, which only a role everywhere reaches."""
    field = "parent" if "parent" in request.DESCRIPTOR.fields_by_name else "name"
    name = getattr(request, field)
    if name == ALL_UNITS:
        return ""
    unit = _UNIT.fullmatch(name)
    if unit is None:
        raise invalid([FieldViolation(field, REASON_INVALID_FORMAT)])
    return unit[1]
