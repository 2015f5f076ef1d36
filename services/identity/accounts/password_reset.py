"""Password reset for accounts: order, link by mail, new password (R22)."""

from datetime import timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from liity.identity.v1.account_service_pb2 import (
    AdmitPasswordOrderRequest,
    AdmitPasswordOrderResponse,
    ChooseAccountPasswordRequest,
    IssuePasswordLinkRequest,
    IssuePasswordLinkResponse,
)
from liity.identity.v1.link_service_pb2 import LINK_PURPOSE_ACCOUNT_PASSWORD
from liity.v1.reason_pb2 import REASON_LINK_INVALID
from services.identity.accounts.known_places import KnownPlaces
from services.identity.accounts.passwords import Passwords, require_strong
from services.identity.accounts.throttle import LoginThrottle, OrderThrottle
from services.identity.links.service import LinkDoor, issue_link, recent_link, redeem_link, void_links
from services.identity.links.tokens import SealedIds
from services.identity.models import Account, Session
from services.runtime.clock import now
from services.runtime.rpc.context import current_actor
from services.runtime.rpc.errors import not_found
from services.runtime.text import email_addresses


class PasswordOrders:
    """Orders, links and choices of new passwords."""

    def __init__(
        self,
        engine: AsyncEngine,
        sealed_ids: SealedIds,
        door: LinkDoor,
        passwords: Passwords,
        orders: OrderThrottle,
        log_ins: LoginThrottle,
        places: KnownPlaces,
        link_lifetime: timedelta,
    ) -> None:
        self._engine = engine
        self._sealed_ids = sealed_ids
        self._door = door
        self._passwords = passwords
        self._orders = orders
        self._log_ins = log_ins
        self._places = places
        self._link_lifetime = link_lifetime

    async def admit(self, request: AdmitPasswordOrderRequest) -> AdmitPasswordOrderResponse:
        """Counts an order against its limits, without looking up whether the address has an account."""
        address = email_addresses.fold(request.email)
        few = await self._orders.admit(address, current_actor().caller_address)
        return AdmitPasswordOrderResponse(only_without_link=not few)

    async def issue(self, request: IssuePasswordLinkRequest) -> IssuePasswordLinkResponse:
        """Issues the link of an order; empty if no account has the address.

        A link that has more than half its time is given again, and no order voids a link: others may order,
        too.
        """
        async with self._engine.begin() as connection:
            # Locks the account's row until the transaction ends.
            found = await connection.execute(
                select(Account.account_id, Account.email, Account.language)
                .where(Account.email == email_addresses.fold(request.email))
                .with_for_update(key_share=True)
            )
            account = found.one_or_none()
            if account is None:
                return IssuePasswordLinkResponse()
            link = await recent_link(
                connection,
                LINK_PURPOSE_ACCOUNT_PASSWORD,
                account.account_id,
                request.request_id,
                self._link_lifetime / 2,
            )
            if link is not None and request.only_without_link:
                return IssuePasswordLinkResponse()
            link = link or await issue_link(
                connection,
                LINK_PURPOSE_ACCOUNT_PASSWORD,
                account.account_id,
                request.request_id,
                self._link_lifetime,
                lives_anew=True,
                voids_earlier=False,
            )
        response = IssuePasswordLinkResponse(
            email=account.email,
            language=account.language,
            link_token=self._sealed_ids.seal("account-password", link.link_id),
            account_id=account.account_id,
            link_void=link.void,
        )
        response.expire_time.FromDatetime(link.expires_at)
        return response

    async def choose(self, request: ChooseAccountPasswordRequest) -> None:
        """Sets the password, ends the account's sessions and lifts its lock-out."""
        link = await self._door.open(LINK_PURPOSE_ACCOUNT_PASSWORD, request.link_token, request.request_id)
        if link.used:
            return
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(Account.email, Account.display_name).where(Account.account_id == link.subject)
            )
            owner = found.one_or_none()
        if owner is None:
            raise not_found(REASON_LINK_INVALID)
        await require_strong(request.password, owner.email, owner.display_name, *request.own_words)
        # Hash outside the transaction: hashing is slow.
        password_hash = await self._passwords.hash(request.password)
        async with self._engine.begin() as connection:
            # Lock the account before its links, as issuing does.
            email = await connection.scalar(
                update(Account)
                .where(Account.account_id == link.subject)
                .values(password_hash=password_hash, password_chosen_at=now())
                .returning(Account.email)
            )
            if email is None:
                raise not_found(REASON_LINK_INVALID)
            await connection.execute(delete(Session).where(Session.account_id == link.subject))
            await redeem_link(connection, link.link_id, request.request_id)
            await void_links(connection, LINK_PURPOSE_ACCOUNT_PASSWORD, link.subject)
        caller_address = current_actor().caller_address
        await self._log_ins.forget(email, caller_address)
        # Whoever reads the account's mail is let in from here, though others go on guessing.
        await self._places.remember(link.subject, caller_address)
