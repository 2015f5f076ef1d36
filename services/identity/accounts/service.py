"""AccountService: accounts of registrars and staff, and their log-ins."""

from datetime import UTC

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from typing_extensions import override

from liity.identity.v1.account_service_pb2 import Account as AccountMessage
from liity.identity.v1.account_service_pb2 import (
    AdmitPasswordOrderRequest,
    AdmitPasswordOrderResponse,
    BatchGetAccountsRequest,
    BatchGetAccountsResponse,
    CheckSessionRequest,
    CheckSessionResponse,
    ChooseAccountPasswordRequest,
    ChooseAccountPasswordResponse,
    CreateAccountRequest,
    CreateAccountResponse,
    FindAccountRequest,
    FindAccountResponse,
    GetAccountRequest,
    GetAccountResponse,
    GetJwksRequest,
    GetJwksResponse,
    IssuePasswordLinkRequest,
    IssuePasswordLinkResponse,
    ListAccountsRequest,
    ListAccountsResponse,
    ListAgedPasswordsRequest,
    ListAgedPasswordsResponse,
    ListLockOutsRequest,
    ListLockOutsResponse,
    LogInRequest,
    LogInResponse,
    LogOutRequest,
    LogOutResponse,
    MarkPasswordRemindedRequest,
    MarkPasswordRemindedResponse,
    RefreshSessionRequest,
    RefreshSessionResponse,
    SessionTokens,
)
from liity.identity.v1.account_service_pb2_grpc import AccountServiceServicer
from liity.v1.reason_pb2 import (
    REASON_ACCOUNT_EXISTS,
    REASON_ACCOUNT_NOT_FOUND,
    REASON_INVALID_FORMAT,
    REASON_REQUEST_ID_REUSED,
    REASON_SESSION_ENDED,
    REASON_WRONG_CREDENTIALS,
)
from services.identity.accounts.known_places import KnownPlaces
from services.identity.accounts.password_reminders import PasswordAges
from services.identity.accounts.password_reset import PasswordOrders
from services.identity.accounts.passwords import Passwords, require_strong
from services.identity.accounts.queries import (
    StoredAccount,
    address_of,
    find_account,
    find_accounts,
)
from services.identity.accounts.sessions import RunningSession, Sessions
from services.identity.accounts.throttle import LoginThrottle
from services.identity.accounts.token_issue import AccessTokens
from services.identity.links.tokens import new_id
from services.identity.models import Account, Membership
from services.runtime.clock import now
from services.runtime.rpc.errors import FieldViolation, already_exists, invalid, not_found, unauthenticated
from services.runtime.text import email_addresses


