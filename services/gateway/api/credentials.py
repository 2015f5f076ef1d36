"""`liity.v1.CredentialService`: a customer chooses a password."""

import grpc
from typing_extensions import override

from liity.identity.v1 import credential_service_pb2 as identity_pb2
from liity.identity.v1.credential_service_pb2_grpc import CredentialServiceStub
from liity.v1.credential_service_pb2 import ChoosePasswordRequest, ChoosePasswordResponse
from liity.v1.credential_service_pb2_grpc import CredentialServiceServicer
from services.runtime.rpc.peer import Peer


class CredentialService(CredentialServiceServicer):
    """Passes the link's token and the password on to identity."""

    def __init__(self, identity: Peer) -> None:
        self._identity = identity
        self._credentials = CredentialServiceStub(identity.channel)

    @override
    async def ChoosePassword(
        self,
        request: ChoosePasswordRequest,
        context: grpc.ServicerContext,
    ) -> ChoosePasswordResponse:
        """Sets the password; the link works once."""
        choose = identity_pb2.ChoosePasswordRequest(
            request_id=request.request_id, link_token=request.token, password=request.password
        )
        response = await self._identity.call(self._credentials.ChoosePassword, choose)
        return ChoosePasswordResponse(user_name=response.user_name)
