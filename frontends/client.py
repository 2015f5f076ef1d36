"""Clients of the public API: one channel for many callers, and one caller with their session."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from frontends.refusals import Refusal
from liity.v1.auth_service_pb2 import LogInRequest, RefreshSessionRequest, Session
from liity.v1.auth_service_pb2_grpc import AuthServiceStub
from liity.v1.book_tips_service_pb2_grpc import BookTipsServiceStub
from liity.v1.class_list_service_pb2_grpc import ClassListServiceStub
from liity.v1.consent_service_pb2_grpc import ConsentServiceStub
from liity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.v1.customer_service_pb2_grpc import CustomerServiceStub
from liity.v1.customership_link_service_pb2_grpc import CustomershipLinkServiceStub
from liity.v1.disclosure_service_pb2_grpc import DisclosureServiceStub
from liity.v1.feedback_service_pb2_grpc import FeedbackServiceStub
from liity.v1.message_service_pb2_grpc import MessageServiceStub
from liity.v1.registration_service_pb2_grpc import RegistrationServiceStub
from liity.v1.unit_service_pb2_grpc import UnitServiceStub
from liity.v1.use_log_service_pb2_grpc import UseLogServiceStub
from liity.v1.work_service_pb2_grpc import WorkServiceStub

RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

_RENEW_BEFORE = timedelta(seconds=30)

TIMEOUT = 15.0
"""Seconds."""

_OPTIONS = (
    # An export of a person may exceed gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    # Several gateways may have one name: take another whenever a connection ends.
    ("grpc.service_config", '{"loadBalancingConfig": [{"pick_first": {"shuffleAddressList": true}}]}'),
    ("grpc.dns_min_time_between_resolutions_ms", 1000),
)


def new_request_id() -> str:
    """A UUID for one call and its repetitions (AIP-155)."""
    return str(uuid.uuid4())


class Api:
    """The public API of a gateway, over one channel. Each call says for whom it is made.

    Over TLS if given the CA that verifies the gateway's certificate.
    """

    def __init__(self, target: str, ca: Path | None = None) -> None:
        self._channel = (
            grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(ca.read_bytes()), options=_OPTIONS)
            if ca
            else grpc.aio.insecure_channel(target, options=_OPTIONS)
        )
        self.auth = AuthServiceStub(self._channel)
        self.registrations = RegistrationServiceStub(self._channel)
        self.customers = CustomerServiceStub(self._channel)
        self.consents = ConsentServiceStub(self._channel)
        self.customership_links = CustomershipLinkServiceStub(self._channel)
        self.credentials = CredentialServiceStub(self._channel)
        self.disclosures = DisclosureServiceStub(self._channel)
        self.class_lists = ClassListServiceStub(self._channel)
        self.units = UnitServiceStub(self._channel)
        self.uses = UseLogServiceStub(self._channel)
        self.feedback = FeedbackServiceStub(self._channel)
        self.messages = MessageServiceStub(self._channel)
        self.work = WorkServiceStub(self._channel)
        self.book_tips = BookTipsServiceStub(self._channel)

    async def send(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        language: str,
        *,
        access_token: str = "",
        forwarded_for: str = "",
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - it is gRPC's deadline
    ) -> ResponseT:
        """Calls; raises the `Refusal` of the gateway. `timeout` in seconds.

        `forwarded_for` is the address of the browser that a frontend calls for.
        """
        metadata = [("accept-language", language)]
        if access_token:
            metadata.append(("authorization", f"Bearer {access_token}"))
        if forwarded_for:
            # A browser may send anything in it; gRPC raises for what is not printable ASCII.
            printable = forwarded_for.encode("ascii", "replace").decode().replace("\t", " ")
            metadata.append(("x-forwarded-for", printable))
        try:
            return await method(request, metadata=metadata, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise Refusal.from_rpc_error(error, language) from None

    async def close(self) -> None:
        """Closes the channel."""
        await self._channel.close()


class ApiClient(Api):
    """Calls a gateway. Without `log_in`, it calls without an account, as guardians and customers do."""

    def __init__(self, target: str, language: str = "fi", ca: Path | None = None) -> None:
        super().__init__(target, ca)
        self._language = language
        self._session: Session | None = None
        self._renewal = asyncio.Lock()

    @property
    def session(self) -> Session:
        """The session. LookupError if not logged in."""
        if self._session is None:
            raise LookupError("Nobody is logged in")
        return self._session

    @property
    def unit(self) -> str:
        """`units/{unit}`, the first one the account belongs to. LookupError if there is none."""
        if not self.session.memberships:
            raise LookupError("The account belongs to no unit")
        return self.session.memberships[0].unit

    async def log_in(self, email: str, password: str) -> Session:
        """Logs in; later calls use the account, and renew the access token as needed."""
        request = LogInRequest(email=email, password=password)
        answer = await self._send(self.auth.LogIn, request, TIMEOUT)
        self._session = answer.session
        return answer.session

    async def call(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        *,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - it is gRPC's deadline
    ) -> ResponseT:
        """Calls; raises the `Refusal` of the gateway. `timeout` in seconds."""
        await self.renew_session()
        return await self._send(method, request, timeout)

    async def ask(self, method: MethodDescriptor, request: Message) -> Message:
        """As `call`, for an RPC known only by its descriptor."""
        path = f"/{method.containing_service.full_name}/{method.name}"
        answers: type[Message] = GetMessageClass(method.output_type)
        rpc: grpc.aio.UnaryUnaryMultiCallable[Message, Message] = self._channel.unary_unary(
            path, request_serializer=type(request).SerializeToString, response_deserializer=answers.FromString
        )
        return await self.call(rpc, request)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def renew_session(self, before: timedelta = _RENEW_BEFORE) -> None:
        """Renews the session, if logged in and the access token expires that soon."""
        async with self._renewal:
            session = self._session
            if session is None:
                return
            if session.access_token_expire_time.ToDatetime(UTC) - datetime.now(UTC) > before:
                return
            request = RefreshSessionRequest(refresh_token=session.refresh_token, request_id=new_request_id())
            self._session = (await self._send(self.auth.RefreshSession, request, TIMEOUT)).session

    async def _send(
        self,
        method: "grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]",
        request: RequestT,
        timeout: float,  # noqa: ASYNC109
    ) -> ResponseT:
        token = self._session.access_token if self._session is not None else ""
        return await self.send(method, request, self._language, access_token=token, timeout=timeout)