class Accounts(AccountServiceServicer):
    """Accounts, log-ins and sessions."""

    def __init__(
        self,
        engine: AsyncEngine,
        passwords: Passwords,
        throttle: LoginThrottle,
        access_tokens: AccessTokens,
        sessions: Sessions,
        orders: PasswordOrders,
        password_ages: PasswordAges,
        places: KnownPlaces,
    ) -> None:
        self._engine = engine
        self._single = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._passwords = passwords
        self._throttle = throttle
        self._access_tokens = access_tokens
        self._sessions = sessions
        self._orders = orders
        self._password_ages = password_ages
        self._places = places

    @override
    async def CreateAccount(self, request: CreateAccountRequest, context: object) -> CreateAccountResponse:
        units = {membership.unit_id for membership in request.memberships}
        if len(units) < len(request.memberships):
            raise invalid([FieldViolation("memberships", REASON_INVALID_FORMAT)])
        await require_strong(request.password, request.email, request.display_name)
        password_hash = await self._passwords.hash(request.password)
        async with self._engine.begin() as connection:
            if not await _insert_account(connection, request, password_hash):
                await _check_repetition(connection, request)
            stored = await find_account(connection, Account.request_id == request.request_id)
        return CreateAccountResponse(account=_known(stored))

    @override
    async def GetAccount(self, request: GetAccountRequest, context: object) -> GetAccountResponse:
        async with self._single.connect() as connection:
            stored = await find_account(connection, Account.account_id == request.account_id)
        return GetAccountResponse(account=_known(stored))

    @override
    async def BatchGetAccounts(
        self, request: BatchGetAccountsRequest, context: object
    ) -> BatchGetAccountsResponse:
        async with self._single.connect() as connection:
            found = await find_accounts(connection, Account.account_id.in_(request.account_ids))
        return BatchGetAccountsResponse(accounts=[stored.account for stored in found])

    @override
    async def ListAccounts(self, request: ListAccountsRequest, context: object) -> ListAccountsResponse:
        of_unit = select(Membership.account_id).where(Membership.unit_id == request.unit_id)
        async with self._single.connect() as connection:
            stored = await find_accounts(connection, Account.account_id.in_(of_unit))
        return ListAccountsResponse(accounts=[found.account for found in stored])

    @override
    async def FindAccount(self, request: FindAccountRequest, context: object) -> FindAccountResponse:
        found = select(Account.account_id).where(Account.email == email_addresses.fold(request.email))
        async with self._single.connect() as connection:
            account_id = await connection.scalar(found)
        return FindAccountResponse(account_id=account_id or "")

    @override
    async def LogIn(self, request: LogInRequest, context: object) -> LogInResponse:
        email = email_addresses.fold(request.email)
        attempt = await self._throttle.admit(email, request.caller_address)
        if attempt.throttled is not None and not await self._places.anybody_at(request.caller_address):
            raise attempt.throttled
        # Verify a hash even if there is no such account: the time must not reveal which addresses have one.
        async with self._single.connect() as connection:
            stored = await find_account(connection, Account.email == email)
        matches = await self._passwords.verify(stored and stored.password_hash, request.password)
        if attempt.throttled is not None and not (
            stored is not None
            and matches
            and await self._places.know(stored.account.account_id, request.caller_address)
        ):
            raise attempt.throttled
        if stored is None or not matches:
            raise unauthenticated(REASON_WRONG_CREDENTIALS)
        await self._throttle.forgive(attempt)
        session = await self._sessions.start(stored)
        if session is None:
            raise unauthenticated(REASON_WRONG_CREDENTIALS)
        await self._places.remember(session.account_id, request.caller_address)
        # Read the account again: a registrar removed from a unit during the log-in must not get a token for
        # it.
        async with self._single.connect() as connection:
            stored = await find_account(connection, Account.account_id == session.account_id)
        return LogInResponse(tokens=self._tokens(_known(stored), session))

    @override
    async def RefreshSession(self, request: RefreshSessionRequest, context: object) -> RefreshSessionResponse:
        session = await self._sessions.rotate(request.refresh_token, request.request_id)
        async with self._single.connect() as connection:
            stored = await find_account(connection, Account.account_id == session.account_id)
        if stored is None:
            raise unauthenticated(REASON_SESSION_ENDED)
        return RefreshSessionResponse(tokens=self._tokens(stored.account, session))

    @override
    async def LogOut(self, request: LogOutRequest, context: object) -> LogOutResponse:
        await self._sessions.end(request.refresh_token)
        return LogOutResponse()

    @override
    async def GetJwks(self, request: GetJwksRequest, context: object) -> GetJwksResponse:
        return GetJwksResponse(jwks_json=self._access_tokens.jwks_json)

    @override
    async def AdmitPasswordOrder(
        self, request: AdmitPasswordOrderRequest, context: object
    ) -> AdmitPasswordOrderResponse:
        return await self._orders.admit(request)

    @override
    async def IssuePasswordLink(
        self, request: IssuePasswordLinkRequest, context: object
    ) -> IssuePasswordLinkResponse:
        return await self._orders.issue(request)

    @override
    async def ChooseAccountPassword(
        self, request: ChooseAccountPasswordRequest, context: object
    ) -> ChooseAccountPasswordResponse:
        await self._orders.choose(request)
        return ChooseAccountPasswordResponse()

    @override
    async def CheckSession(self, request: CheckSessionRequest, context: object) -> CheckSessionResponse:
        await self._sessions.require(request.session_id)
        return CheckSessionResponse()

    @override
    async def ListAgedPasswords(
        self, request: ListAgedPasswordsRequest, context: object
    ) -> ListAgedPasswordsResponse:
        return ListAgedPasswordsResponse(aged=await self._password_ages.aged(request.page_size))

    @override
    async def MarkPasswordReminded(
        self, request: MarkPasswordRemindedRequest, context: object
    ) -> MarkPasswordRemindedResponse:
        await self._password_ages.mark_reminded(request.account_id)
        return MarkPasswordRemindedResponse()

    @override
    async def ListLockOuts(self, request: ListLockOutsRequest, context: object) -> ListLockOutsResponse:
        return await self._places.lock_outs(request.start_time.ToDatetime(UTC))

    def _tokens(self, account: AccountMessage, session: RunningSession) -> SessionTokens:
        access = self._access_tokens.sign(account, session.session_id)
        tokens = SessionTokens(
            access_token=access.token, refresh_token=session.refresh_token, account=account
        )
        tokens.access_token_expire_time.FromDatetime(access.expires_at)
        tokens.refresh_token_expire_time.FromDatetime(session.expires_at)
        return tokens


def _known(stored: StoredAccount | None) -> AccountMessage:
    if stored is None:
        raise not_found(REASON_ACCOUNT_NOT_FOUND)
    return stored.account


async def _insert_account(
    connection: AsyncConnection, request: CreateAccountRequest, password_hash: str
) -> bool:
    """Inserts the account; False if its address or its request ID is already stored."""
    account_id = await connection.scalar(
        insert(Account)
        .values(
            account_id=new_id(),
            email=address_of(request.email),
            display_name=request.display_name,
            password_hash=password_hash,
            language=request.language,
            roles=list(request.roles),
            created_at=now(),
            password_chosen_at=now(),
            request_id=request.request_id,
        )
        .on_conflict_do_nothing()
        .returning(Account.account_id)
    )
    if account_id is not None and request.memberships:
        await connection.execute(
            insert(Membership),
            [
                {"account_id": account_id, "unit_id": membership.unit_id, "role": membership.role}
                for membership in request.memberships
            ],
        )
    return account_id is not None


async def _check_repetition(connection: AsyncConnection, request: CreateAccountRequest) -> None:
    """Accepts a repeated request; raises ALREADY_EXISTS (ACCOUNT_EXISTS, REQUEST_ID_REUSED) for any other."""
    email = await connection.scalar(select(Account.email).where(Account.request_id == request.request_id))
    if email is None:
        raise already_exists(REASON_ACCOUNT_EXISTS)
    if email != email_addresses.fold(request.email):
        raise already_exists(REASON_REQUEST_ID_REUSED)
